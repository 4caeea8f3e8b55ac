"""The life of alerts over a bank: firing until the difference is back within its floor."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detectors.cusum_bank import CusumBank
from detectors.effects import rate_difference, score_difference, within_floor
from tests.bench.detection_draws import Learnt

Ints = NDArray[np.int64]
STEP = 500  # values between two looks at whether an alert is over


@dataclass
class Watch:
    """Banks and what fires, fed with panes of one value; alerts are counted by series."""

    learnt: Learnt
    alerts: Ints = field(init=False)
    firing_values: int = 0  # seen while firing
    values: int = 0

    def __post_init__(self) -> None:
        self.bank = CusumBank(self.learnt.tilts)
        self.alerts = np.zeros(len(self.bank), dtype=np.int64)
        self._since: dict[int, list[int]] = {}  # firing: sum and number of values since

    def feed(self, x: Ints) -> None:
        """One value a pane and series: x (panes, series), as `Learnt.enter` gives them."""
        position, n = np.arange(len(x)), np.ones_like(x)
        self.values += x.size
        firing = dict.fromkeys(self._since, 0)
        told = self.bank.update(position, x, n)
        for s, pane in zip(told.series.tolist(), told.pane.tolist(), strict=True):
            self._fire(s)
            firing[s] = pane + 1
        for s, start in firing.items():
            self._go_on(s, start, x[:, [s]])

    def _fire(self, s: int) -> None:
        self.alerts[s] += 1
        self._since[s] = [0, 0]

    def _go_on(self, s: int, start: int, x: Ints) -> None:
        """Series s fires from row `start` on: until it is over, and what comes after that."""
        while start < len(x):
            if s in self._since:
                since = self._since[s]
                taken = x[start : start + STEP - since[1] % STEP, 0]
                self._since[s] = [since[0] + int(taken.sum()), since[1] + len(taken)]
                start += len(taken)
                self.firing_values += len(taken)
                if self._since[s][1] % STEP == 0 and self._over(s):
                    del self._since[s]
                    self.bank.restart([s], self.learnt.tilts.take([s]))
            else:
                told = self.bank.update(
                    np.arange(start, len(x)), x[start:], np.ones_like(x[start:]), series=[s]
                )
                if not len(told):
                    return
                self._fire(s)
                start += int(told.pane[0]) + 1

    def _over(self, s: int) -> bool:
        (total, n), tilts, learnt = self._since[s], self.learnt.tilts, self.learnt
        if learnt.scores is None:
            events = tilts.mean[s] * learnt.count
            difference = rate_difference(total, n, events, learnt.count, level=0.99)
        else:
            difference = score_difference(total, n, learnt.count, level=0.99)
        return bool(within_floor(difference, learnt.floor[s]))


def per_million(alerts: Ints, values: float) -> float:
    """Of all series together."""
    return float(alerts.sum()) / values * 1e6


def upper_bound(alerts: Ints, values: float, *, seed: int = 1, level: float = 0.95) -> float:
    """Bootstrap over the series: one bad reference makes many false alarms, so alarms are no
    independent events. With no alarm at all, 3 / values (exact for a Poisson count)."""
    if not alerts.sum():
        return 3.0 / values * 1e6
    rng = np.random.default_rng(seed)
    totals = rng.choice(alerts, (2000, len(alerts))).sum(axis=1)
    return float(np.quantile(totals, level)) / values * 1e6
