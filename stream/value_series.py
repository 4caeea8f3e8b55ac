"""A numeric series: an input, a score, an error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.adwin import Adwin
from detectors.base import Change
from detectors.calibrated import adwin_delta, page_hinkley_threshold
from detectors.page_hinkley import PageHinkley
from stream.alarm import Alarm, Signal, Times
from stream.mean_levels import Ending, ValuePanes
from stream.rules import Rules
from stream.verdicts import Context, worth_telling

_TOLERANCE = 0.01  # σ: what thresholds are measured at
_FIRST_RANGE = 5.5  # σ, of 200 normal values
_SMALLEST_DELTA, _SMALLEST_RATE = 1e-6, 1e-9
Floats = NDArray[np.float64]


class ValueSeries:
    """A numeric series under ADWIN (and Page-Hinkley where configured).

    ADWIN's bound assumes a range of 1: centre and scale are frozen from the first values (their
    mean and range), unless the range is known, as of an error or a Brier score. Until then the
    panes wait, and what they would have told is not told.
    """

    def __init__(self, rules: Rules, *, unit_range: bool) -> None:
        self._rules = rules
        self._waiting: list[tuple[Floats, ...]] | None = []
        self._range = (np.inf, -np.inf)
        self._count = 0
        self.detectors: dict[str, Adwin | PageHinkley] = {}
        self.alarms = {
            name: Alarm(rules.resolve_after_panes)
            for name, rule in (("adwin", rules.adwin), ("page_hinkley", rules.page_hinkley))
            if rule.enabled
        }
        self._unit_range = unit_range
        self.times = Times()
        self.delta, self.rate = rules.adwin.delta or _SMALLEST_DELTA, 0.0  # until it has its share
        self.tau = 1.0
        self.spread = 0.0  # standard deviation of the first values
        self.last: dict[str, Change] = {}

    @classmethod
    def typical(cls, rules: Rules) -> ValueSeries:
        """Of normal values of mean 0 and spread 1, its scale being known."""
        series = cls(rules, unit_range=False)
        series.spread, series._range = 1.0, (-_FIRST_RANGE / 2.0, _FIRST_RANGE / 2.0)
        series.detectors = {name: series._detector(name) for name in series.alarms}
        return series

    def share(self, rate: float, part: float, tau: float) -> None:
        """This series' false alarms a value, and its part of a δ of the owner's, from the next
        update on. `tau`: values that are worth one."""
        fixed = self._rules.adwin.delta
        self.rate, self.tau = rate, tau
        self.delta = adwin_delta(rate * tau) if fixed is None else fixed * part
        for detector in self.detectors.values():
            if isinstance(detector, Adwin):
                detector.delta, detector.tau = self.delta, self._adwin_tau
            else:
                detector.delta, detector.threshold = self._page_hinkley(detector.scale)

    @property
    def _adwin_tau(self) -> float:
        """With a δ of the owner's it is the paper's."""
        return self.tau if self._rules.adwin.delta is None else 1.0

    def _page_hinkley(self, scale: float) -> tuple[float, float]:
        """δ and λ, in scaled units."""
        rule = self._rules.page_hinkley
        if rule.threshold is not None:
            return rule.delta, rule.threshold
        spread = self.spread / scale if self.spread > 0.0 else 1.0
        rate = self.rate if self.rate > 0.0 else _SMALLEST_RATE
        # τ values of one mean as one that is τ times as large, and τ times as often tolerated
        return _TOLERANCE * spread, page_hinkley_threshold(rate * self.tau, spread * self.tau)

    def use(self, rules: Rules) -> list[str]:
        """Under these rules from the next pane on; the detectors that they end while they tell.

        A detector that they begin starts with the next pane, on the scale that is frozen."""
        self._rules = rules
        ended = []
        for name, rule in (("adwin", rules.adwin), ("page_hinkley", rules.page_hinkley)):
            if not rule.enabled and name in self.alarms:
                if self.alarms.pop(name).firing:
                    ended.append(name)
                self.detectors.pop(name, None)
                self.last.pop(name, None)
            elif rule.enabled and name not in self.alarms:
                self.alarms[name] = Alarm(rules.resolve_after_panes)
                if self._waiting is None:
                    self.detectors[name] = self._detector(name)
        for alarm in self.alarms.values():
            alarm.use(rules.resolve_after_panes)
        for detector in self.detectors.values():
            if isinstance(detector, Adwin):
                detector.clock, detector.tau = rules.adwin.clock, self._adwin_tau
            else:
                detector.delta, detector.threshold = self._page_hinkley(detector.scale)
        return ended

    def update(
        self, context: Context, panes: ValuePanes, ending: Ending
    ) -> list[tuple[str, Signal]]:
        """(detector, signal) in the order of the panes."""
        start_ms, count, mean, variance = panes.start_ms, panes.count, panes.mean, panes.variance
        self.times.add(start_ms, count)
        told: list[tuple[str, Signal]] = []
        first, n = 0, len(count)
        if self._waiting is not None:
            first = self._collect(panes)
        if first < n:
            for name, detector in self.detectors.items():
                changes = [
                    (first + c.index, c, self.times.at(c.weight_since_change, first + c.index, n))
                    for c in detector.update_many(mean[first:], count[first:], variance[first:])
                    if worth_telling(context, c)
                ]
                if changes:
                    self.last[name] = changes[-1][1]
                alarm = self.alarms[name]
                signals = alarm.fold(changes, panes, self._rules.pane_ms, ending)
                told += [(name, signal) for signal in signals]
        self.times.thin()
        return told

    def _collect(self, panes: ValuePanes) -> int:
        """Panes taken for the scale; on the last of them the detectors start."""
        assert self._waiting is not None
        count, mean, variance = panes.count, panes.mean, panes.variance
        total = self._count + np.cumsum(count)
        enough = total >= self._rules.minimum_values
        taken = int(enough.argmax()) + 1 if enough.any() else len(count)
        self._waiting.append((mean[:taken], count[:taken].astype(np.float64), variance[:taken]))
        self._count = int(total[taken - 1])
        self._range = (
            min(self._range[0], float(panes.low[:taken].min())),
            max(self._range[1], float(panes.high[:taken].max())),
        )
        if enough.any():
            self._start()
        return taken

    def _start(self) -> None:
        assert self._waiting is not None
        mean, weight, variance = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        count = weight.astype(np.int64)
        apart = mean - float((mean * weight).sum() / weight.sum())
        self.spread = math.sqrt(float((weight * (variance + apart**2)).sum() / weight.sum()))
        self._waiting = None
        for name in self.alarms:
            self.detectors[name] = self._detector(name)
        for detector in self.detectors.values():
            detector.update_many(mean, count, variance)

    def _detector(self, name: str) -> Adwin | PageHinkley:
        low, high = self._range
        center, scale = (0.0, 1.0) if self._unit_range else ((low + high) / 2, high - low)
        scale = scale if scale > 0 else max(abs(center), 1.0)  # constant so far
        if name == "adwin":
            clock = self._rules.adwin.clock
            return Adwin(
                delta=self.delta, clock=clock, center=center, scale=scale, tau=self._adwin_tau
            )
        delta, threshold = self._page_hinkley(scale)
        return PageHinkley(delta=delta, threshold=threshold, center=center, scale=scale)

    def snapshot(self) -> dict[str, Any]:
        waiting = self._waiting
        return {
            "waiting": None if waiting is None else [list(part) for part in waiting],
            "range": list(self._range),
            "count": self._count,
            "detectors": {name: d.snapshot() for name, d in self.detectors.items()},
            "alarms": {name: alarm.snapshot() for name, alarm in self.alarms.items()},
            "unit_range": self._unit_range,
            "times": self.times.snapshot(),
            "delta": self.delta,
            "rate": self.rate,
            "spread": self.spread,
            **({} if self.tau == 1.0 else {"tau": self.tau}),
        }

    @classmethod
    def restore(cls, rules: Rules, plain: dict[str, Any]) -> ValueSeries:
        series = cls(rules, unit_range=plain["unit_range"])
        waiting = plain["waiting"]
        series._waiting = None if waiting is None else [tuple(part) for part in waiting]
        series._range = (plain["range"][0], plain["range"][1])
        series._count, series.delta = plain["count"], plain["delta"]
        series.tau = plain.get("tau", 1.0)
        series.rate, series.spread = plain.get("rate", 0.0), plain.get("spread", 0.0)  # since 0.2
        for name, state in plain["detectors"].items():
            kind = Adwin if name == "adwin" else PageHinkley
            series.detectors[name] = kind.restore(state)
        series.alarms = {name: Alarm.restore(state) for name, state in plain["alarms"].items()}
        series.times = Times.restore(plain["times"])
        return series
