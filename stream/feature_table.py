"""One feature over panes: what is summed of its cells; tables of that, cut and put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import Binned

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Sparse counts, sorted by (pane, key): three parallel arrays. `pane` is an index."""

    pane: Ints
    key: NDArray[Any]
    count: Ints


ARRAYS = ("number", "text", "null", "other", "minimum", "maximum")
LIMITS = ("minimum", "maximum")
_PARTS = frozenset({*ARRAYS, "sums", "squares", "buckets", "categories"})


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """One feature over P panes; `absent` is the pane's rows less the other four."""

    number: Ints
    text: Ints
    null: Ints
    other: Ints
    minimum: NDArray[np.float64]  # nan where there is no number
    maximum: NDArray[np.float64]
    sums: Binned  # group: index of the pane
    squares: Binned
    buckets: Counts
    categories: Counts  # of the K smallest hashes of each pane

    @property
    def present(self) -> Ints:
        """Rows in which the feature is there, whatever its value."""
        return self.number + self.text + self.null + self.other

    def between(self, low: int, high: int) -> FeatureTable:
        """The panes from `low` to before `high`."""
        return dealt(self, [low, high])[0]


def dealt(table: FeatureTable, starts: Sequence[int]) -> list[FeatureTable]:
    """The panes from each start to before the next one. O(what they hold)."""
    sums, squares = _bins_dealt(table.sums, starts), _bins_dealt(table.squares, starts)
    buckets, categories = (
        _counts_dealt(table.buckets, starts),
        _counts_dealt(table.categories, starts),
    )
    return [
        FeatureTable(
            table.number[low:high],
            table.text[low:high],
            table.null[low:high],
            table.other[low:high],
            table.minimum[low:high],
            table.maximum[low:high],
            sums[i],
            squares[i],
            buckets[i],
            categories[i],
        )
        for i, (low, high) in enumerate(pairwise(starts))
    ]


def _bins_dealt(bins: Binned, starts: Sequence[int]) -> list[Binned]:
    places = np.searchsorted(bins.group, starts).tolist()
    return [
        Binned(bins.group[low:high] - first, bins.bin[low:high], bins.amount[low:high])
        for first, (low, high) in zip(starts, pairwise(places), strict=False)
    ]


def _counts_dealt(counts: Counts, starts: Sequence[int]) -> list[Counts]:
    places = np.searchsorted(counts.pane, starts).tolist()
    return [
        Counts(counts.pane[low:high] - first, counts.key[low:high], counts.count[low:high])
        for first, (low, high) in zip(starts, pairwise(places), strict=False)
    ]


class Dealer:
    """Deals what is asked for of a table: each part is cut once, whatever is asked of it."""

    __slots__ = ("_cuts", "_panes", "_whole", "places")

    def __init__(self, whole: FeatureTable, panes: int, names: Sequence[str]) -> None:
        """Of parts with these names, of so many panes each."""
        self._whole, self._panes = whole, panes
        self.places = {name: place for place, name in enumerate(names)}
        self._cuts: dict[str, list[int]] = {}

    def part(self, name: str, place: int) -> Any:
        whole, first = getattr(self._whole, name), place * self._panes
        if name in ARRAYS:
            return whole[first : first + self._panes]
        group = whole.group if isinstance(whole, Binned) else whole.pane
        if name not in self._cuts:
            starts = np.arange(len(self.places) + 1) * self._panes
            self._cuts[name] = np.searchsorted(group, starts).tolist()
        low, high = self._cuts[name][place : place + 2]
        mine = group[low:high] - first
        if isinstance(whole, Binned):
            return Binned(mine, whole.bin[low:high], whole.amount[low:high])
        return Counts(mine, whole.key[low:high], whole.count[low:high])


class Dealt(FeatureTable):
    """One part of a table, dealt as it is asked for."""

    __slots__ = ("_dealer", "_place")

    def __init__(self, dealer: Dealer, place: int) -> None:
        object.__setattr__(self, "_dealer", dealer)
        object.__setattr__(self, "_place", place)

    def __getattr__(self, name: str) -> Any:  # of what was not asked for before
        if name not in _PARTS:
            raise AttributeError(name)
        part = self._dealer.part(name, self._place)
        object.__setattr__(self, name, part)
        return part


def joined(tables: Sequence[FeatureTable]) -> FeatureTable:
    """Tables of features over the same panes behind one another."""
    if len(tables) == 1:
        return tables[0]
    starts = np.cumsum([0, *(len(t.number) for t in tables)]).tolist()
    shifted = list(zip(tables, starts, strict=False))

    def counts(parts: Sequence[tuple[Counts, int]], kind: type) -> Counts:
        return Counts(
            _whole([of.pane + first for of, first in parts], np.int64),
            _whole([of.key for of, _ in parts], kind),
            _whole([of.count for of, _ in parts], np.int64),
        )

    def bins(parts: Sequence[tuple[Binned, int]]) -> Binned:
        return Binned(
            _whole([of.group + first for of, first in parts], np.int64),
            _whole([of.bin for of, _ in parts], np.int64),
            _whole([of.amount for of, _ in parts], np.int64),
        )

    arrays = {
        name: _whole([getattr(t, name) for t in tables], np.float64 if name in LIMITS else np.int64)
        for name in ARRAYS
    }
    return FeatureTable(
        **arrays,
        sums=bins([(t.sums, first) for t, first in shifted]),
        squares=bins([(t.squares, first) for t, first in shifted]),
        buckets=counts([(t.buckets, first) for t, first in shifted], np.int64),
        categories=counts([(t.categories, first) for t, first in shifted], np.uint64),
    )


def regrouped(whole: FeatureTable, columns: int, cuts: Ints) -> list[FeatureTable]:
    """Of columns over the panes of many groups: for each group its own, of the panes from each cut
    to before the next. O(n log n), whatever the number of groups."""
    total, sizes = int(cuts[-1]), np.diff(cuts)
    group = np.repeat(np.arange(len(sizes)), sizes)
    start, size = cuts[:-1][group], sizes[group]
    first = columns * start + np.arange(total) - start
    place = (first + np.arange(columns)[:, None] * size).ravel()
    back = np.argsort(place)  # which pane of the whole comes to each place

    def moved(of: Ints) -> tuple[Ints, NDArray[np.intp]]:
        pane = place[of]
        order = np.argsort(pane, kind="stable")
        return pane[order], order

    def bins(of: Binned) -> Binned:
        pane, order = moved(of.group)
        return Binned(pane, of.bin[order], of.amount[order])

    def counts(of: Counts) -> Counts:
        pane, order = moved(of.pane)
        return Counts(pane, of.key[order], of.count[order])

    table = FeatureTable(
        **{name: getattr(whole, name)[back] for name in ARRAYS},
        sums=bins(whole.sums),
        squares=bins(whole.squares),
        buckets=counts(whole.buckets),
        categories=counts(whole.categories),
    )
    return dealt(table, (columns * cuts).tolist())


def _whole(parts: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, kind)
