"""A feature that has stopped varying is a fault of the pipeline, not a drift of the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.pipeline import Pipeline
from stream.rules import ReferenceRule
from tests.stream.test_performance import RULES
from tests.streams import prediction, records

SAMPLED = replace(
    RULES,
    reference=ReferenceRule(predictions=3_000, span_ms=20_000),
    pane_rows=64,
    window_rows=512,
    max_categories=8,
)
Value = Callable[[Random, bool], Any]


def told(value: Value, *, gap_ms: int = 200) -> list[Any]:
    random, pipeline = Random(1), Pipeline(SAMPLED, 1)
    made = [
        prediction(f"p{i}", i * gap_ms, features={"x": value(random, i >= 6_000)})
        for i in range(8_000)
    ]
    pipeline.predictions(records(made))
    pipeline.end_of_input(None)
    return [effect.alert for effect in pipeline.alerts]


STALE: dict[str, Value] = {
    "number": lambda random, changed: 0.3 if changed else random.gauss(0, 1),
    "year": lambda random, changed: 2019 if changed else random.randint(2015, 2024),
    "text": lambda random, changed: "B" if changed else random.choice("ABCDE"),
}
OTHERS: dict[str, Value] = {
    "number": lambda random, changed: random.gauss(2.0 if changed else 0.0, 1),
    "year": lambda random, changed: (
        random.randint(2018, 2027) if changed else random.randint(2015, 2024)
    ),
    "text": lambda random, changed: random.choice("AAAAB") if changed else random.choice("ABCDE"),
    "coin": lambda random, changed: int(random.random() < (0.9 if changed else 0.5)),
}


@pytest.mark.parametrize("gap_ms", [200, 7])
@pytest.mark.parametrize("what", STALE)
def test_a_constant_is_told_as_a_fault_of_the_pipeline(what: str, gap_ms: int) -> None:
    alerts = told(STALE[what], gap_ms=gap_ms)
    assert alerts
    first = alerts[0]
    assert (first.kind, first.severity) == ("data_quality", "error")
    assert first.recommended_action == "fix_pipeline"
    assert first.summary.endswith("it has stopped varying")
    assert first.scope.feature == "x"
    assert first.alertname in {"FeatureDrift", "FeatureShapeDrift"}


@pytest.mark.parametrize("what", OTHERS)
def test_a_drift_of_what_varies_is_none(what: str) -> None:
    alerts = told(OTHERS[what])
    assert alerts
    assert {alert.kind for alert in alerts} <= {"feature_drift", "data_quality"}
    assert not any("stopped varying" in alert.summary for alert in alerts)


def test_what_always_was_constant_is_silent() -> None:
    assert told(lambda _random, _changed: 7) == []
