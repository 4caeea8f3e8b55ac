"""Stage 1's open panes: rows, and summaries where they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from detectors.ordered import distinct
from stream import native
from stream.closed_panes import Closed, closed, summarised
from stream.columns import Group, Rows, concatenate
from stream.grouped_rows import GroupedRows, Stretch, together
from stream.panes import PaneTable, cut_at, merge
from stream.plain_panes import rows_from_plain, rows_to_plain, table_from_plain, table_to_plain
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack
from stream.watermark import BEFORE_ALL_MS

_COMPACT_CELLS = 1 << 20  # of a group's open rows, beyond which they are summed already
_MANY_TABLES = 4  # of a group, beside those in segments: they are made one
_MOST_SEGMENTS = 16
_SEGMENT_VERSION = 1
RowsOrTable = TypeVar("RowsOrTable", Rows, PaneTable)


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
        self._undealt: list[GroupedRows] = []  # added since a snapshot, of groups that are many
        self._undealt_cells = 0
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
                opened.tables.append(summarised(concatenate(left), self._rules))
            opened.rows, opened.sealed_rows, opened.rows_since = [], 0, self._next
            opened.names = set()
            if len(opened.tables) - opened.sealed_tables >= _MANY_TABLES:
                opened.tables[opened.sealed_tables :] = [
                    self._merged(opened.tables[opened.sealed_tables :])
                ]

    def add_all(self, rows: GroupedRows) -> None:
        """Rows of many groups. They are dealt to their groups when these are asked for: a batch
        has few of each."""
        self._undealt.append(rows)
        self._undealt_cells += len(rows) * (2 + len(rows.rows.columns))
        if self._undealt_cells > _COMPACT_CELLS:
            self._deal()

    def _deal(self) -> None:
        undealt, self._undealt, self._undealt_cells = self._undealt, [], 0
        for alike in together(undealt):
            for group, rows in alike.dealt():
                self.add(group, rows)

    def _due(self, after_ms: int) -> tuple[list[GroupedRows | Stretch], dict[Group, list[Rows]]]:
        """What of the undealt rows has closed since: of groups that have nothing else, and the
        rest, dealt to its groups."""
        undealt = self._undealt
        left = [part.between(self._closed_ms, -BEFORE_ALL_MS) for part in undealt]
        self._undealt = [part for part in left if len(part)]
        self._undealt_cells = sum(len(p) * (2 + len(p.rows.columns)) for p in self._undealt)
        of_one = Stretch.of(undealt, after_ms, self._closed_ms) if native.IN_USE else None
        if of_one is not None and of_one.group not in self._groups:
            return [of_one], {}
        due = together([part.between(after_ms, self._closed_ms) for part in undealt])
        seen = Counter(g for alike in due for g in _groups_of(alike)) if len(due) > 1 else None
        whole: list[GroupedRows | Stretch] = []
        of: dict[Group, list[Rows]] = {}
        for alike in due:
            parted = np.zeros(len(alike.groups), np.bool_)
            for code, group in enumerate(alike.groups):
                parted[code] = group in self._groups or (seen is not None and seen[group] > 1)
            is_parted = parted[alike.code]
            if not is_parted.any():
                whole.append(alike)
                continue
            if not is_parted.all():
                whole.append(alike.take(np.flatnonzero(~is_parted)))
            for group, rows in alike.take(np.flatnonzero(is_parted)).dealt():
                of.setdefault(group, []).append(rows)
        return whole, of

    def _merged(self, tables: Sequence[PaneTable]) -> PaneTable:
        return merge(tables, self._rules.pane_rows, self._rules.max_categories)

    def close(self, until_ms: int) -> Iterator[GroupedRows | Stretch | tuple[Group, Closed]]:
        """The panes that end by then leave, each group once."""
        if until_ms // self._rules.pane_ms <= self._closed_ms // self._rules.pane_ms:
            return  # no pane ends in between
        after_ms, self._closed_ms = self._closed_ms, max(self._closed_ms, until_ms)
        whole, due = self._due(after_ms)
        yield from whole
        for group in list(dict.fromkeys([*self._groups, *due])):
            rows, tables = due.pop(group, []), []
            opened = self._groups.get(group)
            if opened is not None:
                rows += _between(opened.rows, after_ms, self._closed_ms)
                tables = _between(opened.tables, after_ms, self._closed_ms)
                self._drop_closed(group)
            if not tables and self._are_crowded(rows):
                parts = [GroupedRows(of, np.zeros(len(of), np.int64), [group]) for of in rows]
                yield Stretch(parts, after_ms, self._closed_ms)
            elif rows or tables:
                yield group, closed(rows, tables, self._rules)

    def _are_crowded(self, rows: Sequence[Rows]) -> bool:
        """Whether the extension may read these as they are: all their panes have a summary."""
        most = self._rules.pane_rows
        if not native.IN_USE or sum(map(len, rows)) <= most:
            return False
        names = [*rows[0].columns]
        if any([*part.columns] != names for part in rows):
            return False
        ends = np.concatenate([part.pane_end for part in rows])
        _, count = np.unique(ends, return_counts=True)
        return bool((count > most).all())

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
        self._deal()
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


def _groups_of(rows: GroupedRows) -> list[Group]:
    return [rows.groups[code] for code in distinct(rows.code).tolist()]


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
