"""The means of a group under ADWIN and Page-Hinkley, where those are configured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.adwin import Adwin
from detectors.base import Change
from detectors.moments import mean_and_variance
from stream.alarm import SharedTimes, with_times
from stream.columns import Group
from stream.feature_types import FeatureTypes
from stream.findings import Findings
from stream.firing import Patience
from stream.mean_levels import Ending, Level, ValuePanes
from stream.mean_powers import Mean, power_of
from stream.monitor_told import MonitorFinding
from stream.pane_kinds import PaneKind, is_judged
from stream.panes import PaneTable
from stream.power import Lines, note_of
from stream.reference import Reference
from stream.rules import Rules
from stream.value_series import ValueSeries
from stream.verdicts import Context, floor_of_mean

SealedOf = Callable[[str], tuple[Reference | None, float]]
"""Of a series the reference that is sealed, and how many values are worth one."""

_WATCHED_OUTCOMES = ("outcome:error", "outcome:brier")  # in [0, 1]; unbounded losses are not
SHARE = 0.5  # of δ: half for inputs and predictions, half for performance, so that a model's many
# features do not make it slow to see errors


class MonitoredSeries:
    def __init__(self, rules: Rules, model_id: str, kind: PaneKind, types: FeatureTypes) -> None:
        self._rules = rules
        self._times = rules.judgements_of(model_id) if is_judged(kind) else 1
        self._kind = kind
        self._types = types
        self.values: dict[str, ValueSeries] = {}
        self._rate = 0.0  # of false alerts a prediction

    def watch(self, name: str) -> None:
        """Begin the series of a feature, if the rules want it."""
        rules = self._rules
        watched = self._kind == "prediction" or name in _WATCHED_OUTCOMES
        wanted = rules.adwin.enabled or rules.page_hinkley.enabled
        if wanted and watched and self._types[name].numeric:
            self.values.setdefault(name, ValueSeries(rules, unit_range=is_judged(self._kind)))

    def change_type(self, name: str) -> None:
        """Its values are of another type than was thought."""
        self.values.pop(name, None)
        self.watch(name)

    def share(self, rate: float, sealed_of: SealedOf | None = None) -> None:
        """δ and λ follow the number of series, `rate`, the false alerts that the model may raise a
        prediction, and how much values depend (None: as before), from the next pane on."""
        self._rate = rate
        part = self.budget_share
        for name, series in self.values.items():
            tau = series.tau if sealed_of is None else sealed_of(name)[1]
            series.share(rate * part, part, tau)

    @property
    def budget_share(self) -> float:
        return SHARE / self._times / max(len(self.values), 1) / self._rules.sources

    def use(self, rules: Rules) -> list[tuple[str, str]]:
        """Under these rules from the next pane on; the (feature, detector) that they end while it
        fires."""
        self._rules = rules
        ended: list[tuple[str, str]] = []
        for name, series in list(self.values.items()):
            ended += [(name, detector) for detector in series.use(rules)]
            if not series.alarms:
                del self.values[name]
        for name in self._types:
            self.watch(name)
        if self._rate:  # else it is told before the first pane
            self.share(self._rate)
        return ended

    def run(
        self,
        run: PaneTable,
        words: Findings,
        sealed_of: SealedOf,
        undecided: NDArray[np.bool_] | None,
    ) -> list[MonitorFinding]:
        """What a run of panes lets them tell, series by series. `sealed_of`: a series' reference,
        and how much its values depend; `undecided`: panes that are no evidence of any."""
        found: list[MonitorFinding] = []
        if not self.values:
            return found
        rules, share = self._rules, self.budget_share
        patience = Patience(rules.minimum_values, rules.resolve_values, 0, rules.ask_after_ms)
        for name, series in self.values.items():
            feature = run.features.get(name)
            if feature is None or not feature.number.any():
                continue
            has = feature.number > 0
            having = np.flatnonzero(has if undecided is None else has & ~undecided)
            if not len(having):
                continue
            mean, variance = mean_and_variance(feature.number, feature.sums, feature.squares)
            ends = run.pane_end[having]
            panes = ValuePanes(
                ends - rules.pane_ms,
                feature.number[having],
                mean[having],
                variance[having],
                feature.minimum[having],
                feature.maximum[having],
            )
            context = words.context(name, "adwin", share)
            usual = partial(_usual, name, sealed_of)
            ending = Ending(usual, partial(floor_of_mean, context), patience)
            for detector, signal in series.update(context, panes, ending):
                end_ms, (reference, tau) = int(ends[signal.pane]), sealed_of(name)
                found.append(
                    words.of_mean(
                        name, detector, signal, end_ms, share=share, reference=reference, tau=tau
                    )
                )
        return found

    # -- reading

    def powers(self, lines: Lines, group: Group, sealed_of: SealedOf) -> list[dict[str, Any]]:
        """Of each mean that is known by now."""
        found, share = [], self.budget_share
        for name, series in self.values.items():
            reference, tau = sealed_of(name)
            level = None if reference is None else Level.of(reference, name)
            usual = level or Level(0.0, series.spread**2, 0)
            context = Context(self._rules, self._kind, group, name, "adwin", share)
            for detector, test in series.detectors.items():
                before = test.width if isinstance(test, Adwin) else test.weight
                floor = floor_of_mean(context, usual)
                is_calibrated = self._rules.page_hinkley.threshold is None
                mean = Mean(before, math.sqrt(usual.variance), tau, floor, is_calibrated)
                power = power_of(test, mean)
                predictions = power.values
                if reference is not None and level is not None and predictions is not None:
                    predictions *= reference.count / level.count
                found.append(
                    lines.line(
                        name, detector, power, reference=reference.id if reference else None,
                        values=usual.count or before, tau=tau, budget_share=share, floor=floor,
                        predictions=predictions, note=note_of(power),
                    )
                )  # fmt: skip
        return found

    def firing(self) -> list[tuple[str, str]]:
        """(feature, detector)."""
        return [(name, detector) for name, detector, is_firing, _ in self.all() if is_firing]

    def all(self) -> Iterator[tuple[str, str, bool, Change | None]]:
        """(feature, detector, whether it fires, what it told last)."""
        for name, series in self.values.items():
            for detector, alarm in series.alarms.items():
                yield name, detector, alarm.firing, series.last.get(detector)

    # -- state

    def snapshot(self) -> dict[str, Any]:
        shared = SharedTimes()
        values = {name: shared.of(s.snapshot()) for name, s in self.values.items()}
        return {"values": values, "times": shared.all}

    def restore(self, plain: dict[str, Any]) -> None:
        for name, series in plain["values"].items():
            self.values[name] = ValueSeries.restore(self._rules, with_times(series, plain["times"]))


def _usual(name: str, sealed_of: SealedOf) -> tuple[Level | None, float]:
    reference, tau = sealed_of(name)
    return None if reference is None else Level.of(reference, name), tau
