"""Ranks and bins of many numeric features in one: what is looked up for each alone costs more than
its few cells do, and an array of each takes more than its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cramjam
import numpy as np
from numpy.typing import NDArray

from stream.feature_table import Counts, Ints

_BITS = 18  # of a logarithmic bucket
_MIDDLE = 1 << (_BITS - 1)
_LEVEL = 3  # of zstd: written once


@dataclass(frozen=True, slots=True)
class Ranks:
    """Of one feature, by logarithmic buckets."""

    keys: Ints  # ascending
    scores: NDArray[Any]  # of a value below a key, of one with the key, and so on; they rise
    bins: NDArray[Any]  # parallel to the scores; they rise


@dataclass(frozen=True, slots=True)
class _Opened:
    keys: NDArray[Any]  # with the slot in front: ascending through all features
    scores: Ints
    bins: Ints  # numbered within each feature


class RankTable:
    """Kept as differences, of which a few tables are opened at a time."""

    def __init__(self, of: Sequence[Ranks]) -> None:
        """Slot i is of the i-th of these."""
        self._cells = np.array([len(ranks.keys) for ranks in of])
        slots = np.repeat(np.arange(len(of)), self._cells)
        keys = _combined(slots, np.concatenate([ranks.keys for ranks in of]))
        self._keys = _Steps(keys, self._cells)
        places = 2 * self._cells + 1
        self._scores = _Steps(np.concatenate([ranks.scores for ranks in of]), places)
        self._bins = _Steps(np.concatenate([ranks.bins for ranks in of]), places)
        self.bins: Ints = np.array([int(ranks.bins[-1]) + 1 for ranks in of])
        self._ends: Ints = np.array([(ranks.keys[0], ranks.keys[-1]) for ranks in of], np.int64)

    def ranks(self, slot: int) -> Ranks:
        opened, first = _opened(self), int(self._cells[:slot].sum())
        last = first + int(self._cells[slot])
        places = slice(2 * first + slot, 2 * last + slot + 1)
        keys = opened.keys[first:last].astype(np.int64) - (slot << _BITS) - _MIDDLE
        return Ranks(keys, opened.scores[places], opened.bins[places])

    def places(self, slot: Ints, key: Ints) -> NDArray[np.intp]:
        """Of values in these buckets of the features in these slots: where their ranks are."""
        keys = _opened(self).keys
        asked = _combined(slot, key).astype(keys.dtype)
        at = np.searchsorted(keys, asked)
        is_known = keys[np.minimum(at, len(keys) - 1)] == asked
        places: NDArray[np.intp] = 2 * at + slot + is_known
        return places

    def are_beyond(self, slot: Ints, key: Ints) -> NDArray[np.bool_]:
        """Whether values in these buckets are below or above all of the reference."""
        low, high = self._ends[slot].T
        beyond: NDArray[np.bool_] = (key < low) | (key > high)
        return beyond

    def sums(self, places: NDArray[np.intp], count: Ints, cuts: Ints) -> tuple[Ints, Ints, Ints]:
        """(values, sum of scores, sum of their squares) from each cut to before the next."""
        score = _opened(self).scores[places]
        total = count * score
        found = []
        for column in (count, total, total * score):
            upto = np.zeros(len(column) + 1, np.int64)
            np.cumsum(column, out=upto[1:])
            found.append(upto[cuts[1:]] - upto[cuts[:-1]])
        return found[0], found[1], found[2]

    def bins_of(self, places: NDArray[np.intp]) -> Ints:
        """Of each its bin, numbered within its feature."""
        return _opened(self).bins[places]

    def open(self) -> _Opened:
        keys = self._keys.whole()
        is_short = len(self._cells) < 1 << (31 - _BITS)
        return _Opened(
            keys.astype(np.int32) if is_short else keys, self._scores.whole(), self._bins.whole()
        )


@lru_cache(maxsize=8)
def _opened(table: RankTable) -> _Opened:
    return table.open()


class _Steps:
    """Integers that rise within each of some parts, as their differences, packed."""

    __slots__ = ("_first", "_kind", "_packed", "_sizes")

    def __init__(self, values: NDArray[Any], sizes: Ints) -> None:
        """`sizes`: of the parts; none is empty."""
        starts = np.cumsum(sizes) - sizes
        steps = np.diff(values.astype(np.int64), prepend=0)
        self._sizes = sizes
        self._first = values[starts].astype(np.int64)
        steps[starts] = 0
        kind = np.min_scalar_type(int(steps.max()))
        self._kind = kind.str
        # low bytes by themselves, high ones by themselves
        planes = steps.astype(kind).view(np.uint8).reshape(-1, kind.itemsize).T
        self._packed = bytes(cramjam.zstd.compress(planes.tobytes(), _LEVEL))

    def whole(self) -> Ints:
        planes = np.frombuffer(bytes(cramjam.zstd.decompress(self._packed)), np.uint8)
        kind = np.dtype(self._kind)
        steps = np.ascontiguousarray(planes.reshape(kind.itemsize, -1).T).view(kind)[:, 0]
        values: Ints = np.cumsum(steps, dtype=np.int64)
        starts = np.cumsum(self._sizes) - self._sizes
        values += np.repeat(self._first - values[starts], self._sizes)
        return values


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
