"""A reference as the detectors compare panes with it: scores, bins and categories per series.

All of it follows from the reference, so no state holds it. Panes become integers here: sums of
scores, counts of bins, counts of faults, which add up alike however panes are cut or merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.log_buckets import bucket_of, ends_of
from detectors.rank_scores import RankScores
from detectors.shape import quantile_bins, quantile_bins_of, top_categories
from stream.judgement import SCORE_FALSE, SCORE_TRUE
from stream.pane_features import PaneFeatures
from stream.panes import FeatureTable, Ints, PaneTable
from stream.rank_table import Ranks, RankTable
from stream.reference import Reference, Season, Values, all_coarse_values
from stream.reliability import Reliability


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts of the ordered cells of one feature over panes: three parallel columns."""

    pane: Ints
    cell: Ints  # 2 i for the gap below cell i, 2 i + 1 for the cell itself
    count: Ints


class Own(NamedTuple):
    """What a feature that is in no table holds itself."""

    ranks: Ranks
    ends: tuple[int, int]  # the lowest and the highest bucket


class NumberProfile:
    """Ranks and quantile bins of a numeric series.

    The cells are logarithmic buckets where those are fine enough; else (years, epochs: many values
    within 3 %) the values of the row sample, and the panes' row samples are compared with it.
    """

    __slots__ = ("_own", "_slot", "_table", "by_value", "scores")

    def __init__(
        self,
        frozen: FeatureTable,
        values: Values | None,
        ranked: tuple[RankScores, Ints] | None = None,
    ) -> None:
        """`values`: where the buckets are not fine enough; `ranked`: where they are, their scores
        and bins, if these are known."""
        buckets, counts = frozen.buckets.key, frozen.buckets.count
        self.by_value = values is not None
        if values is not None:
            self.scores = RankScores(values.counts, values.distinct)
            assert self.scores.values is not None
            keys: NDArray[Any] = self.scores.values
        else:
            self.scores = RankScores.from_counts(counts) if ranked is None else ranked[0]
            keys = buckets.astype(np.int32)
        bins = quantile_bins(self.scores.cell_counts) if ranked is None else ranked[1]
        ends = int(buckets[0]), int(buckets[-1])
        self._own: Own | None = Own(Ranks(keys, self.scores, bins.astype(np.uint8)), ends)
        self._table: RankTable | None = None  # where it is, and in which slot
        self._slot = -1

    @property
    def count(self) -> int:
        return self.scores.count

    @property
    def bins(self) -> Ints:
        """Values of the reference in each bin."""
        return np.bincount(self._cell_bins, weights=self.scores.cell_counts).astype(np.int64)

    @property
    def _cell_bins(self) -> NDArray[Any]:
        if self._table is None:
            assert self._own is not None
            return self._own.ranks.bins
        return self._table.cell_bins(self._slot)

    @property
    def ends(self) -> tuple[int, int]:
        """The lowest and the highest bucket of the reference."""
        if self._table is None:
            assert self._own is not None
            return self._own.ends
        return self._table.ends(self._slot)

    @property
    def ranks(self) -> Ranks:
        """Before they are kept in a table."""
        assert self._own is not None
        return self._own.ranks

    @property
    def _keys(self) -> NDArray[Any]:
        if self._table is None:
            assert self._own is not None
            return self._own.ranks.keys
        return self._table.keys(self._slot)

    @classmethod
    def kept_in(cls, table: RankTable, slot: int) -> NumberProfile:
        """The one that is there, by its buckets."""
        kept = cls.__new__(cls)
        kept.by_value, kept.scores = False, table.rank_scores(slot)
        kept._own, kept._table, kept._slot = None, table, slot
        return kept

    def keep_in(self, table: RankTable, slot: int) -> None:
        self._own, self._table, self._slot = None, table, slot
        self.scores.keep_elsewhere((table, slot))

    def cells(self, run: PaneTable, name: str, sample_pane: Ints) -> Cells:
        """Of the values of these panes; `sample_pane`: the pane of each sampled row."""
        if not self.by_value:
            buckets = run.features[name].buckets
            return Cells(buckets.pane, self._place(buckets.key), buckets.count)
        column = run.sample.columns.get(name)
        if column is None:
            none = np.zeros(0, np.int64)
            return Cells(none, none, none)
        rows, values = column.numbers()
        return Cells(sample_pane[rows], self._place(values), np.ones(len(rows), np.int64))

    def bucket_scores(self, buckets: Ints) -> Ints | None:
        """Of values in these buckets of the reference; None: they are not told apart by buckets."""
        return None if self.by_value else self.scores.at(self._place(buckets))

    def bucket_bins(self, buckets: Ints) -> Ints | None:
        """The same of their bins."""
        return None if self.by_value else self._bins_at(self._place(buckets))

    def _bins_at(self, places: Ints) -> Ints:
        """A gap is of the next cell's bin, that behind the last one of the last one's."""
        bins = self._cell_bins
        found: Ints = bins[np.minimum(places >> 1, len(bins) - 1)].astype(np.int64)
        return found

    def _place(self, keys: NDArray[Any]) -> Ints:
        known = self._keys
        at = np.searchsorted(known, keys)
        inside = np.minimum(at, len(known) - 1)
        place: Ints = 2 * at + (known[inside] == keys)
        return place

    def scores_of(self, values: NDArray[np.float64]) -> Ints:
        """Scores of single values, shape (n,)."""
        place = self._place(values if self.by_value else bucket_of(values))
        return self.scores.at(place)

    def sums(self, cells: Cells, panes: int) -> tuple[Ints, Ints, Ints]:
        """(values, sum of scores, sum of their squares) of each pane."""
        score = self.scores.at(cells.cell)
        total = cells.count * score
        columns = (cells.count, total, total * score)
        order = np.argsort(cells.pane, kind="stable")
        starts = np.searchsorted(cells.pane[order], np.arange(panes + 1))
        found = []
        for column in columns:
            upto = np.concatenate([[0], np.cumsum(column[order])])
            found.append(upto[starts[1:]] - upto[starts[:-1]])
        return found[0], found[1], found[2]

    def called(self, place: int) -> str:
        """A bin, for people: values as in the reference, to a bucket."""
        bins = self._cell_bins
        ends = self._keys[np.flatnonzero(bins == place)[[0, -1]]]
        low, high = map(float, ends) if self.by_value else ends_of(int(ends[0]), int(ends[1]))
        if low == high:
            return f"values of {_shown(low)}"
        if place == int(bins[0]):
            return f"values up to {_shown(high)}"
        if place == int(bins[-1]):
            return f"values from {_shown(low)} on"
        return f"values from {_shown(low)} to {_shown(high)}"

    def shape(self, cells: Cells, panes: int) -> Ints:
        """Values in each bin of each pane, (panes, bins)."""
        bins = self._bins_at(cells.cell)
        return _tally(cells.pane, bins, cells.count, panes, int(self._cell_bins[-1]) + 1)

    def outside(self, feature: FeatureTable, panes: int) -> Ints:
        """Values below or above all of the reference, to a bucket."""
        cells = feature.buckets
        beyond = (cells.key < self.ends[0]) | (cells.key > self.ends[1])
        found = np.bincount(cells.pane[beyond], weights=cells.count[beyond], minlength=panes)
        return found.astype(np.int64)


class TextProfile:
    """Shares of the most frequent categories and of the others.

    Categories never seen are a bin of labels; of features they are a fault of their own, and the
    shares are those of the known ones."""

    def __init__(self, frozen: FeatureTable, *, counts_unseen: bool) -> None:
        self._keys, counts = frozen.categories.key, frozen.categories.count
        top = np.sort(top_categories(counts))
        self._bin = np.full(len(self._keys), len(top), np.int64)
        self._bin[top] = np.arange(len(top))
        self._unseen = len(top) + 1
        shares = np.bincount(self._bin, weights=counts, minlength=len(top) + 2).astype(np.int64)
        self.bins = shares if counts_unseen else shares[:-1]

    @property
    def count(self) -> int:
        return int(self.bins.sum())

    def called(self, place: int, texts: Mapping[int, str]) -> str:
        """A bin, for people."""
        at = np.flatnonzero(self._bin == place)
        if place == self._unseen or not len(at):
            return "what was never seen"
        if place == self._unseen - 1:
            return "other categories"
        return texts.get(int(self._keys[at[0]]), "one category")

    def scores_of(self, hashes: NDArray[np.uint64]) -> Ints:
        """Scores of single texts, shape (n,): categories in the order of their hashes, as good as
        any; 0 of those never seen."""
        return self._scores[np.minimum(self.bins_of(hashes), len(self._scores) - 1)]

    @cached_property
    def _scores(self) -> Ints:
        return np.append(RankScores.from_counts(self.bins).cell_scores, 0)

    def bins_of(self, keys: NDArray[Any]) -> Ints:
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        bins: Ints = np.where(self._keys[at] == keys, self._bin[at], self._unseen)
        return bins

    def shape(self, feature: FeatureTable, panes: int) -> Ints:
        """Values in each bin of each pane, (panes, bins)."""
        cells = feature.categories
        bins = self.bins_of(cells.key)
        counts = _tally(cells.pane, bins, cells.count, panes, self._unseen + 1)
        return counts[:, : len(self.bins)]


class Profile:
    """Of all features that a reference knows well enough; made when they are first asked for."""

    def __init__(
        self,
        reference: Reference,
        fewest: int,
        max_categories: int,
        traffic: tuple[int, int] | None = None,
    ) -> None:
        """`traffic`: predictions, and within how many ms; None: those of the reference."""
        self.reference = reference
        own = reference.count, reference.end_ms - reference.start_ms
        self.traffic = own if traffic is None else traffic
        self.fewest, self._max_categories = fewest, max_categories
        self._numbers: dict[str, NumberProfile] | None = None  # those that are in no table
        self._texts: dict[str, TextProfile | None] = {}
        self._categories: dict[str, NDArray[Any] | None] = {}
        self._reliability: Reliability | None = None

    def as_of(self, fewest: int) -> Profile:
        """Of the same reference, by another measure of what is well enough."""
        same = fewest == self.fewest
        if same:
            return self
        return Profile(self.reference, fewest, self._max_categories, self.traffic)

    def number(self, name: str) -> NumberProfile | None:
        if self._numbers is None:
            self._numbers = {n: of for n, of in self._ranked() if of.count >= self.fewest}
        table: RankTable | None = self.__dict__.get("ranks")
        if table is not None and name in self.slots:
            return NumberProfile.kept_in(table, self.slots[name])
        return self._numbers.get(name)

    def _ranked(self) -> Iterator[tuple[str, NumberProfile]]:
        """Of all features with enough numbers; those whose buckets are fine enough in one go."""
        table, reference = self.reference.table, self.reference
        features = PaneFeatures.of(table.features, len(table))
        coarse = {**all_coarse_values(table), **reference.values}
        enough = features.whole.number >= self.fewest
        for i, name in enumerate(features.names):
            if enough[i] and name in coarse:
                yield name, NumberProfile(features[name], coarse[name])
        wanted = [i for i, n in enumerate(features.names) if enough[i] and n not in coarse]
        if not wanted:
            return
        cells = features.whole.buckets
        cuts = np.searchsorted(cells.pane, np.arange(len(features) + 1)).tolist()
        parts = [cells.count[cuts[i] : cuts[i + 1]] for i in wanted]
        starts = np.cumsum([0, *map(len, parts[:-1])])
        counts = np.concatenate(parts)
        bins = np.split(quantile_bins_of(counts, starts), starts[1:])
        made = zip(wanted, RankScores.from_all_counts(counts, starts), bins, strict=True)
        for i, scores, of_bins in made:
            name = features.names[i]
            yield name, NumberProfile(features[name], None, (scores, of_bins))

    @cached_property
    def slots(self) -> dict[str, int]:
        """Numeric features whose values are told apart by buckets: where they are in `ranks`."""
        known = {name: self.number(name) for name in sorted(self.reference.frozen.names)}
        told = [name for name, of in known.items() if of is not None and not of.by_value]
        return _slots(tuple(told))

    def lay_out(self) -> None:
        """From now on it keeps counts alone."""
        _ = self.ranks

    @cached_property
    def ranks(self) -> RankTable:
        """Of all features that have a slot, which are some."""
        slots, numbers = self.slots, self._numbers
        assert numbers is not None
        profiles = [numbers.pop(name) for name in slots]
        table = RankTable([of.ranks for of in profiles])
        for slot, of in enumerate(profiles):
            of.keep_in(table, slot)
        self._numbers = dict(numbers)  # in the room that the others take
        return table

    def text(self, name: str) -> TextProfile | None:
        if name not in self._texts:
            self._texts[name] = self._text(name)
        return self._texts[name]

    def categories(self, name: str) -> NDArray[Any] | None:
        """Those that the reference counted, ascending; None: it does not know the feature."""
        if name not in self._categories:
            frozen = self.reference.feature(name)
            self._categories[name] = None if frozen is None else frozen.categories.key
        return self._categories[name]

    def season(self, name: str) -> Season | None:
        """What is usual of the ranks of a numeric feature at each hour."""
        return self.reference.seasons.get(name)

    def reliability(self) -> Reliability | None:
        """Of a cohort's scores, where enough have come true or not."""
        if self._reliability is None:
            true, false = (self.reference.feature(name) for name in (SCORE_TRUE, SCORE_FALSE))
            count = sum(int(of.number[0]) for of in (true, false) if of is not None)
            if count < self.fewest:
                return None
            self._reliability = Reliability(true, false)
        return self._reliability

    def part_of(self, name: str, place: int, *, numeric: bool) -> str:
        """A bin of a distribution, for people."""
        if numeric:
            numbers = self.number(name)
            assert numbers is not None
            return numbers.called(place)
        texts = self.text(name)
        assert texts is not None
        return texts.called(place, self.reference.table.texts)

    def scores_of(self, place: int) -> tuple[float, float]:
        """From where to where a bin of the scores goes."""
        of = self.reliability()
        assert of is not None
        return of.between(place)

    def _text(self, name: str) -> TextProfile | None:
        """None too where not every category was counted: their shares are not known then."""
        frozen = self.reference.feature(name)
        if frozen is None or int(frozen.text[0]) < self.fewest:
            return None
        if len(frozen.categories.key) >= self._max_categories:
            return None
        return TextProfile(frozen, counts_unseen=not name.startswith("feature:"))


@lru_cache(maxsize=256)
def _slots(names: tuple[str, ...]) -> dict[str, int]:
    """Nobody may change it: those of equal names are one."""
    return {name: slot for slot, name in enumerate(names)}


def _shown(value: float) -> str:
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e9 else f"{value:.4g}"


def _tally(pane: Ints, place: NDArray[Any], count: Ints, panes: int, places: int) -> Ints:
    flat = np.bincount(pane * places + place, weights=count, minlength=panes * places)
    return flat.astype(np.int64).reshape(panes, places)
