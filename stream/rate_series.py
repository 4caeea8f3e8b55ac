"""A rate of faults: nulls, absences, values of a wrong type, unseen categories."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from detectors.base import Change
from detectors.rate_cusum import RateCusum
from stream.alarm import Alarm, Signal, Times
from stream.panes import Ints
from stream.rules import Rules
from stream.verdicts import Context, worth_telling

RateName = Literal["null", "absent", "type_error", "unseen"]


class RateSeries:
    """A rate of faults under a Bernoulli CUSUM against a reference rate.

    Without a sealed reference it starts from its own first values; sealing replaces the detector.
    """

    def __init__(self, rules: Rules, *, self_starting: bool) -> None:
        self._rules = rules
        self._first: list[int] | None = [0, 0] if self_starting else None  # events, weight
        self.detector: RateCusum | None = None
        self.alarm = Alarm(rules.resolve_after_panes)
        self.times = Times()
        self.series = 1
        self.last: Change | None = None

    def start(self, rate: float, count: int) -> None:
        rule = self._rules.rates
        self._first = None
        self.detector = RateCusum(
            reference_rate=rate,
            reference_count=count,
            min_rise=rule.min_rise,
            ratio=rule.ratio,
            series=self.series,
        )

    def use(self, rules: Rules) -> None:
        """Under these rules from the next pane on: where they weigh events otherwise, the detector
        starts again, against the same reference."""
        was, self._rules = self._rules.rates, rules
        self.alarm.use(rules.resolve_after_panes)
        if self.detector is not None and rules.rates != was:
            self.start(self.detector.reference_rate, self.detector.reference_count)

    def update(self, context: Context, start_ms: Ints, events: Ints, weights: Ints) -> list[Signal]:
        self.times.add(start_ms, weights)
        first, n = self._collect(events, weights), len(events)
        told: list[Signal] = []
        if first < n and self.detector is not None:
            changes = [
                (first + c.index, c, self.times.at(c.weight_since_change, first + c.index, n))
                for c in self.detector.update_many(events[first:], weights[first:])
                if worth_telling(context, c)
            ]
            if changes:
                self.last = changes[-1][1]
            told = self.alarm.fold(changes, start_ms, self._rules.pane_ms)
        self.times.thin()
        return told

    def _collect(self, events: Ints, weights: Ints) -> int:
        if self._first is None:
            return 0
        total = self._first[1] + np.cumsum(weights)
        enough = total >= self._rules.minimum_values
        taken = int(enough.argmax()) + 1 if enough.any() else len(events)
        self._first = [self._first[0] + int(events[:taken].sum()), int(total[taken - 1])]
        if enough.any():
            self.start(self._first[0] / self._first[1], self._first[1])
        return taken

    def snapshot(self) -> dict[str, Any]:
        return {
            "first": self._first,
            "detector": None if self.detector is None else self.detector.snapshot(),
            "alarm": self.alarm.snapshot(),
            "times": self.times.snapshot(),
            "series": self.series,
        }

    @classmethod
    def restore(cls, rules: Rules, plain: dict[str, Any]) -> RateSeries:
        series = cls(rules, self_starting=False)
        series._first = plain["first"]
        state = plain["detector"]
        series.detector = None if state is None else RateCusum.restore(state)
        series.alarm = Alarm.restore(plain["alarm"])
        series.times = Times.restore(plain["times"])
        series.series = plain["series"]
        return series
