"""The series of a group: of each feature its values, and its rates of faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from detectors.base import Change
from stream.alarm import SharedTimes, with_times
from stream.columns import FEATURE
from stream.feature_types import FeatureTypes
from stream.rate_events import RATES, rate_of
from stream.rate_series import RateName, RateSeries
from stream.reference import Reference
from stream.rules import Rules
from stream.value_series import ValueSeries
from stream.wire import PaneKind

_WATCHED_OUTCOMES = ("outcome:error", "outcome:brier")  # in [0, 1]; unbounded losses are evidence
SHARE = {"prediction": 0.5, "cohort": 0.5}  # of δ: half for inputs and predictions, half for
# performance, so that a model's many features do not make it slow to see errors
Place = tuple[str, RateName]


class MonitoredSeries:
    def __init__(self, rules: Rules, kind: PaneKind, types: FeatureTypes) -> None:
        self._rules = rules
        self._kind = kind
        self._types = types
        self.values: dict[str, ValueSeries] = {}
        self.rates: dict[Place, RateSeries] = {}

    def watch(self, name: str) -> None:
        """Begin the series of a feature that the rules want and that are not there yet."""
        rules, numeric = self._rules, self._types[name].numeric
        watched = numeric and (self._kind == "prediction" or name in _WATCHED_OUTCOMES)
        if watched and (rules.adwin.enabled or rules.page_hinkley.enabled):
            self.values.setdefault(name, ValueSeries(rules, unit_range=self._kind == "cohort"))
        if not (name.startswith(FEATURE) and rules.rates.enabled):
            return
        for rate in RATES:
            if (name, rate) not in self.rates and not (rate == "unseen" and numeric):
                # categories can only be unseen once there is a reference
                self.rates[name, rate] = RateSeries(rules, self_starting=rate != "unseen")

    def change_type(self, name: str, reference: Reference | None) -> None:
        """Its values are of another type than was thought."""
        self.values.pop(name, None)
        self.rates.pop((name, "unseen"), None)
        before = self.rates.pop((name, "type_error"), None)
        self.watch(name)
        if before is not None:
            self.rates[name, "type_error"].alarm = before.alarm  # what fires must be resolved
        self.start([place for place in self.rates if place[0] == name], reference)

    def share(self) -> None:
        """Budgets follow the number of series, from the next pane on."""
        delta = self._rules.adwin.delta * SHARE[self._kind] / max(len(self.values), 1)
        for series in self.values.values():
            series.share(delta)
        for rates in self.rates.values():
            rates.series = len(self.rates)

    def budget_share(self, detector: str) -> float:
        return 1.0 / len(self.rates) if detector in RATES else SHARE[self._kind] / len(self.values)

    def start(self, places: Iterable[Place], reference: Reference | None) -> None:
        """These rates, against a reference that knows their feature."""
        if reference is None:
            return
        for name, rate in places:
            numeric = self._types[name].numeric
            events, weight = rate_of(reference, name, rate, numeric=numeric)
            if weight:
                self.rates[name, rate].start(events / weight, weight)

    def use(self, rules: Rules, reference: Reference | None) -> list[tuple[str, str]]:
        """Under these rules from the next pane on; the (feature, detector) that they end while it
        fires."""
        self._rules = rules
        ended: list[tuple[str, str]] = []
        for name, series in list(self.values.items()):
            ended += [(name, detector) for detector in series.use(rules)]
            if not series.alarms:
                del self.values[name]
        if rules.rates.enabled:
            for rates in self.rates.values():
                rates.use(rules)
        else:
            ended += [place for place, rates in self.rates.items() if rates.alarm.firing]
            self.rates = {}
        before = set(self.rates)
        for name in self._types:
            self.watch(name)
        self.share()
        self.start(self.rates.keys() - before, reference)
        return ended

    # -- reading

    def firing(self) -> list[tuple[str, str]]:
        """(feature, detector)."""
        return [(name, detector) for name, detector, is_firing, _ in self.all() if is_firing]

    def all(self) -> Iterator[tuple[str, str, bool, Change | None]]:
        """(feature, detector, whether it fires, what it told last)."""
        for name, series in self.values.items():
            for detector, alarm in series.alarms.items():
                yield name, detector, alarm.firing, series.last.get(detector)
        for (name, rate), rates in self.rates.items():
            yield name, rate, rates.alarm.firing, rates.last

    # -- state

    def snapshot(self) -> dict[str, Any]:
        shared = SharedTimes()
        return {
            "values": {name: shared.of(s.snapshot()) for name, s in self.values.items()},
            "rates": [[n, rate, shared.of(s.snapshot())] for (n, rate), s in self.rates.items()],
            "times": shared.all,
        }

    def restore(self, plain: dict[str, Any]) -> None:
        rules, times = self._rules, plain.get("times")  # 0.1.0 stored each series' own
        for name, series in plain["values"].items():
            self.values[name] = ValueSeries.restore(rules, with_times(series, times))
        for name, rate, series in plain["rates"]:
            self.rates[name, rate] = RateSeries.restore(rules, with_times(series, times))
