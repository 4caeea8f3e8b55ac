"""Whether a share is beyond a limit that was set beforehand, at a false alarm rate by theorem."""

import math
from collections.abc import Sequence
from typing import Self

from detectors.base import State

_PARTS = (0.02, 0.1, 0.3, 0.6, 0.95)  # of the way from the limit to 1: the shares bet on
_LOG_MOST = 700.0
_SURE = 1.6448536269514722  # 19 times in 20


class LimitDetector:
    """Shiryaev-Roberts accounts of bets that events come more often than a limit allows.

    Intuition: a bet on the share q > limit multiplies its stake by q / limit for an event and by
    (1 - q) / (1 - limit) for none; a fresh stake of 1 is laid for each value, and the accounts of
    all stakes are added up, M <- (M + n) E, averaged over the shares bet on.

    Guarantee (theorem): if each value is an event with a probability of at most `limit`, whatever
    came before, every factor has an expectation of at most 1, so that on average at least 1 / r
    values pass before the average of the accounts reaches 1 / r. One that is begun later, or begun
    anew, holds less than one that never was: the guarantee stays. It holds for values between 0
    and 1 too whose mean, given those before, is at most `limit`: a factor is convex in its value.
    With a `weight` below 1, of values that depend, factors are taken to that power, which keeps
    their expectation at 1 or below (Jensen); it is a measure of caution then, no theorem.

    Memory: two numbers a bet. Time: O(bets) a pane.

    Args:
        odds: of the shares bet on, as multiples of those of the limit; None: shares a part of the
            way from the limit to 1, for limits that are passed by far.

    Example:
        >>> detector = LimitDetector(limit=0.05)
        >>> [round(detector.update(x, 20), 1) for x in (1, 0, 8, 9)]
        [1.7, 1.8, 12.5, 25.6]

    Source: Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change
    detection", New England J. Statistics in Data Science 2, 2023.
    """

    def __init__(self, *, limit: float, odds: Sequence[float] | None = None) -> None:
        """Raises ValueError: a limit that is no share."""
        if not 0.0 < limit < 1.0:
            raise ValueError(f"limit must be in (0, 1): {limit}")
        self.limit, self.odds = limit, None if odds is None else tuple(odds)
        if self.odds is None:
            bets = [limit + part * (1.0 - limit) for part in _PARTS]
        else:
            bets = [limit * of / (1.0 - limit + limit * of) for of in self.odds]
        self._won = [math.log(bet / limit) for bet in bets]
        self._lost = [math.log((1.0 - bet) / (1.0 - limit)) for bet in bets]
        self._logs = [-math.inf] * len(bets)
        self._rise = [0.0] * len(bets)  # of each bet, since it last had nothing won

    @property
    def statistic(self) -> float:
        """ln of the mean account."""
        most = max(self._logs)
        if math.isinf(most):
            return most
        total = math.fsum(math.exp(one - most) for one in self._logs)
        return most + math.log(total / len(self._logs))

    @property
    def is_idle(self) -> bool:
        """No bet has anything won: there is no more to it than at the beginning."""
        return max(self._rise) <= 0.0

    @property
    def rises(self) -> tuple[float, ...]:
        """What each bet has won since it last had nothing won."""
        return tuple(self._rise)

    def update(self, x: float, n: int, weight: float = 1.0) -> float:
        """Of n values x were events, or x is their sum; the statistic then."""
        for k, (won, lost) in enumerate(zip(self._won, self._lost, strict=True)):
            gain = (x * won + (n - x) * lost) * weight
            self._logs[k] = min(_added(self._logs[k], math.log(n)) + gain, _LOG_MOST)
            self._rise[k] = min(max(self._rise[k] + gain, 0.0), _LOG_MOST)
        return self.statistic

    def temper(self, weight: float) -> None:
        """What was won so far, as if values had had this weight all along."""
        self._logs = [one * weight if one > 0.0 else one for one in self._logs]
        self._rise = [one * weight for one in self._rise]

    def snapshot(self) -> State:
        logs = [None if math.isinf(one) else one for one in self._logs]
        plain = {"limit": self.limit, "logs": logs, "rise": list(self._rise)}
        return plain if self.odds is None else plain | {"odds": list(self.odds)}

    @classmethod
    def restore(cls, state: State) -> Self:
        """The detector `snapshot` described."""
        detector = cls(limit=state["limit"], odds=state.get("odds"))
        detector._logs = [-math.inf if one is None else one for one in state["logs"]]
        detector._rise = list(state["rise"])
        return detector


def _added(log_a: float, log_b: float) -> float:
    """ln(a + b)."""
    large, small = max(log_a, log_b), min(log_a, log_b)
    return large if math.isinf(small) else large + math.log1p(math.exp(small - large))


def sure_values(limit: float, share: float, threshold: float, odds: Sequence[float]) -> float:
    """Values within which events of this share are told 19 times in 20, or sooner; infinite where
    no bet wins by them. By one bet alone, from nothing won: a normal sum, as `power` has it.

    >>> round(sure_values(0.05, 0.075, 21.0, (1.1, 1.3, 1.7)))
    6533
    """
    height = threshold + math.log(len(odds))
    least = math.inf
    for of in odds:
        bet = limit * of / (1.0 - limit + limit * of)
        won, lost = math.log(bet / limit), math.log((1.0 - bet) / (1.0 - limit))
        drift = share * won + (1.0 - share) * lost
        if drift <= 0.0:
            continue
        spread = _SURE * (won - lost) * math.sqrt(share * (1.0 - share))
        root = (spread + math.sqrt(spread * spread + 4.0 * drift * height)) / (2.0 * drift)
        least = min(least, root * root)
    return least
