"""What the extension takes of outcomes and ids: it reads nothing beyond its columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import native
from stream.identity import IdMemory
from stream.outcome_join import OutcomeJoin
from stream.waiting_outcomes import WAITING
from tests.parsers import needs_the_native_parser
from tests.streams import SMALL

pytestmark = needs_the_native_parser
ONE, KEYS = np.zeros(1, np.int64), np.arange(4, dtype=np.uint64)
FLAG = np.zeros(1, np.uint8)
COLUMNS = (KEYS, ONE, ONE, ONE, FLAG, FLAG, ONE, ONE)

few = st.integers(0, 3)
predictions = st.tuples(few, few, st.integers(0, 50), st.integers(0, 30))
outcomes = st.tuples(few, few, st.integers(0, 60), st.integers(1, 3), st.booleans(), few)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(predictions, min_size=1, max_size=12),
    st.lists(st.lists(outcomes, min_size=1, max_size=12), max_size=4),
    st.lists(st.integers(0, 3), min_size=48, max_size=48),
)
def test_predictions_meet_the_same_outcomes_with_the_extension(
    asked: list[Any], waiting: list[list[Any]], done: list[int]
) -> None:
    made = []
    for in_use in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "IN_USE", in_use)
            join = OutcomeJoin(SMALL)
            for batch in waiting:
                key, check, effective, revision, retracted, label = map(
                    np.array, zip(*batch, strict=True)
                )
                given_ = {"key": key, "check": check, "effective": effective * 1_000}
                given_ |= {"revision": revision, "retracted": retracted, "label": label}
                given_ |= {"has": label + 1, "value": label / 3}
                join.add_outcomes({n: given_[n].astype(of.dtype) for n, of in WAITING.items()})
            for run in join.outcomes.runs.runs:
                run.mark(np.flatnonzero(np.array(done[: len(run)]) == 3), 4)
            key, check, time, age = map(np.array, zip(*asked, strict=True))
            rows = {
                "key": key.astype(np.uint64),
                "check": check.astype(np.uint64),
                "time": time * 1_000,
            }
            found = []
            for _ in range(2):  # what was marked may be met again
                labelled, met = join._met(rows, age * 1_000, is_mature=True)
                found.append([labelled.tolist(), {n: met[n].tolist() for n in sorted(met)}])
            marks = [run.marks_or_zeros().tolist() for run in join.outcomes.runs.runs]
            made.append((found, marks, join.outcomes.terms_at_hand()))
    assert made[0] == made[1]


def test_meetings_that_do_not_fit_are_refused() -> None:
    meetings, four = native.EXTENSION.meetings, np.arange(4)
    asked = (KEYS, KEYS, four, four, 10)
    assert meetings(*asked, [(COLUMNS, None, 0, None)])[0] == bytearray(b"\0\0\0\0")  # other checks
    for misfit in (
        (KEYS[1:], KEYS, four, four, 10, []), (KEYS, KEYS[1:], four, four, 10, []),
        (KEYS, KEYS, four[1:], four, 10, []), (KEYS, KEYS, four, four[1:], 10, []),
        (*asked, [7]), (*asked, [(COLUMNS[1:], None, 0, None)]),
        (*asked, [(COLUMNS, None, 64, None)]),
        (*asked, [(COLUMNS, None, -1, None)]), (*asked, [(COLUMNS, None, 0, FLAG)]),
        (*asked, [((*COLUMNS[:7], four[1:]), None, 0, None)]), (*asked, [(COLUMNS, 7, 0, None)]),
        (*asked, [((*COLUMNS[:7], 7), None, 0, None)]),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            meetings(*misfit)


def test_marks_that_do_not_fit_are_refused() -> None:
    marks, rows, bits = np.zeros(3, np.uint8), np.array([2, 0]), np.array([1, 3], np.uint8)
    assert native.EXTENSION.marked(marks, rows, bits, FLAG) == (1, 1, 0)
    assert native.EXTENSION.marked(marks, rows, bits, FLAG) == (0, 0, 0)
    assert marks.tolist() == [3, 0, 1]
    for misfit in (
        (marks, rows + 1, bits, FLAG), (marks, rows - 1, bits, FLAG), (marks, rows[1:], bits, FLAG),
        (marks, rows, bits, bits), (b"\0\0\0", rows, bits, FLAG),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            native.EXTENSION.marked(*misfit)


ids = st.tuples(st.integers(0, 2) | st.just(2**64 - 1), few, st.integers(0, 20))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(ids, min_size=1, max_size=20), min_size=1, max_size=6))
def test_ids_are_new_alike_with_the_extension(batches: list[list[Any]]) -> None:
    made = []
    for in_use in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "IN_USE", in_use)
            memory, found, reached = IdMemory(), [], 0
            for batch in batches:
                pairs = np.array([one[:2] for one in batch], np.uint64)
                before = reached + np.arange(len(batch))
                expires = before + np.array([one[2] for one in batch])
                found.append(memory.apply(pairs, before, expires).tolist())
                reached += len(batch)
                memory.purge(reached)
            kept = [{n: v.tolist() for n, v in run.columns.items()} for run in memory.runs.runs]
            made.append((found, kept))
    assert made[0] == made[1]


def test_ids_that_may_come_twice_are_told() -> None:
    new_ids, before = native.EXTENSION.new_ids, np.zeros(200, np.int64)
    distinct = np.arange(400, dtype=np.uint64).reshape(-1, 2)
    assert new_ids(distinct << np.uint64(55), before, [])[1] is False
    assert new_ids(np.zeros((2, 2), np.uint64), before[:2], [])[1] is True
    assert new_ids(distinct, before, [])[1] is True  # they collide, and may be looked at one by one
    run = (KEYS, KEYS, ONE, None, 0)
    assert new_ids(np.stack([KEYS, KEYS], 1), before[:4], [run])[0] == bytearray(4)
    for misfit in (
        (distinct, before[1:], []), (distinct, before, [7]),
        (distinct, before, [(KEYS, KEYS[:2], ONE, None, 0)]),
        (distinct, before, [(None, KEYS, ONE, None, 0)]), (distinct, before, [(*run[:4], 64)]),
        (distinct, before, [(*run[:3], 7, 0)]),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            new_ids(*misfit)
