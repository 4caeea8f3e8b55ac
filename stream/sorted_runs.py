"""Columns that grow by batches and are looked up by a 64-bit key: a small LSM tree in memory.

Appending sorts the batch into a run; four runs of similar size are merged into one, and a run of
`FULL_ROWS` is never merged again. So a row is copied O(log n) times in its life. Runs are immutable
and numbered for good: a checkpoint writes each once. Rows die by a predicate of their owner; a run
whose rows are all dead goes, one of which more than half are dead is written anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.run import (
    Columns,
    Keys,
    Mask,
    Portion,
    Run,
    gathered,
    in_one,
    picked,
    whole,
)
from stream.snapshot import Part

__all__ = ["Columns", "Found", "Run", "SortedRuns"]

FACTOR_BITS = 2  # four runs of similar size are merged: see `scripts/bench pending --factor`
FULL_ROWS = 1 << 18  # a run of so many rows, or up to four times as many, is never merged again
_SMALL_ROWS = 64  # runs below it are of one size
Facts = TypeVar("Facts")


class FoundRows(Mapping[str, NDArray[Any]]):
    """Columns of rows in runs, each gathered when it is asked for."""

    __slots__ = ("_columns", "_made", "_place")

    def __init__(self, columns: Sequence[Columns], place: NDArray[np.intp]) -> None:
        """`columns`: of each run; `place`: as in `Found`, run by run."""
        self._columns = columns
        self._place = place
        self._made: Columns = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns[0])

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, name: str) -> NDArray[Any]:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = whole(
                [
                    picked(self._columns[number][name], rows)
                    for number, rows in rows_by_run(self._place)
                ]
                or [self._columns[0][name][:0]]
            )
        return made

    def where(self, place: NDArray[np.intp]) -> FoundRows:
        return FoundRows(self._columns, place)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Parallel: index into the keys asked for, the rows' columns, and where the rows are: (number
    of the run, row), run by run."""

    index: NDArray[np.intp]
    rows: FoundRows
    place: NDArray[np.intp]

    def where(self, mask: Mask) -> Found:
        if mask.all():
            return self
        place = self.place[:, mask]
        return Found(self.index[mask], self.rows.where(place), place)


def rows_by_run(place: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """(number of a run, the rows found in it) of those that any was found in."""
    if not place.shape[1]:
        return
    last = int(place[0, -1])
    if place[0, 0] == last:
        yield last, place[1]
        return
    ends = np.searchsorted(place[0], np.arange(last + 1), "right").tolist()
    start = 0
    for number, end in enumerate(ends):
        if end > start:
            yield number, place[1, start:end]
        start = end


class SortedRuns(Generic[Facts]):
    """Every row has a `key` (uint64, not unique) and the columns that `empty` names, and a byte of
    marks, 0 at first."""

    def __init__(
        self,
        name: str,
        empty: Columns,
        *,
        dead: Callable[[Run[Facts]], Mask | None],
        facts: Callable[[Columns], Facts],
    ) -> None:
        """`dead`: which rows of a run are dead (None: none is). `facts`: what the owner wants to
        know of every run; asked once."""
        self._name = name
        self._empty = empty
        self._dead = dead
        self._facts = facts
        self._next = 0
        self.runs: list[Run[Facts]] = []
        self.appended = 0
        self.copied = 0  # rows written into runs: appended, merged, rewritten

    def __len__(self) -> int:
        """Rows, the dead included."""
        return sum(map(len, self.runs))

    def append(self, rows: Columns, order: NDArray[np.intp] | None = None) -> None:
        """`order`, where it is known: one that sorts them, if no key comes twice."""
        if not len(rows["key"]):
            return
        self.appended += len(rows["key"])
        self._add([Portion(rows, order=order)])
        while (full := self._similar()) is not None:
            merged = [self.runs[place] for place in full]
            self.runs = [run for place, run in enumerate(self.runs) if place not in full]
            self._add([self._live(run) for run in merged])

    def _similar(self) -> set[int] | None:
        """Places of runs of similar size that are enough to be merged."""
        enough = 1 << FACTOR_BITS
        if len(self.runs) < enough:
            return None
        tiers: dict[int, list[int]] = defaultdict(list)
        for place, run in enumerate(self.runs):
            rows = len(run)
            if rows < FULL_ROWS:
                tiers[(max(rows, _SMALL_ROWS).bit_length() - 1) // FACTOR_BITS].append(place)
        return next((set(places) for places in tiers.values() if len(places) >= enough), None)

    def rewrite(self, run: Run[Facts]) -> None:
        """Leave out the run's dead rows; a run without live ones goes."""
        self.runs.remove(run)
        self._add([self._live(run)])

    def _live(self, run: Run[Facts]) -> Portion:
        dead = self._dead(run)
        return Portion(run.columns, None if dead is None else np.flatnonzero(~dead), run.marks)

    def _add(self, portions: Sequence[Portion]) -> None:
        rows, marks, known = in_one(portions)
        if len(rows["key"]):
            self.runs.append(Run(self._next, rows, self._facts(rows), marks, known=known))
            self._next += 1
            self.copied += len(rows["key"])

    # -- reading

    def find(self, keys: Keys, known: tuple[NDArray[np.intp], Keys] | None = None) -> Found:
        """All rows of these keys; a key asked for twice gives its rows twice.

        Per run O(len(keys)), and O(log n) for each that is probably there. `known`: an order that
        sorts them, and the keys in this order.
        """
        if known is None:
            order = np.argsort(keys)
            needles = keys[order]
        else:
            order, needles = known
        indices: list[NDArray[np.intp]] = []
        places: list[NDArray[np.intp]] = []
        for number, run in enumerate(self.runs):
            index, place = run.search(needles)
            if len(index):
                indices.append(order[index])
                places.append(np.stack([np.full(len(place), number), place]))
        if not places:
            none = np.zeros((2, 0), np.intp)
            return Found(np.zeros(0, np.intp), FoundRows([self._empty], none), none)
        place = np.concatenate(places, axis=1)
        columns = [run.columns for run in self.runs]
        return Found(np.concatenate(indices), FoundRows(columns, place), place)

    def set_marks(self, place: NDArray[np.intp], bits: int) -> None:
        """Set marks of rows just found (before any append or rewrite)."""
        for number, rows in rows_by_run(place):
            self.runs[number].mark(rows, bits)

    def marks_of(self, place: NDArray[np.intp]) -> NDArray[np.uint8]:
        marks = np.zeros(place.shape[1], np.uint8)
        start = 0
        for number, rows in rows_by_run(place):
            of_run = self.runs[number].marks
            if of_run is not None:
                marks[start : start + len(rows)] = of_run[rows]
            start += len(rows)
        return marks

    def all(self) -> Columns:
        """A copy of every row, the dead included: for tests and small states."""
        rows = [run.take(np.arange(len(run))) for run in self.runs]
        return gathered(rows) if rows else self._empty

    # -- state

    def parts(self) -> list[Part]:
        return [part for run in self.runs for part in run.parts(self._name)]

    def snapshot(self) -> dict[str, Any]:
        """What the parts do not say."""
        return {"next": self._next, "runs": [[run.number, run.marks_version] for run in self.runs]}

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        self._next = plain["next"]
        for number, marks_version in plain["runs"]:
            rows, marks = Run.read(self._name, number, marks_version, state, self._empty)
            self.runs.append(Run(number, rows, self._facts(rows), marks, marks_version))

    def restore_whole(self, rows: Columns, marks: NDArray[np.uint8] | None = None) -> None:
        """From state of version 1, which held all rows in one piece."""
        if len(rows["key"]):
            self._add([Portion(rows, marks=marks)])
