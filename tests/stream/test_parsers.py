"""Two parsers, the same columns: the native one is held against Python's on any bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import native_parser
from stream.columns import text_hash
from stream.rules import ModelRule, Rules
from tests.fuzz.forks import mutated
from tests.fuzz.seeds import seeds
from tests.parsers import both, needs_the_native_parser
from tests.stream.test_records import BAD_OUTCOMES, BAD_PREDICTIONS
from tests.streams import SMALL, Side, outcome, prediction, records, value_of

pytestmark = needs_the_native_parser
RULES = replace(SMALL, max_record_bytes=4_000, max_features=8)
BY_CHANNEL = replace(RULES, models={n: ModelRule(segments=(("channel",),)) for n in "mn"})


def alike(values: list[Any], side: Side = "predictions", rules: Rules = RULES) -> None:
    for each in (rules, BY_CHANNEL) if rules is RULES else (rules,):
        native, python = both(records(values, side), side, each)
        assert native == python


def certain(values: list[Any], side: Side = "predictions") -> int:
    """How many of these records the native parser reads itself."""
    batch = records(values, side)
    read = (
        native_parser.prediction_columns if side == "predictions" else native_parser.outcome_columns
    )
    _, asked = read(batch.values, RULES)
    alike(values, side)
    return len(values) - len(asked)


# -- what it must read itself, or it would be of no use

FEATURES: dict[str, Any] = {"x": 1.5, "n": None, "t": "größe", "b": True, "l": [1, {"a": "é"}]}
PLAIN = [
    prediction("p", 1_763_800_000_000, features=FEATURES, latency_ms=12.25),
    prediction("p" * 240, 0, role="shadow", segment={"channel": "web"}, feature_set=None),
    prediction("p", 1, feature_set="zahlung€n@7"),
    prediction("p", 1, prediction={"score": 0.25, "probabilities": {"a": 0.25, "b": 1}}),
    prediction("p", 1, prediction={"value": -3}),
    prediction("ü€😀", 1, prediction={"label": 7}, note={"deep": [[[]]]}),
    prediction("p", "2026-11-22T10:00:00.123456789Z"),
    prediction("p", "2026-11-22T10:00:00-05:30", prediction={"label": False}),
]


@pytest.mark.parametrize("form", [{}, {"ensure_ascii": False}, {"indent": 3}, {"sort_keys": True}])
def test_plain_predictions_are_read_natively_in_any_form_of_json(form: Any) -> None:
    values = [json.dumps(event, **form).encode() for event in PLAIN]
    assert certain(values) == len(values)
    swapped = [json.dumps(dict(reversed(event.items())), **form).encode() for event in PLAIN]
    assert certain(swapped) == len(values)


def test_plain_outcomes_are_read_natively() -> None:
    events = [
        outcome("p", 1_000),
        outcome("p", "2026-11-22T10:00:00Z", actual={"label": 1}, revision=3, retracted=True),
        outcome("ü", 1_000, actual={"value": 2.5}, note="x"),
        outcome("p", 1_000, actual={"label": None, "value": 1e-5}),
        outcome("p", 1_000, actual={"label": True}),
    ]
    assert certain(events, "outcomes") == len(events)


def test_escapes_and_numbers_of_full_precision_are_read_natively() -> None:
    numbers = [
        "0.8444218515250481",
        "-123456.78901234567",
        "9007199254740993",
        "1e-7",
        "5E+20",
        "0.1e-300",
        "1234567890123456789012345",
        "0.30000000000000004",
        "1.7976931348623157e308",
    ]
    texts = [r'"a\"b"', r'"\u00e9\n\/"', r'"\ud83d\ude00"', '""']
    values = [
        value_of(prediction("p", 1)).replace(b"{}", f'{{"x":{cell}}}'.encode())
        for cell in numbers + texts
    ]
    assert certain(values) == len(values)


@pytest.mark.parametrize("behind", ["}", ",", " ", "e", "E1", "e-2", ".", ".5", "0", "1", '"', "x"])
def test_decimals_are_read_alike_whatever_their_length_and_what_is_behind(behind: str) -> None:
    cells = [
        f"{sign}{before}.{after}{behind}"
        for sign in ("", "-", "--", "+")
        for before in ("", "0", "7", "00", "07", "42", "123456", "1234567", "12345678")
        for after in ("", "0", "5", "00", "05", "123456", "1234567", "12345678")
    ]
    one = value_of(prediction("p", 1))
    for around in ('{"x":%s}', '{"x":%s'):  # and at the very end of a record
        alike([one.replace(b"{}", (around % cell).encode()) for cell in cells])
        alike([one.replace(b'"yes"', f'"yes","score":{cell}'.encode()) for cell in cells])
    alike([b'{"features":{"x":' + cell.encode() for cell in cells])


def test_texts_of_any_length_are_told_apart_however_often_they_come() -> None:
    texts = [letter * n for n in range(20) for letter in ("a", "b", "é", '\\"', "\\\\")]
    texts += [f"{'a' * n}b" for n in range(20)] + [str(i) for i in range(400)]
    one = value_of(prediction("p", 1))
    cells = [f'{{"x":"{first}","y":"{then}"}}' for first, then in pairwise(texts)]
    values = [one.replace(b"{}", cell.encode()) for cell in cells]
    assert certain(values + values) == 2 * len(values)


# -- what it leaves to Python comes out the same

ODD = [
    b'{"x":1e999}', b'{"x":-0}', b'{"x":01}', b'{"x":1.}', b'{"x":.5}', b'{"x":+1}', b'{"x":1e}',
    b'{"x":NaN}', b'{"x":1,"x":2}', b'{"y":1,"x":2,"y":3}', b'{"x":1,}', b'{,}', b'{"x" 1}',
    b'{"x":"\\ud800"}', b'{"x":"\\q"}', b'{"x":"\t"}', b'{"x":"\xff"}', b'{"x":"\xed\xa0\x80"}',
    b'{"x":[1,]}', b'{"x":[1e999]}', b'{"x":{"a":1,"a":2}}', b"{\"x\":'a'}", b'{"x":tru}',
    b'{"x":[' + b"[" * 70 + b"]" * 70 + b"]}", b'{"x":[' + b"[" * 120 + b"]" * 120 + b"]}",
    b'{"\\u0078":1,"x":2}', b'{"":1}', b'{"x":-0.0}', b'{"x":1e-400}', b'{"x":1e100}',
    b'{"x":' + b"9" * 400 + b"}", b'{"x":' + b"1" * 1200 + b"}", b'{"x":"' + b"y" * 300 + b'"}',
    b"{" + b",".join(b'"f%d":1' % i for i in range(9)) + b"}",
]  # fmt: skip


@pytest.mark.parametrize("features", ODD)
def test_odd_features_are_read_alike(features: bytes) -> None:
    good = prediction("good", 1, features={"x": 2.5})
    alike([good, value_of(prediction("p", 1)).replace(b"{}", features), good])


CELLS = [
    "null", "true", "false", "0", "-0", "-0.0", "1.0", "1e0", "1.5", '"a"', '""', "[]", "{}", "-1",
    "1000000000000000000", "9223372036854775807", "9223372036854775808", "4611686018427387904",
    "4611686018427387905", "7258118400000", "7258118399999", "1e999", "1e300", "NaN", '"2026"',
    '"2026-02-29T00:00:00Z"', '"2024-02-29T23:59:59.9999999Z"', '"2026-11-22T10:00:00"',
    '"2026-11-22 10:00:00Z"', '"2026-11-22t10:00:00z"', '"2026-11-22T10:00:60Z"',
    '"1969-12-31T23:59:59Z"', '"2026-11-22T10:00:00.1234564999Z"', '"2026-11-22T10:00:00.9999995Z"',
    '"2026-11-22T10:00:00-00:00"', '"2026-11-22T10:00:00+0530"', '"2026-11-22T10:00:00+24:00"',
    '"1970-01-01T00:30:00+01:00"',
    '"2199-12-31T23:59:59.999-00:01"', '"' + "y" * 128 + '"', '"' + "y" * 129 + '"',
    '"' + "y" * 512 + '"', '"' + "y" * 513 + '"', '"' + "ü" * 128 + '"',
    '"\\u0041"', '{"a":"b"}', '{"a":1}', '{"a":null}',
]  # fmt: skip
SIDES: list[tuple[Side, str]] = [
    *[("predictions", name) for name in (
        "prediction_id", "model_id", "model_version", "predicted_at", "features", "prediction",
        "role", "segment", "feature_set", "latency_ms", "prediction.label", "prediction.score",
        "prediction.value", "prediction.probabilities", "unknown")],
    *[("outcomes", name) for name in (
        "prediction_id", "model_id", "observed_at", "actual", "revision", "retracted",
        "actual.label", "actual.value", "unknown")],
]  # fmt: skip


@pytest.mark.parametrize(("side", "name"), SIDES)
def test_every_field_with_every_kind_of_value_is_read_alike(side: Side, name: str) -> None:
    made = prediction("p", 1) if side == "predictions" else outcome("p", 1)
    part, _, inner = name.rpartition(".")
    event = made | ({part: {inner: "@"}} if part else {name: "@"})
    values = [value_of(event).replace(b'"@"', cell.encode()) for cell in CELLS]
    twice = [value.replace(b"{", b'{"%s": 1,' % name.encode(), 1) for value in values]
    alike([*values, *twice, value_of({k: v for k, v in made.items() if k != name})], side)


def test_segments_are_read_where_a_model_is_configured_to_have_some() -> None:
    said: list[Any] = [
        None,
        {"channel": "web", "größe": ""},
        {},
        None,
        {"größe": "", "channel": "w"},
    ]
    values = [value_of(prediction(f"p{n}", 1, segment=one)) for n, one in enumerate(said)]
    values.append(value_of(prediction("q", 1)))
    columns, asked = native_parser.prediction_columns(values, BY_CHANNEL)
    assert not len(asked)
    assert columns.segments is not None
    given = [columns.segments.given[code] if code >= 0 else {} for code in columns.segments.code]
    assert given == [one or {} for one in [*said, None]]
    assert native_parser.prediction_columns(values, RULES)[0].segments is None
    twice = value_of(prediction("p", 1, segment={"a": "1"})).replace(b'"a"', b'"a":"0","a"')
    many = prediction("p", 1, segment={f"s{n}": "x" for n in range(100)})
    alike([*values, twice, many, *reversed(values)], rules=BY_CHANNEL)


def test_a_time_of_nothing_but_zeros_is_refused_alike() -> None:
    broken = value_of(outcome("p", "?")).replace(b"?", b"\\u0000" * 17 + b"00Z")
    assert b"\\u0000" in broken
    alike([broken, outcome("q", 1_000)], "outcomes")


def test_records_with_blanks_behind_one_without_are_read_natively() -> None:
    events = [prediction(f"p{i}", 1_000 + i, features=FEATURES) for i in range(20)]
    tight = json.dumps(events[0], separators=(",", ":")).encode()
    assert certain([tight, *(json.dumps(event).encode() for event in events[1:])]) == 20


def test_what_is_refused_is_refused_alike() -> None:
    alike([value for _, value in BAD_PREDICTIONS])
    alike([value for _, value in BAD_OUTCOMES], "outcomes")


def test_a_model_that_is_not_configured_is_unknown_to_both() -> None:
    rules = replace(RULES, models={"m": ModelRule()})
    batch = [prediction("a", 1), prediction("b", 2, model_id="n"), b"{", prediction("c", 3)]
    alike(batch, rules=rules)
    alike([outcome("a", 1), outcome("b", 2, model_id="n"), outcome("c", 3)], "outcomes", rules)


# -- anything at all

words = st.text(max_size=6) | st.sampled_from(["x", "y", "amount", "größe", '"', "\\", "\x00"])
cells = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(words, st.integers(), max_size=2)
)
times = st.integers(0, 2**43) | st.datetimes().map(lambda t: t.isoformat() + "Z")
predictions = st.fixed_dictionaries(
    {
        "prediction_id": words,
        "model_id": st.sampled_from(["m", "n"]),
        "model_version": st.sampled_from(["1", "2"]),
        "predicted_at": times,
        "features": st.dictionaries(words, cells, max_size=9),
        "prediction": st.fixed_dictionaries(
            {}, optional={"label": cells, "score": cells, "value": cells, "probabilities": cells}
        ),
    },
    optional={
        "role": words,
        "latency_ms": cells,
        "segment": cells | st.dictionaries(words, words, max_size=3),
        "feature_set": st.none() | words | cells,
        "unknown": cells,
    },
)
outcomes = st.fixed_dictionaries(
    {
        "prediction_id": words,
        "model_id": words,
        "observed_at": times,
        "actual": st.fixed_dictionaries({}, optional={"label": cells, "value": cells}),
    },
    optional={"revision": cells, "retracted": cells, "unknown": cells},
)
forms = st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 1}, {"sort_keys": True}])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(predictions, forms), max_size=6))
def test_any_predictions_are_read_alike(events: list[tuple[Any, Any]]) -> None:
    alike([json.dumps(event, **form).encode() for event, form in events])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(outcomes, forms), max_size=6))
def test_any_outcomes_are_read_alike(events: list[tuple[Any, Any]]) -> None:
    alike([json.dumps(event, **form).encode() for event, form in events], "outcomes")


@pytest.mark.parametrize("side", ["predictions", "outcomes"])
def test_damaged_records_are_read_alike(side: Side) -> None:
    random, inputs = Random(side), seeds(side)
    for _ in range(150):
        alike([mutated(random, inputs) for _ in range(20)], side)


MEMBERS = {
    "features": ['"x":1.5', '"y":-2', '"größe":"a"', '"\\u0078":3', '"c":null', '"long name":[1]'],
    "predictions": [
        '"prediction_id":"p"', '"model_id":"m"', '"model_version":"1"', '"features":{F}',
        '"predicted_at":"2026-11-22T10:00:0{S}Z"', '"prediction":{"score":0.5}', '"role":"x"',
        '"latency_ms":1.25', '"segment":{"channel":"web"}', '"note":{}', '"model_id":"n"',
    ],
    "outcomes": [
        '"prediction_id":"p"', '"model_id":"m"', '"observed_at":"2026-11-22T10:00:0{S}Z"',
        '"actual":{"label":1}', '"revision":2', '"retracted":false', '"note":[]', '"revision":3',
    ],
}  # fmt: skip


@pytest.mark.parametrize("side", ["predictions", "outcomes"])
def test_records_that_are_nearly_like_the_one_before_are_read_alike(side: Side) -> None:
    """What stood between two values before is expected there again: names in another order,
    missing, twice, or spaced otherwise are not taken for it."""
    random = Random(side)

    def joined(members: list[str]) -> str:
        given = [m for m in members if random.random() < 0.95]
        if random.random() < 0.2:
            random.shuffle(given)
        if random.random() < 0.1:
            given += random.choices(members, k=1)
        spaces = ["", "", "", "", "", "", " ", "\n", ",", "}"] if random.random() < 0.2 else [""]
        return "".join(
            f"{',' if place else ''}{random.choice(spaces)}{member}{random.choice(spaces)}"
            for place, member in enumerate(given)
        )

    for _ in range(150):
        batch = []
        for _ in range(8):
            record = "{" + joined(MEMBERS[side][: random.choice([-1, 8, 9, 11])]) + "}"
            record = record.replace("{S}", random.choice(["0", "7", "9.25", "x", "1+01:00"]))
            batch.append(record.replace("{F}", "{" + joined(MEMBERS["features"]) + "}").encode())
        alike(batch, side)


# -- its parts

decimals = st.builds(
    lambda sign, digits, point, exponent: (
        f"{sign}{digits[:point] or 0}.{digits[point:] or 0}{exponent}"
    ),
    st.sampled_from(["", "-"]),
    st.integers(1, 10**24).map(str),
    st.integers(0, 24),
    st.just("") | st.integers(-330, 310).map(lambda e: f"e{e}"),
)


@settings(max_examples=2_000, deadline=None, derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False).map(repr) | decimals)
def test_doubles_are_rounded_as_python_rounds_them(text: str) -> None:
    value = value_of(prediction("p", 1)).replace(b'"label": "yes"', b'"score":' + text.encode())
    columns, asked = native_parser.prediction_columns([value], RULES)
    expected = float(text)
    if len(asked):
        assert expected == 0 or abs(expected) == float("inf")
    else:
        assert struct.pack("d", columns.said.score[0]) == struct.pack("d", expected)


def halfway() -> Iterator[str]:
    """Decimals next to, and exactly on, the middle between two doubles."""
    random = Random(7)
    for _ in range(3_000):
        mantissa = random.randrange(2**52, 2**53)
        twos = random.randrange(-12, 12)
        middle = (2 * mantissa + 1) * (2**twos if twos > 0 else 1)
        text = str(middle if twos >= 0 else middle * 5**-twos)
        exponent = min(0, twos)
        for nudge in (-1, 0, 1):
            digits = str(int(text) + nudge)
            yield f"{digits}e{exponent}"
            if len(digits) > 19:
                yield f"{digits[:19]}e{exponent + len(digits) - 19}"


def test_ties_are_rounded_as_python_rounds_them() -> None:
    texts = list(halfway())
    values = [
        value_of(prediction("p", 1)).replace(b'"label": "yes"', b'"score":' + text.encode())
        for text in texts
    ]
    columns, asked = native_parser.prediction_columns(values, RULES)
    assert not len(asked)
    assert columns.said.score.tolist() == [float(text) for text in texts]


def test_hashes_are_those_of_the_package_at_every_length() -> None:
    random = Random(3)
    ids = ["".join(random.choices("aé€😀\x7f", k=k)) for k in range(1, 90)] + [
        "x" * k for k in range(1, 250)
    ]
    values = [value_of(prediction(text, 1, features={"t": text})) for text in ids]
    columns, asked = native_parser.prediction_columns(values, RULES)
    read = [text for place, text in enumerate(ids) if place not in asked.tolist()]
    assert len(read) == sum(len(text.encode()) <= 240 for text in ids)
    expected = [xxhash.xxh3_128_intdigest(text.encode()) for text in read]
    assert [(int(high) << 64) + int(low) for high, low in columns.hashes] == expected
    (shape,) = columns.shapes
    assert shape.columns["feature:t"].bits.tolist() == [text_hash(text) for text in read]


def test_a_record_that_is_given_up_leaves_no_other_shape_to_the_next() -> None:
    def record(features: str, rest: str = '"prediction":{"score":0.5}') -> bytes:
        head = (
            '{"prediction_id":"p","model_id":"m","model_version":"1","predicted_at":1,"features":'
        )
        return f"{head}{features},{rest}}}".encode()

    full, fewer = '{"x":1,"y":2,"t":"a"}', '{"x":1,"y":2}'
    broken = [
        '{"x":1,"z":2,"t":?}',
        '{"x":1,"y":"}',
        '{"x":1,"y":2,"t":"a","x":3}',
        '{"x":1,"x":2}',
    ]
    valued = '"prediction":{"value":2},"latency_ms":3'
    for one in broken:
        for after in (full, fewer, '{"x":1,"z":2,"t":3}', '{"y":1,"x":2,"t":3}'):
            values = [record(full), record(one), record(after), record(full), record(after, valued)]
            alike([*values, record(after), record(full, '"prediction":{"score":?}'), record(fewer)])
