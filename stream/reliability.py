"""How often scores come true: of predictions with about the same score, by bins of the reference.

A cohort has the scores of what came true and of what did not as two columns. The bins are of both
together, so that they stay where they are when what is scored changes: only what becomes of equal
scores is compared.
"""

from __future__ import annotations

import numpy as np

from detectors.log_buckets import middle_of
from detectors.shape import quantile_bins
from stream.feature_table import FeatureTable, Ints
from stream.judgement import SCORE_FALSE, SCORE_TRUE
from stream.panes import PaneTable

BINS = 5


class Reliability:
    """Of a reference: `true` of `count` in each bin, shape (bins,)."""

    def __init__(self, true: FeatureTable | None, false: FeatureTable | None) -> None:
        """Not both of them without a value."""
        parts = [of.buckets for of in (true, false) if of is not None]
        self._keys, place = np.unique(np.concatenate([p.key for p in parts]), return_inverse=True)
        counts = np.bincount(place, weights=np.concatenate([p.count for p in parts]))
        self._bin = quantile_bins(counts.astype(np.int64), BINS)
        self.bins = int(self._bin[-1]) + 1
        self.true = self._tally(true, 1)[0]
        self.count = self.true + self._tally(false, 1)[0]

    def between(self, place: int) -> tuple[float, float]:
        """The lowest and the highest score of a bin in the reference, to a bucket."""
        ends = middle_of(self._keys[np.flatnonzero(self._bin == place)[[0, -1]]])
        return float(ends[0]), float(ends[1])

    def sums(self, run: PaneTable) -> tuple[Ints, Ints]:
        """(true, all) of each pane and bin, (panes, bins)."""
        true, false = (
            self._tally(run.features.get(name), len(run)) for name in (SCORE_TRUE, SCORE_FALSE)
        )
        return true, true + false

    def _tally(self, feature: FeatureTable | None, panes: int) -> Ints:
        if feature is None:
            return np.zeros((panes, self.bins), np.int64)
        cells = feature.buckets
        # a score between two of the reference is of the bin of the next one
        at = np.minimum(np.searchsorted(self._keys, cells.key), len(self._keys) - 1)
        place = cells.pane * self.bins + self._bin[at]
        flat = np.bincount(place, weights=cells.count, minlength=panes * self.bins)
        return flat.astype(np.int64).reshape(panes, self.bins)
