"""Reading by a form that was learned is reading: held against the general way on any bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import familiar, record_columns, typed_columns
from stream.events import LATEST_MS
from stream.familiar import Guess, read_outcomes, read_predictions
from stream.familiar_decoders import of_habit, of_predictions, together_in
from stream.familiar_forms import Form, Forms, form_of
from stream.habits import OUTCOMES, PREDICTIONS, Habit, Habits, habit_of
from stream.known_texts import Known, KnownTexts
from stream.moments import moments_ms
from stream.records import decode_predictions
from stream.rules import ModelRule, Rules
from stream.times import EPOCH, UNCERTAIN, to_ms
from tests.fuzz.forks import mutated
from tests.fuzz.seeds import seeds
from tests.parsers import told
from tests.stream.test_parsers import CELLS, ODD, RULES, SIDES, outcomes, predictions
from tests.stream.test_records import BAD_OUTCOMES, BAD_PREDICTIONS
from tests.streams import Side, outcome, prediction, records, value_of

FEATURES: dict[str, Any] = {"x": 2.5, "n": None, "t": "größe", "b": True, "i": 7}
USUAL = [
    prediction(f"p{i}", "2026-11-22T10:00:00.123Z", features=FEATURES, latency_ms=1.5)
    for i in range(20)
]
USUAL[3]["features"] = FEATURES | {"n": 1.25, "x": 3}
LABELS = [outcome(f"p{i}", "2026-11-22T10:00:00.123Z") for i in range(20)]


KNOWN: Known = (("t", ("größe", "", '\n"')), ("n", ("a",)), ("unheard of", ("b",)))
ON = {"predictions": PREDICTIONS, "outcomes": OUTCOMES}


def learned(events: list[Any]) -> Forms:
    forms = Forms()
    forms.meet(decode_predictions(records(events), RULES, include_payload=False).events)
    return forms


def habit_in(values: list[Any], side: Side) -> Habit | None:
    return habit_of(records(values, side).values, ON[side])


def read(
    values: list[Any], side: Side, rules: Rules, forms: Forms | None, *more: Habit | Known | None
) -> list[Any]:
    """By a form, a habit and known texts wherever one record has them, or all the general way."""
    columns = (
        record_columns.prediction_columns
        if side == "predictions"
        else record_columns.outcome_columns
    )
    habits, texts = {one: Habits(one) for one in ON.values()}, KnownTexts()
    for one in more:
        if isinstance(one, Habit):
            habits[ON[side]].latest = one
        elif one:
            for _ in range(3):
                texts.meet((), {name: list(some) for name, some in one})
            assert texts.among(name for name, _ in one) == one
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_columns, "PARSER", "python")
        patch.setattr(familiar, "_UNFAMILIAR", 1)
        if forms is None:
            patch.setattr(record_columns, "read_predictions", lambda *_: None)
            patch.setattr(record_columns, "read_outcomes", lambda *_: None)
        patch.setattr(record_columns, "_forms", forms or Forms())
        patch.setattr(record_columns, "_said", habits[PREDICTIONS])
        patch.setattr(record_columns, "_true", habits[OUTCOMES])
        patch.setattr(record_columns, "_texts", texts)
        return told(columns(records(values, side), rules, include_payload=True))


def alike(
    values: list[Any],
    side: Side = "predictions",
    rules: Rules = RULES,
    usual: list[Any] | None = None,
) -> None:
    usual = usual or (USUAL if side == "predictions" else LABELS)
    mixed = [*usual[:3], *values, *usual[3:]]
    forms = learned(usual if side == "predictions" else USUAL)
    general = read(mixed, side, rules, None)
    before, among = habit_in(usual, side), habit_in(mixed, side)
    assert before is not None
    wider = among and before.or_so(among)
    for more in ((), (before, KNOWN), (among,), (wider, KNOWN)):
        assert read(mixed, side, rules, forms, *more) == general


def form() -> Form:
    found = learned(USUAL).latest
    assert found is not None
    return found


# -- what it must read, or it would be of no use


def test_what_is_as_before_is_read_by_its_form() -> None:
    assert form() == Form(
        ("x", "n", "t", "b", "i"),
        ("number", "number or null", "text", "flag", "number"),
        ("label",),
    )
    for habit in (None, habit_in(USUAL, "predictions")):
        found = read_predictions(records(USUAL).values, Guess(form(), habit, KNOWN), RULES)
        assert found is not None
        assert (len(found.place), found.asked.tolist()) == (20, [])
    for habit in (None, habit_in(LABELS, "outcomes")):
        of_outcomes = read_outcomes(records(LABELS, "outcomes").values, habit, RULES)
        assert of_outcomes is not None
        assert len(of_outcomes.place) == 20
    alike([])
    alike([], "outcomes")


def test_a_record_that_is_not_as_before_is_left_and_the_others_are_read() -> None:
    values = records([*USUAL, {**USUAL[0], "features": {}}, *USUAL[:14]]).values
    found = read_predictions(values, Guess(form(), habit_in(USUAL, "predictions"), KNOWN), RULES)
    assert found is not None
    assert found.asked.tolist() == [20]
    assert found.place.tolist() == [*range(20), *range(21, 35)]


def test_a_batch_of_something_else_is_not_read() -> None:
    values = records([prediction("p", 1)] * 40).values
    assert read_predictions(values, Guess(form()), RULES) is None
    assert (
        read_predictions(values, Guess(form(), habit_in(USUAL, "predictions"), KNOWN), RULES)
        is None
    )


def test_predictions_that_differ_have_no_form_and_are_looked_at_less_and_less() -> None:
    mixed = decode_predictions(
        records([prediction("a", 1, features={"x": 1}), prediction("b", 1)]),
        RULES,
        include_payload=False,
    ).events
    assert form_of(mixed) is None
    forms, usual = Forms(), decode_predictions(records(USUAL), RULES, include_payload=False).events
    forms.meet(mixed)
    forms.meet(usual)
    assert forms.latest is None
    forms.meet(usual)
    assert forms.latest == form()


# -- what it leaves comes out the same


@pytest.mark.parametrize("features", ODD)
def test_odd_features_are_read_alike(features: bytes) -> None:
    alike([value_of(prediction("p", 1)).replace(b"{}", features)])


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_with_every_kind_of_value_is_read_alike(name: str) -> None:
    event = USUAL[0] | {"features": FEATURES | {name: "@"}}
    cells = [*CELLS, "12345678901234567890123", "9007199254740993", "1" + "0" * 120, "-1e101"]
    values = [value_of(event).replace(b'"@"', cell.encode()) for cell in cells]
    twice = [
        value.replace(b'"features": {', b'"features": {"%s": 1,' % name.encode())
        for value in values
    ]
    for value in (*values, *twice):
        alike([value])
    alike([*values, *twice])


@pytest.mark.parametrize(("side", "name"), SIDES)
def test_every_field_with_every_kind_of_value_is_read_alike(side: Side, name: str) -> None:
    made = USUAL[0] if side == "predictions" else LABELS[0]
    part, _, inner = name.rpartition(".")
    event = made | ({part: {inner: "@"}} if part else {name: "@"})
    values = [value_of(event).replace(b'"@"', cell.encode()) for cell in CELLS]
    twice = [value.replace(b"{", b'{"%s": 1,' % name.encode(), 1) for value in values]
    alike([*values, *twice, value_of({k: v for k, v in made.items() if k != name})], side)


def test_what_is_refused_is_refused_alike() -> None:
    alike([value for _, value in BAD_PREDICTIONS])
    alike([value for _, value in BAD_OUTCOMES], "outcomes")
    for _, value in BAD_PREDICTIONS:
        alike([value])
    for _, value in BAD_OUTCOMES:
        alike([value], "outcomes")


def test_what_is_nested_too_deep_where_nobody_looks_is_refused_alike() -> None:
    for depth in (90, 97, 98, 99, 100, 101, 300):
        nested = b"[" * depth + b"]" * depth
        for value, side in ((USUAL[0], "predictions"), (LABELS[0], "outcomes")):
            alike([value_of(value)[:-1] + b',"unknown":' + nested + b"}"], side)  # type: ignore[arg-type]
    alike([value_of(USUAL[0] | {"note": "[" * 300})])


ODD_BESIDE = [
    b'"note":"\xff"',
    b'"\xff":1',
    b'"note":[' + b"[" * 300 + b"]" * 301,
    b'"note":{"a":1}',
    b'"feature_set":"\xff"',
    b'"latency_ms":1e400',
]


@pytest.mark.parametrize("odd", ODD_BESIDE)
def test_what_nobody_reads_is_looked_at_where_records_say_nothing_else(odd: bytes) -> None:
    """No feature is of any kind: nothing of these records is skipped."""
    usual = [one | {"features": {**one["features"], "b": 1}} for one in USUAL]
    forms = learned(usual)
    assert forms.latest is not None
    assert of_predictions(forms.latest).whole is not None
    plain = list(map(value_of, usual))
    for at in (b"{", b'"features": {', b'"prediction": {'):
        value = plain[0].replace(at, at + odd + b",", 1)
        assert value != plain[0]
        for values in ([*plain, value, *plain], [*plain, *[value] * 3]):
            alike(values, usual=usual)
    for at in (b"{", b'"actual": {'):
        value = value_of(LABELS[0]).replace(at, at + odd + b",", 1)
        assert value != value_of(LABELS[0])
        alike([value], "outcomes")


def test_a_model_that_is_not_configured_is_unknown() -> None:
    rules = replace(RULES, models={"m": ModelRule()})
    alike([USUAL[0] | {"model_id": "n"}], rules=rules)
    alike([outcome("b", 2, model_id="n")], "outcomes", rules)


def test_more_features_than_the_limit_are_refused() -> None:
    alike([], rules=replace(RULES, max_features=4))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(predictions, max_size=4), st.lists(predictions, min_size=1, max_size=2))
def test_any_predictions_are_read_alike(events: list[Any], before: list[Any]) -> None:
    forms = learned(before)
    values = [json.dumps(event).encode() for event in (*events, *before)]
    general = read(values, "predictions", RULES, None)
    for habit in (None, habit_in(before, "predictions"), habit_in(values, "predictions")):
        assert read(values, "predictions", RULES, forms, habit) == general


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(outcomes, max_size=6))
def test_any_outcomes_are_read_alike(events: list[Any]) -> None:
    alike([json.dumps(event).encode() for event in events], "outcomes")


@pytest.mark.parametrize("side", ["predictions", "outcomes"])
def test_damaged_records_are_read_alike(side: Side) -> None:
    random, inputs = Random(side), [*seeds(side), *map(value_of, USUAL[:2])]
    for _ in range(80):
        alike([mutated(random, inputs) for _ in range(3)], side)


# -- many at once, and what they have beside their features

EXPLICIT = [one | {"role": "champion", "segment": {"r": "EU"}, "latency_ms": None} for one in USUAL]
OTHERWISE = {
    "all that there is": [one | {"feature_set": "a@1"} for one in EXPLICIT],
    "scores and integer times": [
        one | {"prediction": {"score": 0.5, "label": 1}, "predicted_at": 1_790_000_000_000 + i}
        for i, one in enumerate(USUAL)
    ],
    "many models": [
        one | {"model_id": f"m{i % 3}", "role": f"r{i}"} for i, one in enumerate(USUAL)
    ],
    "probabilities": [
        one | {"prediction": {"label": "a", "probabilities": {"a": 1.0}}} for one in USUAL
    ],
}


@pytest.mark.parametrize("usual", OTHERWISE.values(), ids=OTHERWISE)
def test_records_of_other_habits_are_read_alike(usual: list[Any]) -> None:
    of_usual = learned(usual).latest
    assert of_usual is not None
    guess = Guess(of_usual, habit_in(usual, "predictions"), KNOWN)
    found = read_predictions(records(usual).values, guess, RULES)
    assert found is not None
    assert not len(found.asked)
    alike([], usual=usual)
    alike([*USUAL, *EXPLICIT], usual=usual)
    segmented = replace(RULES, models={"m": ModelRule(segments=(("r",),))})
    assert segmented.has_segments
    alike(EXPLICIT[:3], rules=segmented, usual=usual)


def test_outcomes_of_other_habits_are_read_alike() -> None:
    revised = [one | {"revision": i, "retracted": False} for i, one in enumerate(LABELS)]
    valued = [one | {"actual": {"value": 1.5}} for one in LABELS]
    numbered = [
        one | {"actual": {"label": i % 2}, "observed_at": i} for i, one in enumerate(LABELS)
    ]
    for usual in (revised, valued, numbered):
        alike([*LABELS[:3], *revised[:3], *valued[:3], *numbered[:3]], "outcomes", usual=usual)


def test_a_habit_is_what_records_say_and_how() -> None:
    assert habit_in(USUAL, "predictions") == Habit(
        (*list(USUAL[0])[:6], "latency_ms"),
        ("label",),
        (("model_id", "m"), ("model_version", "1")),
        24,
        str,
    )
    assert habit_in([USUAL[0] | {"note": 1}], "predictions") is None
    assert habit_in([USUAL[0] | {"prediction": {"role": "x"}}], "predictions") is None
    assert habit_in([{"predicted_at": 1, "prediction": {}}, b"?", b"1"], "predictions") is None
    refused = [one | {"model_id": ""} for one in LABELS]
    found = habit_in(refused, "outcomes")
    assert found is not None
    assert not found.same
    alike(refused, "outcomes", usual=refused)


def test_habits_become_wider_with_what_strays_from_them_and_are_asked_less_and_less() -> None:
    habits, odd = Habits(OUTCOMES), LABELS[5] | {"model_id": "other", "revision": 2}
    values = records([*LABELS, odd], "outcomes").values
    habits.meet(records(LABELS, "outcomes").values, None)
    narrow = habits.latest
    assert narrow is not None
    habits.meet(values, np.array([], np.int64))
    assert habits.latest == narrow
    habits.meet(values, np.array([20]))
    assert habits.latest == habit_in([*LABELS, odd], "outcomes")
    known = habits.latest
    reversed_ = records([dict(reversed(one.items())) for one in [*LABELS, odd]], "outcomes").values
    habits.meet(reversed_, np.array([20]))
    assert habits.latest == known
    unknown = records([LABELS[0] | {"note": 1}], "outcomes").values
    habits.meet(unknown, np.array([0]))
    assert habits.latest is not None
    habits.meet(unknown, np.array([0]))
    assert habits.latest is None


def test_texts_that_come_again_are_guessed_and_after_a_new_one_later() -> None:
    texts, guess = KnownTexts(), (("c", ("a", "b")),)
    texts.meet((), {"c": ["a", "b"], "long": ["x" * 129], "many": [f"{i}" for i in range(65)]})
    for _ in range(2):
        assert texts.among(["c"]) == ()
        texts.meet((), {"c": ["b"], "many": []})
    assert texts.among(["d", "many", "c", "long"]) == guess
    texts.meet(guess, {"many": ["y"]})
    assert texts.among(["c"]) == guess
    texts.meet(guess, {}, were_so=False)
    assert texts.among(["c"]) == ()
    texts.meet((), {"c": ["d"]})
    for _ in range(4):
        assert texts.among(["c"]) == ()
        texts.meet((), {"c": ["a"]})
    assert texts.among(["c"]) == (("c", ("a", "b", "d")),)
    texts.meet(guess, {"c": ["a"]})
    assert texts.among(["c"]) == ()


def test_a_known_text_is_decoded_into_its_place_and_an_unknown_one_is_left() -> None:
    values = records([*USUAL, USUAL[0] | {"features": FEATURES | {"t": "new"}}]).values
    found = read_predictions(values, Guess(form(), habit_in(USUAL, "predictions"), KNOWN), RULES)
    assert found is not None
    assert found.asked.tolist() == [20]
    assert not found.seen
    found = read_predictions(values, Guess(form(), habit_in(USUAL, "predictions")), RULES)
    assert found is not None
    assert not len(found.asked)
    assert found.seen == {"t": ["größe", "new"]}


def test_models_versions_and_roles_are_told_apart_however_many_there_are() -> None:
    events = [
        USUAL[0] | {"prediction_id": f"p{i}", "model_id": f"m{i % 7}", "role": f"r{i % 3}"}
        for i in range(40)
    ]
    for most in (1 << 16, 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(typed_columns, "_MOST_TOGETHER", most)
            alike(events, usual=events)
            alike(events)


@pytest.mark.parametrize("side", ["predictions", "outcomes"])
def test_records_are_told_apart_wherever_they_end(side: Side) -> None:
    """Cut anywhere, with what stands between records inside of them, and with none at all."""
    usual = USUAL if side == "predictions" else LABELS
    whole = together_in(list(map(value_of, usual[:3])))
    random = Random(side)
    for _ in range(60):
        cuts = sorted(random.randrange(len(whole)) for _ in range(random.randrange(1, 5)))
        alike([whole[i:j] for i, j in zip([0, *cuts], [*cuts, None], strict=True)], side)
    one, between = value_of(usual[0]), together_in([b"", b""])[1:-1]
    for odd in (between, b",", b"\n", b" ", b"]", b"[", b"}", b'"'):
        pieces = [one + odd + one, one + odd, odd + one, odd, one[:-1], b"}", one[:9], one[9:]]
        alike(pieces, side)
        for piece in pieces:
            alike([piece], side)
            alike([piece, odd], side)
    alike([b"null", b" null ", b"0", b"[]", one], side)
    alike([None, one, None], side)


def test_there_is_no_array_in_what_is_read_together() -> None:
    """Nor anything that is not looked into: an array could hold what is between two records."""
    for side, usual in ((PREDICTIONS, OTHERWISE["all that there is"]), (OUTCOMES, LABELS)):
        habit = habit_of(records(usual).values, side)
        assert habit is not None
        decoders = of_habit(side, habit, form() if side is PREDICTIONS else None)
        assert decoders is not None
        assert decoders.whole is not None
        of = msgspec.inspect.multi_type_info([decoders.whole.__self__.type])  # type: ignore[attr-defined]
        assert "ListType" not in str(of)
        assert "AnyType" not in str(of)
        assert "RawType" not in str(of)
    assert of_habit(PREDICTIONS, habit, Form(("x",), ("any",), ("label",))) is None


# -- times

seconds = st.integers(-200_000, LATEST_MS // 1_000 + 200_000)
moments = st.builds(
    lambda s, micros: EPOCH + timedelta(0, s, micros), seconds, st.integers(0, 10**6 - 1)
)
texts_of_moments = moments.map(lambda t: t.replace(tzinfo=None)).flatmap(
    lambda t: st.sampled_from(
        [
            t.isoformat() + "Z",
            t.isoformat(timespec="milliseconds") + "Z",
            t.isoformat(timespec="seconds") + "+00:00",
            t.isoformat(),
            t.isoformat(timespec="milliseconds") + "+01:00",
            t.isoformat(timespec="seconds").replace("T", " ") + "Z",
        ]
    )
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(texts_of_moments | st.text("0123456789-:.TZ+", max_size=30), max_size=5))
def test_times_are_read_together_as_one_by_one_or_not_at_all(texts: list[str]) -> None:
    for text, at_ms in zip(texts, moments_ms(texts).tolist(), strict=True):
        if at_ms != UNCERTAIN:
            assert at_ms == to_ms(datetime.fromisoformat(text).astimezone(UTC))
            assert 0 <= at_ms < LATEST_MS


@pytest.mark.parametrize("end", ["Z", ".5Z", ".123Z", ".123456Z", "+00:00", ".123+00:00"])
def test_plain_times_in_utc_are_read_together(end: str) -> None:
    days = ["1970-01-01", "2024-02-29", "2199-12-31"]
    texts = [f"{day}T{hour}{end}" for day in days for hour in ("00:00:00", "23:59:59")]
    expected = [to_ms(datetime.fromisoformat(text)) for text in texts]
    assert moments_ms(texts).tolist() == expected
    assert moments_ms([*texts, "1970-01-01T00:00:00.25Z", "?"]).tolist() == [
        *expected,
        250,
        UNCERTAIN,
    ]


def test_a_nul_is_no_digit_of_a_day() -> None:
    texts = ["2077-06-2\0T06:54:22Z", "2077-06-21T06:54:22Z"]
    assert moments_ms(texts).tolist() == [UNCERTAIN, to_ms(datetime.fromisoformat(texts[1]))]
    assert moments_ms(texts[:1]).tolist() == [UNCERTAIN]
