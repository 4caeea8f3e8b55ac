"""Judged predictions: classes, costs, calibration, and what is undecided without outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, merge
from stream.pipeline import Pipeline
from stream.rules import (
    AdwinRule,
    BudgetRule,
    FloorRule,
    ModelRule,
    PageHinkleyRule,
    ReferenceRule,
    Rules,
)
from tests.stream.monitors import lived
from tests.streams import SMALL, Event, outcome, prediction, records

RULES = replace(
    SMALL,
    adwin=AdwinRule(),
    reference=ReferenceRule(predictions=3_000, span_ms=60_000),
    budget=BudgetRule(predictions=100_000, span_ms=60_000_000),
    floors=FloorRule(),
    minimum_values=200,
    resolve_values=300,
)
GAP_MS = 200
Draw = Callable[[Random, bool], tuple[Event, Event | None]]
"""(what is said, what was true), from a source of chance and whether things have changed."""


def events(
    draw: Draw, count: int, changes: list[int], seed: int
) -> tuple[list[Event], list[Event]]:
    """`changes`: numbers of predictions with which things change, and change back, and so on."""
    random = Random(seed)
    predictions, outcomes = [], []
    for i in range(count):
        said, actual = draw(random, sum(i >= change for change in changes) % 2 == 1)
        at_ms = i * GAP_MS
        predictions.append(prediction(f"p{i}", at_ms, prediction=said))
        if actual is not None:
            delay_ms = random.randint(1, 15_000)
            outcomes.append(outcome(f"p{i}", at_ms + delay_ms, actual=actual))
    return predictions, sorted(outcomes, key=lambda event: event["observed_at"])


def run(rules: Rules, predictions: list[Event], outcomes: list[Event], **options: Any) -> Pipeline:
    pipeline = Pipeline(rules, 1, **options)
    for start in range(0, max(len(predictions), len(outcomes)), 500):
        rows = slice(start, start + 500)
        pipeline.predictions(records(predictions[rows], first_offset=start))
        if outcomes[rows]:
            pipeline.outcomes(records(outcomes[rows], "outcomes", first_offset=start))
    pipeline.end_of_input(None)
    return pipeline


def told(
    draw: Draw, changes: list[int], *, count: int = 9_000, seed: int = 1, rules: Rules = RULES
) -> list[Any]:
    """The alerts about judged predictions."""
    pipeline = run(rules, *events(draw, count, changes, seed))
    alerts = [effect.alert for effect in pipeline.alerts]
    return [a for a in alerts if a.kind in {"performance", "calibration", "label_delay"}]


def names(alerts: list[Any]) -> set[str]:
    return {alert.alertname for alert in alerts}


def scored(score: float, truth: bool) -> tuple[Event, Event]:
    return {"label": int(score >= 0.5), "score": score}, {"label": int(truth)}


def calibrated(random: Random, _changed: bool) -> tuple[Event, Event]:
    score = round(random.betavariate(0.5, 0.5), 3)
    return scored(score, random.random() < score)


def other_scores(random: Random, changed: bool) -> tuple[Event, Event]:
    """The model is surer, and rightly so."""
    score = round(random.betavariate(0.2, 0.2) if changed else random.betavariate(0.5, 0.5), 3)
    return scored(score, random.random() < score)


def overconfident(random: Random, changed: bool) -> tuple[Event, Event]:
    score = round(random.betavariate(0.5, 0.5), 3)
    return scored(score, random.random() < (0.6 * score if changed else score))


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_stays_as_good_as_it_was_is_silent(seed: int) -> None:
    assert told(calibrated, [], seed=seed) == []


def test_scores_that_come_true_less_often_are_a_loss_of_calibration() -> None:
    alerts = told(overconfident, [6_000])
    found = next(a for a in alerts if a.kind == "calibration")
    assert (found.alertname, found.severity) == ("CalibrationDrift", "error")
    assert "what comes true fell from" in found.summary
    assert found.effect.low <= found.effect.estimate <= found.effect.high < 0


def of_dear_scores(random: Random, changed: bool) -> tuple[Event, Event]:
    """Only the highest scores come true less often: few predictions, on the whole."""
    score = round(random.betavariate(0.5, 2), 3)
    return scored(score, random.random() < (0.1 * score if changed and score > 0.3 else score))


def test_a_loss_in_a_part_of_the_scores_is_not_well_again_on_the_whole() -> None:
    alerts = told(of_dear_scores, [6_000], count=16_000)
    statuses = [a.status for a in alerts if a.alertname == "CalibrationDrift"]
    assert statuses
    assert set(statuses) == {"firing"}


def test_other_scores_that_come_true_as_often_as_they_say_are_none() -> None:
    assert "CalibrationDrift" not in names(told(other_scores, [6_000]))


FRAUD = replace(
    RULES,
    models={
        "m": ModelRule(classes=("fraud",), costs=(("fraud", "ok", 100.0), ("ok", "fraud", 2.0)))
    },
)


def frauds(
    found: tuple[float, float], falsely: tuple[float, float] = (0.01, 0.01), share: float = 0.1
) -> Draw:
    """So many are frauds, found so often before and after the change."""

    def draw(random: Random, changed: bool) -> tuple[Event, Event]:
        truth = random.random() < share
        says = random.random() < (found if truth else falsely)[changed]
        text = {True: "fraud", False: "ok"}
        return {"label": text[says]}, {"label": text[truth]}

    return draw


def test_the_recall_of_a_rare_class_is_watched_in_what_is_of_it() -> None:
    alerts = told(frauds((0.9, 0.4)), [6_000], rules=FRAUD)
    recall = next(a for a in alerts if a.alertname == "RecallDrift")
    assert recall.severity == "error"
    assert recall.summary.startswith("m v1: recall:fraud fell from ")
    assert recall.impact.metric == "recall:fraud"
    assert recall.impact.reference == pytest.approx(0.9, abs=0.05)
    assert recall.window.count < 200  # frauds, not predictions


def test_the_cost_is_told_in_the_owners_unit() -> None:
    alerts = told(frauds((0.9, 0.4)), [6_000], rules=FRAUD)
    cost = next(a for a in alerts if a.alertname == "CostDrift")
    assert cost.impact.reference == pytest.approx(1.0, abs=0.3)  # a tenth of a tenth cost 100
    assert cost.effect.low < 5 < cost.effect.high  # to 6
    assert cost.detector.direction == "up"


def test_more_false_positives_are_told_of_the_class_and_better_recall_is_no_error() -> None:
    alerts = told(frauds((0.3, 0.95), (0.01, 0.06), share=0.3), [6_000], rules=FRAUD)
    severity = {a.alertname: a.severity for a in alerts}
    assert severity["FalsePositiveRateDrift"] == "error"
    assert severity["RecallDrift"] == "info"


def missing(random: Random, changed: bool) -> tuple[Event, Event | None]:
    """One in ten is wrong; when things have changed, outcomes of what was right come too late."""
    is_wrong = random.random() < 0.1
    if changed and not is_wrong and random.random() < 0.8:
        return {"label": "a"}, None
    return {"label": "a"}, {"label": "b" if is_wrong else "a"}


def test_missing_outcomes_are_told_and_leave_performance_undecided() -> None:
    alerts = told(missing, [6_000, 8_000], count=12_000)
    assert [(a.alertname, a.status) for a in alerts] == [
        ("LabelDelay", "firing"),
        ("LabelDelay", "resolved"),
    ]
    delay = alerts[0]
    assert (delay.kind, delay.recommended_action) == ("label_delay", "fix_pipeline")
    assert delay.impact.metric == "label_coverage"
    assert delay.impact.value < 0.7 < delay.impact.reference


@pytest.mark.parametrize(
    "means",
    [{"adwin": AdwinRule(enabled=True)}, {"page_hinkley": PageHinkleyRule(enabled=True)}],
)
def test_means_are_undecided_too_while_outcomes_are_missing(means: dict[str, Any]) -> None:
    def worse(random: Random, changed: bool) -> tuple[Event, Event | None]:
        is_wrong = random.random() < (0.5 if changed else 0.1)
        return {"label": "a"}, {"label": "b" if is_wrong else "a"}

    rules = replace(RULES, **means)
    assert names(told(missing, [6_000, 8_000], count=12_000, rules=rules)) == {"LabelDelay"}
    alerts = [effect.alert for effect in run(rules, *events(worse, 9_000, [6_000], 1)).alerts]
    assert {f"ErrorRateDrift{name}" for name in ("Adwin", "PageHinkley")} & names(alerts)


def test_what_was_undecided_is_watched_again_when_outcomes_come() -> None:
    def draw(random: Random, changed: bool) -> tuple[Event, Event | None]:
        return missing(random, changed)

    predictions, outcomes = events(draw, 12_000, [6_000, 8_000], 1)
    worse = {f"p{i}" for i in range(9_500, 12_000, 4)}
    outcomes = [
        o | {"actual": {"label": "b"}} if o["prediction_id"] in worse else o for o in outcomes
    ]
    alerts = [effect.alert for effect in run(RULES, predictions, outcomes).alerts]
    error = next(a for a in alerts if a.alertname == "ErrorRateDrift")
    assert error.starts_at > "1970-01-01T00:28:20"  # of prediction 8,500
    assert error.impact.label_coverage is not None


def test_the_verdict_of_a_cohort_does_not_depend_on_the_order_in_which_outcomes_arrive() -> None:
    predictions, outcomes = events(overconfident, 9_000, [6_000], 1)
    random = Random(7)  # within 4 s: no outcome comes beyond its maturity by that
    shuffled = sorted(outcomes, key=lambda o: (o["observed_at"] // 4_000, random.random()))
    verdicts = [
        [
            (a.alertname, a.status, a.starts_at, a.evaluated_at, a.effect)
            for a in (effect.alert for effect in run(RULES, predictions, some).alerts)
        ]
        for some in (outcomes, shuffled)
    ]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0]


# -- batches and restores


def cohorts(rules: Rules, draw: Draw, count: int, changes: list[int]) -> PaneTable:
    tables: list[PaneTable] = []

    def observe(kind: str, _group: Any, table: PaneTable) -> None:
        if kind == "cohort":
            tables.append(table)

    run(rules, *events(draw, count, changes, 3), observe=observe)
    return merge(tables, rules.pane_rows, rules.max_categories)


def by_monitor(rules: Rules, table: PaneTable, cuts: list[int]) -> list[MonitorFinding]:
    return lived(table, rules, cuts, kind="cohort").findings


@pytest.mark.parametrize(
    ("rules", "draw", "changes"),
    [
        (FRAUD, frauds((0.9, 0.4)), [4_000, 6_000]),
        (RULES, overconfident, [4_000, 6_000]),
        (RULES, missing, [4_000, 6_000]),
    ],
    ids=["classes", "calibration", "missing"],
)
def test_neither_batches_nor_restores_show(rules: Rules, draw: Draw, changes: list[int]) -> None:
    table = cohorts(rules, draw, 8_000, changes)
    whole = by_monitor(rules, table, [])
    assert whole
    cuts = sorted(Random(5).sample(range(1, len(table)), 25))
    assert by_monitor(rules, table, cuts) == whole
