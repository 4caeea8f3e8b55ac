"""Where the columns of each unit are in the evidence and in the bank: behind one another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import accumulate
from weakref import WeakValueDictionary

import numpy as np

from stream.feature_table import Ints
from stream.units import Key, Unit


class UnitColumns(Mapping[Key, Ints]):
    """In the order of the units; the columns of one are made when they are asked for."""

    __slots__ = (
        *("__weakref__", "_cuts", "_place", "counted", "counts", "every", "in_order", "ranked"),
        "units",
    )

    def __init__(self, units: Iterable[Unit] = ()) -> None:
        """No two have a key."""
        self.units = tuple(units)
        self.in_order = tuple(unit.key for unit in self.units)
        self._place = {key: place for place, key in enumerate(self.in_order)}
        self._cuts = [*accumulate((unit.columns for unit in self.units), initial=0)]
        self.every: Ints = np.arange(self._cuts[-1])
        self.every.setflags(write=False)
        # the columns that have values of their own; of each column the place among these; shifts
        own = np.array([unit.measure != "shape" for unit in self.units], np.bool_)
        has_own = np.repeat(own, np.diff(self._cuts))
        has_own[self._cuts[:-1]] = True
        self.counted: Ints = np.flatnonzero(has_own)
        self.counts: Ints = np.cumsum(has_own) - 1
        first = dict(zip(self.units, self._cuts, strict=False))
        shifts = [cut for unit, cut in first.items() if unit.measure == "shift"]
        self.ranked: Ints = np.array(shifts, np.int64)

    def __getitem__(self, key: Key) -> Ints:
        place = self._place[key]
        return self.every[self._cuts[place] : self._cuts[place + 1]]

    def __contains__(self, key: object) -> bool:
        return key in self._place

    def place(self, key: Key) -> int:
        """Of a unit among the units."""
        return self._place[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def but(self, keys: Collection[Key]) -> Ints:
        """The columns of all units but these, ascending."""
        if not keys:
            return self.every
        kept = np.ones(len(self.every), np.bool_)
        for key in keys:
            kept[self[key]] = False
        return np.flatnonzero(kept)

    def owner(self, column: int) -> Key:
        """The unit that a column is of. O(units)."""
        return [*self._place][bisect_right(self._cuts, column) - 1]


_KNOWN: WeakValueDictionary[tuple[Unit, ...], UnitColumns] = WeakValueDictionary()


def columns_of(*units: Unit) -> UnitColumns:
    """Those of equal units are the same ones: versions, segments and models are often alike."""
    known = _KNOWN.get(units)
    if known is None:
        _KNOWN[units] = known = UnitColumns(units)
    return known
