"""Summaries of cells, and one of many, in C; `feature_tables` makes the same in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream import native
from stream.columns import Column

Ints = NDArray[np.int64]
Triple = tuple[Ints, NDArray[Any], Ints]
Summary = tuple[list[NDArray[Any]], Triple, Triple, Triple, Triple]


def summary(
    columns: Sequence[Column],
    order: NDArray[np.intp] | None,
    pane: Ints,
    panes: int,
    max_categories: int,
) -> Summary | None:
    """The arrays of `feature_tables.ARRAYS`, then sums, squares, buckets and categories, each as
    (pane, key, count): pane p of column c is c · panes + p. `order`: of the rows that are summed,
    None for all as they are; `pane`: of each of them, rising. None where the extension is not in
    use, or where a number is beyond those that events have (1e-140 to 1e150, and 0). O(cells)."""
    if not native.IN_USE:
        return None
    cells = [
        (np.ascontiguousarray(column.kind), np.ascontiguousarray(column.bits)) for column in columns
    ]
    ordered = None if order is None else np.ascontiguousarray(order, np.int64)
    of_rows = np.ascontiguousarray(pane, np.int64)
    made = native.EXTENSION.summary(cells, ordered, of_rows, panes, max_categories)
    return None if made is None else _summary(made)


def _summary(parts: Sequence[bytearray]) -> Summary:
    ints = [np.frombuffer(part, np.int64) for part in parts]
    floats = [ints[4].view(np.float64), ints[5].view(np.float64)]
    return (
        [*ints[:4], *floats],
        (ints[6], ints[7], ints[8]),
        (ints[9], ints[10], ints[11]),
        (ints[12], ints[13], ints[14]),
        (ints[15], ints[16].view(np.uint64), ints[17]),
    )


def merged(
    parts: Sequence[tuple[Ints, Ints, NDArray[Any], Ints]], total: int, *, drops: bool = False
) -> Triple | None:
    """Of tables (the place of each of their rows among `total`, rows, keys, counts), sorted by row
    and key: what has the same place and key added. `drops`: a sum of 0 is left out. None where the
    extension is not in use. O(n log tables)."""
    if not native.IN_USE:
        return None
    kind = parts[0][2].dtype
    made = native.EXTENSION.merged([*parts], total, kind == np.int64, drops)
    row, key, count = made
    return np.frombuffer(row, np.int64), np.frombuffer(key, kind), np.frombuffer(count, np.int64)
