"""What a matured prediction scored: error, Brier, absolute and squared error."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from stream.pipeline import Pipeline
from stream.rules import ModelRule, Rules
from tests.streams import SMALL, outcome, prediction, records

LOSSES = ("delay_ms", "error", "brier", "absolute_error", "squared_error")


def judged(
    said: dict[str, Any], actual: dict[str, Any] | None, rules: Rules = SMALL
) -> dict[str, Any]:
    """Measure -> number, "null" (unlabelled) or "other"; a measure that does not apply is left
    out."""
    summaries: list[dict[str, Any]] = []

    def observe(kind: str, _group: Any, table: Any) -> None:
        if kind == "cohort":
            summaries.append(table.summary(0))

    pipeline = Pipeline(rules, 1, observe=observe)
    pipeline.predictions(records([prediction("p", 0, prediction=said)]))
    if actual is not None:
        pipeline.outcomes(records([outcome("p", 1_000, actual=actual)], "outcomes"))
    pipeline.end_of_input(100_000)
    (summary,) = summaries
    found: dict[str, Any] = {}
    for name, feature in summary["features"].items():
        number = feature["sum"] if feature["number"] else None
        found[name.removeprefix("outcome:")] = (
            number if number is not None else "null" if feature["null"] else "other"
        )
    return found


@pytest.mark.parametrize(
    ("said", "actual", "expected"),
    [
        ({"label": "a"}, {"label": "a"}, {"error": 0}),
        ({"label": "a"}, {"label": "b"}, {"error": 1}),
        ({"label": 1}, {"label": "1"}, {"error": 0, "recall": 1}),
        ({"label": True}, {"label": "true"}, {"error": 0, "recall": 1}),
        ({"label": True}, {"label": 1}, {"error": 1, "recall": 0}),  # as text: "true" is not "1"
        ({"label": "A"}, {"label": "a"}, {"error": 1}),
        # the score is of the positive label where the actual one is binary
        (
            {"score": 0.75},
            {"label": 1},
            {"error": 0, "recall": 1, "score_true": 0.75, "brier": Fraction(1, 16)},
        ),
        (
            {"score": 0.75},
            {"label": False},
            {
                "error": 1,
                "false_positive_rate": 1,
                "score_false": 0.75,
                "brier": Fraction(9, 16),
            },
        ),
        (
            {"score": 0.5},
            {"label": "true"},
            {"error": 0, "recall": 1, "score_true": 0.5, "brier": Fraction(1, 4)},
        ),
        (
            {"label": "0", "score": 0.25},
            {"label": 0},
            {
                "error": 0,
                "false_positive_rate": 0,
                "score_false": 0.25,
                "brier": Fraction(1, 16),
            },
        ),
        # else of the named label
        (
            {"label": "a", "score": 0.75},
            {"label": "a"},
            {"error": 0, "score_true": 0.75, "brier": Fraction(1, 16)},
        ),
        (
            {"label": "a", "score": 0.75},
            {"label": "b"},
            {"error": 1, "score_false": 0.75, "brier": Fraction(9, 16)},
        ),
        # a positive word, but no name: an error, no Brier
        ({"score": 0.75}, {"label": "Yes"}, {"error": 0}),
        ({"score": 0.25}, {"label": "positive"}, {"error": 1}),
        ({"score": 0.75}, {"label": "b"}, {"error": 1}),
        ({"value": 2.5}, {"value": 4.0}, {"absolute_error": 1.5, "squared_error": Fraction(9, 4)}),
        ({"value": 2.5}, {"label": "a"}, {}),
        ({"label": "a"}, {"value": 2.0}, {}),
        ({"value": 1e300}, {"value": 0.0}, {"absolute_error": "other", "squared_error": "other"}),
        ({"value": 1e90}, {"value": 0.0}, {"absolute_error": 1e90, "squared_error": "other"}),
    ],
)
def test_a_labelled_prediction_has_the_measures_that_apply(
    said: dict[str, Any], actual: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = judged(said, actual)
    assert found.pop("delay_ms") == 1_000
    assert found == expected


def test_an_unlabelled_prediction_is_null_in_delay_and_losses_and_has_no_other_measure() -> None:
    assert judged({"label": "a", "score": 0.5}, None) == dict.fromkeys(LOSSES, "null")


DECLARED = replace(
    SMALL,
    models={"m": ModelRule(classes=("a", "b"), costs=(("a", "b", 5.0), ("c", "c", 0.5)))},
)
OF_CLASSES = ("cost", "recall:", "false_positive_rate:")


@pytest.mark.parametrize(
    ("said", "actual", "expected"),
    [
        ("a", "a", {"recall:a": 1, "false_positive_rate:b": 0, "cost": 0}),
        ("b", "a", {"recall:a": 0, "false_positive_rate:b": 1, "cost": 5}),
        ("a", "b", {"recall:b": 0, "false_positive_rate:a": 1, "cost": 0}),
        ("c", "c", {"false_positive_rate:a": 0, "false_positive_rate:b": 0, "cost": 0.5}),
        (None, "a", {}),  # a score alone names no class
    ],
)
def test_declared_classes_and_costs_are_judged_by_the_labels(
    said: str | None, actual: str, expected: dict[str, Any]
) -> None:
    found = judged({"label": said, "score": 0.5}, {"label": actual}, DECLARED)
    assert {name: value for name, value in found.items() if name.startswith(OF_CLASSES)} == expected


def test_without_an_outcome_there_are_none() -> None:
    assert judged({"label": "a"}, None, DECLARED) == dict.fromkeys(LOSSES, "null")
