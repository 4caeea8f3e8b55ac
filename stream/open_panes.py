"""Stage 1's open panes, and how closed panes are cut into blocks.

A pane of at most k rows travels as its rows, a larger one as its summary; both merge alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.columns import Group, Rows, concatenate
from stream.panes import PaneTable, cut_at, merge, summarise
from stream.rules import Rules
from stream.wire import rows_from_plain, rows_to_plain, table_from_plain, table_to_plain

_COMPACT_ROWS = 65_536  # open rows of a group beyond which they are summed before their pane closes
_BLOCK_BYTES = 500_000  # a block is one record; a single pane of very many features may be larger
_CELL_BYTES = 9
_SUMMARY_CELLS = 200  # about what a summary holds of a feature beside its sample


@dataclass(frozen=True, slots=True)
class Closed:
    """Panes that are whole, some as rows, some as summaries; no pane in both."""

    rows: Rows | None
    table: PaneTable | None

    def ends(self) -> NDArray[np.int64]:
        """Pane ends, rising."""
        parts = [part.pane_end for part in (self.rows, self.table) if part is not None]
        return np.unique(np.concatenate(parts))

    def between(self, first_ms: int, last_ms: int) -> Closed:
        return Closed(
            None if self.rows is None else self.rows.between(first_ms, last_ms),
            None if self.table is None else self.table.between(first_ms, last_ms),
        )


@dataclass(slots=True)
class _Open:
    rows: list[Rows] = field(default_factory=list)
    tables: list[PaneTable] = field(default_factory=list)


class OpenPanes:
    """The rows of all groups in panes that are not closed yet; summaries where they are many."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._groups: dict[Group, _Open] = {}

    def add(self, group: Group, rows: Rows) -> None:
        opened = self._groups.setdefault(group, _Open())
        opened.rows.append(rows)
        if sum(map(len, opened.rows)) > _COMPACT_ROWS:
            opened.tables.append(_summarised(concatenate(opened.rows), self._rules))
            opened.rows = []

    def close(self, until_ms: int) -> Iterator[tuple[Group, Closed]]:
        """The panes that end by then leave."""
        for group, opened in list(self._groups.items()):
            rows, opened.rows = cut_at(opened.rows, until_ms)
            tables, opened.tables = cut_at(opened.tables, until_ms)
            if not opened.rows and not opened.tables:
                del self._groups[group]
            if rows or tables:
                yield group, closed(rows, tables, self._rules)

    def snapshot(self) -> list[Any]:
        return [
            [list(g), [rows_to_plain(r) for r in o.rows], [table_to_plain(t) for t in o.tables]]
            for g, o in self._groups.items()
        ]

    def restore(self, plain: list[Any]) -> None:
        for (model_id, version, role, segment), rows, tables in plain:
            self._groups[model_id, version, role, segment] = _Open(
                [rows_from_plain(part) for part in rows],
                [table_from_plain(part) for part in tables],
            )


def closed(rows: Sequence[Rows], tables: Sequence[PaneTable], rules: Rules) -> Closed:
    """Whole panes in the form each travels in: rows, or a summary if it has more than k."""
    if not rows:
        return Closed(None, merge(tables, rules.pane_rows, rules.max_categories))
    joined = concatenate(rows)
    ends, place, count = np.unique(joined.pane_end, return_inverse=True, return_counts=True)
    crowded = count > rules.pane_rows
    for table in tables:
        crowded |= np.isin(ends, table.pane_end)
    dense = crowded[place]
    summed = list(tables)
    if dense.any():
        summed.append(_summarised(joined.take(np.flatnonzero(dense)), rules))
        joined = joined.take(np.flatnonzero(~dense))
    whole = merge(summed, rules.pane_rows, rules.max_categories) if summed else None
    return Closed(joined, whole)


def cut_into_blocks(panes: Closed, rules: Rules) -> Iterator[Closed]:
    """Parts of about half a megabyte, pane ends rising; a pane is never cut."""
    parts = [part for part in (panes.rows, panes.table) if part is not None]
    ends, place = np.unique(np.concatenate([p.pane_end for p in parts]), return_inverse=True)
    size = np.zeros(len(ends), np.int64)
    if panes.rows is not None:
        of_rows = place[: len(panes.rows)]
        size += np.bincount(of_rows, minlength=len(ends)) * (2 + len(panes.rows.columns))
    if panes.table is not None:
        of_table = place[len(place) - len(panes.table) :]
        size[of_table] += (rules.pane_rows + _SUMMARY_CELLS) * (1 + len(panes.table.features))
    number = np.cumsum(size * _CELL_BYTES) // _BLOCK_BYTES
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(ends)], strict=True):
        yield panes.between(int(ends[start]), int(ends[stop - 1]))


def _summarised(rows: Rows, rules: Rules) -> PaneTable:
    return summarise(rows, rules.pane_rows, rules.max_categories)
