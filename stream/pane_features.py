"""The features of a group over its panes: one table of all, dealt when they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import Binned
from stream.feature_table import Counts, Dealer, Dealt, FeatureTable, Ints, joined


class PaneFeatures(Mapping[str, FeatureTable]):
    """Pane p of feature f is row f · panes + p of the whole."""

    __slots__ = ("_dealer", "_dealt", "names", "panes", "whole")

    def __init__(self, names: Sequence[str], panes: int, whole: FeatureTable) -> None:
        self.names = tuple(names)
        self.panes = panes
        self.whole = whole
        self._dealer: Dealer | None = None
        self._dealt: dict[str, FeatureTable] = {}

    @classmethod
    def of(cls, features: Mapping[str, FeatureTable], panes: int) -> PaneFeatures:
        """Any features as these: their tables are put together, if they are not already."""
        if isinstance(features, cls):
            return features
        return cls(list(features), panes, joined(list(features.values())))

    def __getitem__(self, name: str) -> FeatureTable:
        found = self._dealt.get(name)
        if found is None:
            if self._dealer is None:
                self._dealer = Dealer(self.whole, self.panes, self.names)
            found = self._dealt[name] = Dealt(self._dealer, self._dealer.places[name])
        return found

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self.names else default

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def counts(self) -> tuple[Ints, Ints, Ints]:
        """(features, panes) each: numbers, texts, and rows in which the feature is there."""
        shape = len(self.names), self.panes
        whole = self.whole
        return whole.number.reshape(shape), whole.text.reshape(shape), whole.present.reshape(shape)

    def between(self, low: int, high: int) -> PaneFeatures:
        """The panes from `low` to before `high`."""
        number = np.full(self.panes, -1)
        number[low:high] = np.arange(high - low)
        return self._picked(np.arange(len(self.names)), number, high - low)

    def without(self, names: Collection[str]) -> PaneFeatures:
        """Without these features."""
        kept = [place for place, name in enumerate(self.names) if name not in names]
        return self._picked(np.array(kept, np.int64), np.arange(self.panes), self.panes)

    def _picked(self, kept: Ints, number: Ints, panes: int) -> PaneFeatures:
        """These features, and the panes that have a number (not -1): so many."""
        of_feature = np.full(len(self.names), -1)
        of_feature[kept] = np.arange(len(kept))
        taken = np.flatnonzero(number >= 0)
        rows = (kept[:, None] * self.panes + taken).ravel()
        moved = np.full(len(self.names) * self.panes, -1)
        moved[rows] = np.arange(len(rows))
        whole = self.whole
        arrays = whole.number, whole.text, whole.null, whole.other, whole.minimum, whole.maximum
        table = FeatureTable(
            *[array[rows] for array in arrays],
            *[_bins(of, moved) for of in (whole.sums, whole.squares)],
            *[_counts(of, moved) for of in (whole.buckets, whole.categories)],
        )
        return PaneFeatures([self.names[i] for i in kept.tolist()], panes, table)

    def places_in(self, names: Mapping[str, int], ends: Ints, panes: int) -> Ints:
        """Of each row of the whole in a larger one: `names` says where a feature is there, `ends`
        where each pane is, among so many."""
        of_feature = np.array([names[name] for name in self.names], np.int64)
        places: Ints = (of_feature[:, None] * panes + ends).ravel()
        return places


def _bins(of: Binned, moved: NDArray[np.int64]) -> Binned:
    place = moved[of.group]
    kept = place >= 0
    return Binned(place[kept], of.bin[kept], of.amount[kept])


def _counts(of: Counts, moved: NDArray[np.int64]) -> Counts:
    place = moved[of.pane]
    kept = place >= 0
    return Counts(place[kept], of.key[kept], of.count[kept])
