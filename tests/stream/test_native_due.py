"""Rows by their due times, and columns of integers, by the extension as by numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import native
from stream.pending import NEVER_MS
from stream.watermark import BEFORE_ALL_MS
from tests.parsers import needs_the_native_parser

pytestmark = needs_the_native_parser


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.integers(1, 10) | st.integers(1, 2**40),
    st.integers(BEFORE_ALL_MS // 2, -BEFORE_ALL_MS // 2),
)
def test_rows_whole_panes_apart_are_ordered_by_counting(
    panes: list[int], pane_ms: int, first_ms: int
) -> None:
    due = first_ms + np.array(panes) * pane_ms
    order, sorted_ms = native.EXTENSION.by_due(due, pane_ms)
    expected = np.argsort(due, kind="stable")
    assert np.frombuffer(order, np.int32).tolist() == expected.tolist()
    assert np.frombuffer(sorted_ms, np.int64).tolist() == due[expected].tolist()


def test_other_due_times_are_left_to_numpy() -> None:
    by_due = native.EXTENSION.by_due
    assert by_due(np.array([0, 7]), 10) is None
    assert by_due(np.array([7, 0, 10]), 10) is None
    assert by_due(np.array([0, (1 << 16) * 10]), 10) is None
    assert by_due(np.array([BEFORE_ALL_MS, 0, NEVER_MS]), 10) is None
    assert by_due(np.array([-(2**63), 2**63 - 1]), 1) is None
    assert by_due(np.zeros(0, np.int64), 10) == (b"", b"")
    for misfit in ((np.zeros(3, np.uint8), 10), (np.zeros(1, np.int64), 0)):
        with pytest.raises(ValueError, match="fit"):
            by_due(*misfit)


def test_integers_become_a_column() -> None:
    integers = native.EXTENSION.integers
    given_ = [np.int64(5), None, -1, 2**63 - 1, -(2**63)]
    made = np.frombuffer(integers(given_, 7), np.int64)
    assert made.tolist() == [5, 7, -1, 2**63 - 1, -(2**63)]
    for misfit in ([2**63], ["1"], [1.0]):
        with pytest.raises((OverflowError, TypeError)):
            integers(misfit, 7)
