"""What a fault did to what outcomes say, counted anew from the events, and what is found of it.

A naive account beside the pipeline's: of its own it has the printed share of the budget, floor and
dependence only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.power import smallest_change
from stream.alert_lines import epoch_ms
from stream.budget import false_alerts_per_prediction
from stream.pipeline import Pipeline
from stream.rules import Rules
from stream.simulate.simulation import Simulation
from stream.simulate.spec import Spec
from stream.wire import MaturityDecision, decode_journal

BINS = 5
SERIES = {
    "performance": ("outcome:error", "outcome:false_positive_rate"),
    "calibration": ("outcome:calibration",),
}
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """Of a rate: by how much it moved behind the onset, over so many values, and the smallest that
    is told within as many 19 times in 20; None: no change is."""

    series: str
    by: float
    values: int
    smallest: float | None

    @property
    def is_found(self) -> bool:
        return self.smallest is not None and abs(self.by) >= self.smallest

    def __str__(self) -> str:
        least = "no change" if self.smallest is None else f"a change of {self.smallest:.2%}"
        return f"{self.series} moved by {self.by:+.2%}, of {self.values:,} values {least} is found"


@dataclass(frozen=True, slots=True)
class Judged:
    """Of a classification, by time: those that have a label within the maturity."""

    count: int  # predictions of the reference
    span_ms: int
    of_reference: Bools
    is_behind: Bools  # the onset
    score: NDArray[np.float64]
    said: Bools
    came_true: Bools


def changes(pipeline: Pipeline, spec: Spec, rules: Rules, kinds: set[str]) -> list[Change] | None:
    """Of each series that such alerts are of, where it moved most for what is found there. None:
    one is not watched."""
    model_id = spec.models[0]
    names = [name for kind in sorted(kinds) for name in SERIES.get(kind, ())]
    lines = {one["series"]: one for one in pipeline.powers() if one["model"] == model_id}
    maturity_ms = _maturity(pipeline)
    if maturity_ms is None or not names or not {*names} <= lines.keys():
        return None
    judged = _judged(spec, rules, maturity_ms)
    budget = rules.budget_of(model_id)
    rate = false_alerts_per_prediction(budget, judged.count, judged.span_ms)
    found = []
    for name in names:
        columns = _columns(name, judged)
        of = [_change(lines[name], x, among, judged, rate=rate) for x, among in columns]
        found.append(max(of, key=lambda one: abs(one.by) / (one.smallest or np.inf)))
    return found


def _maturity(pipeline: Pipeline) -> int | None:
    entries = [decode_journal(entry) for entry in pipeline.journal]
    return next((e.maturity_ms for e in entries if isinstance(e, MaturityDecision)), None)


def _judged(spec: Spec, rules: Rules, maturity_ms: int) -> Judged:
    simulation, model_id = Simulation(spec), spec.models[0]
    said: dict[str, tuple[int, float, bool]] = {}
    truth: dict[str, tuple[int, bool]] = {}
    for predictions, outcomes in simulation.blocks():
        for event in predictions:
            plain = json.loads(event.value)
            prediction = plain["prediction"]
            at_ms = _ms(plain["predicted_at"])
            said[plain["prediction_id"]] = at_ms, prediction["score"], bool(prediction["label"])
        for event in outcomes:
            plain = json.loads(event.value)
            seen = _ms(plain["observed_at"]), bool(plain["actual"]["label"])
            truth[plain["prediction_id"]] = seen
    times = np.sort([at_ms for at_ms, _, _ in said.values()])
    rule = rules.reference_of(model_id)
    count = int(np.searchsorted(times, times[0] + rule.span_ms))
    count = min(max(count, rule.predictions), len(times) - 1)
    onset_ms = epoch_ms(simulation.truth()["faults"][0]["onset"])
    until_ms = spec.end_ms - maturity_ms - rules.grace_ms
    rows = sorted(
        (at_ms, score, label, truth[name][1])
        for name, (at_ms, score, label) in said.items()
        if at_ms <= until_ms and name in truth and truth[name][0] <= at_ms + maturity_ms
    )
    at, score, label, actual = (np.array(column) for column in zip(*rows, strict=True))
    return Judged(
        count,
        int(times[count] - times[0]),
        at < times[count],
        at >= onset_ms,
        score,
        label,
        actual,
    )


def _columns(name: str, judged: Judged) -> Iterator[tuple[Bools, Bools]]:
    """What happens, among which."""
    if name == "outcome:error":
        yield judged.said != judged.came_true, np.ones(len(judged.score), np.bool_)
    elif name == "outcome:false_positive_rate":
        yield judged.said, ~judged.came_true
    else:
        edges = np.quantile(judged.score[judged.of_reference], np.arange(1, BINS) / BINS)
        place = np.searchsorted(edges, judged.score)
        for of_bin in range(BINS):
            yield judged.came_true, place == of_bin


def _change(line: dict[str, Any], x: Bools, among: Bools, of: Judged, *, rate: float) -> Change:
    """`rate`: false alarms a prediction, of the whole budget."""
    before, now = among & of.of_reference, among & of.is_behind
    n, values = int(before.sum()), int(now.sum())
    rate *= line["budget_share"]
    if line["series"] == "outcome:false_positive_rate":
        rate *= of.count / max(n, 1)
    tilts = bernoulli_tilts(
        [int(x[before].sum())], [max(n, 1)], rate=rate, tau=line["tau"], floor=line["floor"]
    )
    by = float(x[now].mean() - tilts.mean[0]) if values else 0.0
    smallest = smallest_change(tilts, within=values, up=by >= 0.0)[0] * tilts.sd[0]
    found = max(float(smallest), line["floor"]) if np.isfinite(smallest) else None
    return Change(line["series"], by, values, found)


def _ms(time: int | str) -> int:
    return time if isinstance(time, int) else epoch_ms(time)
