"""Parsed JSON values as cells: kinds, bits, and rows that join by concatenation."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import (
    ABSENT,
    NULL,
    NUMBER,
    OTHER,
    TEXT,
    Column,
    Rows,
    column,
    concatenate,
    text_hash,
)
from tests.cells import feature_columns

cells = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=80)
    | st.sampled_from([[], {}, [1], 10**400, -(10**101), 1e101, 2**53 + 1])
)


def kind_of(value: Any) -> int:
    if value is None:
        return NULL
    if isinstance(value, str):
        return TEXT
    if isinstance(value, (bool, int, float)) and abs(value) <= 1e100:
        return NUMBER
    return OTHER


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(cells, min_size=1, max_size=12))
def test_every_cell_has_its_kind_and_its_value_whatever_stands_beside_it(values: list[Any]) -> None:
    texts: dict[int, str] = {}
    made = column(values, texts)
    assert made.kind.tolist() == [kind_of(v) for v in values]
    for value, kind, bits in zip(values, made.kind, made.bits, strict=True):
        if kind == NUMBER:
            expected = float(value) if abs(value) >= 1e-100 else 0.0
            assert bits.view(np.float64) == expected
        elif kind == TEXT:
            assert bits == text_hash(value)
            assert texts[int(bits)] == value[:64]
        else:
            assert bits == 0
        alone = column([value], {})
        assert (alone.kind[0], alone.bits[0]) == (kind, bits)


def test_minus_zero_and_what_is_nearer_to_zero_than_1e_100_are_zero() -> None:
    for values in ([-0.0], [-0.0, None], [-9e-101], [9e-101, "text"]):
        assert int(column(values, {}).bits[0]) == 0


def test_null_is_not_absent() -> None:
    columns = feature_columns([{"a": None}, {"b": 1}, {"b": None}], "", {})
    assert columns["a"].kind.tolist() == [NULL, ABSENT, ABSENT]
    assert columns["b"].kind.tolist() == [ABSENT, NUMBER, NULL]


def test_concatenating_fills_a_missing_column_with_absent() -> None:
    def rows(end: int, **named: Column) -> Rows:
        return Rows(np.array([end]), np.array([7], np.uint64), named, {})

    texts: dict[int, str] = {}
    joined = concatenate([rows(1, b=column(["t"], texts)), rows(2, a=column([2.5], {}))])
    assert list(joined.columns) == ["a", "b"]
    assert joined.columns["a"].kind.tolist() == [ABSENT, NUMBER]
    assert joined.columns["b"].kind.tolist() == [TEXT, ABSENT]
    assert joined.pane_end.tolist() == [1, 2]
