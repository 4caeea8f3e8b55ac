"""Rows of many groups as one: what is done for each group alone costs more than its few rows do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.columns import NO_ROWS, Column, Group, Rows, concatenate

_MOST_TOGETHER = 64_000  # cells, with time and hash of each row: all are held as long as any is


@dataclass(frozen=True, slots=True, eq=False)
class GroupedRows:
    """`code`: of each row the place of its group in `groups`, which may be more than there are."""

    rows: Rows
    code: NDArray[np.int64]
    groups: Sequence[Group]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.rows.columns)

    def take(self, rows: NDArray[np.intp]) -> GroupedRows:
        return GroupedRows(self.rows.take(rows), self.code[rows], self.groups)

    def between(self, after_ms: int, until_ms: int) -> GroupedRows:
        """The rows of panes that end in (after, until]: as views where they follow one another;
        without columns if there are none."""
        inside = (self.rows.pane_end > after_ms) & (self.rows.pane_end <= until_ms)
        count = int(np.count_nonzero(inside))
        if count == len(inside):
            return self
        if not count:
            return GroupedRows(NO_ROWS, self.code[:0], self.groups)
        first = int(inside.argmax())
        if inside[first : first + count].all():
            at = slice(first, first + count)
            return GroupedRows(self.rows.take(at), self.code[at], self.groups)
        return self.take(np.flatnonzero(inside))

    def pane_ends(self) -> NDArray[np.int64]:
        """Of each group the ends of its panes, of rows in the order of their groups."""
        order = np.lexsort((self.rows.pane_end, self.code))
        ends = self.rows.pane_end[order]
        is_new = np.ones(len(order), np.bool_)
        is_new[1:] = (self.code[1:] != self.code[:-1]) | (ends[1:] != ends[:-1])
        return ends[is_new]

    def dealt(self, *, in_order: bool = False) -> Iterator[tuple[Group, Rows]]:
        """Each group with its rows, as views; `in_order`: by (pane end, hash)."""
        if not len(self):
            return
        if not in_order and (self.code == self.code[0]).all():
            yield self.groups[int(self.code[0])], self.rows
            return
        if in_order:
            order = np.lexsort((self.rows.hash, self.rows.pane_end, self.code))
        else:  # of short integers that is a radix sort
            short = self.code.astype(np.min_scalar_type(len(self.groups)))
            order = np.argsort(short, kind="stable")
        ends, hashes, code = self.rows.pane_end[order], self.rows.hash[order], self.code[order]
        columns = [(n, c.kind[order], c.bits[order]) for n, c in self.rows.columns.items()]
        texts = self.rows.texts
        starts = np.flatnonzero(np.diff(code, prepend=code[0] - 1)).tolist()
        for start, stop in zip(starts, [*starts[1:], len(code)], strict=True):
            at = slice(start, stop)
            cells = {name: Column(kind[at], bits[at]) for name, kind, bits in columns}
            yield self.groups[int(code[start])], Rows(ends[at], hashes[at], cells, texts)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Of one group, and of parts with the same columns, the rows of panes that end in
    (after, until]: not put together yet."""

    parts: Sequence[GroupedRows]
    after_ms: int
    until_ms: int

    @property
    def group(self) -> Group:
        return self.parts[0].groups[0]

    def rows(self) -> list[GroupedRows]:
        """Put together; none where there are none."""
        return together([part.between(self.after_ms, self.until_ms) for part in self.parts])

    @classmethod
    def of(cls, parts: Sequence[GroupedRows], after_ms: int, until_ms: int) -> Stretch | None:
        """None where these parts are of several groups, or differ in their columns."""
        are_one = bool(parts) and all(
            len(part.groups) == 1
            and part.groups[0] == parts[0].groups[0]
            and part.names == parts[0].names
            for part in parts
        )
        return cls(parts, after_ms, until_ms) if are_one else None


class Piece:
    """The rows of one group among those of many that came together: from `start` to before `stop`
    of the whole."""

    __slots__ = ("first_end_ms", "last_end_ms", "start", "stop", "whole")

    def __init__(
        self, whole: Rows, start: int, stop: int, first_end_ms: int, last_end_ms: int
    ) -> None:
        self.whole = whole
        self.start, self.stop = start, stop
        self.first_end_ms, self.last_end_ms = first_end_ms, last_end_ms

    @classmethod
    def of(cls, rows: Rows) -> Piece:
        """All of them; they must be some."""
        return cls(rows, 0, len(rows), rows.first_end_ms, rows.last_end_ms)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.whole.columns)

    @property
    def pane_end(self) -> NDArray[np.int64]:
        return self.whole.pane_end[self.start : self.stop]

    def rows(self) -> Rows:
        """By themselves, with the texts that are used."""
        whole, at = self.whole, slice(self.start, self.stop)
        columns = {n: Column(c.kind[at], c.bits[at]) for n, c in whole.columns.items()}
        return with_texts_used(Rows(whole.pane_end[at], whole.hash[at], columns, whole.texts))

    def between(self, first_ms: int, last_ms: int) -> Piece | None:
        """Those of panes that end within [first_ms, last_ms]; None if there are none."""
        if first_ms <= self.first_end_ms and self.last_end_ms <= last_ms:
            return self
        if first_ms > self.last_end_ms or last_ms < self.first_end_ms:
            return None
        inside = self.rows().between(first_ms, last_ms)
        return Piece.of(inside) if len(inside) else None


def with_texts_used(rows: Rows) -> Rows:
    """Without texts that no cell has."""
    used: set[int] = set()
    if rows.texts:
        for cells in rows.columns.values():
            used.update(cells.texts()[1].tolist())
    return replace(rows, texts={code: rows.texts[code] for code in sorted(used)})


def pieces(of: GroupedRows) -> Iterator[tuple[Group, Piece]]:
    """Each group with its rows, of rows in the order of their groups."""
    ends = of.rows.pane_end
    starts = np.flatnonzero(np.diff(of.code, prepend=-1))
    first, last = np.minimum.reduceat(ends, starts), np.maximum.reduceat(ends, starts)
    cuts = [*starts.tolist(), len(of)]
    for i, (first_ms, last_ms) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        start = cuts[i]
        group = of.groups[int(of.code[start])]
        yield group, Piece(of.rows, start, cuts[i + 1], first_ms, last_ms)


def joined(of: Sequence[tuple[int, Piece]]) -> tuple[Rows, NDArray[np.int64]]:
    """Pieces, each with a number, as one: the rows, and of each row the number. Pieces that lie
    beside each other are not taken apart."""
    parts, numbers = [], []
    for number, rows in _by_whole(of):
        numbers.append(number)
        parts.append(rows)
    return concatenate(parts), np.concatenate(numbers)


def detached(of: Sequence[Piece]) -> list[Piece]:
    """The same, keeping little of the rows of others. Those with the same columns lie together:
    what arrays and texts take beside their cells is more than the cells of a few rows."""
    alike: dict[tuple[str, ...], list[tuple[NDArray[np.int64], Rows]]] = {}
    for number, rows in _by_whole(list(enumerate(of))):
        alike.setdefault(tuple(rows.columns), []).append((number, rows))
    found: dict[int, Piece] = {}
    for names, parts in alike.items():
        for some in _in_parts(parts, _MOST_TOGETHER // (2 + len(names))):
            number = np.concatenate([number for number, _ in some])
            rows = concatenate([rows for _, rows in some])
            if len(some) > 1:  # in the order in which they came
                rows = replace(rows, columns={name: rows.columns[name] for name in names})
            own = rows if rows is of[int(number[0])].whole else with_texts_used(rows)
            starts = np.flatnonzero(np.diff(number, prepend=-1)).tolist()
            for start, stop in zip(starts, [*starts[1:], len(number)], strict=True):
                place = int(number[start])
                piece = of[place]
                found[place] = Piece(own, start, stop, piece.first_end_ms, piece.last_end_ms)
    return [found[place] for place in range(len(of))]


def _in_parts(
    parts: Sequence[tuple[NDArray[np.int64], Rows]], most: int
) -> Iterator[list[tuple[NDArray[np.int64], Rows]]]:
    """Of no more than so many rows each, unless one has more."""
    some: list[tuple[NDArray[np.int64], Rows]] = []
    count = 0
    for number, rows in parts:
        if some and count + len(rows) > most:
            yield some
            some, count = [], 0
        some.append((number, rows))
        count += len(rows)
    yield some


def _by_whole(of: Sequence[tuple[int, Piece]]) -> Iterator[tuple[NDArray[np.int64], Rows]]:
    """Of each whole the rows that the pieces have of it, and whose they are."""
    wholes: dict[int, list[tuple[int, int, Piece]]] = {}
    for number, piece in of:
        wholes.setdefault(id(piece.whole), []).append((piece.start, number, piece))
    for mine in wholes.values():
        mine.sort(key=lambda one: one[0])
        sizes = [len(piece) for _, _, piece in mine]
        owner = np.repeat(np.array([n for _, n, _ in mine], np.int64), sizes)
        whole = mine[0][2].whole
        before = np.cumsum(sizes) - sizes
        starts = np.array([start for start, _, _ in mine], np.int64)
        if len(owner) == len(whole) and (starts == before).all():  # a row may be of several
            yield owner, whole
            continue
        yield owner, whole.take(np.arange(len(owner)) + np.repeat(starts - before, sizes))


def texts_of(rows: Rows, code: NDArray[np.int64], count: int) -> list[dict[int, str]]:
    """Of each code below `count` the texts that its rows have."""
    found: list[dict[int, str]] = [{} for _ in range(count)]
    if not rows.texts:
        return found
    cells = [column.texts() for column in rows.columns.values()]
    owner = np.concatenate([code[at] for at, _ in cells])
    bits = np.concatenate([of for _, of in cells])
    order = np.lexsort((bits, owner))
    owner, bits = owner[order], bits[order]
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (owner[1:] != owner[:-1]) | (bits[1:] != bits[:-1])
    for mine, text in zip(owner[is_new].tolist(), bits[is_new].tolist(), strict=True):
        found[mine][text] = rows.texts[text]
    return found


def distinct(ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(ends, ascending, how often each comes); they need not be sorted, but mostly are."""
    if not (ends[1:] >= ends[:-1]).all():
        ends = np.sort(ends)
    is_first = np.ones(len(ends), np.bool_)
    is_first[1:] = ends[1:] != ends[:-1]
    starts = np.flatnonzero(is_first)
    return ends[starts], np.diff(starts, append=len(ends))


def apart(rows: GroupedRows, most: int) -> tuple[GroupedRows, GroupedRows]:
    """(rows of groups that have at most so many in each pane, rows of the others)."""
    none = GroupedRows(rows.rows.take(slice(0)), rows.code[:0], rows.groups)
    if len(rows) <= most or np.bincount(rows.code).max() <= most:
        return rows, none
    if (rows.code == rows.code[0]).all():
        _, count = distinct(rows.rows.pane_end)
        return (none, rows) if count.max() > most else (rows, none)
    is_crowded = np.isin(rows.code, _crowded(rows, most))
    if is_crowded.all():
        return none, rows
    return rows.take(np.flatnonzero(~is_crowded)), rows.take(np.flatnonzero(is_crowded))


def _crowded(rows: GroupedRows, most: int) -> NDArray[np.intp]:
    """Codes of groups that have more than so many rows in some pane, maybe several times."""
    ends, code = rows.rows.pane_end, rows.code
    if (ends == ends[0]).all():
        return np.flatnonzero(np.bincount(code) > most)
    order = np.lexsort((ends, code))
    ends, code = ends[order], code[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (code[1:] != code[:-1]) | (ends[1:] != ends[:-1])
    first = np.flatnonzero(is_first)
    return code[first[np.diff(first, append=len(order)) > most]]


def together(parts: Sequence[GroupedRows]) -> list[GroupedRows]:
    """The parts with the same columns made one, of one list of groups."""
    alike: dict[tuple[str, ...], list[GroupedRows]] = {}
    for part in parts:
        if len(part):
            alike.setdefault(part.names, []).append(part)
    return [_joined(of) for of in alike.values()]


def _joined(parts: Sequence[GroupedRows]) -> GroupedRows:
    if len(parts) == 1:
        return parts[0]
    codes: dict[Group, int] = {}
    code = []
    for part in parts:
        place = [codes.setdefault(group, len(codes)) for group in part.groups]
        code.append(np.array(place, np.int64)[part.code])
    return GroupedRows(concatenate([p.rows for p in parts]), np.concatenate(code), list(codes))
