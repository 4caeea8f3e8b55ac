"""What cannot be used, and why; and that nothing else is lost by it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from stream.events import Records
from stream.records import decode_outcomes, decode_predictions
from stream.rules import ModelRule
from tests.streams import SMALL, outcome, prediction, records, value_of

RULES = replace(SMALL, max_record_bytes=2_000, max_features=5)


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}


def text(event: dict[str, Any], old: str, new: str) -> bytes:
    changed = value_of(event).replace(old.encode(), new.encode(), 1)
    assert changed != value_of(event)
    return changed


GOOD = prediction("p", 1_000, features={"x": 1.5})
TRUTH = outcome("p", 1_000)
DEEP = b"[" * 101 + b"]" * 101

BAD_PREDICTIONS: list[tuple[str, bytes | None]] = [
    ("empty", None),
    ("empty", b""),
    ("oversize", value_of(GOOD | {"note": "x" * 2_000})),
    ("not_json", b"{"),
    ("not_json", b"plain text"),
    ("not_json", value_of(GOOD) + b"}"),
    ("not_utf8", text(GOOD, '"m"', '"\\ud800"')),
    ("not_utf8", value_of(GOOD).replace(b'"p"', b'"\xff\xfe"')),
    *[("missing_field", value_of(without(GOOD, name))) for name in GOOD],
    ("wrong_type", value_of(GOOD | {"model_version": 7})),
    ("wrong_type", value_of(GOOD | {"features": [1]})),
    ("wrong_type", value_of(GOOD | {"prediction_id": ""})),
    ("wrong_type", value_of(GOOD | {"prediction": {"score": "high"}})),
    ("wrong_type", b"[]"),
    ("wrong_type", b"null"),
    ("out_of_range", text(GOOD, "1.5", "1e999")),
    ("out_of_range", text(GOOD, "1.5", "-1e999")),
    ("not_finite", text(GOOD, "1.5", "NaN")),
    ("not_finite", text(GOOD, "1.5", "Infinity")),
    ("not_finite", text(GOOD, "1.5", "-Infinity")),
    ("invalid_time", value_of(GOOD | {"predicted_at": "yesterday"})),
    ("invalid_time", value_of(GOOD | {"predicted_at": "2026-11-22T10:00:00"})),
    ("invalid_time", value_of(GOOD | {"predicted_at": "1969-12-31T23:59:59Z"})),
    ("invalid_time", value_of(GOOD | {"predicted_at": -1})),
    ("invalid_time", value_of(GOOD | {"predicted_at": 7_258_118_400_000})),
    ("too_many_features", value_of(GOOD | {"features": dict.fromkeys("abcdef", 1)})),
    ("too_deep", text(GOOD, "1.5", DEEP.decode())),
    ("no_prediction", value_of(GOOD | {"prediction": {}})),
    ("no_prediction", value_of(GOOD | {"prediction": {"label": None, "probabilities": {"a": 1}}})),
]
BAD_OUTCOMES: list[tuple[str, bytes | None]] = [
    ("empty", None),
    ("not_json", b"\x00"),
    *[("missing_field", value_of(without(TRUTH, name))) for name in TRUTH],
    ("wrong_type", value_of(TRUTH | {"revision": "1"})),
    ("wrong_type", value_of(TRUTH | {"revision": -1})),
    ("wrong_type", value_of(TRUTH | {"retracted": 1})),
    ("invalid_time", value_of(TRUTH | {"observed_at": "2026-13-01T00:00:00Z"})),
    ("no_actual", value_of(TRUTH | {"actual": {}})),
    ("no_actual", value_of(TRUTH | {"actual": {"label": None}})),
]


@pytest.mark.parametrize(("reason", "value"), BAD_PREDICTIONS)
def test_a_bad_prediction_is_a_dead_letter_and_its_neighbours_are_not(
    reason: str, value: bytes | None
) -> None:
    decoded = decode_predictions(records([GOOD, value, GOOD]), RULES, include_payload=False)
    assert [effect.letter.reason for effect in decoded.dead] == [reason]
    assert decoded.dead[0].letter.offset == 1
    assert [event.prediction_id for event in decoded.events] == ["p", "p"]
    assert decoded.time_ms.tolist() == [1_000, 1_000]


@pytest.mark.parametrize(("reason", "value"), BAD_OUTCOMES)
def test_a_bad_outcome_is_a_dead_letter_and_its_neighbours_are_not(
    reason: str, value: bytes | None
) -> None:
    batch = records([TRUTH, value, TRUTH], "outcomes")
    decoded = decode_outcomes(batch, RULES, include_payload=False)
    assert [effect.letter.reason for effect in decoded.dead] == [reason]
    assert len(decoded.events) == 2


def test_every_reason_that_the_contract_names_was_met() -> None:
    named = {
        *("oversize", "not_json", "not_utf8", "missing_field", "wrong_type", "out_of_range"),
        *("invalid_time", "empty", "too_many_features", "too_deep", "no_prediction", "no_actual"),
        "not_finite",
    }
    assert {reason for reason, _ in BAD_PREDICTIONS + BAD_OUTCOMES} == named


def test_a_model_that_is_not_configured_is_unknown_once_one_is() -> None:
    rules = replace(RULES, models={"m": ModelRule()})
    batch = records([GOOD, GOOD | {"model_id": "n"}])
    decoded = decode_predictions(batch, rules, include_payload=False)
    assert [effect.letter.reason for effect in decoded.dead] == ["unknown_model"]
    assert len(decode_predictions(batch, RULES, include_payload=False).events) == 2


def test_a_letter_says_where_the_record_is_and_holds_the_payload_only_by_opt_in() -> None:
    batch = Records("t", 3, [41, 77], [None, 1_234], [value_of(GOOD), b"{"])
    for include in (False, True):
        (effect,) = decode_predictions(batch, RULES, include_payload=include).dead
        letter = effect.letter
        assert (letter.topic, letter.partition, letter.offset) == ("t", 3, 77)
        assert letter.timestamp_ms == 1_234
        assert letter.payload_sha256 == hashlib.sha256(b"{").hexdigest()
        assert letter.payload_bytes == 1
        assert letter.payload_base64 == ("ew==" if include else None)
        assert json.loads(effect.value)["reason"] == "not_json"


BAD_CELLS: list[Any] = [None, [1], {"a": 1}, "n/a", 10**400, 1e300]


@pytest.mark.parametrize("cell", BAD_CELLS)
def test_one_bad_feature_value_does_not_lose_the_event(cell: Any) -> None:
    event = GOOD | {"features": {"x": cell, "y": 2}}
    decoded = decode_predictions(records([event]), RULES, include_payload=False)
    assert not decoded.dead
    assert decoded.events[0].features["y"] == 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (0, 0),
        (7_258_118_399_999, 7_258_118_399_999),
        ("1970-01-01T00:00:01.0019Z", 1_001),
        ("1970-01-01T02:00:01.5+02:00", 1_500),
        ("1969-12-31T23:00:00-01:00", 0),
    ],
)
def test_times_are_floored_to_the_millisecond(said: Any, expected: int) -> None:
    event = GOOD | {"predicted_at": said}
    decoded = decode_predictions(records([event]), RULES, include_payload=False)
    assert decoded.time_ms.tolist() == [expected]


def test_unknown_fields_are_allowed_and_brackets_in_texts_are_no_depth() -> None:
    event = GOOD | {"note": "[{" * 200, "list": [[] for _ in range(150)]}
    assert len(decode_predictions(records([event]), RULES, include_payload=False).events) == 1


def test_nesting_up_to_the_limit_is_accepted() -> None:
    nested = "[" * 98 + "]" * 98  # in two objects: 100 deep
    value = text(GOOD, "1.5", nested)
    assert len(decode_predictions(records([value]), RULES, include_payload=False).events) == 1


def test_a_hostile_record_costs_no_more_steps_than_its_size() -> None:
    """Many brackets and a text without end: if every quote began a search to the end, this would
    take half an hour."""
    hostile = b"[" * 101 + b'"' + b'\\"' * 400_000
    batch = records([hostile])
    decoded = decode_predictions(batch, SMALL, include_payload=False)
    assert [effect.letter.reason for effect in decoded.dead] == ["too_deep"]
    unclosed = b'{"note":[' + b"[]," * 150 + b'"' + b'\\"' * 200_000
    decoded = decode_predictions(records([unclosed]), SMALL, include_payload=False)
    assert [effect.letter.reason for effect in decoded.dead] == ["not_json"]
