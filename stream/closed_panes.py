"""Panes that have closed, in the form each travels in, and how they are cut into blocks.

A pane of at most k rows travels as its rows, a larger one as its summary; both merge alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.columns import Rows, concatenate
from stream.grouped_rows import distinct
from stream.panes import PaneTable, merge, summarise
from stream.rules import Rules

BLOCK_BYTES = 500_000  # a block is one record; a single pane of very many features may be larger
CELL_BYTES = 9
_SUMMARY_CELLS = 200  # about what a summary holds of a feature beside its sample


@dataclass(frozen=True, slots=True)
class Closed:
    """Panes that are whole, some as rows, some as summaries; no pane in both."""

    rows: Rows | None
    table: PaneTable | None

    def ends(self) -> NDArray[np.int64]:
        """Pane ends, rising."""
        parts = [part.pane_end for part in (self.rows, self.table) if part is not None]
        return distinct(np.concatenate(parts))[0]

    def between(self, first_ms: int, last_ms: int) -> Closed:
        rows = None if self.rows is None else self.rows.between(first_ms, last_ms)
        table = None if self.table is None else self.table.between(first_ms, last_ms)
        return Closed(rows or None, table or None)  # none of no pane


def closed(rows: Sequence[Rows], tables: Sequence[PaneTable], rules: Rules) -> Closed:
    """Whole panes in the form each travels in: rows, or a summary if it has more than k."""
    if not rows:
        return Closed(None, merge(tables, rules.pane_rows, rules.max_categories))
    joined = concatenate(rows)
    if not tables and len(joined) <= rules.pane_rows:
        return Closed(joined, None)
    dense = _is_dense(joined, tables, rules)
    summed = list(tables)
    sparse: Rows | None = joined
    if dense.all():
        summed.append(summarised(joined, rules))
        sparse = None
    elif dense.any():
        summed.append(summarised(joined.take(np.flatnonzero(dense)), rules))
        sparse = joined.take(np.flatnonzero(~dense))
    whole = merge(summed, rules.pane_rows, rules.max_categories) if summed else None
    return Closed(sparse, whole)


def _is_dense(rows: Rows, tables: Sequence[PaneTable], rules: Rules) -> NDArray[np.bool_]:
    """Of each row, whether its pane travels as a summary."""
    if rows.first_end_ms == rows.last_end_ms and len(rows) > rules.pane_rows:
        return np.ones(len(rows), np.bool_)
    ends, count = distinct(rows.pane_end)
    crowded = count > rules.pane_rows
    for table in tables:
        crowded |= np.isin(ends, table.pane_end)
    if crowded.all():
        return np.ones(len(rows), np.bool_)
    return crowded[np.searchsorted(ends, rows.pane_end)]


def cut_into_blocks(panes: Closed, rules: Rules) -> Iterator[Closed]:
    """Parts of about half a megabyte, pane ends rising; a pane is never cut."""
    parts = [part for part in (panes.rows, panes.table) if part is not None]
    if panes.rows is not None and panes.table is None:
        cells = len(panes.rows) * (2 + len(panes.rows.columns))
        if cells * CELL_BYTES < BLOCK_BYTES:  # as most are, where there are many groups
            yield panes
            return
    if len(parts) == 1 and parts[0].first_end_ms == parts[0].last_end_ms:
        yield panes
        return
    ends, place = np.unique(np.concatenate([p.pane_end for p in parts]), return_inverse=True)
    size = np.zeros(len(ends), np.int64)
    if panes.rows is not None:
        of_rows = place[: len(panes.rows)]
        row_bytes = (2 + len(panes.rows.columns)) * CELL_BYTES
        size += np.bincount(of_rows, minlength=len(ends)) * row_bytes
    if panes.table is not None:
        of_table = place[len(place) - len(panes.table) :]
        size[of_table] += summary_bytes(len(panes.table.features), rules)
    number = np.cumsum(size) // BLOCK_BYTES
    if number[0] == number[-1]:
        yield Closed(panes.rows or None, panes.table or None)
        return
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(ends)], strict=True):
        yield panes.between(int(ends[start]), int(ends[stop - 1]))


def summary_bytes(features: int, rules: Rules) -> int:
    """About, of a pane."""
    return (rules.pane_rows + _SUMMARY_CELLS) * (1 + features) * CELL_BYTES


def summarised(rows: Rows, rules: Rules) -> PaneTable:
    return summarise(rows, rules.pane_rows, rules.max_categories)
