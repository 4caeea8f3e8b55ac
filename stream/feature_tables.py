"""One feature over panes: what is summed of its cells, and the exact merging of such sums.

Many features are worked off in one go: the panes of all of them are numbered through, feature
behind feature, summed as if they were panes of one feature, and dealt back. A call of numpy costs
a microsecond whatever it is given, and a group has up to thousands of features. The features may
be those of many groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import Binned, binned_sums, merge_bins
from detectors.log_buckets import bucket_of
from detectors.moments import two_product
from stream.columns import NULL, NUMBER, OTHER, TEXT, Column

Ints = NDArray[np.int64]
_KINDS = 5
_CELLS_IN_ONE_GO = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Sparse counts, sorted by (pane, key): three parallel arrays. `pane` is an index."""

    pane: Ints
    key: NDArray[Any]
    count: Ints


ARRAYS = ("number", "text", "null", "other", "minimum", "maximum")


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


# -- rows to sums


def summarise_columns(
    columns: Sequence[tuple[Column, Ints]], panes: Sequence[int], max_categories: int
) -> list[FeatureTable]:
    """Each column with the pane of each of its rows, ascending; and how many panes it has.

    O(n log n) in the rows of each column.
    """
    made: list[FeatureTable] = []
    for part in _portions([len(of) for _, of in columns]):
        made += _summarise(columns[part], panes[part], max_categories)
    return made


def _portions(sizes: Sequence[int]) -> Iterator[slice]:
    """So many after one another as stay in the cache together: more in one go gain nothing, and
    would take memory."""
    low = total = 0
    for place, size in enumerate(sizes):
        if total and total + size > _CELLS_IN_ONE_GO:
            yield slice(low, place)
            low, total = place, 0
        total += size
    if low < len(sizes):
        yield slice(low, len(sizes))


def _summarise(
    columns: Sequence[tuple[Column, Ints]], panes: Sequence[int], max_categories: int
) -> list[FeatureTable]:
    starts = np.cumsum([0, *panes])
    kind = np.concatenate([column.kind for column, _ in columns])
    bits = np.concatenate([column.bits for column, _ in columns])
    rows = [len(of) for _, of in columns]
    pane = np.concatenate([of for _, of in columns]) + np.repeat(starts[:-1], rows)
    total = int(starts[-1])
    counted = np.bincount(pane + total * kind.astype(np.int64), minlength=total * _KINDS)
    counted = counted.reshape(_KINDS, total)
    at = np.flatnonzero(kind == NUMBER)
    numbers, of_number = bits[at].view(np.float64), pane[at]
    minimum, maximum = np.full(total, np.nan), np.full(total, np.nan)
    if len(at):
        firsts = np.flatnonzero(np.concatenate([[True], of_number[1:] != of_number[:-1]]))
        minimum[of_number[firsts]] = np.minimum.reduceat(numbers, firsts)
        maximum[of_number[firsts]] = np.maximum.reduceat(numbers, firsts)
    text_at = np.flatnonzero(kind == TEXT)
    whole = FeatureTable(
        number=counted[NUMBER],
        text=counted[TEXT],
        null=counted[NULL],
        other=counted[OTHER],
        minimum=minimum,
        maximum=maximum,
        sums=binned_sums(numbers, of_number),
        squares=_square_bins(numbers, of_number),
        buckets=_occurrences(of_number, bucket_of(numbers)),
        categories=_smallest(_occurrences(pane[text_at], bits[text_at]), max_categories),
    )
    return dealt(whole, starts.tolist())


def _square_bins(numbers: NDArray[np.float64], pane: Ints) -> Binned:
    """The exact sums of x * x (of x at least 1e-140 in size, or 0)."""
    product, error = two_product(numbers, numbers)
    bins = binned_sums(product, pane)
    return merge_bins([bins, binned_sums(error, pane)]) if error.any() else bins


def _occurrences(pane: Ints, key: NDArray[Any]) -> Counts:
    """How often each key occurs in each pane."""
    return _counted(pane, key, np.broadcast_to(np.ones(1, np.int64), pane.shape))


# -- sums to sums

Having = Sequence[tuple[FeatureTable, Ints]]
"""Tables of one feature, and for each the place of each of its panes among those of the whole."""


def merge_features(
    having: Sequence[Having], panes: Sequence[int], max_categories: int
) -> list[FeatureTable]:
    """The tables of each feature made one. O(n log n) in what they hold."""
    made: list[FeatureTable] = []
    for part in _portions([sum(len(t.buckets.key) for t, _ in tables) for tables in having]):
        made += _merge(having[part], panes[part], max_categories)
    return made


def _merge(
    having: Sequence[Having], panes: Sequence[int], max_categories: int
) -> list[FeatureTable]:
    starts = np.cumsum([0, *panes]).tolist()
    total = starts[-1]
    tables = [table for tables in having for table, _ in tables]
    maps = [m + first for tables, first in zip(having, starts, strict=False) for _, m in tables]
    place = np.concatenate(maps)

    def added(name: str) -> Ints:
        sums = np.zeros(total, np.int64)
        np.add.at(sums, place, np.concatenate([getattr(t, name) for t in tables]))
        return sums

    minimum, maximum = np.full(total, np.nan), np.full(total, np.nan)
    np.fmin.at(minimum, place, np.concatenate([t.minimum for t in tables]))
    np.fmax.at(maximum, place, np.concatenate([t.maximum for t in tables]))

    def bins(parts: list[Binned]) -> Binned:
        return merge_bins(
            [Binned(m[p.group], p.bin, p.amount) for p, m in zip(parts, maps, strict=True)]
        )

    def counts(parts: list[Counts]) -> Counts:
        return _counted(
            np.concatenate([m[p.pane] for p, m in zip(parts, maps, strict=True)]),
            np.concatenate([p.key for p in parts]),
            np.concatenate([p.count for p in parts]),
        )

    whole = FeatureTable(
        number=added("number"),
        text=added("text"),
        null=added("null"),
        other=added("other"),
        minimum=minimum,
        maximum=maximum,
        sums=bins([t.sums for t in tables]),
        squares=bins([t.squares for t in tables]),
        buckets=counts([t.buckets for t in tables]),
        categories=_smallest(counts([t.categories for t in tables]), max_categories),
    )
    return dealt(whole, starts)


def _counted(pane: Ints, key: NDArray[Any], count: Ints) -> Counts:
    if not len(pane):
        return Counts(np.zeros(0, np.int64), key, np.zeros(0, np.int64))
    order = np.lexsort((key, pane))
    pane, key, count = pane[order], key[order], count[order]
    starts = np.flatnonzero(
        np.concatenate([[True], (pane[1:] != pane[:-1]) | (key[1:] != key[:-1])])
    )
    return Counts(pane[starts], key[starts], np.add.reduceat(count, starts))


def _smallest(counts: Counts, keep: int) -> Counts:
    """The `keep` smallest keys of each pane."""
    if not len(counts.pane):
        return counts
    rank = np.arange(len(counts.pane)) - np.searchsorted(counts.pane, counts.pane, "left")
    if (rank < keep).all():
        return counts
    few = rank < keep
    return Counts(counts.pane[few], counts.key[few], counts.count[few])
