"""Blocks of crowded panes by the extension, from rows to records in one go; `closed_panes`, `panes`
and `wire` make the same."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream import closed_panes, native
from stream.columns import Rows
from stream.rules import Rules
from stream.watermark import BEFORE_ALL_MS


def records(
    opening: bytes,
    parts: Sequence[Rows],
    rules: Rules,
    span_ms: tuple[int, int] = (BEFORE_ALL_MS, -BEFORE_ALL_MS),
) -> list[tuple[bytes, NDArray[np.int64]]] | None:
    """(a record, its pane ends) for each block of the panes that end in (after, until] of this
    span, of rows with the same columns. `opening`: of each record, all that stands before the
    table. None where the extension is not in use, or where Python must do it: some pane is not
    crowded, or a number is beyond those that events have. O(cells)."""
    if not native.IN_USE:
        return None
    names = [*parts[0].columns]
    made = native.EXTENSION.blocks(
        opening,
        [_as_taken(part) for part in parts],
        *span_ms,
        names,
        parts[0].texts if len(parts) == 1 else _texts(parts),
        rules.pane_rows,
        rules.max_categories,
        closed_panes.summary_bytes(len(names), rules),
        closed_panes.BLOCK_BYTES,
        zlib.crc32,
    )
    if made is None:
        return None
    return [(record, np.frombuffer(ends, np.int64)) for record, ends in made]


def _as_taken(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.uint64], list[NDArray[Any]]]:
    cells: list[NDArray[Any]] = []
    for column in rows.columns.values():
        cells += (np.ascontiguousarray(column.kind), np.ascontiguousarray(column.bits))
    return np.ascontiguousarray(rows.pane_end), np.ascontiguousarray(rows.hash), cells


def _texts(parts: Sequence[Rows]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for part in parts:
        texts |= part.texts
    return texts
