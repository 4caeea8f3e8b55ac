"""Whether values beyond the reference are where a drift of the feature has come to.

A drift takes all values along: those that are still within the reference's range have moved to the
same side, and those beyond it are no more than half, near its edge, and differ. Sentinels, spikes
and a unit that is wrong in a part of the rows leave the others where they were, or go far. Few rows
do not tell whether the others have moved; then where the values beyond lie decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.ordered import distinct
from stream.alert_fields import short
from stream.columns import Rows
from stream.reference import Reference

_FEWEST = 20  # values of the reference's sample
_NEAR = 0.75  # of the values beyond, for a drift
_SAME = 3  # values beyond that are one and the same are no drift
_BOTH = 0.25  # of the values beyond, on either side: they scatter more
_MOVED = 0.32  # σ on ranks; a shift that surely is less leaves the others where they were
_SURELY = 2.0  # standard errors
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Beyond:
    """Of a drift: the reference's range, how far values lie now, and how many of how many do."""

    usual: tuple[float, float]
    now: tuple[float, float]
    count: int
    values: int

    @property
    def because(self) -> str:
        low, high = self.usual
        return f"probably a drift: they lie near its range, {short(low)} to {short(high)}"

    def shown(self) -> dict[str, Any]:
        sides = {"reference": self.usual, "current": self.now}
        ranges = {side: [short(end) for end in ends] for side, ends in sides.items()}
        return {**ranges, "count": self.count, "sampled": self.values}


def drifted_beyond(
    window: Rows | None, name: str, reference: Reference, tau: float
) -> Beyond | None:
    """Of a feature that told of values out of range. `tau`: how many values are worth one."""
    frozen, sample = reference.feature(name), reference.table.sample.columns.get(name)
    column = None if window is None else window.columns.get(name)
    if frozen is None or sample is None or column is None:
        return None
    usual, values = np.sort(sample.numbers()[1]), column.numbers()[1]
    low, high = float(frozen.minimum[0]), float(frozen.maximum[0])
    if not is_drift(usual, (low, high), values, tau):
        return None
    now = float(values.min()), float(values.max())
    count = int(((values < low) | (values > high)).sum())
    return Beyond((low, high), now, count, len(values))


def is_drift(usual: Doubles, ends: tuple[float, float], values: Doubles, tau: float = 1.0) -> bool:
    """Of values some of which lie beyond these ends. `usual`: a sample of the reference,
    ascending."""
    low, high = ends
    below, above = values[values < low], values[values > high]
    count = len(below) + len(above)
    if not 0 < 2 * count <= len(values) or len(usual) < _FEWEST:
        return False
    bottom, lower, upper, top = (usual[int(p * (len(usual) - 1))] for p in (0.1, 0.25, 0.75, 0.9))
    near_below = below >= low - max(bottom - usual[0], upper - lower)
    near_above = above <= high + max(usual[-1] - top, upper - lower)
    if near_below.sum() + near_above.sum() < _NEAR * count:
        return False
    if count >= _SAME and len(distinct(np.concatenate([below, above]))) == 1:
        return False
    within = values[(values >= low) & (values <= high)]
    return not _stay(usual, within, len(above) / count, tau)


def _stay(usual: Doubles, within: Doubles, above: float, tau: float) -> bool:
    """Whether what is within the range surely has moved by little towards where the others are."""
    places = np.searchsorted(usual, within, "left") + np.searchsorted(usual, within, "right")
    ranks = places / (2.0 * len(usual)) - 0.5
    if _BOTH <= above <= 1.0 - _BOTH:
        moved = (np.abs(ranks) - 0.25) * math.sqrt(48.0)
    else:
        moved = ranks * math.copysign(math.sqrt(12.0), above - 0.5)
    error = math.sqrt(tau / len(within) + 1.0 / len(usual))
    return float(moved.mean()) + _SURELY * error < _MOVED
