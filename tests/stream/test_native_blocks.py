"""Blocks of crowded panes in C are the records that Python makes of them."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import native, native_blocks
from stream.closed_panes import closed, cut_into_blocks
from stream.columns import ABSENT, NULL, NUMBER, OTHER, TEXT, Column, Rows, concatenate
from stream.events import ToPanes
from stream.grouped_rows import GroupedRows, Stretch
from stream.open_panes import OpenPanes
from stream.pane_outbox import PaneOutbox
from stream.rules import Rules
from stream.wire import Block, block_opening, encode_pane_record
from tests.parsers import needs_the_native_parser

pytestmark = needs_the_native_parser
RULES = replace(Rules(), pane_rows=3, max_categories=2)
HEAD = Block(1, 70_000, "cohort", ("größe", "1", "champion", ""), None, None)
TEXTS = {2**64 - 1: "", 5: "a" * 40, 300: "ö" * 200, 2**33: "b", 2**56: "c", 0: "null"}

cells = st.sampled_from(
    [(ABSENT, 0), (NULL, 0), (OTHER, 0), *((TEXT, code) for code in TEXTS)]
) | st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-9).map(
    lambda x: (NUMBER, int(np.float64(x + 0.0).view(np.uint64)))
)
hashes = st.integers(0, 2**64 - 1) | st.integers(0, 3)
rows = st.tuples(st.integers(1, 3), hashes, cells, cells)


def rows_of(drawn: list[Any]) -> Rows:
    columns = {}
    for name, place in (("b", 2), ("ä" * 40, 3)):
        kinds, bits = zip(*(row[place] for row in drawn), strict=True)
        columns[name] = Column(np.array(kinds, np.uint8), np.array(bits, np.uint64))
    ends = np.array([1_000 * row[0] for row in drawn], np.int64)
    return Rows(ends, np.array([row[1] for row in drawn], np.uint64), columns, TEXTS)


def in_python(made: Rows, rules: Rules) -> list[tuple[bytes, list[int]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "IN_USE", False)
        return [
            (
                encode_pane_record(replace(HEAD, rows=part.rows, table=part.table)),
                part.ends().tolist(),
            )
            for part in cut_into_blocks(closed([made], [], rules), rules)
        ]


def in_c(made: Rows, rules: Rules) -> list[tuple[bytes, list[int]]] | None:
    records = native_blocks.records(block_opening(HEAD), [made], rules)
    return None if records is None else [(value, ends.tolist()) for value, ends in records]


def same(made: Rows, rules: Rules = RULES) -> bool:
    found = in_c(made, rules)
    assert found is None or found == in_python(made, rules)
    return found is not None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(rows, min_size=1, max_size=40))
def test_any_rows_make_the_same_records(drawn: list[Any]) -> None:
    made = rows_of(drawn)
    _, count = np.unique(made.pane_end, return_counts=True)
    assert same(made) or count.min() <= RULES.pane_rows or len(set(made.hash.tolist())) < len(drawn)


def many(panes: int, rows: int, columns: int, seed: int, *, shuffled: bool) -> Rows:
    random = np.random.default_rng(seed)
    n = panes * rows
    ends = np.repeat(np.arange(1, panes + 1), rows) * 10_000 + 1_763_800_000_000
    hashes = random.integers(0, 2**64, n, dtype=np.uint64)
    if shuffled:
        ends = ends[random.permutation(n)]
        hashes[: n // 2] >>= np.uint64(40)  # far from spread evenly
    made = {}
    for i in range(columns):
        numbers = (random.normal(size=n) * 10.0 ** (i % 12)).round(3) + 0.0
        made[f"f{i:04}"] = Column(np.full(n, NUMBER, np.uint8), numbers.view(np.uint64))
    return Rows(ends, hashes, made, {})


@pytest.mark.parametrize("shuffled", [False, True])
def test_many_panes_are_cut_into_the_same_records(shuffled: bool) -> None:
    rules = replace(RULES, pane_rows=256, max_categories=64)
    made = many(23, 700, 12, 3, shuffled=shuffled)
    assert same(made, rules)
    assert len(in_c(made, rules) or ()) > 1
    assert same(many(2, 300, 400, 4, shuffled=shuffled), rules)  # many bytes a pane
    assert same(replace(made, columns={}), rules)


def test_what_python_must_do_is_left_to_it() -> None:
    made = many(3, 10, 2, 5, shuffled=False)
    assert in_c(made, replace(RULES, pane_rows=10)) is None  # not crowded
    assert in_c(many(5_000, 4, 1, 5, shuffled=False), RULES) is None
    assert in_c(replace(made, hash=np.full(30, 2**64 - 1, np.uint64)), RULES) is None
    beyond = Column(np.full(30, NUMBER, np.uint8), np.full(30, 1e200).view(np.uint64))
    assert in_c(replace(made, columns={"x": beyond}), RULES) is None
    with pytest.raises(KeyError):
        in_c(replace(made, columns={"x": Column(np.full(30, TEXT, np.uint8), made.hash)}), RULES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "IN_USE", False)
        assert in_c(made, RULES) is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(rows, min_size=1, max_size=30), min_size=1, max_size=4),
    st.integers(0, 2),
    st.integers(1, 3),
)
def test_rows_of_several_parts_are_taken_by_their_panes(
    parts: list[list[Any]], after: int, until: int
) -> None:
    made = [rows_of(part) for part in parts]
    span = 1_000 * after, 1_000 * until
    found = native_blocks.records(block_opening(HEAD), made, RULES, span)
    inside = concatenate([part.between(span[0] + 1, span[1]) for part in made])
    if not len(inside):
        assert found == []
    elif found is not None:
        assert [(value, ends.tolist()) for value, ends in found] == in_python(inside, RULES)
    else:
        assert in_c(inside, RULES) is None


def left(batches: list[list[tuple[int, Any]]], marks: list[int], until_ms: int) -> list[bytes]:
    """What open panes say once they close, with a checkpoint behind each of these batches."""
    opened, outbox = OpenPanes(RULES), PaneOutbox(0, 1)
    groups = [("a", "1", "champion", ""), ("b", "1", "champion", "")]
    said: list[ToPanes] = []
    for number, batch in enumerate(batches):
        made = rows_of([row for _, row in batch])
        opened.add_all(GroupedRows(made, np.array([of for of, _ in batch], np.int64), groups))
        if number in marks:
            opened.parts()
    for panes in opened.close(until_ms):
        if isinstance(panes, GroupedRows):
            said += outbox.rows("prediction", panes, RULES)
        elif isinstance(panes, Stretch):
            said += outbox.stretch("prediction", panes, RULES)
        else:
            said += outbox.blocks("prediction", *panes, RULES)
    return [effect.value for effect in said]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 1), rows), min_size=1, max_size=30),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(1, 3),
)
def test_panes_that_checkpoints_have_dealt_leave_as_python_has_them(
    batches: list[list[tuple[int, Any]]], marks: list[int], until: int
) -> None:
    found = left(batches, marks, 1_000 * until)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "IN_USE", False)
        assert left(batches, marks, 1_000 * until) == found


def test_crowded_panes_that_a_checkpoint_has_dealt_are_left_to_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = [(0, (1, hash_, (NUMBER, 0), (NULL, 0))) for hash_ in range(1, 9)]
    asked = list[int]()

    def records(*given: Any) -> Any:
        asked.append(len(given[1]))
        return made(*given)

    made = native_blocks.records
    monkeypatch.setattr(native_blocks, "records", records)
    assert left([batch, batch[:2]], [0], 1_000)
    assert asked == [2], "the rows from before the checkpoint, and those behind it"


def test_what_does_not_fit_is_refused() -> None:
    kinds, bits = np.full(9, NUMBER, np.uint8), np.zeros(9, np.uint64)
    ends, hashes, blocks = (
        np.ones(9, np.int64),
        np.arange(9, dtype=np.uint64),
        native.EXTENSION.blocks,
    )
    opening, right = b"B" * 6, (3, 2, 1_000, 500_000, zlib.crc32)
    part = (ends, hashes, [kinds, bits])
    assert len(blocks(opening, [part], 0, 1, ["x"], {}, *right)) == 1
    assert blocks(opening, [part], 1, 2, ["x"], {}, *right) == []
    for parts, names in (
        ([(ends[1:], hashes, [kinds, bits])], ["x"]), ([(ends, hashes[1:], [kinds, bits])], ["x"]),
        ([part], []), ([(ends, hashes, [kinds])], ["x"]), ([part], [7]), ([7], ["x"]),
        ([(ends, hashes, [kinds[1:], bits])], ["x"]), ([(ends, hashes, [kinds, bits[1:]])], ["x"]),
        ([part[:2]], ["x"]), ([part, (ends, hashes, [])], ["x"]),
        ([(ends, 7, [kinds, bits])], ["x"]),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            blocks(opening, parts, 0, 1, names, {}, *right)
    for limits in (
        (-1, *right[1:]), (3, 2, 0, 500_000, zlib.crc32), (3, 2, 2**62, 500_000, zlib.crc32),
        (*right[:4], None),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            blocks(opening, [part], 0, 1, ["x"], {}, *limits)
    with pytest.raises(ValueError, match="limits"):
        blocks(opening[1:], [part], 0, 1, ["x"], {}, *right)
