"""Cells of features to sums over panes, and the exact merging of such sums.

All features of a group are one table: their panes are numbered through, feature behind feature, as
if they were panes of one feature, and dealt back where one is asked for. A call of numpy costs a
microsecond whatever it is given, and a group has up to thousands of features. Small groups are
worked off many at a time, in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import NO_SUMS, Binned, merge_bins, order_of_pairs, sums_of_runs
from detectors.moments import squares_of_runs
from stream import native_summary
from stream.cell_counts import bucket_counts, runs, text_counts
from stream.columns import NULL, NUMBER, OTHER, TEXT, Column
from stream.feature_table import ARRAYS, Counts, FeatureTable, Ints, dealt, joined
from stream.native_summary import Triple

_KINDS = 5
_CELLS_IN_ONE_GO = 1 << 16  # what a pass reads stays in the cache
_CELLS_ALONE = 1 << 11  # of a group, from which it is worth a call of its own


# -- rows to sums


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Columns of one group. `order`: its rows by pane, None where they are sorted by it; `pane`:
    of each of them, ascending."""

    columns: Sequence[Column]
    order: NDArray[np.intp] | None
    pane: Ints
    panes: int


def summarise_groups(groups: Sequence[Cells], max_categories: int) -> list[FeatureTable]:
    """Of each group one table: pane p of column c is at c · panes + p.

    O(n log n) in the rows of each column.
    """
    made: list[list[FeatureTable]] = [[] for _ in groups]
    small: list[tuple[int, Column]] = []  # of which group
    for place, group in enumerate(groups):
        whole = None
        if len(group.columns) * len(group.pane) >= _CELLS_ALONE:
            whole = _natively(group.columns, group.order, group.pane, group.panes, max_categories)
        if whole is None:
            small += [(place, column) for column in group.columns]
        else:
            made[place].append(whole)
    for part in _portions([len(groups[place].pane) for place, _ in small]):
        for place, table in _summarise(groups, small[part], max_categories):
            made[place].append(table)
    return [joined(parts) for parts in made]


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
    groups: Sequence[Cells], columns: Sequence[tuple[int, Column]], max_categories: int
) -> Iterator[tuple[int, FeatureTable]]:
    """Columns of consecutive groups in one go: for each group that of its columns."""
    of = [groups[place] for place, _ in columns]
    starts = np.cumsum([0, *(group.panes for group in of)])
    ordered = [
        column if group.order is None else column.take(group.order)
        for group, (_, column) in zip(of, columns, strict=True)
    ]
    kind = np.concatenate([column.kind for column in ordered])
    bits = np.concatenate([column.bits for column in ordered])
    rows = [len(group.pane) for group in of]
    pane = np.concatenate([group.pane for group in of]) + np.repeat(starts[:-1], rows)
    total, together = int(starts[-1]), Column(kind, bits)
    whole = _natively([together], None, pane, total, max_categories)
    if whole is None:
        whole = _summed(kind, bits, pane, total, max_categories)
    places = [place for place, _ in columns]
    if places[0] == places[-1]:  # there is nothing to deal
        yield places[0], whole
        return
    firsts = [i for i, place in enumerate(places) if i == 0 or place != places[i - 1]]
    cuts = [int(starts[i]) for i in (*firsts, len(places))]
    yield from zip((places[i] for i in firsts), dealt(whole, cuts), strict=True)


def _natively(
    columns: Sequence[Column],
    order: NDArray[np.intp] | None,
    pane: Ints,
    panes: int,
    max_categories: int,
) -> FeatureTable | None:
    made = native_summary.summary(columns, order, pane, panes, max_categories)
    return None if made is None else _table(*made)


def _table(
    arrays: Sequence[NDArray[Any]], sums: Triple, squares: Triple, buckets: Triple, texts: Triple
) -> FeatureTable:
    return FeatureTable(
        **dict(zip(ARRAYS, arrays, strict=True)),
        sums=Binned(*sums),
        squares=Binned(*squares),
        buckets=Counts(*buckets),
        categories=Counts(*texts),
    )


def _summed(
    kind: NDArray[np.uint8], bits: NDArray[np.uint64], pane: Ints, total: int, max_categories: int
) -> FeatureTable:
    """What the extension does too."""
    counted = np.zeros((_KINDS, total), np.int64)

    def of_kind(one: int) -> tuple[Ints, NDArray[np.uint64]]:
        """(pane, bits) of each of these cells."""
        is_one = kind == one
        if is_one.all():
            return pane, bits
        at = np.flatnonzero(is_one)
        return pane.take(at), bits.take(at)

    of_number, numbers = of_kind(NUMBER)
    of_text, texts = pane[:0], bits[:0]
    if len(of_number) < len(pane):
        of_text, texts = of_kind(TEXT)
        for one, of in ((TEXT, of_text), (NULL, of_kind(NULL)[0]), (OTHER, of_kind(OTHER)[0])):
            if len(of):
                counted[one] = np.bincount(of, minlength=total)
    minimum, maximum = np.full(total, np.nan), np.full(total, np.nan)
    sums = squares = NO_SUMS
    if len(numbers):
        starts, counts = runs(of_number)
        of = of_number[starts]
        counted[NUMBER, of] = counts
        values = numbers.view(np.float64)
        minimum[of] = np.minimum.reduceat(values, starts)
        maximum[of] = np.maximum.reduceat(values, starts)
        sums = sums_of_runs(values, of_number, starts)
        squares = squares_of_runs(values, of_number, starts)
    return FeatureTable(
        number=counted[NUMBER],
        text=counted[TEXT],
        null=counted[NULL],
        other=counted[OTHER],
        minimum=minimum,
        maximum=maximum,
        sums=sums,
        squares=squares,
        buckets=bucket_counts(of_number, numbers.view(np.float64)),
        categories=_smallest(text_counts(of_text, texts), max_categories),
    )


# -- sums to sums


Having = Sequence[tuple[FeatureTable, Ints]]
"""Tables of one group, and for each the place of each of its rows in the whole."""


def merge_groups(
    having: Sequence[Having], sizes: Sequence[int], max_categories: int
) -> list[FeatureTable]:
    """The tables of each group made one, of so many rows. O(n log n) in what they hold."""
    made: list[FeatureTable] = []
    for part in _portions([sum(len(t.buckets.key) for t, _ in tables) for tables in having]):
        made += _merge(having[part], sizes[part], max_categories)
    return made


def _merge(
    having: Sequence[Having], sizes: Sequence[int], max_categories: int
) -> list[FeatureTable]:
    starts = np.cumsum([0, *sizes]).tolist()
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
        of = [(m, p.group, p.bin, p.amount) for p, m in zip(parts, maps, strict=True)]
        made = native_summary.merged(of, total, drops=True)
        if made is not None:
            return Binned(*made)
        return merge_bins([Binned(m[group], key, amount) for m, group, key, amount in of])

    def counts(parts: list[Counts]) -> Counts:
        of = [(m, p.pane, p.key, p.count) for p, m in zip(parts, maps, strict=True)]
        made = native_summary.merged(of, total)
        if made is not None:
            return Counts(*made)
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
    order = order_of_pairs(pane, key)
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
