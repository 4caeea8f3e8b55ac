"""Concept drift is what it is called only where the inputs certainly are as before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.pipeline import Pipeline
from tests.stream.test_performance import RULES
from tests.streams import Event, outcome, prediction, records

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
    """`ahead`: batches of predictions that come before the outcomes that belong to the first."""
    predictions, outcomes = events(draw)
    pipeline = Pipeline(SLOW, 1)
    batches = range(0, 12_000, 500)
    waiting: list[int] = []
    for start in batches:
        pipeline.predictions(records(predictions[start : start + 500], first_offset=start))
        waiting.append(start)
        while len(waiting) >= ahead:
            first = waiting.pop(0)
            part = outcomes[first : first + 500]
            pipeline.outcomes(records(part, "outcomes", first_offset=first))
    for first in waiting:
        part = outcomes[first : first + 500]
        pipeline.outcomes(records(part, "outcomes", first_offset=first))
    pipeline.end_of_input(None)
    return [effect.alert for effect in pipeline.sorted_alerts()]


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
