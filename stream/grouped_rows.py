"""Rows of many groups as one: what is done for each group alone costs more than its few rows do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.columns import Column, Group, Rows, concatenate


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
        """The rows of panes that end in (after, until]."""
        inside = (self.rows.pane_end > after_ms) & (self.rows.pane_end <= until_ms)
        return self if inside.all() else self.take(np.flatnonzero(inside))

    def dealt(self, *, in_order: bool = False) -> Iterator[tuple[Group, Rows]]:
        """Each group with its rows, as views; `in_order`: by (pane end, hash)."""
        if not len(self):
            return
        if not in_order and (self.code == self.code[0]).all():
            yield self.groups[int(self.code[0])], self.rows
            return
        order = np.lexsort((self.rows.hash, self.rows.pane_end, self.code))
        ends, hashes, code = self.rows.pane_end[order], self.rows.hash[order], self.code[order]
        columns = [(n, c.kind[order], c.bits[order]) for n, c in self.rows.columns.items()]
        texts = self.rows.texts
        starts = np.flatnonzero(np.diff(code, prepend=code[0] - 1)).tolist()
        for start, stop in zip(starts, [*starts[1:], len(code)], strict=True):
            at = slice(start, stop)
            cells = {name: Column(kind[at], bits[at]) for name, kind, bits in columns}
            yield self.groups[int(code[start])], Rows(ends[at], hashes[at], cells, texts)


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
