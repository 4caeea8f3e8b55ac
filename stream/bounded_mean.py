"""Sums of values between 0 and a largest one, as integers: of a cost, of an expected error."""

from __future__ import annotations

import numpy as np

from detectors.exact_sum import to_floats
from stream.feature_table import FeatureTable, Ints

STEPS = 4_096
"""Of the largest value: in so many a pane's exact sum is rounded."""


def steps_of(feature: FeatureTable, panes: int, largest: float) -> tuple[Ints, Ints]:
    """(sum, sum of squares) of each pane, in steps and squared steps; shape (panes,) each."""
    total, squares = (to_floats(bins, panes)[0] for bins in (feature.sums, feature.squares))
    unit = STEPS / largest
    most = feature.number * STEPS
    sums = np.clip(np.rint(total * unit).astype(np.int64), 0, most)
    return sums, np.clip(np.rint(squares * unit**2).astype(np.int64), 0, most * STEPS)
