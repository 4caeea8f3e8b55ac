"""Stage 1's open panes, and how closed panes are cut into blocks.

A pane of at most k rows travels as its rows, a larger one as its summary; both merge alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.columns import Group, Rows, concatenate
from stream.panes import PaneTable, cut_at, merge, summarise
from stream.plain_panes import rows_from_plain, rows_to_plain, table_from_plain, table_to_plain
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack
from stream.watermark import BEFORE_ALL_MS

_COMPACT_CELLS = 1 << 20  # of a group's open rows, beyond which they are summed already
_BLOCK_BYTES = 500_000  # a block is one record; a single pane of very many features may be larger
_CELL_BYTES = 9
_SUMMARY_CELLS = 200  # about what a summary holds of a feature beside its sample
_MANY_TABLES = 4  # of a group, beside those in segments: they are made one
_MOST_SEGMENTS = 16
_SEGMENT_VERSION = 1
RowsOrTable = TypeVar("RowsOrTable", Rows, PaneTable)


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
        rows = None if self.rows is None else self.rows.between(first_ms, last_ms)
        table = None if self.table is None else self.table.between(first_ms, last_ms)
        return Closed(rows or None, table or None)  # none of no pane


@dataclass(slots=True)
class _Open:
    """Rows and summaries of a group, first those that a segment holds, then those added since."""

    rows: list[Rows] = field(default_factory=list)
    tables: list[PaneTable] = field(default_factory=list)
    sealed_rows: int = 0  # how many of `rows` a segment holds
    sealed_tables: int = 0
    rows_since: int = 0  # rows in segments before this one were summed meanwhile
    names: set[str] = field(default_factory=set)  # of the columns of `rows`

    def cells(self) -> int:
        """Of the rows, once they are put together: a column that some lack is made whole."""
        return sum(map(len, self.rows)) * (2 + len(self.names))


@dataclass(frozen=True, slots=True)
class _Segment:
    """What was added between two snapshots; it never changes."""

    number: int
    groups: list[tuple[Group, list[Rows], list[PaneTable]]]
    last_end_ms: int

    @staticmethod
    def of(number: int, groups: list[tuple[Group, list[Rows], list[PaneTable]]]) -> _Segment:
        ends = [part.last_end_ms for _, rows, _ in groups for part in rows]
        ends += [part.last_end_ms for _, _, tables in groups for part in tables]
        return _Segment(number, groups, max(ends))

    def part(self) -> Part:
        return Part(f"open/{self.number}", 0, self._packed)

    def _packed(self) -> bytes:
        plain = [
            [list(group), [rows_to_plain(r) for r in rows], [table_to_plain(t) for t in tables]]
            for group, rows, tables in self.groups
        ]
        return pack(b"1", _SEGMENT_VERSION, plain)

    @staticmethod
    def read(number: int, data: bytes) -> _Segment:
        return _Segment.of(number, _groups_from_plain(unpack(b"1", _SEGMENT_VERSION, data)))


class OpenPanes:
    """The rows of all groups in panes that are not closed yet; summaries where they are many.

    For the checkpoints they are kept in segments, a new one for what came since the last: what of
    it has closed follows from how far panes were closed, so that no segment is ever written anew;
    one goes with its last pane.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._groups: dict[Group, _Open] = {}
        self._closed_ms = BEFORE_ALL_MS  # panes that end by then have left
        self._segments: list[_Segment] = []
        self._next = 0

    def add(self, group: Group, rows: Rows) -> None:
        opened = self._groups.setdefault(group, _Open())
        opened.rows.append(rows)
        opened.names.update(rows.columns)
        if opened.cells() > _COMPACT_CELLS:
            _, left = cut_at(opened.rows, self._closed_ms)
            if left:
                opened.tables.append(_summarised(concatenate(left), self._rules))
            opened.rows, opened.sealed_rows, opened.rows_since = [], 0, self._next
            opened.names = set()
            if len(opened.tables) - opened.sealed_tables >= _MANY_TABLES:
                opened.tables[opened.sealed_tables :] = [
                    self._merged(opened.tables[opened.sealed_tables :])
                ]

    def _merged(self, tables: Sequence[PaneTable]) -> PaneTable:
        return merge(tables, self._rules.pane_rows, self._rules.max_categories)

    def close(self, until_ms: int) -> Iterator[tuple[Group, Closed]]:
        """The panes that end by then leave."""
        if until_ms // self._rules.pane_ms <= self._closed_ms // self._rules.pane_ms:
            return  # no pane ends in between
        after_ms, self._closed_ms = self._closed_ms, max(self._closed_ms, until_ms)
        for group, opened in list(self._groups.items()):
            rows = _between(opened.rows, after_ms, self._closed_ms)
            tables = _between(opened.tables, after_ms, self._closed_ms)
            self._drop_closed(group)
            if rows or tables:
                yield group, closed(rows, tables, self._rules)

    def _drop_closed(self, group: Group) -> None:
        opened, until_ms = self._groups[group], self._closed_ms
        rows = [part.last_end_ms > until_ms for part in opened.rows]
        tables = [part.last_end_ms > until_ms for part in opened.tables]
        opened.sealed_rows = sum(rows[: opened.sealed_rows])
        opened.sealed_tables = sum(tables[: opened.sealed_tables])
        opened.rows = [part for part, is_open in zip(opened.rows, rows, strict=True) if is_open]
        opened.names = set().union(*(part.columns for part in opened.rows))
        opened.tables = [p for p, is_open in zip(opened.tables, tables, strict=True) if is_open]
        if not any(rows) and not any(tables):
            del self._groups[group]

    # -- state

    def parts(self) -> list[Part]:
        """What came since the last call is a segment from now on."""
        self._segments = [s for s in self._segments if s.last_end_ms > self._closed_ms]
        if len(self._segments) >= _MOST_SEGMENTS:
            self._gather()
        fresh = [seal for group in self._groups if (seal := self._seal(group)) is not None]
        if fresh:
            self._segments.append(_Segment.of(self._next, fresh))
            self._next += 1
        return [segment.part() for segment in self._segments]

    def _seal(self, group: Group) -> tuple[Group, list[Rows], list[PaneTable]] | None:
        opened = self._groups[group]
        rows, tables = opened.rows[opened.sealed_rows :], opened.tables[opened.sealed_tables :]
        if not rows and not tables:
            return None
        if rows:
            rows = [concatenate(rows)]
            opened.rows[opened.sealed_rows :] = rows
        opened.sealed_rows, opened.sealed_tables = len(opened.rows), len(opened.tables)
        return group, rows, tables

    def _gather(self) -> None:
        """All that is open into one segment: so many have a part each otherwise."""
        self._segments = []
        for opened in self._groups.values():
            _, opened.rows = cut_at(opened.rows, self._closed_ms)
            _, opened.tables = cut_at(opened.tables, self._closed_ms)
            if len(opened.tables) > 1:
                opened.tables = [self._merged(opened.tables)]
            opened.sealed_rows = opened.sealed_tables = opened.rows_since = 0

    def snapshot(self) -> dict[str, Any]:
        """What the parts do not say; after `parts`."""
        return {
            "closed_ms": self._closed_ms,
            "next": self._next,
            "segments": [segment.number for segment in self._segments],
            "groups": [[list(group), o.rows_since] for group, o in self._groups.items()],
        }

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        self._closed_ms, self._next = plain["closed_ms"], plain["next"]
        for (model_id, version, role, segment), since in plain["groups"]:
            self._groups[model_id, version, role, segment] = _Open(rows_since=since)
        self._segments = [_Segment.read(n, state[f"open/{n}"]) for n in plain["segments"]]
        for sealed in self._segments:
            for group, rows, tables in sealed.groups:
                opened = self._groups.get(group)
                if opened is not None:
                    opened.rows += rows if sealed.number >= opened.rows_since else []
                    opened.tables += tables
        for group, opened in list(self._groups.items()):
            opened.sealed_rows, opened.sealed_tables = len(opened.rows), len(opened.tables)
            self._drop_closed(group)

    def restore_whole(self, plain: list[Any]) -> None:
        """From state of version 1, of which nothing had closed."""
        for group, rows, tables in _groups_from_plain(plain):
            self._groups[group] = _Open(rows, tables)


def _groups_from_plain(plain: list[Any]) -> list[tuple[Group, list[Rows], list[PaneTable]]]:
    return [
        (
            (group[0], group[1], group[2], group[3]),
            [rows_from_plain(part) for part in rows],
            [table_from_plain(part) for part in tables],
        )
        for group, rows, tables in plain
    ]


def _between(parts: Sequence[RowsOrTable], after_ms: int, until_ms: int) -> list[RowsOrTable]:
    """What is of panes that end in (after, until]."""
    due, _ = cut_at(parts, until_ms)
    return cut_at(due, after_ms)[1]


def closed(rows: Sequence[Rows], tables: Sequence[PaneTable], rules: Rules) -> Closed:
    """Whole panes in the form each travels in: rows, or a summary if it has more than k."""
    if not rows:
        return Closed(None, merge(tables, rules.pane_rows, rules.max_categories))
    joined = concatenate(rows)
    dense = _is_dense(joined, tables, rules)
    summed = list(tables)
    sparse: Rows | None = joined
    if dense.all():
        summed.append(_summarised(joined, rules))
        sparse = None
    elif dense.any():
        summed.append(_summarised(joined.take(np.flatnonzero(dense)), rules))
        sparse = joined.take(np.flatnonzero(~dense))
    whole = merge(summed, rules.pane_rows, rules.max_categories) if summed else None
    return Closed(sparse, whole)


def _is_dense(rows: Rows, tables: Sequence[PaneTable], rules: Rules) -> NDArray[np.bool_]:
    """Of each row, whether its pane travels as a summary."""
    if rows.first_end_ms == rows.last_end_ms and len(rows) > rules.pane_rows:
        return np.ones(len(rows), np.bool_)
    ends, place, count = np.unique(rows.pane_end, return_inverse=True, return_counts=True)
    crowded = count > rules.pane_rows
    for table in tables:
        crowded |= np.isin(ends, table.pane_end)
    return crowded[place]


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
    if number[0] == number[-1]:
        yield Closed(panes.rows or None, panes.table or None)
        return
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(ends)], strict=True):
        yield panes.between(int(ends[start]), int(ends[stop - 1]))


def _summarised(rows: Rows, rules: Rules) -> PaneTable:
    return summarise(rows, rules.pane_rows, rules.max_categories)
