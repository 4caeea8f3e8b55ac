"""Bernoulli CUSUM: a rate that rose above its reference, found after a handful of events."""

import math
from typing import Self

import numpy as np
import numpy.typing as npt

from detectors.base import Change, State

_UNIT = 2**20  # log-likelihoods are whole multiples of 1 / _UNIT nats: sums are exact
_FIRST_STRETCH = 256  # panes searched for the next alarm at first; doubles while none is found

_PARAMETERS = (
    "reference_rate",
    "reference_count",
    "min_rise",
    "ratio",
    "threshold",
    "series",
    "doubt",
)


def rate_upper_bound(rate: float, count: int, doubt: float) -> float:
    """Rate that a sample of `count` with this rate leaves possible with probability `doubt`.

    The p >= rate with count * KL(rate || p) = ln(1 / doubt): Chernoff's bound inverted, never
    below the exact one (Clopper-Pearson), and equal to it at rate 0. O(1).

    >>> round(rate_upper_bound(0.0, 10_000, 0.001), 6)
    0.000691
    """

    def divergence(p: float) -> float:
        zero = (1.0 - rate) * math.log((1.0 - rate) / (1.0 - p)) if rate < 1.0 else 0.0
        return zero + (rate * math.log(rate / p) if rate > 0.0 else 0.0)

    enough = math.log(1.0 / doubt) / count
    low, high = rate, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if middle >= 1.0 or divergence(middle) > enough:
            high = middle
        else:
            low = middle
    return high


class RateCusum:
    """CUSUM of log-likelihood ratios for k events among n: nulls, absents, type errors, unseen.

    Intuition: a gambler bets on the raised rate p1 against p0. Each event wins ln(p1 / p0), each
    non-event loses ln((1 - p0) / (1 - p1)); at 0 the account is closed and opened anew, so that
    only the recent past counts. An account of h nats is told, and play starts again from 0.
    Only rises are told: a rate of faults that falls is no fault.

    p0 is an upper confidence bound of the reference rate, not the rate itself: a plug-in rate from
    too small a reference would alarm for ever. It is at least 1 / reference_count.
    p1 = max(p0 + min_rise, ratio * p0), at most halfway from p0 to 1. Rates below the break-even
    point between p0 and p1 (`break_even`) lose on average and are found late or never. Where
    p0 + min_rise reaches 1, no rise is possible and nothing is ever told.

    By Lorden's bound a stationary rate of at most p0 gives a false alarm at most every e^h updates
    on average: one per 1e6 by default. `series` adds ln(series) to h, splitting that budget.

    O(1) memory; about 0.1 s per million updates plus 15 µs per alarm. Log-likelihoods are integers
    of 2^-20 nats, so sums are exact and the vector may be cut anywhere; exact below 4e11 events in
    one vector.

    Args:
        reference_rate: events per value in the reference, in [0, 1].
        reference_count: values in the reference, at least 1.
        min_rise: smallest rise worth telling.
        ratio: p1 / p0 aimed at.
        threshold: h for one series, in nats.
        series: how many series share the budget.
        doubt: probability that the reference rate lies above p0.

    Raises:
        ValueError: a parameter out of range; more events than values; a negative weight.

    Example:
        >>> rng = np.random.default_rng(12345)
        >>> nulls = (rng.random(2000) < np.where(np.arange(2000) < 1000, 0.0, 0.3)).astype(int)
        >>> cusum = RateCusum(reference_rate=0.0, reference_count=10_000)
        >>> change = cusum.update_many(nulls, np.ones(2000, dtype=np.int64))[0]
        >>> change.index, change.after_weight, round(change.after_mean, 2)
        (1006, 7, 0.86)

    Source: Page, Biometrika 41, 1954; Reynolds & Stoumbos, "A CUSUM chart for monitoring a
    proportion when inspecting continuously", J. Quality Technology 31, 1999; Lorden, Annals of
    Mathematical Statistics 42, 1971.
    """

    def __init__(
        self,
        *,
        reference_rate: float,
        reference_count: int,
        min_rise: float = 0.01,
        ratio: float = 3.0,
        threshold: float = math.log(1e6),
        series: int = 1,
        doubt: float = 0.001,
    ) -> None:
        if not 0.0 <= reference_rate <= 1.0 or reference_count < 1 or series < 1:
            raise ValueError("reference_rate in [0, 1], reference_count and series at least 1")
        if not (min_rise > 0.0 and ratio >= 1.0 and threshold > 0.0 and 0.0 < doubt < 1.0):
            raise ValueError("min_rise, threshold positive, ratio at least 1, doubt in (0, 1)")
        self.reference_rate = float(reference_rate)  # plain, so that changes are plain too
        self.reference_count = int(reference_count)
        self.min_rise = min_rise
        self.ratio = ratio
        self.threshold = threshold
        self.series = series
        self.doubt = doubt
        bound = rate_upper_bound(reference_rate, reference_count, doubt)
        self.p0 = max(bound, 1.0 / reference_count)
        self.p1 = min(max(self.p0 + min_rise, ratio * self.p0), (1.0 + self.p0) / 2.0)
        self._bar = round((threshold + math.log(series)) * _UNIT)
        self._win = self._loss = 0
        if self.p0 + min_rise < 1.0:
            self._win = round(math.log(self.p1 / self.p0) * _UNIT)
            self._loss = round(math.log((1.0 - self.p0) / (1.0 - self.p1)) * _UNIT)
        self._account = 0  # in units of 1 / _UNIT nats
        self._events_since = 0  # since the account was last 0: the estimated change
        self._weight_since = 0

    @property
    def break_even(self) -> float:
        """Rate above which the account grows on average; 1.0 where no rise is possible."""
        return self._loss / (self._win + self._loss) if self._win else 1.0

    def update(self, events: int, weight: int = 1) -> Change | None:
        """Feed one pane: `events` among `weight` values."""
        changes = self.update_many(np.array([events]), np.array([weight]))
        return changes[0] if changes else None

    def update_many(
        self, events: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]
    ) -> list[Change]:
        """Feed n panes in order: events[i] among weights[i] values; arrays of shape (n,).

        Equal, exactly, to n calls of `update`.
        """
        if len(events) != len(weights):
            raise ValueError("events and weights differ in length")
        if ((events < 0) | (events > weights)).any():
            raise ValueError("events must lie between 0 and the weight")
        events, weights = events.astype(np.int64), weights.astype(np.int64)
        steps = events * self._win - (weights - events) * self._loss
        changes = []
        start, stretch = 0, _FIRST_STRETCH
        while start < len(steps):
            part = slice(start, start + stretch)
            change = self._advance(start, steps[part], events[part], weights[part])
            if change is None:
                start, stretch = start + stretch, 2 * stretch
            else:
                changes.append(change)
                start, stretch = change.index + 1, _FIRST_STRETCH
        return changes

    def _advance(
        self,
        start: int,
        steps: npt.NDArray[np.int64],
        events: npt.NDArray[np.int64],
        weights: npt.NDArray[np.int64],
    ) -> Change | None:
        """Go on to the first alarm of this stretch, or to its end."""
        path = self._account + np.cumsum(steps)
        accounts = path - np.minimum(np.minimum.accumulate(path), 0)
        reached = accounts >= self._bar
        alarm = int(reached.argmax()) if reached.any() else -1
        end = alarm + 1 if alarm >= 0 else len(steps)
        zeros = np.flatnonzero(accounts[:end] == 0)
        if len(zeros):
            self._events_since = self._weight_since = 0
        since = slice(int(zeros[-1]) + 1 if len(zeros) else 0, end)
        self._events_since += int(events[since].sum())
        self._weight_since += int(weights[since].sum())
        self._account = int(accounts[end - 1])
        if alarm < 0:
            return None
        change = self._describe(start + alarm)
        self._account = self._events_since = self._weight_since = 0
        return change

    def _describe(self, index: int) -> Change:
        rate = self._events_since / self._weight_since
        return Change(
            index=index,
            statistic=self._account / _UNIT,
            threshold=self._bar / _UNIT,
            direction="up",
            before_mean=self.reference_rate,
            before_weight=self.reference_count,
            before_variance=self.reference_rate * (1.0 - self.reference_rate),
            after_mean=rate,
            after_weight=self._weight_since,
            after_variance=rate * (1.0 - rate),
            weight_since_change=self._weight_since,
        )

    def snapshot(self) -> State:
        """Parameters and account."""
        parameters = {name: getattr(self, name) for name in _PARAMETERS}
        account = {
            "account": self._account,
            "events_since": self._events_since,
            "weight_since": self._weight_since,
        }
        return {**parameters, **account}

    @classmethod
    def restore(cls, state: State) -> Self:
        """The detector `snapshot` described."""
        cusum = cls(**{name: state[name] for name in _PARAMETERS})
        cusum._account = int(state["account"])
        cusum._events_since = int(state["events_since"])
        cusum._weight_since = int(state["weight_since"])
        return cusum
