"""Whether a share is beyond a limit that was set beforehand, at a false alarm rate by theorem."""

import math
from typing import Self

from detectors.base import State

_PARTS = (0.02, 0.1, 0.3, 0.6, 0.95)  # of the way from the limit to 1: the shares bet on
_LOG_MOST = 700.0


class LimitDetector:
    """Shiryaev-Roberts accounts of bets that events come more often than a limit allows.

    Intuition: a bet on the share q > limit multiplies its stake by q / limit for an event and by
    (1 - q) / (1 - limit) for none; a fresh stake of 1 is laid for each value, and the accounts of
    all stakes are added up, M <- (M + n) E, averaged over the shares bet on.

    Guarantee (theorem): if each value is an event with a probability of at most `limit`, whatever
    came before, every factor has an expectation of at most 1, so that on average at least 1 / r
    values pass before the average of the accounts reaches 1 / r. One that is begun later, or begun
    anew, holds less than one that never was: the guarantee stays.

    Memory: two numbers a bet. Time: O(bets) a pane.

    Example:
        >>> detector = LimitDetector(limit=0.05)
        >>> [round(detector.update(x, 20), 1) for x in (1, 0, 8, 9)]
        [1.7, 1.8, 12.5, 25.6]

    Source: Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change
    detection", New England J. Statistics in Data Science 2, 2023.
    """

    def __init__(self, *, limit: float) -> None:
        """Raises ValueError: a limit that is no share."""
        if not 0.0 < limit < 1.0:
            raise ValueError(f"limit must be in (0, 1): {limit}")
        self.limit = limit
        self._bets = [limit + part * (1.0 - limit) for part in _PARTS]
        self._logs = [-math.inf] * len(_PARTS)
        self._rise = [0.0] * len(_PARTS)  # of each bet, since it last had nothing won

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

    def update(self, x: int, n: int) -> float:
        """Of n values x were events; the statistic then."""
        for k, bet in enumerate(self._bets):
            won = x * math.log(bet / self.limit)
            won += (n - x) * math.log((1.0 - bet) / (1.0 - self.limit))
            self._logs[k] = min(_added(self._logs[k], math.log(n)) + won, _LOG_MOST)
            self._rise[k] = min(max(self._rise[k] + won, 0.0), _LOG_MOST)
        return self.statistic

    def snapshot(self) -> State:
        logs = [None if math.isinf(one) else one for one in self._logs]
        return {"limit": self.limit, "logs": logs, "rise": list(self._rise)}

    @classmethod
    def restore(cls, state: State) -> Self:
        """The detector `snapshot` described."""
        detector = cls(limit=state["limit"])
        detector._logs = [-math.inf if one is None else one for one in state["logs"]]
        detector._rise = list(state["rise"])
        return detector


def _added(log_a: float, log_b: float) -> float:
    """ln(a + b)."""
    large, small = max(log_a, log_b), min(log_a, log_b)
    return large if math.isinf(small) else large + math.log1p(math.exp(small - large))
