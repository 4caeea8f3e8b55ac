"""Rows of sums are what a matrix of integers would be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.sum_rows import SumRows

KINDS = 2
VALUES = st.one_of(st.just(0), st.integers(-9, 9), st.integers(-(2**61), 2**61))
ADDED = st.lists(
    st.tuples(
        st.lists(st.integers(0, 12), min_size=1, max_size=6),  # steps from row to row
        st.integers(0, 2),  # columns that come
        st.lists(VALUES, min_size=1, max_size=5),
        st.booleans(),  # folded behind it
    ),
    max_size=12,
)


@given(added=ADDED, restored=st.integers(0, 12))
def test_they_are_the_sums_of_what_was_added_and_folded(
    added: list[tuple[list[int], int, list[int], bool]], restored: int
) -> None:
    rows, naive = SumRows(KINDS), np.zeros((KINDS, 0, 0), np.int64)
    last = 0
    for step, (steps, more, values, is_folded) in enumerate(added):
        at = last + np.cumsum(steps)
        at, last = np.unique(at), int(at[-1])
        columns = naive.shape[2] + more
        sums = np.resize(np.array(values, np.int64), (KINDS, len(at), columns))
        rows.add(at, sums)
        grown = np.zeros((KINDS, max(last + 1, naive.shape[1]), columns), np.int64)
        grown[:, : naive.shape[1], : naive.shape[2]] = naive
        grown[:, at] += sums
        naive = grown
        if is_folded:
            rows.fold()
            odd = np.zeros((KINDS, naive.shape[1] % 2, columns), np.int64)
            whole = np.concatenate([naive, odd], axis=1)
            naive = whole[:, ::2] + whole[:, 1::2]
            last = max(naive.shape[1] - 1, 0)
        if step == restored:
            rows = SumRows.restore(KINDS, rows.snapshot())
        assert len(rows) == naive.shape[1]
        np.testing.assert_array_equal(rows.sums(columns), naive)
    some = slice(naive.shape[2] // 2, naive.shape[2] + 1)
    wider = np.concatenate([naive, np.zeros((*naive.shape[:2], 1), np.int64)], axis=2)
    if len(rows):
        np.testing.assert_array_equal(rows.of(some).sums(some.stop - some.start), wider[:, :, some])


def test_rows_that_are_complete_are_packed() -> None:
    rows = SumRows(3)
    for place in range(1000):
        rows.add(np.array([place]), np.full((3, 1, 50), place % 7, np.int64))
    assert sum(map(len, rows._packed)) < 1000 * 3 * 50
    assert rows._open.nbytes == 8 * 3 * 50 * 8


def test_rows_of_a_state_may_have_fewer_columns_than_later_ones() -> None:
    rows = SumRows.restore(2, [np.array([1, 2]), np.array([3, 4, 5, 6])])
    np.testing.assert_array_equal(rows.sums(2), [[[1, 0], [3, 4]], [[2, 0], [5, 6]]])
