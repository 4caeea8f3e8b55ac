"""Where the columns of each unit are in the evidence and in the bank: behind one another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate

import numpy as np

from stream.feature_table import Ints
from stream.watched import Key


class UnitColumns(Mapping[Key, Ints]):
    """In the order of the units; the columns of one are made when they are asked for."""

    __slots__ = ("_cuts", "_place", "every")

    def __init__(self, sizes: Iterable[tuple[Key, int]] = ()) -> None:
        """Each unit with how many columns it has."""
        of = dict(sizes)
        self._place = {key: place for place, key in enumerate(of)}
        self._cuts = [*accumulate(of.values(), initial=0)]
        self.every: Ints = np.arange(self._cuts[-1])
        self.every.setflags(write=False)

    def __getitem__(self, key: Key) -> Ints:
        place = self._place[key]
        return self.every[self._cuts[place] : self._cuts[place + 1]]

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


@lru_cache(maxsize=64)
def columns_of(*sizes: tuple[Key, int]) -> UnitColumns:
    """Those of equal units are the same ones: versions, segments and models are often alike."""
    return UnitColumns(sizes)
