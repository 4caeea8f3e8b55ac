"""Intervals for a mean that hold at all times together: look at them whenever you like."""

import math
from dataclasses import dataclass
from typing import Self

from detectors.base import State

_S = 1.4  # of the stitched boundary, with η = 2
_K1 = (2.0**0.25 + 2.0**-0.25) / math.sqrt(2.0)
_K2 = (math.sqrt(2.0) + 1.0) / 2.0
_ZETA = 3.10555  # ζ(1.4)


def boundary(variance: float, alpha: float, scale: float, least: float) -> float:
    """A sum of centred values passes this at any time with a probability of at most α, `variance`
    being its own variance process: a stitched sub-exponential boundary of this scale, tightest from
    `least` on."""
    v = max(variance, least)
    level = _S * math.log(math.log2(2.0 * v / least)) if v > least else 0.0
    level += math.log(_ZETA / alpha)
    spread = _K1**2 * v * level + (_K2 * scale * level) ** 2
    return math.sqrt(spread) + _K2 * scale * level


@dataclass(frozen=True, slots=True)
class Between:
    estimate: float
    low: float
    high: float


class MeanSequence:
    """An empirical-Bernstein confidence sequence for a mean of bounded values.

    Guarantee (theorem): with probability 1 - α the interval holds, at every time, the mean of what
    was to be expected of each value so far given those before it. Values need not be independent,
    nor alike: the mean may move.

    Panes are fed as sums; each value is compared with the mean of the panes before its own.

    Memory: three numbers and its constants. Time: O(1) a pane.

    Args:
        low, high: what values lie between.
        alpha: of both sides together, at all times together.

    Example:
        >>> sequence = MeanSequence(0.0, 1.0, alpha=0.05)
        >>> for _ in range(100):
        ...     sequence.update(100, 10.0, 10.0)
        >>> between = sequence.interval()
        >>> [round(v, 3) for v in (between.estimate, between.low, between.high)]
        [0.1, 0.086, 0.114]

    Source: Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic
    confidence sequences", Annals of Statistics 49, 2021 (theorem 4, with equation 10); for
    differences of losses of two forecasters Choe & Ramdas, "Comparing sequential forecasters",
    Operations Research 72, 2024.
    """

    def __init__(self, low: float, high: float, *, alpha: float) -> None:
        if not (low < high and 0.0 < alpha < 1.0):
            raise ValueError(f"nothing lies between {low} and {high} at α = {alpha}")
        self.low, self.high, self.alpha = low, high, alpha
        self.count, self.total = 0, 0.0
        self._variance = 0.0

    def update(self, count: int, total: float, squares: float) -> None:
        """A pane of so many values, with their sum and the sum of their squares."""
        guess = (self.total + (self.low + self.high) / 2.0) / (self.count + 1)
        added = squares - 2.0 * guess * total + guess * guess * count
        self._variance += max(added, 0.0)
        self.count += count
        self.total += total

    def interval(self) -> Between:
        if not self.count:
            return Between((self.low + self.high) / 2.0, self.low, self.high)
        scale = self.high - self.low
        bound = boundary(self._variance, self.alpha / 2.0, scale, scale * scale / 4.0)
        mean, wide = self.total / self.count, bound / self.count
        return Between(mean, max(mean - wide, self.low), min(mean + wide, self.high))

    def snapshot(self) -> State:
        sums = [self.count, self.total, self._variance]
        return {"low": self.low, "high": self.high, "alpha": self.alpha, "sums": sums}

    @classmethod
    def restore(cls, state: State) -> Self:
        """The sequence `snapshot` described."""
        made = cls(state["low"], state["high"], alpha=state["alpha"])
        made.count, made.total, made._variance = state["sums"]
        return made
