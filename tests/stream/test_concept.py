"""Concept drift is what it is called only where the inputs certainly are as before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.model_stage import ModelStage
from stream.pipeline import Pipeline
from stream.rules import Rules
from stream.snapshot import packed
from stream.wire import Renewed
from tests.stream.test_performance import RULES
from tests.streams import Event, alert_bytes, outcome, prediction, records

SLOW = replace(RULES, maturity=600_000, horizon_ms=1_200_000)
GAP_MS = 200
Draw = Callable[[Random, bool], tuple[dict[str, Any], bool]]
"""(features, is right), from a source of chance and whether things have changed."""


def events(draw: Draw) -> tuple[list[Event], list[Event]]:
    random, predictions, outcomes = Random(4), [], []
    for i in range(12_000):
        features, is_right = draw(random, i >= 7_000)
        said, at_ms = random.random() < 0.5, i * GAP_MS
        named = {"label": int(said)}
        predictions.append(prediction(f"p{i}", at_ms, features=features, prediction=named))
        true = {"label": int(said == is_right)}
        outcomes.append(outcome(f"p{i}", at_ms + random.randint(1, 500_000), actual=true))
    return predictions, sorted(outcomes, key=lambda event: event["observed_at"])


def told(draw: Draw, *, ahead: int = 1) -> list[Any]:
    return [effect.alert for effect in worked_off(*events(draw), ahead=ahead).sorted_alerts()]


def worked_off(
    predictions: list[Event],
    outcomes: list[Event],
    *,
    ahead: int,
    rules: Rules = SLOW,
    renewed_ms: int | None = None,
    restored: bool = False,
) -> Pipeline:
    """`ahead`: batches of predictions that come before the outcomes that belong to the first;
    `restored`: from its own state, before each outcome batch."""
    pipeline = Pipeline(rules, 1)
    if renewed_ms is not None:
        pipeline.models[0].renew(Renewed(2, 0, 0, 7, renewed_ms, "m", None))
    batches = range(0, 12_000, 500)
    waiting: list[int] = []
    for start in batches:
        pipeline.predictions(records(predictions[start : start + 500], first_offset=start))
        waiting.append(start)
        while len(waiting) >= ahead:
            first = waiting.pop(0)
            if restored:
                state = packed(pipeline.models[0].snapshot())
                pipeline.models[0] = ModelStage.restore(rules, 0, 1, state)
            part = outcomes[first : first + 500]
            pipeline.outcomes(records(part, "outcomes", first_offset=first))
    for first in waiting:
        part = outcomes[first : first + 500]
        pipeline.outcomes(records(part, "outcomes", first_offset=first))
    pipeline.end_of_input(None)
    return pipeline


def as_before(random: Random, changed: bool) -> tuple[dict[str, Any], bool]:
    return {"a": random.gauss(0, 1), "b": random.choice("xyz")}, (
        random.random() < (0.7 if changed else 0.95)
    )


def with_drift(random: Random, changed: bool) -> tuple[dict[str, Any], bool]:
    features, is_right = as_before(random, changed)
    return features | {"a": features["a"] + (0.6 if changed else 0.0)}, is_right


def with_nulls(random: Random, changed: bool) -> tuple[dict[str, Any], bool]:
    features, is_right = as_before(random, changed)
    return features | ({"a": None} if changed and random.random() < 0.3 else {}), is_right


def losses(alerts: list[Any]) -> list[Any]:
    return [a for a in alerts if a.alertname == "ErrorRateDrift" and a.status == "firing"]


def test_a_relation_that_changed_asks_for_retraining_and_shows_the_inputs() -> None:
    alert = losses(told(as_before))[0]
    assert (alert.kind, alert.recommended_action) == ("concept_drift", "retrain")
    inputs = alert.evidence["inputs"]
    assert inputs["stable"] == 3
    assert {*inputs["differences"]} == {"a", "b", "prediction:label"}
    for one in inputs["differences"].values():
        assert -one["floor"] <= one["low"] <= one["estimate"] <= one["high"] <= one["floor"]


@pytest.mark.parametrize("draw", [with_drift, with_nulls])
def test_where_inputs_moved_too_it_is_performance(draw: Draw) -> None:
    assert {alert.kind for alert in losses(told(draw))} == {"performance"}


@pytest.mark.parametrize("draw", [as_before, with_drift, with_nulls])
def test_it_does_not_matter_how_far_predictions_are_ahead(draw: Draw) -> None:
    assert told(draw) == told(draw, ahead=7) == told(draw, ahead=24)


@pytest.mark.parametrize("silent_ms", [1_700_000, 2_200_000, 9_000_000])
@pytest.mark.parametrize("renewed_ms", [None, 2_300_000])
def test_nor_that_the_predictions_are_forgotten_or_compared_anew_by_then(
    silent_ms: int, renewed_ms: int | None
) -> None:
    """A loss is told at the latest 600 s after the predictions were; by then their life may be
    over, another one have begun, or a reference have been accepted."""
    rules = replace(SLOW, forget_ms=100_000)
    predictions, outcomes = events(as_before)
    is_silent = range(silent_ms, silent_ms + 150_000)
    predictions = [p for p in predictions if p["predicted_at"] not in is_silent]
    first, *others = [
        alert_bytes(
            worked_off(
                predictions,
                outcomes,
                ahead=ahead,
                rules=rules,
                renewed_ms=renewed_ms,
                restored=restored,
            )
        )
        for ahead, restored in ((1, False), (7, True), (24, False), (24, True))
    ]
    assert any(b'"inputs":{"differences":{"' in alert for alert in first)
    assert all(other == first for other in others)
