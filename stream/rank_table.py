"""Ranks and bins of many numeric features in one: what is looked up for each alone costs more than
its few cells do, and an array of each takes more than its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors import native
from detectors.rank_scores import RankScores, ranked
from stream.columns import NUMBER, Column
from stream.feature_table import Counts, FeatureTable, Ints

_BITS = 18  # of a logarithmic bucket
_MIDDLE = 1 << (_BITS - 1)
_FAR = 255  # a step of so much or more
_UNKNOWN = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Ranks:
    """Of one feature, by logarithmic buckets."""

    keys: Ints  # ascending
    scores: RankScores  # of a value below a key, of one with the key, and so on
    bins: NDArray[Any]  # of each key; they rise


@dataclass(frozen=True, slots=True)
class _Opened:
    keys: NDArray[Any]  # with the slot in front: ascending through all features
    doubled: Ints  # ranks of all places
    scores: Ints  # of the places that were asked for, else _UNKNOWN
    bins: Ints  # of all places, numbered within each feature


class RankTable:
    """Kept as differences and counts, of which numpy has a few tables opened at a time; the
    extension reads them as they are. Scores are made for the values that are asked for."""

    def __init__(self, of: Sequence[Ranks]) -> None:
        """Slot i is of the i-th of these."""
        self._cells: Ints = np.array([len(ranks.keys) for ranks in of])
        self._cell: Ints = np.concatenate([[0], np.cumsum(self._cells)])  # the first of each slot
        keys = np.concatenate([ranks.keys for ranks in of]).astype(np.int64)
        self._keys = _Steps(keys, self._cells)
        counts = np.concatenate([ranks.scores.cell_counts for ranks in of])
        self._counts = counts.astype(np.min_scalar_type(int(counts.max())))
        self._form = np.array([ranks.scores.form for ranks in of])  # mean, scale
        self._total: Ints = np.array([ranks.scores.count for ranks in of])
        # a bin rises by 1 from one cell to the next, or not at all
        bins = np.concatenate([ranks.bins for ranks in of]).astype(np.int64)
        rises = np.flatnonzero(np.diff(bins, prepend=0) > 0)
        slot = np.searchsorted(self._cell, rises, "right") - 1
        within = 2 * (rises - self._cell[slot])  # the gap below a cell is of its bin
        self._rises = within.astype(np.min_scalar_type(int(within.max(initial=0))))
        self._rise: Ints = np.searchsorted(slot, np.arange(len(of) + 1))  # the first of each slot
        self.bins: Ints = np.diff(self._rise) + 1
        self._ends: Ints = np.array([(ranks.keys[0], ranks.keys[-1]) for ranks in of], np.int64)

    def keys(self, slot: int) -> Ints:
        first, last = self._cell[slot : slot + 2].tolist()
        return self._keys.part(slot, slice(first, last))

    def counts(self, slot: int) -> Ints:
        """Values in the cells of this reference."""
        first, last = self._cell[slot : slot + 2].tolist()
        return self._counts[first:last].astype(np.int64)

    def rank_scores(self, slot: int) -> RankScores:
        mean, scale = self._form[slot].tolist()
        return RankScores.kept(int(self._total[slot]), (mean, scale), (self, slot))

    def scores(self, slot: int, places: NDArray[np.intp] | None = None) -> Ints:
        """At these places, or at all."""
        if not native.IN_USE:
            first, last = self._cell[slot : slot + 2].tolist()
            at = np.arange(2 * (last - first) + 1) if places is None else places
            return self._scored(at + (2 * first + slot), np.broadcast_to(np.int64(slot), len(at)))
        below = np.concatenate([[0], np.cumsum(self.counts(slot))])
        at = np.arange(2 * len(below) - 1) if places is None else places
        doubled = below[at >> 1] + below[(at + 1) >> 1]
        return ranked(doubled, self._total[slot], *self._form[slot])

    def _scored(self, places: NDArray[np.intp], slot: Ints) -> Ints:
        """At these places of all features, each of the feature in this slot."""
        opened = _opened(self)
        score = opened.scores[places]
        is_new = score == _UNKNOWN
        if is_new.any():
            asked, at = np.unique(places[is_new], return_index=True)
            of = slot[is_new][at]
            doubled = opened.doubled[asked]
            opened.scores[asked] = ranked(doubled, self._total[of], *self._form[of].T)
            score = opened.scores[places]
        return score

    def cell_bins(self, slot: int) -> Ints:
        """Of the cells of this reference."""
        rises = self._rises[slice(*self._rise[slot : slot + 2].tolist())]
        return np.searchsorted(rises, 2 * np.arange(self._cells[slot]), "right")

    def ends(self, slot: int) -> tuple[int, int]:
        """The lowest and the highest key."""
        low, high = self._ends[slot].tolist()
        return low, high

    def read(
        self, panes: int, asked: Sequence[Ints], features: FeatureTable, into: Sequence[Ints]
    ) -> None:
        """By the extension. `asked`: place among the features or -1, slot, column of the ranks, of
        what is beyond them and first one of the bins, or -1; `into`: x, n and xx, (panes, columns)
        each."""
        cells = features.buckets
        keys = self._keys
        of_slots = self._cell, keys.first, self._form, self._rise, self._ends
        steps = keys.far_at, keys.far, keys.steps, self._counts, self._rises
        counted = cells.pane, cells.key, cells.count, features.number
        arrays = *asked, *of_slots, *steps, *map(np.ascontiguousarray, counted), *into
        native.EXTENSION.ranks(panes, into[0].shape[1], arrays)

    def score_rows(self, slots: Ints, to: Ints, cells: Sequence[Column], into: Ints) -> None:
        """By the extension: scores of the numbers among these cells of rows, each column by its
        slot into a column of (rows, columns)."""
        pairs = [(np.ascontiguousarray(c.kind), np.ascontiguousarray(c.bits)) for c in cells]
        keys = self._keys
        of_slots = self._cell, keys.first, self._form
        arrays = slots, to, *of_slots, keys.far_at, keys.far, keys.steps, self._counts, into
        native.EXTENSION.row_scores(into.shape[1], NUMBER, pairs, arrays)

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

    def sums(
        self, slot: Ints, places: NDArray[np.intp], count: Ints, cuts: Ints
    ) -> tuple[Ints, Ints, Ints]:
        """(values, sum of scores, sum of their squares) from each cut to before the next."""
        score = self._scored(places, slot)
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
        slots = np.arange(len(self._cells))
        keys = _combined(np.repeat(slots, self._cells), self._keys.whole())
        is_short = len(self._cells) < 1 << (31 - _BITS)
        sizes = 2 * self._cells + 1
        bins = np.zeros(int(sizes.sum()), np.int64)
        start = np.cumsum(sizes) - sizes
        below = np.concatenate([[0], np.cumsum(self._counts, dtype=np.int64)])
        place = np.arange(len(bins)) - np.repeat(start, sizes)
        cell = np.repeat(self._cell[:-1], sizes)
        doubled = below[cell + (place >> 1)] + below[cell + ((place + 1) >> 1)]
        doubled -= 2 * below[cell]
        rises = self._rises + np.repeat(start, self.bins - 1)
        bins[rises] = 1
        bins = np.cumsum(bins)
        bins -= np.repeat(bins[start], sizes)
        scores = np.full(len(bins), _UNKNOWN)
        return _Opened(keys.astype(np.int32) if is_short else keys, doubled, scores, bins)


@lru_cache(maxsize=8)
def _opened(table: RankTable) -> _Opened:
    return table.open()


class _Steps:
    """Integers that rise within each of some parts, as their differences: one byte each, and the
    few that are larger apart."""

    __slots__ = ("_sizes", "far", "far_at", "first", "steps")

    def __init__(self, values: NDArray[Any], sizes: Ints) -> None:
        """`sizes`: of the parts; none is empty."""
        starts = np.cumsum(sizes) - sizes
        steps: Any = np.diff(values.astype(np.int64), prepend=np.int64(0))
        self._sizes = sizes
        self.first: Ints = values[starts].astype(np.int64)
        steps[starts] = 0
        self.far_at: Ints = np.flatnonzero(steps >= _FAR)
        self.far: Ints = steps[self.far_at]
        self.steps = np.minimum(steps, _FAR).astype(np.uint8)

    def part(self, number: int, at: slice) -> Ints:
        """The numbers of one part, which is there."""
        low, high = np.searchsorted(self.far_at, [at.start, at.stop])
        steps = self.steps[at].astype(np.int64)
        steps[self.far_at[low:high] - at.start] = self.far[low:high]
        numbers: Ints = self.first[number] + np.cumsum(steps)
        return numbers

    def whole(self) -> Ints:
        steps = self.steps.astype(np.int64)
        steps[self.far_at] = self.far
        values: Ints = np.cumsum(steps)
        starts = np.cumsum(self._sizes) - self._sizes
        values += np.repeat(self.first - values[starts], self._sizes)
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
