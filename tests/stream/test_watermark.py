"""Late and future: the boundaries, and that batches do not show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.watermark import BEFORE_ALL_MS, NO_TIMESTAMP, Watermark, late, pane_end_ms
from tests.streams import SMALL

RULES = replace(SMALL, pane_ms=1_000, grace_ms=2_000, future_bound_ms=500)


def int64(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(("watermark_ms", "expected"), [(7_999, False), (8_000, True)])
def test_a_record_is_late_exactly_when_its_pane_end_and_grace_are_reached(
    watermark_ms: int, expected: bool
) -> None:
    for time in (5_000, 5_999):  # pane [5000, 6000): closed at 6000 + 2000
        assert late(int64(time), int64(watermark_ms), RULES).tolist() == [expected]


def test_panes_are_half_open() -> None:
    assert pane_end_ms(int64(0, 999, 1_000, 1_001), 1_000).tolist() == [1_000, 1_000, 2_000, 2_000]


@pytest.mark.parametrize(("time_ms", "future"), [(10_500, False), (10_501, True)])
def test_future_begins_beyond_the_bound_and_does_not_move_the_watermark(
    time_ms: int, future: bool
) -> None:
    mark = Watermark()
    judged = mark.observe(int64(100, time_ms, 200), int64(100, 10_000, 200), RULES)
    assert judged.future.tolist() == [False, future, False]
    assert mark.at_ms == (200 if future else time_ms)
    assert judged.before_ms.tolist() == [BEFORE_ALL_MS, 100, 100 if future else time_ms]


def test_nothing_is_of_the_future_without_a_record_timestamp_or_a_bound() -> None:
    far = int64(10**15)
    assert not Watermark().observe(far, int64(NO_TIMESTAMP), RULES).future.any()
    unbounded = replace(RULES, future_bound_ms=None)
    assert not Watermark().observe(far, int64(0), unbounded).future.any()


def test_nothing_is_late_before_the_first_record() -> None:
    mark = Watermark()
    judged = mark.observe(int64(0), int64(0), RULES)
    assert not late(int64(0), judged.before_ms, RULES).any()


def test_advancing_never_goes_back() -> None:
    mark = Watermark()
    mark.advance(10)
    mark.advance(5)
    assert mark.at_ms == 10


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000)), max_size=30), st.data())
def test_any_cut_of_a_batch_is_judged_like_the_whole_and_like_record_by_record(
    records: list[tuple[int, int]], data: st.DataObject
) -> None:
    whole = Watermark()
    judged = whole.observe(int64(*(t for t, _ in records)), int64(*(r for _, r in records)), RULES)
    cut = data.draw(st.integers(0, len(records)))
    mark = Watermark()
    parts = [
        mark.observe(int64(*(t for t, _ in part)), int64(*(r for _, r in part)), RULES)
        for part in (records[:cut], records[cut:])
    ]
    assert np.concatenate([p.before_ms for p in parts]).tolist() == judged.before_ms.tolist()
    assert np.concatenate([p.future for p in parts]).tolist() == judged.future.tolist()
    assert mark.at_ms == whole.at_ms
    at = BEFORE_ALL_MS
    for (time, record), before in zip(records, judged.before_ms.tolist(), strict=True):
        assert before == at
        at = at if time > record + 500 else max(at, time)
