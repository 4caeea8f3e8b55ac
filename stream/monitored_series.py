"""The means of a group under ADWIN and Page-Hinkley, where those are configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Change
from detectors.calibrated import adwin_delta
from detectors.moments import mean_and_variance
from stream.alarm import SharedTimes, with_times
from stream.feature_types import FeatureTypes
from stream.findings import Findings
from stream.firing import Patience
from stream.mean_levels import Ending, Level, ValuePanes
from stream.monitor_told import MonitorFinding
from stream.pane_kinds import PaneKind, is_judged
from stream.panes import PaneTable
from stream.reference import Reference
from stream.rules import Rules
from stream.value_series import ValueSeries
from stream.verdicts import floor_of_mean

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

    def share(self, rate: float) -> None:
        """δ and λ follow the number of series and `rate`, the false alerts that the model may
        raise a prediction, from the next pane on."""
        self._rate = rate
        if not self.values:
            return
        own, fixed = rate * self.budget_share, self._rules.adwin.delta
        delta = adwin_delta(own) if fixed is None else fixed * self.budget_share
        for series in self.values.values():
            series.share(delta, own)

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
        sealed_of: Callable[[str], tuple[Reference | None, float]],
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
                end_ms, (reference, _) = int(ends[signal.pane]), sealed_of(name)
                found.append(
                    words.of_mean(name, detector, signal, end_ms, share=share, reference=reference)
                )
        return found

    # -- reading

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


def _usual(
    name: str, sealed_of: Callable[[str], tuple[Reference | None, float]]
) -> tuple[Level | None, float]:
    reference, tau = sealed_of(name)
    return None if reference is None else Level.of(reference, name), tau
