"""Units of which many are read off a run of panes in one go: worked out once, for many runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.pane_features import PaneFeatures
from stream.panes import Ints, PaneTable
from stream.profile import Profile
from stream.rank_table import RankTable, sliced
from stream.units import Unit

Asked = tuple[Unit, Profile, bool]
"""A unit, what it is compared with, and whether its feature is numeric."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Shape (panes, columns) each: sum over the values, their number, sum of the squares."""

    x: Ints
    n: Ints
    xx: Ints

    def copy(self) -> Evidence:
        return Evidence(self.x.copy(), self.n.copy(), self.xx.copy())

    def clear(self, rows: int, columns: Ints) -> None:
        """The first rows of these columns say nothing."""
        for array in (self.x, self.n, self.xx):
            array[:rows, columns] = 0

    def leave_out(self, panes: NDArray[np.bool_], columns: Ints) -> None:
        """These columns say nothing in these panes."""
        for array in (self.x, self.n, self.xx):
            array[np.ix_(panes, columns)] = 0


class Together:
    """Of the units those that are read together; `others`: the rest, each with its first
    column."""

    def __init__(self, units: Sequence[Asked]) -> None:
        self._ranked: dict[int, _Ranked] = {}  # by profile
        self._faults = _Faults()
        self.others: list[tuple[Asked, int]] = []
        first = 0
        for unit, profile, numeric in units:
            slot = profile.slots.get(unit.name) if numeric else None
            if unit.measure in {"null", "absent", "type_error", "unlabelled"}:
                self._faults.add(unit, first, numeric=numeric)
            elif unit.measure == "out_of_range" and slot is not None:
                self._of(profile).beyond(unit.name, slot, first)
            elif unit.measure == "shape" and slot is not None:
                self._of(profile).shape(unit.name, slot, first)
            elif unit.measure == "shift" and slot is not None and not profile.season(unit.name):
                self._of(profile).shift(unit.name, slot, first)
            else:
                self.others.append(((unit, profile, numeric), first))
            first += unit.columns
        self.columns = first

    def _of(self, profile: Profile) -> _Ranked:
        return self._ranked.setdefault(id(profile), _Ranked(profile.ranks))

    def read(self, run: PaneTable) -> Evidence:
        """The columns of the others are 0."""
        shape = len(run), self.columns
        read = Evidence(*(np.zeros(shape, np.int64) for _ in range(3)))
        features = PaneFeatures.of(run.features, len(run))
        places = {name: place for place, name in enumerate(features.names)}
        self._faults.read(run, features, places, read)
        for ranked in self._ranked.values():
            ranked.read(len(run), features, places, read)
        return read


class _Faults:
    """Nulls, absences and values of another type."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._columns: list[int] = []
        self._absent: list[bool] = []
        # of numbers, texts, nulls and others: which count as faults
        self._counted: list[tuple[int, int, int, int]] = []

    def add(self, unit: Unit, column: int, *, numeric: bool) -> None:
        self._names.append(unit.name)
        self._columns.append(column)
        self._absent.append(unit.measure == "absent")
        if unit.measure == "type_error":
            self._counted.append((not numeric, numeric, 0, 1))
        elif unit.measure == "absent":
            self._counted.append((-1, -1, -1, -1))  # less than all that there are
        else:
            self._counted.append((0, 0, 1, 0))

    def read(
        self, run: PaneTable, features: PaneFeatures, places: dict[str, int], into: Evidence
    ) -> None:
        if not self._names:
            return
        of = np.array([places.get(name, -1) for name in self._names])
        columns, counted = np.array(self._columns), np.array(self._counted)
        is_there = of >= 0
        found = np.zeros((len(of), len(run)), np.int64)
        if is_there.any():
            whole, shape = features.whole, (len(features), len(run))
            counts = (whole.number, whole.text, whole.null, whole.other)
            for kind, count in enumerate(counts):
                weight = counted[is_there, kind, None]
                found[is_there] += weight * count.reshape(shape)[of[is_there]]
        found[self._absent] += run.rows
        into.x[:, columns] = into.xx[:, columns] = found.T
        into.n[:, columns] = run.rows[:, None]


class _Ranked:
    """What is compared with the ranks of one profile."""

    def __init__(self, table: RankTable) -> None:
        self._table = table
        self._slots: dict[str, int] = {}
        self._shift: dict[str, int] = {}  # the column of each
        self._beyond: dict[str, int] = {}
        self._shape: dict[str, int] = {}  # the first column

    def shift(self, name: str, slot: int, column: int) -> None:
        self._slots[name], self._shift[name] = slot, column

    def beyond(self, name: str, slot: int, column: int) -> None:
        self._slots[name], self._beyond[name] = slot, column

    def shape(self, name: str, slot: int, first: int) -> None:
        self._slots[name], self._shape[name] = slot, first

    def read(
        self, panes: int, features: PaneFeatures, places: dict[str, int], into: Evidence
    ) -> None:
        names = [name for name in self._slots if name in places]
        if not names:
            return
        feature = np.array([places[name] for name in names])
        slots = np.array([self._slots[name] for name in names])
        cells = features.whole.buckets
        number, pane, place = sliced(cells, panes, feature)
        key, count = cells.key[place], cells.count[place]
        at = self._table.places(slots[number], key)
        group = number * panes + pane
        shape = len(names), panes

        some, columns = _columns(names, self._shift)
        if len(some):
            cuts = np.searchsorted(group, np.arange(len(names) * panes + 1))
            sums = self._table.sums(at, count, cuts)
            for array, of in zip((into.n, into.x, into.xx), sums, strict=True):
                array[:, columns] = of.reshape(shape)[some].T

        some, columns = _columns(names, self._beyond)
        if len(some):
            is_out = self._table.are_beyond(slots[number], key)
            out = np.bincount(group[is_out], count[is_out], len(names) * panes).reshape(shape)
            numbers = features.whole.number.reshape(len(features), panes)[feature[some]]
            into.x[:, columns] = into.xx[:, columns] = out[some].T
            into.n[:, columns] = numbers.T

        some, columns = _columns(names, self._shape)
        if len(some):
            first = np.full(len(names), -1)
            first[some] = columns
            is_asked = first[number] >= 0
            flat = pane * into.x.shape[1] + first[number] + self._table.bins_of(at)
            counts = np.bincount(flat[is_asked], count[is_asked], into.x.size)
            bins = self._table.bins[slots[some]]
            values = np.bincount(group, count, len(names) * panes).reshape(shape)[some]
            whole = np.repeat(columns - np.cumsum(bins) + bins, bins) + np.arange(bins.sum())
            counts = counts.reshape(into.x.shape)[:, whole]
            into.x[:, whole] = into.xx[:, whole] = counts
            into.n[:, whole] = np.repeat(values.T, bins, axis=1)


def _columns(names: Sequence[str], of: dict[str, int]) -> tuple[Ints, Ints]:
    """(which of the names have a column, which column)."""
    some = [i for i, name in enumerate(names) if name in of]
    return np.array(some, np.int64), np.array([of[names[i]] for i in some], np.int64)
