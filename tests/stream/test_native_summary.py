"""Summaries in C are those of numpy, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import native, native_summary
from stream.columns import ABSENT, NUMBER, OTHER, TEXT, Column, Rows
from stream.panes import PaneTable, collapse, merge, merge_all, summarise, summarise_all
from stream.plain_panes import feature_to_plain, table_to_plain
from tests.parsers import needs_the_native_parser

pytestmark = needs_the_native_parser
FEW_TEXTS = 3

magnitudes = st.floats(1e-100, 1e100) | st.integers(1, 10**6).map(float)
numbers = st.just(0.0) | magnitudes | magnitudes.map(lambda size: -size)
number_cells = numbers.map(lambda x: (NUMBER, int(np.float64(x).view(np.uint64))))
text_cells = st.integers(0, 9).map(lambda code: (TEXT, code * 0x1999_9999_9999_9999))
other_cells = st.sampled_from([0, 1, 4]).map(lambda kind: (kind, 0))
rows = st.tuples(
    st.integers(1, 4), st.integers(0, 2**64 - 1), number_cells | text_cells | other_cells,
    number_cells,
)  # fmt: skip


def both(made: Rows) -> tuple[PaneTable, PaneTable]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "IN_USE", False)
        return summarise(made, 5, FEW_TEXTS), _in_c(made, patch)


def _in_c(made: Rows, patch: pytest.MonkeyPatch) -> PaneTable:
    patch.setattr(native, "IN_USE", True)
    return summarise(made, 5, FEW_TEXTS)


def same(made: Rows) -> None:
    by_numpy, in_c = both(made)
    assert _bytes(table_to_plain(by_numpy)) == _bytes(table_to_plain(in_c))


def _bytes(plain: Any) -> Any:
    match plain:
        case np.ndarray():
            return plain.dtype.str, plain.tobytes()
        case dict():
            return {key: _bytes(value) for key, value in plain.items()}
        case list():
            return [_bytes(value) for value in plain]
    return plain


def rows_of(drawn: list[Any]) -> Rows:
    columns = {}
    for name, place in (("mixed", 2), ("number", 3)):
        cells = [row[place] for row in drawn]
        kinds, bits = zip(*cells, strict=True)
        columns[name] = Column(np.array(kinds, np.uint8), np.array(bits, np.uint64))
    texts = {code * 0x1999_9999_9999_9999: str(code) for code in range(10)}
    ends = np.array([1_000 * row[0] for row in drawn], np.int64)
    return Rows(ends, np.array([row[1] for row in drawn], np.uint64), columns, texts)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(rows, min_size=1, max_size=30))
def test_any_rows_have_the_same_summary(drawn: list[Any]) -> None:
    same(rows_of(drawn))


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1.0, 1e9, 1e100])
def test_sums_that_cancel_have_the_same_bins(scale: float) -> None:
    random = Random(scale)
    drawn = []
    for _ in range(2_000):
        x = random.uniform(0.1, 1.0) * scale
        for value in (x, -x, x * (1 + 2**-52)):
            bits = int(np.float64(value).view(np.uint64))
            drawn.append((random.randint(1, 3), random.getrandbits(64), (OTHER, 0), (NUMBER, bits)))
    same(rows_of(drawn))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e200, 1e-200, 5e-324])
def test_a_number_that_no_event_has_is_left_to_numpy(value: float) -> None:
    bits = np.array([value]).view(np.uint64)
    column, row = Column(np.array([NUMBER], np.uint8), bits), np.zeros(1, np.int64)
    assert native_summary.summary([column], row, row, 1, FEW_TEXTS) is None


def test_what_does_not_fit_is_refused() -> None:
    summary = native.EXTENSION.summary
    kinds, bits = np.full(2, ABSENT, np.uint8), np.zeros(2, np.uint64)
    rows, none = np.arange(2), np.zeros(2, np.int64)
    for pane, panes in (([1, 0], 2), ([0, 2], 2), ([-1, 0], 2), ([0, 1], -1), ([0], 1)):
        with pytest.raises((ValueError, MemoryError)):
            summary([(kinds, bits)], rows, np.array(pane), panes, 1)
    for pair in ((kinds[:1], bits), (kinds, bits[:1]), (kinds,), kinds):
        with pytest.raises((ValueError, TypeError)):
            summary([pair], rows, none, 1, 1)
    for beyond in ([0, 2], [-1, 0], [0, 2**62]):
        with pytest.raises(ValueError, match="beyond"):
            summary([(kinds, bits)], np.array(beyond), none, 1, 1)
    with pytest.raises(MemoryError):
        summary([(kinds, bits)] * 3, rows, none, 2**61, 1)
    unknown = np.full(2, 9, np.uint8)
    assert summary([(unknown, bits)], rows, none, 1, 1) is None


def test_many_columns_and_groups_are_summed_as_one_by_one() -> None:
    random = np.random.default_rng(5)

    def rows_of_columns(rows: int, columns: int) -> Rows:
        cells = {
            f"f{i}": Column(
                random.choice(np.array([ABSENT, NUMBER, TEXT, OTHER], np.uint8), rows),
                (random.normal(size=rows) * 10.0**i).view(np.uint64),
            )
            for i in range(columns)
        }
        ends = random.integers(1, 4, rows) * 1_000
        return Rows(ends, random.integers(0, 2**63, rows).astype(np.uint64), cells, {})

    parts = [rows_of_columns(*size) for size in ((900, 5), (3, 2), (40, 0), (1, 9), (5_000, 20))]
    with pytest.MonkeyPatch.context() as patch:
        for in_use in (True, False):
            patch.setattr(native, "IN_USE", in_use)
            for table, part in zip(summarise_all(parts, 5, FEW_TEXTS), parts, strict=True):
                for name, column in part.columns.items():
                    alone = summarise(replace(part, columns={name: column}), 5, FEW_TEXTS)
                    mine, of_one = table.features[name], alone.features[name]
                    assert _bytes(feature_to_plain(mine)) == _bytes(feature_to_plain(of_one))


@pytest.mark.parametrize("spread", ["even", "first bits alike", "last bits alike"])
def test_texts_that_are_many_or_collide_are_counted_alike(spread: str) -> None:
    random = np.random.default_rng(3)
    few = random.integers(0, 2**63, 2_000).astype(np.uint64)
    if spread == "first bits alike":
        few >>= np.uint64(20)
    elif spread == "last bits alike":
        few <<= np.uint64(20)
    for distinct in (1, 15, 40, 600, 2_000):
        bits = random.choice(few[:distinct], 5_000)
        column = Column(np.full(len(bits), TEXT, np.uint8), bits)
        for most in (FEW_TEXTS, 10_000):
            made = native_summary.summary([column], None, np.zeros(5_000, np.int64), 1, most)
            assert made is not None
            keys, counts = np.unique(bits, return_counts=True)
            assert made[4][1].tolist() == keys[:most].tolist()
            assert made[4][2].tolist() == counts[:most].tolist()


def test_a_call_that_fails_leaves_nothing_behind() -> None:
    kinds = np.array([NUMBER, TEXT, NUMBER], np.uint8)
    bits = np.array(
        [np.float64(2.5).view(np.uint64), 7, np.float64(1e200).view(np.uint64)], np.uint64
    )
    pane = np.zeros(3, np.int64)
    assert native_summary.summary([Column(kinds, bits)], None, pane, 1, FEW_TEXTS) is None
    made = native_summary.summary([Column(kinds[:1], bits[:1])], None, pane[:1], 1, FEW_TEXTS)
    assert made is not None
    assert [part[2].tolist() for part in made[3:]] == [[1], []]


# -- of many one


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(rows, min_size=1, max_size=12), min_size=1, max_size=5), st.integers(1, 6))
def test_any_tables_merge_to_the_same(drawn: list[list[Any]], keep: int) -> None:
    made = [rows_of(of) for of in drawn]
    made[0] = replace(made[0], columns={"number": made[0].columns["number"]})
    tables = [summarise(of, keep, FEW_TEXTS) for of in made]
    merged = []
    with pytest.MonkeyPatch.context() as patch:
        for in_use in (True, False):
            patch.setattr(native, "IN_USE", in_use)
            of_all = (
                merge_all([tables, tables[:2], tables[1:]], keep, FEW_TEXTS) if tables[1:] else []
            )
            of_all += [merge(tables, keep, FEW_TEXTS), collapse(tables, 9_000, keep, FEW_TEXTS)]
            merged.append([_bytes(table_to_plain(of)) for of in of_all])
    assert merged[0] == merged[1]


def test_sums_that_cancel_leave_no_bin() -> None:
    pane, key = np.zeros(2, np.int64), np.array([-3, 4], np.int64)
    part = (np.array([1]), pane, key, np.array([5, 2**62], np.int64))
    back = (np.array([1]), pane, key, np.array([-5, 2**62], np.int64))
    made = native_summary.merged([part, back], 2, drops=True)
    assert made is not None
    assert [column.tolist() for column in made] == [[1], [4], [-(2**63)]]
    made = native_summary.merged([part, back], 2)
    assert made is not None
    assert [column.tolist() for column in made] == [[1, 1], [-3, 4], [0, -(2**63)]]


def test_keys_above_the_half_are_the_last_where_they_have_no_sign() -> None:
    one = np.zeros(1, np.int64)
    keys = [np.array([2**64 - 1], np.uint64), np.array([1], np.uint64)]
    made = native_summary.merged([(one, one, key, one + 1) for key in keys], 1)
    assert made is not None
    assert made[1].tolist() == [1, 2**64 - 1]


def test_tables_that_do_not_fit_are_refused() -> None:
    merged = native.EXTENSION.merged
    two, one = np.zeros(2, np.int64), np.zeros(1, np.int64)
    for table in (
        (one, two, two, one),
        (one, two, one, two),
        (one, one + 1, one, one),
        (one, one - 1, one, one),
        (one + 5, one, one, one),
        (one - 1, one, one, one),
        (one, one, one),
        [one, one, one, one],
        (one.view(np.uint8)[:7], one, one, one),
    ):
        with pytest.raises(ValueError, match="fit"):
            merged([table], 5, True, False)
    with pytest.raises(ValueError, match="fit"):
        merged([], -1, True, False)
