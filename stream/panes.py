"""Pane summaries of one group as columns over panes, and their exact merging.

Everything here merges to the same content whatever the order and the batching: counts and bins
are integers, the extremes are extremes, categories and the row sample keep the smallest hashes
(what is dropped in a part would be dropped in the whole), and lists are kept sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import BIN_BITS, Binned, binned_sums, merge_bins
from detectors.log_buckets import bucket_of
from detectors.moments import two_product
from stream.columns import NULL, NUMBER, OTHER, TEXT, Column, Rows, concatenate
from stream.native_summary import Triple, summaries

Ints = NDArray[np.int64]
_CELLS_AT_ONCE = 1 << 16
WHOLE = np.uint64(2**64 - 1)  # sample limit of a pane whose rows are all in the sample


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Sparse counts, sorted by (pane, key): three parallel arrays. `pane` is an index."""

    pane: Ints
    key: NDArray[Any]
    count: Ints

    def between(self, low: int, high: int) -> Counts:
        """Of panes in [low, high), which begin at 0 then."""
        inside = slice(*np.searchsorted(self.pane, [low, high]))
        return Counts(self.pane[inside] - low, self.key[inside], self.count[inside])


def bins_between(of: Binned, low: int, high: int) -> Binned:
    """Of groups in [low, high), which begin at 0 then."""
    inside = slice(*np.searchsorted(of.group, [low, high]))
    return Binned(of.group[inside] - low, of.bin[inside], of.amount[inside])


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
        panes = slice(low, high)
        return FeatureTable(
            **{name: getattr(self, name)[panes] for name in ARRAYS},
            sums=bins_between(self.sums, low, high),
            squares=bins_between(self.squares, low, high),
            buckets=self.buckets.between(low, high),
            categories=self.categories.between(low, high),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PaneTable:
    """P panes, ends ascending. The sample holds, by (pane end, hash), all rows of a pane whose
    hash is below the pane's limit."""

    pane_end: Ints
    rows: Ints
    features: dict[str, FeatureTable]
    sample: Rows
    limit: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.pane_end)

    @property
    def texts(self) -> dict[int, str]:
        return self.sample.texts

    @property
    def first_end_ms(self) -> int:
        return int(self.pane_end[0])

    @property
    def last_end_ms(self) -> int:
        return int(self.pane_end[-1])

    def between(self, first_ms: int, last_ms: int) -> PaneTable:
        """The panes that end within [first_ms, last_ms]."""
        low, high = np.searchsorted(self.pane_end, [first_ms, last_ms + 1])
        if low == 0 and high == len(self):
            return self
        features = {n: f.between(int(low), int(high)) for n, f in self.features.items()}
        inside = (self.sample.pane_end >= first_ms) & (self.sample.pane_end <= last_ms)
        sample = self.sample.take(np.flatnonzero(inside))
        panes = slice(low, high)
        return PaneTable(
            self.pane_end[panes], self.rows[panes], features, sample, self.limit[panes]
        )

    def without_ghosts(self) -> PaneTable:
        """Without features that no pane has: they came along as columns of other panes' rows."""
        features = {n: f for n, f in self.features.items() if (f.present > 0).any()}
        sample = self.sample
        columns = {n: c for n, c in sample.columns.items() if c.kind.any()}
        texts = {h: sample.texts[h] for h in sorted(_texts_used(features, columns))}
        kept = Rows(sample.pane_end, sample.hash, columns, texts)
        return replace(self, features=features, sample=kept)

    def with_sample_of(self, rows: int) -> PaneTable:
        """With at most this many rows of each pane in the sample."""
        pane = np.searchsorted(self.pane_end, self.sample.pane_end).astype(np.int64)
        sample, limit = _bottom(self.sample, pane, self.limit, rows)
        return replace(self, sample=sample, limit=limit)

    def summary(self, pane: int) -> dict[str, Any]:
        """Everything of one pane as plain values, for tests and for people."""
        features = {
            name: _feature_summary(table, pane, self.texts)
            for name, table in self.features.items()
            if table.present[pane]
        }
        sample = self.sample.hash[self.sample.pane_end == self.pane_end[pane]]
        return {"rows": int(self.rows[pane]), "features": features, "sample": sample.tolist()}


def _texts_used(features: dict[str, FeatureTable], columns: dict[str, Column]) -> set[int]:
    used: set[int] = set()
    for feature in features.values():
        used.update(feature.categories.key.tolist())
    for column in columns.values():
        used.update(column.texts()[1].tolist())
    return used


Part = TypeVar("Part", Rows, PaneTable)


def cut_at(parts: Sequence[Part], until_ms: int) -> tuple[list[Part], list[Part]]:
    """(what is of panes that end by `until_ms`, the rest); parts wholly on one side stay whole."""
    due: list[Part] = []
    left: list[Part] = []
    for part in parts:
        if not len(part) or part.last_end_ms <= until_ms:
            due.append(part)
        elif part.first_end_ms > until_ms:
            left.append(part)
        else:
            due.append(part.between(part.first_end_ms, until_ms))
            left.append(part.between(until_ms + 1, part.last_end_ms))
    return [part for part in due if len(part)], left


def summarise(rows: Rows, sample_rows: int, max_categories: int) -> PaneTable:
    """Summaries of rows in any order. O(n log n) per column."""
    order = np.lexsort((rows.hash, rows.pane_end))
    rows = rows.take(order)
    ends, pane, count = np.unique(rows.pane_end, return_inverse=True, return_counts=True)
    pane = pane.astype(np.int64)
    made = summaries(list(rows.columns.values()), pane, len(ends), max_categories)
    if made is None:
        columns, step = list(rows.columns.values()), max(1, _CELLS_AT_ONCE // len(rows))
        parts = [columns[at : at + step] for at in range(0, len(columns), step)]
        tables = [t for p in parts for t in _summarise(p, pane, len(ends), max_categories)]
    else:
        tables = [_table(*parts) for parts in made]
    features = dict(zip(rows.columns, tables, strict=True))
    sample, limit = _bottom(rows, pane, np.full(len(ends), WHOLE), sample_rows)
    return PaneTable(ends, count.astype(np.int64), features, sample, limit)


def merge(tables: Sequence[PaneTable], sample_rows: int, max_categories: int) -> PaneTable:
    """The panes of all tables, panes of one end made one. O(n log n) in what they hold."""
    if len(tables) == 1:
        return tables[0]
    ends, places = np.unique(np.concatenate([t.pane_end for t in tables]), return_inverse=True)
    maps = np.split(places.astype(np.int64), np.cumsum([len(t) for t in tables])[:-1])
    return _merge_into(ends, tables, maps, sample_rows, max_categories)


def collapse(
    tables: Sequence[PaneTable], end_ms: int, sample_rows: int, max_categories: int
) -> PaneTable:
    """All panes of all tables as one that ends at `end_ms`: a window, a reference."""
    maps = [np.zeros(len(t), np.int64) for t in tables]
    moved = [replace(t, sample=_ending_at(t.sample, end_ms)) for t in tables]
    return _merge_into(np.array([end_ms]), moved, maps, sample_rows, max_categories)


def _ending_at(rows: Rows, end_ms: int) -> Rows:
    return replace(rows, pane_end=np.full(len(rows), end_ms, np.int64))


def _merge_into(
    ends: Ints, tables: Sequence[PaneTable], maps: list[Ints], sample_rows: int, max_categories: int
) -> PaneTable:
    """`maps`: for each table, the place in `ends` of each of its panes."""
    limit = np.full(len(ends), WHOLE)
    np.minimum.at(limit, np.concatenate(maps), np.concatenate([t.limit for t in tables]))
    features = {}
    for name in sorted(set().union(*(t.features for t in tables))):
        having = [
            (t.features[name], m) for t, m in zip(tables, maps, strict=True) if name in t.features
        ]
        of, places = [f for f, _ in having], [m for _, m in having]
        features[name] = _merge_feature(of, places, len(ends), max_categories)
    sample = concatenate([t.sample for t in tables])
    sample = sample.take(np.lexsort((sample.hash, sample.pane_end)))
    pane = np.searchsorted(ends, sample.pane_end).astype(np.int64)
    sample, limit = _bottom(sample, pane, limit, sample_rows)
    return PaneTable(ends, _add([t.rows for t in tables], maps, len(ends)), features, sample, limit)


def _bottom(
    rows: Rows, pane: Ints, limit: NDArray[np.uint64], keep: int
) -> tuple[Rows, NDArray[np.uint64]]:
    """The rows below their pane's limit, at most `keep` of a pane; rows sorted by pane, hash."""
    below = (limit[pane] == WHOLE) | (rows.hash < limit[pane])
    if not below.all():
        rows, pane = rows.take(np.flatnonzero(below)), pane[below]
    count = np.bincount(pane, minlength=len(limit))
    if (count <= keep).all():
        return rows, limit
    start = np.cumsum(count) - count
    crowded = np.flatnonzero(count > keep)
    limit = limit.copy()
    limit[crowded] = rows.hash[start[crowded] + keep]
    below = (limit[pane] == WHOLE) | (rows.hash < limit[pane])
    return rows.take(np.flatnonzero(below)), limit


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


def _summarise(
    columns: Sequence[Column], pane: Ints, panes: int, max_categories: int
) -> Iterator[FeatureTable]:
    """Columns together, or numpy's fixed costs would be most of it: the cells of a pane and column
    are a group. Groups rise, since panes do."""
    kind = np.stack([column.kind for column in columns])
    bits = np.stack([column.bits for column in columns])
    group = pane + panes * np.arange(len(columns))[:, np.newaxis]
    counts = np.bincount((group * 5 + kind).ravel(), minlength=len(columns) * panes * 5)
    by_kind = counts.astype(np.int64).reshape(len(columns), panes, 5).transpose(0, 2, 1).copy()
    is_number, is_text = kind == NUMBER, kind == TEXT
    numbers, of = bits[is_number].view(np.float64), group[is_number]
    minimum = np.full(len(columns) * panes, np.nan)
    maximum = minimum.copy()
    if len(of):
        starts = np.flatnonzero(np.diff(of, prepend=-1))
        minimum[of[starts]] = np.minimum.reduceat(numbers, starts)
        maximum[of[starts]] = np.maximum.reduceat(numbers, starts)
    ones = np.broadcast_to(np.ones(1, np.int64), int(is_text.sum()))
    texts = _smallest(_counted(group[is_text], bits[is_text], ones), max_categories)
    sums, squares = binned_sums(numbers, of), _square_bins(numbers, of)
    buckets = _bucket_counts(of, bucket_of(numbers))
    for c in range(len(columns)):
        first, last = c * panes, (c + 1) * panes
        yield FeatureTable(
            number=by_kind[c, NUMBER],
            text=by_kind[c, TEXT],
            null=by_kind[c, NULL],
            other=by_kind[c, OTHER],
            minimum=minimum[first:last],
            maximum=maximum[first:last],
            sums=bins_between(sums, first, last),
            squares=bins_between(squares, first, last),
            buckets=buckets.between(first, last),
            categories=texts.between(first, last),
        )


def _bucket_counts(group: Ints, bucket: Ints) -> Counts:
    """One sort of one number a cell: a bucket takes 17 bits and a sign."""
    cells = np.sort((group << 18) + (bucket + (1 << 17)))
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    of = cells[starts]
    count = np.diff(starts, append=len(cells))
    return Counts(of >> 18, (of & ((1 << 18) - 1)) - (1 << 17), count)


def _square_bins(numbers: NDArray[np.float64], pane: Ints) -> Binned:
    """The exact sums of x * x (of x at least 1e-140 in size, or 0)."""
    product, error = two_product(numbers, numbers)
    bins = binned_sums(product, pane)
    return merge_bins([bins, binned_sums(error, pane)]) if error.any() else bins


def _merge_feature(
    tables: list[FeatureTable], maps: list[Ints], panes: int, max_categories: int
) -> FeatureTable:
    minimum, maximum = np.full(panes, np.nan), np.full(panes, np.nan)
    for table, places in zip(tables, maps, strict=True):
        np.fmin.at(minimum, places, table.minimum)
        np.fmax.at(maximum, places, table.maximum)

    def bins(parts: list[Binned]) -> Binned:
        return merge_bins(
            [Binned(m[p.group], p.bin, p.amount) for p, m in zip(parts, maps, strict=True)]
        )

    def counts(parts: list[Counts]) -> Counts:
        moved = [m[p.pane] for p, m in zip(parts, maps, strict=True)]
        return _counted(
            np.concatenate(moved),
            np.concatenate([p.key for p in parts]),
            np.concatenate([p.count for p in parts]),
        )

    return FeatureTable(
        number=_add([t.number for t in tables], maps, panes),
        text=_add([t.text for t in tables], maps, panes),
        null=_add([t.null for t in tables], maps, panes),
        other=_add([t.other for t in tables], maps, panes),
        minimum=minimum,
        maximum=maximum,
        sums=bins([t.sums for t in tables]),
        squares=bins([t.squares for t in tables]),
        buckets=counts([t.buckets for t in tables]),
        categories=_smallest(counts([t.categories for t in tables]), max_categories),
    )


def _add(parts: list[Ints], maps: list[Ints], panes: int) -> Ints:
    total = np.zeros(panes, np.int64)
    for part, places in zip(parts, maps, strict=True):
        np.add.at(total, places, part)
    return total


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
    few = rank < keep
    return Counts(counts.pane[few], counts.key[few], counts.count[few])


def _feature_summary(table: FeatureTable, pane: int, texts: dict[int, str]) -> dict[str, Any]:
    def exact(bins: Binned) -> Fraction:
        mine = bins.group == pane
        pairs = zip(bins.bin[mine].tolist(), bins.amount[mine].tolist(), strict=True)
        return sum((Fraction(2) ** (BIN_BITS * b) * a for b, a in pairs), Fraction(0))

    def counts(of: Counts) -> dict[Any, int]:
        mine = of.pane == pane
        return dict(zip(of.key[mine].tolist(), of.count[mine].tolist(), strict=True))

    return {
        "number": int(table.number[pane]),
        "text": int(table.text[pane]),
        "null": int(table.null[pane]),
        "other": int(table.other[pane]),
        "min": float(table.minimum[pane]),
        "max": float(table.maximum[pane]),
        "sum": exact(table.sums),
        "squares": exact(table.squares),
        "buckets": counts(table.buckets),
        "categories": {texts[h]: count for h, count in counts(table.categories).items()},
    }
