"""Pane summaries of one group as columns over panes, and their exact merging.

Everything here merges to the same content whatever the order and the batching: counts and bins
are integers, the extremes are extremes, categories and the row sample keep the smallest hashes
(what is dropped in a part would be dropped in the whole), and lists are kept sorted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import BIN_BITS, Binned
from stream.columns import Column, Rows, concatenate, texts_among
from stream.feature_table import ARRAYS, Counts, FeatureTable, Ints, regrouped
from stream.feature_tables import Cells, merge_groups, summarise_groups
from stream.pane_features import PaneFeatures

__all__ = ["ARRAYS", "WHOLE", "Counts", "FeatureTable", "Ints", "PaneTable"]  # told of as one
__all__ += [
    "collapse",
    "cut_at",
    "merge",
    "merge_all",
    "summarise",
    "summarise_all",
    "summarise_grouped",
]
WHOLE = np.uint64(2**64 - 1)  # sample limit of a pane whose rows are all in the sample


@dataclass(frozen=True, slots=True, eq=False)
class PaneTable:
    """P panes, ends ascending. The sample holds, by (pane end, hash), all rows of a pane whose
    hash is below the pane's limit."""

    pane_end: Ints
    rows: Ints
    features: Mapping[str, FeatureTable]
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
        features = PaneFeatures.of(self.features, len(self)).between(int(low), int(high))
        inside = (self.sample.pane_end >= first_ms) & (self.sample.pane_end <= last_ms)
        sample = self.sample.take(np.flatnonzero(inside))
        panes = slice(low, high)
        return PaneTable(
            self.pane_end[panes], self.rows[panes], features, sample, self.limit[panes]
        )

    def without_ghosts(self) -> PaneTable:
        """Without features that no pane has: they came along as columns of other panes' rows."""
        features = PaneFeatures.of(self.features, len(self))
        present = features.counts()[2].sum(axis=1).tolist()
        ghosts = [name for name, rows in zip(features.names, present, strict=True) if not rows]
        features = features.without(ghosts) if ghosts else features
        sample = self.sample
        columns = {n: c for n, c in sample.columns.items() if c.kind.any()}
        texts = {h: sample.texts[h] for h in sorted(_texts_used(features, columns))}
        kept = Rows(sample.pane_end, sample.hash, columns, texts)
        return replace(self, features=features, sample=kept)

    def without(self, names: Collection[str]) -> PaneTable:
        """Without these features."""
        features = PaneFeatures.of(self.features, len(self)).without(names)
        columns = {n: c for n, c in self.sample.columns.items() if n not in names}
        texts = {h: self.texts[h] for h in sorted(_texts_used(features, columns))}
        return replace(
            self, features=features, sample=replace(self.sample, columns=columns, texts=texts)
        )

    def only(self, name: str) -> PaneTable:
        """With no feature but this one."""
        features = {name: self.features[name]} if name in self.features else {}
        columns = {n: self.sample.columns[n] for n in (name,) if n in self.sample.columns}
        texts = {h: self.texts[h] for h in sorted(_texts_used(features, columns))}
        sample = replace(self.sample, columns=columns, texts=texts)
        return replace(self, features=features, sample=sample)

    def with_sample_of(self, rows: int) -> PaneTable:
        """With at most this many rows of each pane in the sample."""
        pane = np.searchsorted(self.pane_end, self.sample.pane_end).astype(np.int64)
        kept, limit = _bottom(self.sample.hash, pane, self.limit, rows)
        sample = self.sample if kept is None else self.sample.take(kept)
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


def _texts_used(features: Mapping[str, FeatureTable], columns: dict[str, Column]) -> set[int]:
    used: set[int] = set()
    if isinstance(features, PaneFeatures):
        used.update(features.whole.categories.key.tolist())
    else:
        for feature in features.values():
            used.update(feature.categories.key.tolist())
    if columns:
        kinds = np.concatenate([column.kind for column in columns.values()])
        bits = np.concatenate([column.bits for column in columns.values()])
        used.update(texts_among(kinds, bits))
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
    return summarise_all([rows], sample_rows, max_categories)[0]


def summarise_all(parts: Sequence[Rows], sample_rows: int, max_categories: int) -> list[PaneTable]:
    """Of each part its own summaries: the features of all of them in one go."""
    groups: list[Cells] = []
    made = []
    for part in parts:
        order, sorted_ends = _in_order(part.pane_end)
        ends, pane, count = _numbered(sorted_ends)
        kept, limit = _smallest_rows(part.hash, order, pane, count, sample_rows)
        made.append((ends, count, [*part.columns], (part.take(kept), limit)))
        groups.append(Cells([*part.columns.values()], order, pane, len(ends)))
    wholes = summarise_groups(groups, max_categories)
    return [
        PaneTable(ends, count, PaneFeatures(names, len(ends), whole), *sample)
        for (ends, count, names, sample), whole in zip(made, wholes, strict=True)
    ]


def _in_order(ends: Ints) -> tuple[NDArray[np.intp] | None, Ints]:
    """(the order that sorts them: None where they are sorted, as most are; the ends sorted)."""
    if (ends[1:] >= ends[:-1]).all():
        return None, ends
    order = np.argsort(ends, kind="stable")
    return order, ends[order]


def summarise_grouped(
    rows: Rows, code: Ints, texts: Sequence[dict[int, str]], sample_rows: int, max_categories: int
) -> list[PaneTable]:
    """Of rows of many groups, the panes of each group: those of code 0, 1, and so on, each with its
    texts. All rows have the same columns."""
    of_row, order = code, np.lexsort((rows.pane_end, code))
    sorted_ends, code = rows.pane_end[order], code[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (code[1:] != code[:-1]) | (sorted_ends[1:] != sorted_ends[:-1])
    first = np.flatnonzero(is_first)
    pane = np.cumsum(is_first) - 1
    ends, count = sorted_ends[first], np.diff(first, append=len(order))
    kept, limit = _smallest_rows(rows.hash, order, pane, count, sample_rows)
    sample, sampled = rows.take(kept), of_row[kept]
    numbers = np.arange(len(texts) + 1)
    panes = np.searchsorted(code[first], numbers)
    columns = [*rows.columns.values()]
    (whole,) = summarise_groups([Cells(columns, order, pane, len(first))], max_categories)
    wholes = regrouped(whole, len(columns), panes)
    made = []
    places = np.searchsorted(sampled, numbers).tolist()
    cuts = panes.tolist()
    for i, shown in enumerate(texts):
        mine, low, high = slice(cuts[i], cuts[i + 1]), places[i], places[i + 1]
        of = PaneFeatures([*rows.columns], cuts[i + 1] - cuts[i], wholes[i])
        cells = {n: Column(c.kind[low:high], c.bits[low:high]) for n, c in sample.columns.items()}
        part = Rows(sample.pane_end[low:high], sample.hash[low:high], cells, shown)
        made.append(PaneTable(ends[mine], count[mine], of, part, limit[mine]))
    return made


def _numbered(sorted_ends: Ints) -> tuple[Ints, Ints, Ints]:
    """(distinct ends, the place there of each, how often each occurs)."""
    if not len(sorted_ends):
        return sorted_ends, np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], sorted_ends[1:] != sorted_ends[:-1]]))
    count = np.diff(starts, append=len(sorted_ends))
    return sorted_ends[starts], np.repeat(np.arange(len(starts)), count), count


def _smallest_rows(
    hashes: NDArray[np.uint64],
    order: NDArray[np.intp] | None,
    pane: Ints,
    count: Ints,
    keep: int,
) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """The rows, by pane and hash, that are among the `keep` with the smallest hashes of their pane,
    and where those end. `order` sorts the rows by pane (None: they are sorted)."""
    sorted_hashes = hashes if order is None else hashes[order]
    limit = np.full(len(count), WHOLE)
    crowded = np.flatnonzero(count > keep)
    if not len(crowded):
        places = np.lexsort((sorted_hashes, pane))
        return places if order is None else order[places], limit
    places = _small(sorted_hashes, pane, count, keep)
    places = places[np.lexsort((sorted_hashes[places], pane[places]))]
    ranked, of = sorted_hashes[places], pane[places]
    starts = np.searchsorted(of, crowded)
    limit[crowded] = ranked[starts + keep]
    of_row = limit[of]
    places = places[(of_row == WHOLE) | (ranked < of_row)]
    return places if order is None else order[places], limit


def _small(hashes: NDArray[np.uint64], pane: Ints, count: Ints, keep: int) -> NDArray[np.intp]:
    """More than `keep` rows of each pane that has them, with its smallest hashes: they are spread
    evenly, so that few others need be sorted."""
    share = (keep + 1 + 8 * math.sqrt(keep + 1)) / count
    bound = np.where(share < 1, np.minimum(share, 0.999) * 2.0**64, 0).astype(np.uint64)
    bound[share >= 1] = WHOLE
    places = np.flatnonzero(hashes <= bound[pane])
    found = np.bincount(pane[places], minlength=len(count))
    are_enough = bool((found >= np.minimum(count, keep + 1)).all())
    return places if are_enough else np.arange(len(hashes))


def merge(tables: Sequence[PaneTable], sample_rows: int, max_categories: int) -> PaneTable:
    """The panes of all tables, panes of one end made one. O(n log n) in what they hold."""
    return merge_all([tables], sample_rows, max_categories)[0]


def merge_all(
    of: Sequence[Sequence[PaneTable]], sample_rows: int, max_categories: int
) -> list[PaneTable]:
    """The tables of each sequence merged: the features of all of them in one go."""
    mergings = []
    for tables in of:
        if len(tables) > 1:
            together = np.concatenate([t.pane_end for t in tables])
            ends, places = np.unique(together, return_inverse=True)
            cuts = np.cumsum([len(t) for t in tables])[:-1]
            mergings.append(_Merging(ends, tables, np.split(places.astype(np.int64), cuts)))
    merged = iter(_merge_into(mergings, sample_rows, max_categories))
    return [next(merged) if len(tables) > 1 else tables[0] for tables in of]


def collapse(
    tables: Sequence[PaneTable], end_ms: int, sample_rows: int, max_categories: int
) -> PaneTable:
    """All panes of all tables as one that ends at `end_ms`: a window, a reference."""
    maps = [np.zeros(len(t), np.int64) for t in tables]
    moved = [replace(t, sample=_ending_at(t.sample, end_ms)) for t in tables]
    merging = _Merging(np.array([end_ms]), moved, maps)
    return _merge_into([merging], sample_rows, max_categories)[0]


def _ending_at(rows: Rows, end_ms: int) -> Rows:
    return replace(rows, pane_end=np.full(len(rows), end_ms, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class _Merging:
    """`maps`: for each table, the place in `ends` of each of its panes."""

    ends: Ints
    tables: Sequence[PaneTable]
    maps: list[Ints]

    @property
    def names(self) -> list[str]:
        return sorted(set().union(*(t.features for t in self.tables)))

    def having(self) -> list[tuple[FeatureTable, Ints]]:
        names = {name: place for place, name in enumerate(self.names)}
        parts = [PaneFeatures.of(t.features, len(t)) for t in self.tables]
        return [
            (part.whole, part.places_in(names, ends, len(self.ends)))
            for part, ends in zip(parts, self.maps, strict=True)
        ]

    def rows(self) -> Ints:
        total = np.zeros(len(self.ends), np.int64)
        np.add.at(total, np.concatenate(self.maps), np.concatenate([t.rows for t in self.tables]))
        return total

    def sample(self, keep: int) -> tuple[Rows, NDArray[np.uint64]]:
        limits = np.concatenate([t.limit for t in self.tables])
        limit = np.full(len(self.ends), WHOLE)
        np.minimum.at(limit, np.concatenate(self.maps), limits)
        sample = concatenate([t.sample for t in self.tables])
        pane = np.searchsorted(self.ends, sample.pane_end).astype(np.int64)
        below = np.flatnonzero((limit[pane] == WHOLE) | (sample.hash < limit[pane]))
        order = below[np.lexsort((sample.hash[below], pane[below]))]
        kept, limit = _bottom(sample.hash[order], pane[order], limit, keep)
        return sample.take(order if kept is None else order[kept]), limit


def _merge_into(
    mergings: Sequence[_Merging], sample_rows: int, max_categories: int
) -> list[PaneTable]:
    having = [m.having() for m in mergings]
    sizes = [len(m.names) * len(m.ends) for m in mergings]
    wholes = merge_groups(having, sizes, max_categories)
    return [
        PaneTable(
            m.ends, m.rows(), PaneFeatures(m.names, len(m.ends), whole), *m.sample(sample_rows)
        )
        for m, whole in zip(mergings, wholes, strict=True)
    ]


def _bottom(
    hashes: NDArray[np.uint64], pane: Ints, limit: NDArray[np.uint64], keep: int
) -> tuple[NDArray[np.intp] | None, NDArray[np.uint64]]:
    """Of rows sorted by pane and hash, all below their pane's limit: which are the `keep` smallest
    of their pane (None: all are), and where these end then."""
    count = np.bincount(pane, minlength=len(limit))
    if (count <= keep).all():
        return None, limit
    start = np.cumsum(count) - count
    crowded = np.flatnonzero(count > keep)
    limit = limit.copy()
    limit[crowded] = hashes[start[crowded] + keep]
    return np.flatnonzero((limit[pane] == WHOLE) | (hashes < limit[pane])), limit


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
