"""What is spent of what an owner declared acceptable, against a naive count of the same events."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.alert_lines import epoch_ms
from stream.monitor import Monitor
from stream.monitor_state import Sealed
from stream.objectives import ObjectiveCounts
from stream.panes import PaneTable
from stream.pipeline import Pipeline
from stream.rules import HOUR_MS, ModelRule, ObjectiveRule, Rules
from stream.snapshot import packed
from tests.stream.test_performance import RULES, Event, frauds
from tests.streams import outcome, prediction, records

GAP_MS = 2_000
COSTS = (("fraud", "ok", 100.0), ("ok", "fraud", 5.0))
MODEL = ModelRule(
    classes=("fraud",),
    costs=COSTS,
    objectives=(
        ObjectiveRule("error", 0.02, 2 * HOUR_MS),
        ObjectiveRule("cost", 1.5, 3 * HOUR_MS),
        ObjectiveRule("false_positive_rate", 0.05, HOUR_MS, "fraud"),
    ),
)


def events(count: int, change: int, seed: int) -> tuple[list[Event], list[Event]]:
    draw, random = frauds((0.9, 0.4), (0.01, 0.06)), Random(seed)
    predictions, outcomes = [], []
    for i in range(count):
        said, actual = draw(random, i >= change)
        assert actual is not None
        predictions.append(prediction(f"p{i}", i * GAP_MS, prediction=said))
        delay_ms = random.randint(1, 15_000)
        outcomes.append(outcome(f"p{i}", i * GAP_MS + delay_ms, actual=actual))
    return predictions, sorted(outcomes, key=lambda event: event["observed_at"])


def play(rules: Rules, predictions: list[Event], outcomes: list[Event], step: int) -> Pipeline:
    pipeline = Pipeline(rules, 1)
    for start in range(0, len(predictions), step):
        rows = slice(start, start + step)
        pipeline.predictions(records(predictions[rows], first_offset=start))
        pipeline.outcomes(records(outcomes[rows], "outcomes", first_offset=start))
    pipeline.end_of_input(None)
    return pipeline


def naive(
    objective: ObjectiveRule, judged: list[tuple[int, Any, Any]], since_ms: int, end_ms: int
) -> tuple[int, float, float]:
    """Judged, rate over the hours of the objective, rate since the hour of the change."""
    costs = {(true, said): cost for true, said, cost in COSTS}
    values = []
    for at_ms, said, truth in judged:
        pane_end_ms = (at_ms // RULES.pane_ms + 1) * RULES.pane_ms
        hour = (pane_end_ms - 1) // HOUR_MS
        if pane_end_ms > end_ms or hour <= (end_ms - 1 - objective.over_ms) // HOUR_MS:
            continue
        if objective.metric == "cost":
            values.append((hour, costs.get((truth, said), 0.0)))
        elif objective.metric == "error":
            values.append((hour, float(said != truth)))
        elif truth != "fraud":
            values.append((hour, float(said == "fraud")))
    since = [value for hour, value in values if hour >= since_ms // HOUR_MS]
    every = [value for _, value in values]
    return len(every), sum(every) / len(every), sum(since) / len(since)


@pytest.mark.parametrize("seed", range(2))
def test_what_is_told_is_what_a_naive_count_of_the_events_says(seed: int) -> None:
    rules = replace(RULES, models={"m": MODEL})
    predictions, outcomes = events(9_000, 6_000, seed)
    truth = {o["prediction_id"]: o["actual"]["label"] for o in outcomes}
    judged = [
        (p["predicted_at"], p["prediction"]["label"], truth[p["prediction_id"]])
        for p in predictions
    ]
    told = [a.alert for a in play(rules, predictions, outcomes, 500).alerts]
    firing = [a for a in told if "objectives" in a.evidence]
    assert {a.alertname for a in firing} >= {"CostDrift", "ErrorRateDrift"}
    for alert in firing:
        end_ms, since_ms = epoch_ms(alert.window.end), epoch_ms(alert.effect.change_at)
        for objective, series in zip(
            MODEL.objectives,
            ("outcome:error", "outcome:cost", "outcome:false_positive_rate:fraud"),
            strict=True,
        ):
            count, rate, since = naive(objective, judged, since_ms, end_ms)
            spent = alert.evidence["objectives"][series]
            assert spent["judged"] == count
            assert spent["value"] == pytest.approx(rate, rel=1e-3)
            assert spent["budget_spent"] == pytest.approx(rate / objective.at_most, rel=1e-3)
            assert spent["burn_rate"] == pytest.approx(since / objective.at_most, rel=1e-3)
    cost = next(a for a in firing if a.alertname == "CostDrift")
    assert "; of a cost at most 1.5 are acceptable" in cost.summary


def test_it_does_not_depend_on_batches_and_changes_nothing_else_that_is_told() -> None:
    rules = replace(RULES, models={"m": MODEL})
    stream = events(9_000, 6_000, 3)
    told = [{a.value for a in play(rules, *stream, step).alerts} for step in (500, 1_700)]
    assert told[0] == told[1]
    bare = replace(RULES, models={"m": replace(MODEL, objectives=())})
    alerts = [a.alert for a in play(rules, *stream, 500).alerts]
    without = [a.alert for a in play(bare, *stream, 500).alerts]
    others = [a for a in alerts if a.alertname != "ObjectiveMissed"]
    assert [(a.id, a.severity) for a in others] == [(a.id, a.severity) for a in without]


def test_a_monitor_restored_in_the_middle_has_counted_the_same() -> None:
    tables: list[PaneTable] = []
    rules = replace(RULES, models={"m": MODEL})
    pipeline = Pipeline(
        rules,
        1,
        observe=lambda kind, _, table: tables.append(table) if kind == "cohort" else None,
    )
    predictions, outcomes = events(3_000, 2_000, 5)
    for start in range(0, 3_000, 300):
        rows = slice(start, start + 300)
        pipeline.predictions(records(predictions[rows], first_offset=start))
        pipeline.outcomes(records(outcomes[rows], "outcomes", first_offset=start))
    group = ("m", "1", "champion", "")
    whole = Monitor(rules, group, "cohort", rules.reference)
    restored = Monitor(rules, group, "cohort", rules.reference)
    for table in tables:
        whole.update(table)
        restored.update(table)
        held = restored.snapshot()
        sealed = Sealed(packed(held.parts()))
        restored = Monitor.restore(rules, rules.reference, sealed.held(held.to_plain()))
    counted = restored.snapshot().plain["spent"]
    assert counted == whole.snapshot().plain["spent"]
    assert counted.keys() == {"outcome:error", "outcome:cost", "outcome:false_positive_rate:fraud"}
    assert len(counted["outcome:error"]) == 2, "hours"
    assert ObjectiveCounts.restore(counted).snapshot() == counted
    assert "spent" not in Monitor(RULES, group, "cohort", RULES.reference).snapshot().plain
