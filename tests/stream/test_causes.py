"""What probably is behind a feature's alert is named; what only looks like it is not."""

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
Features = Callable[[Random, bool], dict[str, Any]]


def told(features: Features, *, batch: int = 8_000, gap_ms: int = 200) -> list[Any]:
    random, pipeline = Random(1), Pipeline(SAMPLED, 1)
    made = [
        prediction(f"p{i}", i * gap_ms, features=features(random, i >= 6_000)) for i in range(8_000)
    ]
    for first in range(0, len(made), batch):
        pipeline.predictions(records(made[first : first + batch], first_offset=first))
    pipeline.end_of_input(None)
    return [effect.alert for effect in pipeline.alerts]


def amount(random: Random) -> float:
    return round(random.lognormvariate(3.5, 1.0), 2)


CHANGES: dict[str, tuple[Features, dict[str, Any]]] = {
    "renamed": (
        lambda r, changed: {"amount_eur" if changed else "amount": amount(r), "b": r.random()},
        {"from": "amount", "to": "amount_eur"},
    ),
    "retyped": (
        lambda r, changed: {"amount": str(amount(r)) if changed else amount(r)},
        {"to": "number as text"},
    ),
    "other_unit": (
        lambda r, changed: {"amount": round(amount(r) * 100) if changed else amount(r)},
        {"unit": "×100", "factor": 100.0},
    ),
    "swapped": (
        lambda r, changed: dict(
            zip(
                ("b", "amount") if changed else ("amount", "b"),
                (amount(r), round(r.random(), 3)),
                strict=True,
            )
        ),
        {},
    ),
    "stale": (lambda r, changed: {"amount": 3.5 if changed else amount(r)}, {"value": "3.5"}),
    "stuck": (
        lambda r, changed: {"amount": 3.5 if changed and r.random() < 0.4 else amount(r)},
        {"value": "3.5"},
    ),
    "respelled": (
        lambda r, changed: {
            "country": r.choice("abcde" if changed and r.random() < 0.5 else "ABCDE")
        },
        {},
    ),
    "new_category": (
        lambda r, changed: {
            "country": "Z" if changed and r.random() < 0.5 else r.choice("ABCDE")
        },
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_cause_is_named_and_is_a_fault_of_the_pipeline(what: str) -> None:
    features, facts = CHANGES[what]
    alerts = [a for a in told(features) if a.scope.feature]
    named = [a for a in alerts if "cause" in a.evidence]
    assert named
    assert {a.evidence["cause"]["what"] for a in named} == {what}
    assert {a.recommended_action for a in alerts if a.status == "firing"} == {"fix_pipeline"}
    assert {a.kind for a in named} <= {"schema", "data_quality"}
    assert facts.items() <= named[0].evidence["cause"].items()


def test_a_feature_that_was_renamed_is_named_when_it_is_told_however_rare_predictions_are() -> None:
    features, facts = CHANGES["renamed"]
    first, *_ = (a for a in told(features, gap_ms=3_000) if a.scope.feature == "amount")
    assert first.window.count == 2
    assert facts.items() <= first.evidence["cause"].items()


@pytest.mark.parametrize("far", [0.0, 100.0])
def test_two_values_from_elsewhere_are_not_those_of_a_feature_that_is_gone(far: float) -> None:
    goes: Features = lambda r, changed: {"b": r.gauss(far, 1)} if changed else {"a": r.gauss(50, 9)}  # noqa: E731
    first, *_ = (a for a in told(goes, gap_ms=3_000) if a.scope.feature == "a")
    assert (first.alertname, first.window.count) == ("AbsentFeature", 2)
    assert "cause" not in first.evidence


def test_of_more_categories_than_are_kept_none_is_called_new_that_may_be_known() -> None:
    def features(random: Random, changed: bool) -> dict[str, Any]:
        new = changed and random.random() < 0.5
        return {"country": f"new{random.randrange(9)}" if new else f"old{random.randrange(40)}"}

    named = [a.evidence["cause"]["values"] for a in told(features) if "cause" in a.evidence]
    assert named
    assert all(text.startswith("new") for values in named for text in values)


@pytest.mark.parametrize("what", ["other_unit", "swapped", "renamed", "stuck"])
def test_a_cause_does_not_depend_on_batches(what: str) -> None:
    features, _ = CHANGES[what]
    assert told(features) == told(features, batch=77)


def in_sessions(length: int) -> Features:
    """Customers that come so many times in a row."""
    known: list[float] = []

    def features(random: Random, changed: bool) -> dict[str, Any]:
        if not known or random.random() < 1 / length:
            known[:] = [round(amount(random) * (2.0 if changed else 1.0), 2)]
        return {"amount": known[0]}

    return features


WORLD: dict[str, Features] = {
    "sessions of larger amounts": in_sessions(6),
    "larger amounts": lambda r, changed: {"amount": round(amount(r) * (2.5 if changed else 1), 2)},
    "two that drift": lambda r, changed: {
        "amount": round(amount(r) * (2.0 if changed else 1), 2),
        "b": round(r.gauss(0.8 if changed else 0, 1), 3),
    },
    "two that drift past each other": lambda r, changed: {
        "a": round(r.gauss(0.4 if changed else 0, 1), 3),
        "b": round(r.gauss(0 if changed else 0.4, 1), 3),
    },
    "more zeros where there were many": lambda r, changed: {
        "amount": 0.0 if r.random() < (0.6 if changed else 0.3) else amount(r)
    },
    "fewer items": lambda r, changed: {
        "items": r.choice((1, 1, 1, 2, 3)) if changed else r.choice((1, 2, 3, 4, 5))
    },
    "prices of whole tens": lambda r, changed: {
        "amount": round(amount(r), -1) if changed else amount(r)
    },
    "one that goes and another that comes": lambda r, changed: (
        {"b": round(r.gauss(0, 1), 3)} if changed else {"amount": amount(r)}
    ),
}


@pytest.mark.parametrize("what", WORLD)
def test_what_only_looks_like_a_cause_is_not_named(what: str) -> None:
    alerts = told(WORLD[what])
    assert alerts
    assert not [a for a in alerts if "cause" in a.evidence]


def scored(random: Random, changed: bool) -> dict[str, Any]:
    return {
        "a": round(random.gauss(0.8 if changed else 0.0, 1.0), 3),
        "b": round(random.gauss(0.0, 1.0), 3),
        "c": random.choice("xxxyz" if changed else "xyyzz"),
    }


@pytest.mark.parametrize("is_of_features", [True, False])
def test_predictions_that_move_name_the_features_that_moved_with_them(
    is_of_features: bool,
) -> None:
    random, pipeline = Random(2), Pipeline(SAMPLED, 1)
    made = []
    for i in range(8_000):
        features = scored(random, is_of_features and i >= 6_000)
        value = features["a"] + (0.0 if is_of_features or i < 6_000 else 0.8)
        value += random.gauss(0.0, 0.3)
        made.append(prediction(f"p{i}", i * 200, features=features, prediction={"value": value}))
    pipeline.predictions(records(made))
    pipeline.end_of_input(None)
    alerts = [effect.alert for effect in pipeline.alerts]
    drifts = [a for a in alerts if a.kind == "prediction_drift" and a.sequence == 1]
    found = [a.evidence["moved_with"]["features"] for a in drifts if "moved_with" in a.evidence]
    assert found
    if is_of_features:
        by_name = {one["feature"]: one for one in found[-1]}
        assert set(by_name) == {"a", "c"}
        assert abs(by_name["a"]["before"]) < 0.3 < by_name["a"]["after"]
        assert (by_name["c"]["category"], by_name["c"]["after"] > 0.4) == ("x", True)
        sizes = [one["size"] for one in found[-1]]
        assert sizes == sorted(sizes, reverse=True)
        assert "c x moved most" in drifts[-1].summary
    else:
        assert found == [[]] * len(found)
        assert "no feature" in drifts[-1].summary


def test_where_rows_show_no_feature_those_that_have_alerts_are_named() -> None:
    random, pipeline, made = Random(4), Pipeline(SAMPLED, 1), []
    for i in range(12_000):
        a = round(random.gauss(0.2 if i >= 6_000 else 0.0, 1.0), 3)
        made.append(
            prediction(
                f"p{i}", i * 200, features={"a": a}, prediction={"value": a + random.random()}
            )
        )
    pipeline.predictions(records(made))
    pipeline.end_of_input(None)
    alerts = [effect.alert for effect in pipeline.alerts]
    drifts = [a for a in alerts if a.kind == "prediction_drift"]
    untold = [a for a in drifts if a.evidence["moved_with"]["features"] == []]
    assert untold
    assert all(one.summary.endswith("; drifting too: a") for one in untold)
