"""Blocks of crowded panes by the extension, from rows to records in one go; `closed_panes`, `panes`
and `wire` make the same."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from stream import closed_panes, native
from stream.columns import Rows
from stream.rules import Rules


def records(
    opening: bytes, rows: Rows, rules: Rules
) -> list[tuple[bytes, NDArray[np.int64]]] | None:
    """(a record, its pane ends) for each block of these rows' panes. `opening`: of each record, all
    that stands before the table. None where the extension is not in use, or where Python must do
    it: some pane is not crowded, or a number is beyond those that events have. O(cells)."""
    if not native.IN_USE:
        return None
    made = native.EXTENSION.blocks(
        opening,
        np.ascontiguousarray(rows.pane_end),
        np.ascontiguousarray(rows.hash),
        [
            (np.ascontiguousarray(column.kind), np.ascontiguousarray(column.bits))
            for column in rows.columns.values()
        ],
        [*rows.columns],
        rows.texts,
        rules.pane_rows,
        rules.max_categories,
        closed_panes.summary_bytes(len(rows.columns), rules),
        closed_panes.BLOCK_BYTES,
        zlib.crc32,
    )
    if made is None:
        return None
    return [(record, np.frombuffer(ends, np.int64)) for record, ends in made]
