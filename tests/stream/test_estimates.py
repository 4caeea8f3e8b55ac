"""Expected errors, which judged predictions may not bear out; what moves along with a feature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.rules import BudgetRule
from tests.stream.test_performance import RULES
from tests.streams import Event, alert_bytes, dealt, outcome, prediction, run

GAP_MS = 200
LABEL_MS = 15_000
Draw = Callable[[Random, bool], tuple[float, float, bool]]
"""(feature, score, truth)"""


def stream(draw: Draw, *, count: int = 9_000, change: int = 6_000, seed: int = 1) -> Any:
    random = Random(seed)
    predictions: list[Event] = []
    outcomes: list[Event] = []
    for i in range(count):
        x, score, truth = draw(random, i >= change)
        at_ms = i * GAP_MS
        said = {"label": int(score >= 0.5), "score": score}
        predictions.append(prediction(f"p{i}", at_ms, prediction=said, features={"x": x}))
        predictions[-1]["_arrival"] = at_ms
        seen_ms = at_ms + random.randint(LABEL_MS // 2, LABEL_MS)
        outcomes.append(outcome(f"p{i}", seen_ms, actual={"label": int(truth)}))
        outcomes[-1]["_arrival"] = seen_ms
    return dealt(predictions, outcomes, 2)


def told(draw: Draw, **options: Any) -> list[Any]:
    return [effect.alert for effect in run(RULES, stream(draw, **options), largest=500).alerts]


def of(alerts: list[Any], name: str) -> list[Any]:
    return [alert for alert in alerts if alert.alertname == name]


def surely(random: Random) -> float:
    return round(random.betavariate(0.3, 0.3), 4)


def unsurely(random: Random) -> float:
    return round(random.betavariate(3, 3), 4)


def harder(random: Random, changed: bool) -> tuple[float, float, bool]:
    """The model is less sure, and rightly so."""
    score = unsurely(random) if changed else surely(random)
    return random.gauss(0, 1), score, random.random() < score


def shyer(random: Random, changed: bool) -> tuple[float, float, bool]:
    """It only says so: it is right as often as before."""
    score = surely(random)
    truth = random.random() < score
    return random.gauss(0, 1), round(0.5 + (score - 0.5) / 3, 4) if changed else score, truth


@pytest.mark.parametrize("seed", range(3))
def test_without_a_change_nothing_is_expected(seed: int) -> None:
    assert told(harder, change=10**9, seed=seed) == []


def test_errors_are_expected_before_labels_are_in_and_page_nobody() -> None:
    alerts = told(harder)
    (expected,) = of(alerts, "EstimatedErrorDrift")
    assert (expected.severity, expected.recommended_action) == ("info", "none")
    assert expected.kind == "performance"
    assert expected.impact.metric == "estimated_error"
    assert expected.effect.low <= expected.effect.estimate <= expected.effect.high
    measured = of(alerts, "ErrorRateDrift")[0]
    assert expected.evaluated_at < measured.evaluated_at
    assert expected.impact.reference == pytest.approx(measured.impact.reference, abs=0.01)


def test_what_judged_predictions_do_not_bear_out_is_withdrawn() -> None:
    expected, withdrawn = of(told(shyer), "EstimatedErrorDrift")
    assert (expected.status, withdrawn.status) == ("firing", "resolved")
    assert withdrawn.summary.startswith("withdrawn, judged predictions do not bear it out: ")
    assert withdrawn.fingerprint == expected.fingerprint


@pytest.mark.parametrize("draw", [harder, shyer])
def test_neither_batches_nor_which_topic_is_ahead_show(draw: Draw) -> None:
    made = stream(draw, count=8_000, change=5_000)
    whole = [alert_bytes(run(RULES, made, Random(seed), largest=700)) for seed in range(3)]
    assert whole[0]
    assert whole[1] == whole[0]
    assert whole[2] == whole[0]


# -- a feature alone is information

NARROW = 0.22  # σ: beyond the floor, below what is large


def feature_moves(score_moves: bool) -> Draw:
    def draw(random: Random, changed: bool) -> tuple[float, float, bool]:
        score = surely(random)
        if changed and score_moves:
            score = round(min(1.0, 0.7 * score + 0.3), 4)
        return random.gauss(NARROW if changed else 0.0, 1), score, random.random() < score

    return draw


LARGE = {"count": 24_000, "change": 12_000}
PATIENT = replace(
    RULES,
    reference=replace(RULES.reference, predictions=10_000),
    budget=BudgetRule(predictions=10_000, span_ms=60_000_000),
)


def severities(draw: Draw) -> list[tuple[str, str, int]]:
    alerts = run(PATIENT, stream(draw, **LARGE), largest=500).alerts
    drift = [e.alert for e in alerts if e.alert.alertname == "FeatureDrift"]
    return [(a.status, a.severity, a.sequence) for a in drift]


def test_drift_of_a_feature_alone_is_information() -> None:
    found = severities(feature_moves(score_moves=False))
    assert found
    assert {severity for _, severity, _ in found} == {"info"}


def test_it_is_a_warning_when_predictions_have_moved() -> None:
    assert severities(feature_moves(score_moves=True))[0] == ("firing", "warning", 1)


def test_it_becomes_a_warning_when_predictions_move_later() -> None:
    def draw(random: Random, changed: bool) -> tuple[float, float, bool]:
        draw.seen += 1  # type: ignore[attr-defined]
        late = draw.seen > 18_000  # type: ignore[attr-defined]
        return feature_moves(score_moves=late)(random, changed)

    draw.seen = 0  # type: ignore[attr-defined]
    assert severities(draw)[:2] == [("firing", "info", 1), ("firing", "warning", 2)]
