"""What a matured prediction scored: error, Brier, absolute and squared error."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import native
from stream.judgement import measures
from stream.pipeline import Pipeline
from stream.rules import ModelRule, Rules
from tests.parsers import Called, needs_the_native_parser
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


ODD = [0.0, -0.0, 0.5, 1.0, 1.5, -3.25, 1e-120, 1e99, -1e101, 1e300, float("nan"), float("inf")]


@needs_the_native_parser
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_the_extension_judges_as_numpy_does(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    said = {
        "has": random.integers(0, 8, count).astype(np.uint8),
        "label": random.integers(0, 3, count).astype(np.uint64),
        "score": random.choice(ODD, count),
        "value": random.choice(ODD, count),
        "time": random.integers(0, 2_000, count),
    }
    truth = {
        "has": random.choice([0, 1, 4, 5, 9, 25, 13, 29], count).astype(np.uint8),
        "label": random.integers(0, 3, count).astype(np.uint64),
        "value": random.choice(ODD, count),
        "effective": random.integers(0, 3_000, count),
    }
    if count:
        said["has"] = np.broadcast_to(said["has"][:1], count) if seed % 2 else said["has"]
    labelled = random.random(count) < 0.8
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        made = []
        for in_use in (True, False):
            called = Called(native.EXTENSION)
            patch.setattr(native, "EXTENSION", called)
            patch.setattr(native, "IN_USE", in_use)
            made.append(measures(said, truth, labelled))
            assert called.names == ({"judged"} if in_use else set())
    by_c, by_numpy = made
    assert list(by_c) == list(by_numpy)
    for name, column in by_c.items():
        assert column.kind.tolist() == by_numpy[name].kind.tolist(), name
        assert column.bits.tolist() == by_numpy[name].bits.tolist(), name


@needs_the_native_parser
def test_columns_of_other_lengths_are_refused() -> None:
    one, eight = np.zeros(2, np.uint8), np.zeros(2)
    columns = [one, eight, eight, eight, eight, one, eight, eight, eight, one]
    assert len(native.EXTENSION.judged(*columns)[0]) == 18
    for place in range(10):
        changed = [*columns]
        changed[place] = columns[place][:1]
        with pytest.raises(ValueError, match="length"):
            native.EXTENSION.judged(*changed)
