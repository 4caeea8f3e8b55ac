"""Units of which many are read off a run of panes in one go: worked out once, for many runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from detectors import native
from stream.pane_features import PaneFeatures
from stream.panes import Ints, PaneTable
from stream.profile import Profile
from stream.rank_table import RankTable, sliced
from stream.units import Unit

Asked = tuple[Unit, Profile, bool]
"""A unit, what it is compared with, and whether its feature is numeric."""


_LESS = (-1, -1, -1, -1)


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
    """Of the units those that are read together; `others`: the rest, each with its first column.

    Which these are, and where, is held once for all groups whose units are alike."""

    __slots__ = ("_layout", "_profiles")

    def __init__(self, units: Sequence[Asked]) -> None:
        profiles: dict[int, tuple[int, Profile]] = {}
        placed: list[_Placed] = []
        for unit, profile, numeric in units:
            place, _ = profiles.setdefault(id(profile), (len(profiles), profile))
            slot = profile.slots.get(unit.name, -1) if numeric else -1
            if unit.measure == "shift" and profile.season(unit.name):
                slot = -1
            placed.append((unit, numeric, place, slot))
        self._profiles = tuple(profile for _, profile in profiles.values())
        self._layout = _layout(tuple(placed))
        for place in self._layout.ranked:
            self._profiles[place].lay_out()

    @property
    def columns(self) -> int:
        return self._layout.columns

    @property
    def others(self) -> list[tuple[Asked, int]]:
        return [
            ((unit, self._profiles[place], numeric), first)
            for (unit, numeric, place, _), first in self._layout.others
        ]

    def read(self, run: PaneTable) -> Evidence:
        """The columns of the others are 0."""
        layout, shape = self._layout, (len(run), self._layout.columns)
        read = Evidence(*(np.zeros(shape, np.int64) for _ in range(3)))
        features = PaneFeatures.of(run.features, len(run))
        layout.faults.read(run, features, read)
        for place, ranked in layout.ranked.items():
            ranked.read(self._profiles[place].ranks, len(run), features, read)
        return read


_Placed = tuple[Unit, bool, int, int]
"""A unit, whether its feature is numeric, which of the profiles, and the slot there or -1."""


class _Layout:
    """Where what is read goes."""

    __slots__ = ("__weakref__", "columns", "faults", "others", "ranked")

    def __init__(self, units: Sequence[_Placed]) -> None:
        self.ranked: dict[int, _Ranked] = {}  # by profile
        self.faults = _Faults()
        self.others: list[tuple[_Placed, int]] = []
        first = 0
        for unit, numeric, place, slot in units:
            if unit.measure in {"null", "absent", "type_error", "unlabelled"}:
                self.faults.add(unit, first, numeric=numeric)
            elif unit.measure == "out_of_range" and slot >= 0:
                self._of(place).beyond(unit.name, slot, first)
            elif unit.measure == "shape" and slot >= 0:
                self._of(place).shape(unit.name, slot, first)
            elif unit.measure == "shift" and slot >= 0:
                self._of(place).shift(unit.name, slot, first)
            else:
                self.others.append(((unit, numeric, place, slot), first))
            first += unit.columns
        self.columns = first

    def _of(self, place: int) -> _Ranked:
        return self.ranked.setdefault(place, _Ranked())


_LAYOUTS: WeakValueDictionary[tuple[_Placed, ...], _Layout] = WeakValueDictionary()


def _layout(units: tuple[_Placed, ...]) -> _Layout:
    known = _LAYOUTS.get(units)
    if known is None:
        _LAYOUTS[units] = known = _Layout(units)
    return known


class _Places:
    """Of features by name among those of a run: most runs have the same."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # among which, and where: one object, as other threads may ask too
        self._known: tuple[tuple[str, ...], Ints] | None = None

    def of(self, names: Sequence[str], among: tuple[str, ...]) -> Ints:
        """-1 where one is not there; `names` are the same each time."""
        known = self._known
        if known is None or among != known[0]:
            places = {name: place for place, name in enumerate(among)}
            found = np.array([places.get(name, -1) for name in names], np.int64)
            self._known = known = among, found
        return known[1]


class _Faults:
    """Nulls, absences and values of another type."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._columns: list[int] = []
        # of numbers, texts, nulls and others: which count as faults
        self._counted: list[tuple[int, int, int, int]] = []
        self._places = _Places()

    def add(self, unit: Unit, column: int, *, numeric: bool) -> None:
        self._names.append(unit.name)
        self._columns.append(column)
        if unit.measure == "type_error":
            self._counted.append((not numeric, numeric, 0, 1))
        elif unit.measure == "absent":
            self._counted.append(_LESS)  # less than all that there are
        else:
            self._counted.append((0, 0, 1, 0))

    @cached_property
    def _laid(self) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """Columns, what is counted, and of what is less than all; when the last one is there."""
        laid = _columns(tuple(self._columns)), *_weights(tuple(self._counted))
        self._counted, self._columns = [], []
        return laid

    def read(self, run: PaneTable, features: PaneFeatures, into: Evidence) -> None:
        if not self._names:
            return
        of = self._places.of(self._names, features.names)
        columns, counted, absent = self._laid
        whole = features.whole
        counts = whole.number, whole.text, whole.null, whole.other
        if native.IN_USE:
            arrays = *map(np.ascontiguousarray, (*counts, run.rows)), into.x, into.n, into.xx
            native.EXTENSION.faults(into.x.shape[1], (of, columns, counted, absent, *arrays))
            return
        is_there, shape = of >= 0, (len(features), len(run))
        found = np.zeros((len(of), len(run)), np.int64)
        if is_there.any():
            for kind, count in enumerate(counts):
                weight = counted[is_there, kind, None]
                found[is_there] += weight * count.reshape(shape)[of[is_there]]
        found[absent] += run.rows
        into.x[:, columns] = into.xx[:, columns] = found.T
        into.n[:, columns] = run.rows[:, None]


class _Ranked:
    """What is compared with the ranks of one profile."""

    def __init__(self) -> None:
        # slot, and the columns of the ranks, of what is beyond them, the first one of the bins
        self._asked: dict[str, list[int]] = {}
        self._places = _Places()

    def shift(self, name: str, slot: int, column: int) -> None:
        self._asked.setdefault(name, [slot, -1, -1, -1])[1] = column

    def beyond(self, name: str, slot: int, column: int) -> None:
        self._asked.setdefault(name, [slot, -1, -1, -1])[2] = column

    def shape(self, name: str, slot: int, first: int) -> None:
        self._asked.setdefault(name, [slot, -1, -1, -1])[3] = first

    @cached_property
    def _laid(self) -> tuple[list[str], list[Ints]]:
        """When the last one is there."""
        names = [*self._asked]
        laid = [_columns(column) for column in zip(*self._asked.values(), strict=True)]
        self._asked = {}
        return names, laid

    def read(self, table: RankTable, panes: int, features: PaneFeatures, into: Evidence) -> None:
        names, asked = self._laid
        feature = self._places.of(names, features.names)
        if native.IN_USE:
            sums = into.x, into.n, into.xx
            table.read(panes, (feature, *asked), features.whole, sums)
            return
        there = np.flatnonzero(feature >= 0)
        if len(there):
            found = feature[there], [of[there] for of in asked]
            self._read(table, panes, features, found, into)

    @staticmethod
    def _read(
        table: RankTable,
        panes: int,
        features: PaneFeatures,
        found: tuple[Ints, list[Ints]],
        into: Evidence,
    ) -> None:
        feature, asked = found
        slots, shift, beyond, shapes = asked
        cells = features.whole.buckets
        number, pane, place = sliced(cells, panes, feature)
        key, count = cells.key[place], cells.count[place]
        at = table.places(slots[number], key)
        group = number * panes + pane
        shape = len(feature), panes

        some = np.flatnonzero(shift >= 0)
        if len(some):
            cuts = np.searchsorted(group, np.arange(len(feature) * panes + 1))
            sums = table.sums(slots[number], at, count, cuts)
            for array, of in zip((into.n, into.x, into.xx), sums, strict=True):
                array[:, shift[some]] = of.reshape(shape)[some].T

        some = np.flatnonzero(beyond >= 0)
        if len(some):
            columns, is_out = beyond[some], table.are_beyond(slots[number], key)
            out = np.bincount(group[is_out], count[is_out], len(feature) * panes).reshape(shape)
            numbers = features.whole.number.reshape(len(features), panes)[feature[some]]
            into.x[:, columns] = into.xx[:, columns] = out[some].T
            into.n[:, columns] = numbers.T

        some = np.flatnonzero(shapes >= 0)
        if len(some):
            first = shapes[number]
            flat = pane * into.x.shape[1] + first + table.bins_of(at)
            counts = np.bincount(flat[first >= 0], count[first >= 0], into.x.size)
            bins = table.bins[slots[some]]
            values = np.bincount(group, count, len(feature) * panes).reshape(shape)[some]
            whole = np.repeat(shapes[some] - np.cumsum(bins) + bins, bins) + np.arange(bins.sum())
            counts = counts.reshape(into.x.shape)[:, whole]
            into.x[:, whole] = into.xx[:, whole] = counts
            into.n[:, whole] = np.repeat(values.T, bins, axis=1)


# those of equal units are the same ones: versions, segments and models are often alike


@lru_cache(maxsize=256)
def _columns(columns: tuple[int, ...]) -> Ints:
    laid: Ints = np.array(columns, np.int64)
    laid.setflags(write=False)
    return laid


@lru_cache(maxsize=64)
def _weights(counted: tuple[tuple[int, int, int, int], ...]) -> tuple[Ints, NDArray[np.bool_]]:
    weights: Ints = np.array(counted, np.int64)
    return weights, weights[:, 0] < 0
