"""Ranks and bins of many numeric features in one: what is looked up for each alone costs more than
its few cells do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream.feature_table import Counts, Ints

if TYPE_CHECKING:
    from stream.profile import NumberProfile

_BITS = 18  # of a logarithmic bucket
_MIDDLE = 1 << (_BITS - 1)


class RankTable:
    """Of features whose cells are logarithmic buckets. It takes the tables of their profiles over,
    which are parts of it from then on."""

    def __init__(self, of: Sequence[NumberProfile]) -> None:
        """Slot i is of the i-th of these."""
        slots = np.repeat(np.arange(len(of)), [len(one.keys) for one in of])
        keys = _combined(slots, np.concatenate([one.keys for one in of]))
        is_short = len(of) < 1 << (31 - _BITS)
        self._keys: NDArray[Any] = keys.astype(np.int32) if is_short else keys
        self._scores = np.concatenate([one.scores.mixed for one in of])
        self._bin = np.concatenate([one.bin_of for one in of])
        self.bins = np.array([len(one.bins) for one in of])
        self._ends: Ints = np.array([one.ends for one in of])
        cells = 0
        for one in of:
            first, size = cells, len(one.bin_of)
            cells += size
            one.scores.mixed = self._scores[first:cells]
            one.bin_of = self._bin[first:cells]

    def places(self, slot: Ints, key: Ints) -> NDArray[np.intp]:
        """Of values in these buckets of the features in these slots: where their ranks are."""
        asked = _combined(slot, key).astype(self._keys.dtype)
        at = np.searchsorted(self._keys, asked)
        is_known = self._keys[np.minimum(at, len(self._keys) - 1)] == asked
        places: NDArray[np.intp] = 2 * at + slot + is_known
        return places

    def are_beyond(self, slot: Ints, key: Ints) -> NDArray[np.bool_]:
        """Whether values in these buckets are below or above all of the reference."""
        low, high = self._ends[slot].T
        beyond: NDArray[np.bool_] = (key < low) | (key > high)
        return beyond

    def sums(self, places: NDArray[np.intp], count: Ints, cuts: Ints) -> tuple[Ints, Ints, Ints]:
        """(values, sum of scores, sum of their squares) from each cut to before the next."""
        score = self._scores[places].astype(np.int64)
        total = count * score
        found = []
        for column in (count, total, total * score):
            upto = np.zeros(len(column) + 1, np.int64)
            np.cumsum(column, out=upto[1:])
            found.append(upto[cuts[1:]] - upto[cuts[:-1]])
        return found[0], found[1], found[2]

    def bins_of(self, places: NDArray[np.intp]) -> Ints:
        """Numbered through all features."""
        return self._bin[places].astype(np.int64)


def _combined(slot: Ints, key: Ints) -> Ints:
    combined: Ints = (slot << _BITS) + (key + _MIDDLE)
    return combined


def sliced(cells: Counts, panes: int, feature: Ints) -> tuple[Ints, Ints, NDArray[np.intp]]:
    """Of the cells of a table of features behind one another, those of these features, in this
    order: (number of the feature here, pane, place of the cell)."""
    starts = np.searchsorted(cells.pane, feature * panes)
    sizes = np.searchsorted(cells.pane, (feature + 1) * panes) - starts
    number = np.repeat(np.arange(len(feature)), sizes)
    before = np.cumsum(sizes) - sizes
    place = np.arange(len(number)) + np.repeat(starts - before, sizes)
    return number, cells.pane[place] - feature[number] * panes, place
