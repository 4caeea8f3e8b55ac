"""Where a mean stands: now, and in the reference that ADWIN's and Page-Hinkley's alerts end at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Change
from detectors.effects import mean_difference, within_floor
from detectors.moments import mean_and_variance
from detectors.tilts import DOUBT
from stream.firing import Patience, Standing
from stream.panes import Ints
from stream.reference import Reference
from stream.unit_effects import SURE

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ValuePanes:
    """Panes of a numeric series that hold at least one value each, as parallel columns."""

    start_ms: Ints
    count: Ints
    mean: Floats
    variance: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Level:
    """Of so many values."""

    mean: float
    variance: float
    count: int

    @classmethod
    def before(cls, change: Change) -> Level:
        return cls(change.before_mean, change.before_variance, change.before_weight)

    @classmethod
    def of(cls, reference: Reference, name: str) -> Level | None:
        """None: the reference has too few numbers of it."""
        frozen = reference.feature(name)
        if frozen is None or int(frozen.number[0]) < 2:
            return None
        mean, variance = mean_and_variance(frozen.number, frozen.sums, frozen.squares)
        return cls(float(mean[0]), float(variance[0]), int(frozen.number[0]))

    def snapshot(self) -> list[Any]:
        return [self.mean, self.variance, self.count]


@dataclass(frozen=True, slots=True)
class Ending:
    """What an alert on a mean ends by."""

    usual: Callable[[], tuple[Level | None, float]]  # of a sealed reference, and τ
    floor: Callable[[Level], float]  # against such a level
    patience: Patience


@dataclass(slots=True)
class Window:
    """Sums about a centre, added pane by pane: however panes are batched they are the same."""

    centre: float
    sum: float = 0.0
    squares: float = 0.0

    def add(self, panes: ValuePanes, first: int, end: int) -> None:
        count = panes.count[first:end].astype(np.float64)
        apart = panes.mean[first:end] - self.centre
        self.sum = _added(self.sum, count * apart)
        self.squares = _added(self.squares, count * (panes.variance[first:end] + apart * apart))

    def forget(self) -> None:
        self.sum = self.squares = 0.0

    def level(self, count: int) -> Level:
        apart = self.sum / count
        return Level(self.centre + apart, max(self.squares / count - apart * apart, 0.0), count)


def _added(total: float, terms: Floats) -> float:
    return float(np.cumsum(np.concatenate([[total], terms]))[-1])


def standing(
    now: Level, usual: Level, *, tau: float, floor: float, looks: float, told: float
) -> Standing:
    """As `unit_effects.standing`, of a mean. Values as spread as there or more: those that are rare
    may not have come yet."""
    spread = max(now.variance, usual.variance)
    found = mean_difference(
        (now.mean, spread, now.count),
        (usual.mean, usual.variance, usual.count),
        tau=tau, level=SURE, anytime=looks,
    )  # fmt: skip
    if found.low > floor or found.high < -floor:
        return "ill"
    least = DOUBT * math.sqrt(tau * usual.variance / usual.count)
    room = max(min(least, 0.5 * told), floor)
    return "well" if within_floor(found, room) else "open"
