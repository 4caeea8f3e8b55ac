"""Proven mode: a two-sample e-detector, whose false alarm rate is a theorem, not a calibration."""

import math
from collections import deque
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from detectors.base import Change, State

_SHIFTS = (0.15, 0.3, 0.6, 1.2)  # σ, in both directions
_EDGE = 1e-4  # means bet on stay this far inside (0, 1)
_REVEALED = 0.1  # share of the reference that is spent on guessing the mean to bet from
_MIN_RESERVE = 200  # values that wait as reference before a test is made
_LOG_MOST = 700.0  # of an account: keeps exp() finite


def log_e_value(
    x1: float, n1: float, x0: float, n0: float, *, after: float, before: float
) -> float:
    """ln of the e-variable that bets on means `after` and `before` of two samples, given as sums.

    after^x1 (1 - after)^(n1 - x1) before^x0 (1 - before)^(n0 - x0), over the same with one mean
    m = (n1 after + n0 before) / (n1 + n0) for both. Its expectation is at most 1 whenever all
    n1 + n0 values are independent, lie in [0, 1] and have one mean, whatever it is: for events that
    is Turner, Ly & Grünwald's theorem, and the product is convex in each value, so that events are
    the worst case of all values with that mean.

    >>> round(math.exp(log_e_value(30, 100, 10, 100, after=0.3, before=0.1)), 1)
    655.7
    """
    middle = (n1 * after + n0 * before) / (n1 + n0)
    return (
        x1 * math.log(after / middle)
        + (n1 - x1) * math.log((1.0 - after) / (1.0 - middle))
        + x0 * math.log(before / middle)
        + (n0 - x0) * math.log((1.0 - before) / (1.0 - middle))
    )


class EDetector:
    """Shiryaev-Roberts accounts of two-sample bets, over several sizes of change.

    Intuition: every other pane is kept as reference and not looked at; each of the others is tested
    against the oldest reference panes that nobody has looked at yet. A bet on two different means
    multiplies a fresh stake by the e-value of the pair; the accounts of all stakes ever placed are
    added up, M <- (M + n) E, averaged over the sizes of change, and an average of 1 / rate tells.

    Guarantee (theorem): if in each pair the values are independent given the pairs before, lie in
    [0, 1] and have one mean, then on average at least 1 / rate of the values tested pass before an
    alarm: E[T] >= 1 / rate. The mean may be unknown, and may differ from pair to pair, so a drift
    slow against the reserve is allowed, and the reference may be small: nothing is estimated that
    the guarantee leans on. It says nothing of values that depend on each other, nor of a function
    of the values (a rank, a scale) that was fitted to the same reference.

    Price: half of the values are tested, each against a noisy mean: delays are 3 to 5 times those
    of a calibrated bank (tests/detectors/test_e_detector.py measures one), and a change is absorbed
    once the reserve consists of values from after it.

    After an alarm accounts and reserve are empty: it is deaf until 200 values wait again.

    When a change began is not part of the theorem: beside each account runs one that is opened
    anew whenever it falls below its stake, and the best of those has the beginning (`since`).

    Memory: 16 bytes a pane of the reserve. Time: about 10 µs a tested pane.

    Args:
        rate: false alarms per tested value, in (0, 0.1].
        x: sums of the panes of the reference, each value in [0, 1].
        n: values in them, shape (panes,).
        up_only: bet on rises only, twice as much on each.

    Raises:
        ValueError: a rate out of range; a sum below 0 or above its number of values.

    Example:
        >>> rng = np.random.default_rng(12345)
        >>> detector = EDetector(rate=1e-4, x=rng.binomial(20, 0.1, 200), n=np.full(200, 20))
        >>> events = rng.binomial(20, np.where(np.arange(400) < 200, 0.1, 0.3))
        >>> [change.index for change in detector.update_many(events, np.full(400, 20))]
        [208]

    Source: Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change
    detection", New England J. Statistics in Data Science 2, 2023; Turner, Ly & Grünwald, "Generic
    e-variables for exact sequential k-sample tests that allow for optional stopping", J. Stat.
    Planning and Inference 230, 2024.
    """

    def __init__(
        self,
        *,
        rate: float,
        x: npt.ArrayLike = (),
        n: npt.ArrayLike = (),
        up_only: bool = False,
    ) -> None:
        if not 0.0 < rate <= 0.1:
            raise ValueError(f"rate must be in (0, 0.1] false alarms a value: {rate}")
        self.rate = rate
        self.up_only = up_only
        self._shifts = _SHIFTS if up_only else (*_SHIFTS, *(-s for s in _SHIFTS))
        self._forget()
        self.since = 0  # where the last change began
        self._reserve: deque[tuple[float, int]] = deque()
        self._seen = [0.0, 0]  # sum and number of all values that were looked at
        self._turn = 0  # of the next pane: 0 is tested, 1 is kept
        sums, counts = _checked(x, n)
        reveal = _REVEALED * counts.sum()
        for total, count in zip(sums.tolist(), counts.tolist(), strict=True):
            if self._seen[1] < reveal:
                self._look_at(total, count)
            else:
                self._reserve.append((total, count))

    @property
    def reserve(self) -> int:
        """Values that wait as reference."""
        return sum(count for _, count in self._reserve)

    @property
    def level(self) -> float:
        """ln of the mixture, as a share of what tells; 0 while it is below its stake."""
        mixed = _total(self._logs) - math.log(len(self._logs))
        return min(max(mixed / math.log(1.0 / self.rate), 0.0), 1.0)

    def update(self, x: float, n: int = 1, at: int = 0) -> Change | None:
        """Feed one pane: n values in [0, 1] with sum x; `at`: where it lies, for `since`."""
        changes = self.update_many(np.array([x]), np.array([n]), np.array([at]))
        return changes[0] if changes else None

    def update_many(
        self, x: npt.ArrayLike, n: npt.ArrayLike, at: npt.ArrayLike | None = None
    ) -> list[Change]:
        """Feed panes in order, shape (panes,); equal to as many calls of `update`.

        `at`: where the panes lie, ascending; `since` of the last change is one of these.
        """
        changes = []
        sums, counts = _checked(x, n)
        places = np.zeros(len(counts), np.int64) if at is None else np.asarray(at, np.int64)
        for i, (total, count) in enumerate(zip(sums.tolist(), counts.tolist(), strict=True)):
            if count == 0:
                continue
            waiting = self.reserve
            if self._turn == 1 or waiting < max(_MIN_RESERVE, count) or not self._seen[1]:
                self._keep(total, count)
                continue
            self._turn = 1
            change = self._test(i, total, count, int(places[i]))
            if change is not None:
                changes.append(change)
        return changes

    def _keep(self, total: float, count: int) -> None:
        self._turn = 0
        if self._seen[1]:
            self._reserve.append((total, count))
        else:  # something to guess the mean from, before anything waits
            self._look_at(total, count)

    def _look_at(self, total: float, count: int) -> None:
        self._seen = [self._seen[0] + total, self._seen[1] + count]

    def _test(self, index: int, total: float, count: int, at: int) -> Change | None:
        x0, n0 = 0.0, 0
        while n0 < count:
            kept, size = self._reserve.popleft()
            x0, n0 = x0 + kept, n0 + size
        guess = (self._seen[0] + 0.5) / (self._seen[1] + 1.0)  # from earlier pairs: predictable
        sd = math.sqrt(guess * (1.0 - guess))
        before = min(max(guess, _EDGE), 1.0 - _EDGE)
        for k, shift in enumerate(self._shifts):
            after = min(max(before + shift * sd, _EDGE), 1.0 - _EDGE)
            won = log_e_value(total, count, x0, n0, after=after, before=before)
            self._logs[k] = min(_added(self._logs[k], math.log(count)) + won, _LOG_MOST)
            if self._rise[k] <= 0.0:
                self._rise[k], self._from[k] = 0.0, (at, 0.0, 0)
            begun, x1, n1 = self._from[k]
            self._rise[k], self._from[k] = self._rise[k] + won, (begun, x1 + total, n1 + count)
        self._look_at(total + x0, count + n0)
        mixed = _total(self._logs) - math.log(len(self._logs))
        if mixed < math.log(1.0 / self.rate):
            return None
        change = self._describe(index, mixed, guess)
        self._begin_anew()
        return change

    def _describe(self, index: int, mixed: float, guess: float) -> Change:
        best = max(range(len(self._logs)), key=self._logs.__getitem__)
        self.since, x1, n1 = self._from[best]
        now = x1 / n1
        return Change(
            index=index,
            statistic=mixed,
            threshold=math.log(1.0 / self.rate),
            direction="up" if self._shifts[best] > 0 else "down",
            before_mean=guess,
            before_weight=max(int(self._seen[1]) - n1, 1),
            before_variance=guess * (1.0 - guess),
            after_mean=now,
            after_weight=n1,
            after_variance=now * (1.0 - now),
            weight_since_change=n1,
        )

    def _forget(self) -> None:
        bets = len(self._shifts)
        self._logs = [-math.inf] * bets  # ln M of each bet
        self._rise = [0.0] * bets
        self._from = [(0, 0.0, 0)] * bets  # where it began to rise; sum and number since

    def _begin_anew(self) -> None:
        self._forget()
        self._reserve.clear()
        self._seen, self._turn = [0.0, 0], 0

    def snapshot(self) -> State:
        """Accounts, reserve, and what was looked at."""
        return {
            "rate": self.rate,
            "up_only": self.up_only,
            "rise": list(self._rise),
            "from": [list(one) for one in self._from],
            "logs": [None if math.isinf(v) else v for v in self._logs],
            "reserve_x": np.array([x for x, _ in self._reserve], dtype=np.float64),
            "reserve_n": np.array([n for _, n in self._reserve], dtype=np.int64),
            "seen": list(self._seen),
            "turn": self._turn,
        }

    @classmethod
    def restore(cls, state: State) -> Self:
        """The detector `snapshot` described."""
        detector = cls(rate=state["rate"], up_only=state["up_only"])
        detector._rise = list(state["rise"])
        detector._from = [tuple(one) for one in state["from"]]
        detector._logs = [-math.inf if v is None else v for v in state["logs"]]
        waiting: Any = zip(state["reserve_x"].tolist(), state["reserve_n"].tolist(), strict=True)
        detector._reserve = deque(waiting)
        detector._seen, detector._turn = list(state["seen"]), state["turn"]
        return detector


def _checked(
    x: npt.ArrayLike, n: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    sums, counts = np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.int64)
    if sums.ndim != 1 or sums.shape != counts.shape:
        raise ValueError(f"sums and counts must be two rows alike: {sums.shape}, {counts.shape}")
    if not ((sums >= 0.0) & (sums <= counts)).all():
        raise ValueError("values must lie in [0, 1]: a sum is below 0 or above its count")
    return sums, counts


def _added(log_a: float, log_b: float) -> float:
    """ln(a + b)."""
    large, small = max(log_a, log_b), min(log_a, log_b)
    return large if math.isinf(small) else large + math.log1p(math.exp(small - large))


def _total(logs: list[float]) -> float:
    most = max(logs)
    return (
        most if math.isinf(most) else most + math.log(math.fsum(math.exp(v - most) for v in logs))
    )
