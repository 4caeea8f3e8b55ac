"""Page-Hinkley: a cumulative deviation from the running mean, in both directions."""

import math
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from detectors.base import Change, Direction, State

_PARAMETERS = (
    "min_instances",
    "delta",
    "threshold",
    "alpha",
    "mode",
    "scale",
    "center",
    "follow_paper",
)

_Moments = tuple[int, float, float]  # weight, mean, Σ (x - mean)²


class PageHinkley:
    """Two-sided Page-Hinkley test over weighted updates.

    Intuition: add up how far each value lies above the running mean, less a tolerance δ. The sum
    wanders downwards while nothing happens; when it has climbed λ above its lowest point, the
    mean rose. Mirrored for falls. After a change everything starts anew at the next update.

    A pane of weight w and mean x counts as w updates at one deviation d = x - mean, the running
    mean taken after the pane: S ← α^w S + (1 - α^w) / (1 - α) (d ∓ δ). Between, S moves one way
    only, so its extremum and the test at the end of the pane miss nothing. The variance within a
    pane enters the reported variances, not the test. With weight 1 the detection indices are
    those of river 0.26.1.

    Where river deviates from the paper: it fades the sums by α = 1 - 0.0001 an update. The paper
    does not, nor does `follow_paper=True` (α = 1). River also starts the falling side's maximum
    at -1 instead of the first sum; that sum is δ >= 0, so this never shows.

    Guarantee: none by itself. λ is in the units of the (scaled) values, and river's defaults give
    11 to 600 false alarms per million on stationary data; `calibrated.page_hinkley_threshold` has
    the λ of a rate, by simulation, for independent and nearly normal values. With a small δ the
    sums wander, and the extremum, which dates the change, may lie well before it.

    Memory and time: O(1) per update.

    Args:
        min_instances: least weight before a change is told.
        delta: δ, tolerated deviation, in scaled units.
        threshold: λ, in scaled units.
        alpha: α, fading in (0, 1]; `follow_paper` overrides it with 1.
        mode: which changes to tell: "up", "down" or "both".
        scale: values enter as (value - center) / scale.
        center: where the values lie, in their units.
        follow_paper: see above.

    Raises:
        ValueError: a parameter out of range; a value, weight or variance that cannot be.

    Example:
        >>> rng = np.random.default_rng(12345)
        >>> values = np.concatenate([rng.integers(0, 2, 1000), rng.integers(4, 8, 1000)])
        >>> ones, zeros = np.ones(2000, dtype=np.int64), np.zeros(2000)
        >>> for change in PageHinkley().update_many(values.astype(float), ones, zeros):
        ...     print(change.index, change.direction)
        1008 up

    Source: Page, "Continuous Inspection Schemes", Biometrika 41, 1954; in the form of Gama et al.,
    "On evaluating stream learning algorithms", Machine Learning 90, 2013.
    """

    def __init__(
        self,
        *,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 1 - 0.0001,
        mode: Literal["up", "down", "both"] = "both",
        scale: float = 1.0,
        center: float = 0.0,
        follow_paper: bool = False,
    ) -> None:
        if mode not in {"up", "down", "both"} or not 0.0 < alpha <= 1.0:
            raise ValueError(f"mode is up, down or both, alpha in (0, 1]: {mode=}, {alpha=}")
        if not threshold > 0.0 or delta < 0.0 or min_instances < 1:
            raise ValueError("threshold must be positive, delta not negative, min_instances >= 1")
        if not (scale > 0.0 and math.isfinite(scale) and math.isfinite(center)):
            raise ValueError(f"scale must be positive, both finite: {scale=}, {center=}")
        self.min_instances = min_instances
        self.delta = delta
        self.threshold = threshold
        self.alpha = 1.0 if follow_paper else alpha
        self.mode: Literal["up", "down", "both"] = mode
        self.scale = float(scale)  # plain, so that changes and snapshots are plain too
        self.center = float(center)
        self.follow_paper = follow_paper
        self._empty()

    @property
    def weight(self) -> int:
        """Of the values since the last change."""
        return self._weight

    def _empty(self) -> None:
        self._weight = 0
        self._mean = 0.0
        self._square = 0.0
        self._rise = 0.0
        self._fall = 0.0
        self._lowest_rise = math.inf
        self._highest_fall = -math.inf
        # What was seen when the extrema were reached: all of it came before the change.
        self._before_rise: _Moments = (0, 0.0, 0.0)
        self._before_fall: _Moments = (0, 0.0, 0.0)

    def update(self, value: float, weight: int = 1, variance: float = 0.0) -> Change | None:
        """Feed one value, or one pane by its mean, weight and population variance."""
        changes = self.update_many(np.array([value]), np.array([weight]), np.array([variance]))
        return changes[0] if changes else None

    def update_many(
        self,
        means: npt.NDArray[np.float64],
        weights: npt.NDArray[np.int64],
        variances: npt.NDArray[np.float64],
    ) -> list[Change]:
        """Feed n panes in order; arrays of shape (n,). A pane of weight 0 changes nothing.

        Equal, to the bit, to n calls of `update`.
        """
        if not len(means) == len(weights) == len(variances):
            raise ValueError("means, weights and variances differ in length")
        full = weights > 0
        usable = np.isfinite(means) & np.isfinite(variances) & (variances >= 0.0)
        if (weights < 0).any() or not usable[full].all():
            raise ValueError("a negative weight, or a mean or variance that is not usable")
        index = np.flatnonzero(full)
        value = (means[full] - self.center) / self.scale
        weight = weights[full].astype(np.int64)
        square = variances[full] / self.scale**2 * weight
        columns = (index.tolist(), value.tolist(), weight.tolist(), square.tolist())
        changes = []
        for i, x, n, s in zip(*columns, strict=True):
            self._add(x, n, s)
            change = self._test(i)
            if change is not None:
                changes.append(change)
                self._empty()
        return changes

    def _add(self, value: float, weight: int, square: float) -> None:
        apart = value - self._mean
        self._weight += weight
        self._mean += weight / self._weight * apart
        self._square += square + weight * apart * (value - self._mean)
        deviation = value - self._mean
        if weight == 1:
            fade, steps = self.alpha, 1.0
        elif self.alpha == 1.0:
            fade, steps = 1.0, float(weight)
        else:
            fade = self.alpha**weight
            steps = (1.0 - fade) / (1.0 - self.alpha)
        # river's order of operations, so that weight 1 rounds alike
        self._rise = fade * self._rise + steps * deviation - steps * self.delta
        self._fall = fade * self._fall + steps * deviation + steps * self.delta
        if self._rise < self._lowest_rise:
            self._lowest_rise = self._rise
            self._before_rise = (self._weight, self._mean, self._square)
        if self._fall > self._highest_fall:
            self._highest_fall = self._fall
            self._before_fall = (self._weight, self._mean, self._square)

    def _test(self, index: int) -> Change | None:
        if self._weight < self.min_instances:
            return None
        up, down = self._rise - self._lowest_rise, self._highest_fall - self._fall
        if up > self.threshold and self.mode != "down":
            return self._describe(index, "up", up, self._before_rise)
        if down > self.threshold and self.mode != "up":
            return self._describe(index, "down", down, self._before_fall)
        return None

    def _describe(
        self, index: int, direction: Direction, statistic: float, before: _Moments
    ) -> Change:
        n0, mean0, square0 = before
        n1 = self._weight - n0  # at least 1: the threshold is positive, so the extremum is past
        mean1 = (self._weight * self._mean - n0 * mean0) / n1
        between = n0 * n1 / self._weight * (mean0 - mean1) ** 2
        square1 = max(self._square - square0 - between, 0.0)
        return Change(
            index=index,
            statistic=self.scale * statistic,
            threshold=self.scale * self.threshold,
            direction=direction,
            before_mean=self.center + self.scale * mean0,
            before_weight=n0,
            before_variance=self.scale**2 * square0 / n0,
            after_mean=self.center + self.scale * mean1,
            after_weight=n1,
            after_variance=self.scale**2 * square1 / n1,
            weight_since_change=n1,
        )

    def snapshot(self) -> State:
        """Parameters and sums."""
        parameters = {name: getattr(self, name) for name in _PARAMETERS}
        return {
            **parameters,
            "moments": [self._weight, self._mean, self._square],
            "sums": [self._rise, self._fall],
            # Infinite while nothing was seen, which JSON does not know; restore starts anew then.
            "extrema": [self._lowest_rise, self._highest_fall] if self._weight else [],
            "before_rise": list(self._before_rise),
            "before_fall": list(self._before_fall),
        }

    @classmethod
    def restore(cls, state: State) -> Self:
        """The detector `snapshot` described."""
        test = cls(**{name: state[name] for name in _PARAMETERS})
        if not state["extrema"]:
            return test
        test._weight, test._mean, test._square = state["moments"]
        test._rise, test._fall = state["sums"]
        test._lowest_rise, test._highest_fall = state["extrema"]
        test._before_rise = tuple(state["before_rise"])
        test._before_fall = tuple(state["before_fall"])
        return test
