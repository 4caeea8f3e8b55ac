"""Exact sums of squares: against rationals, and with the same bins however they are gathered."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.exact_sum import BIN_BITS, Binned, binned_sums, merge_bins
from detectors.moments import exact_squares, squares_of_runs

BENEATH = 1 - 2.0**-27  # the bins of its square end above those of the error begin
sizes = st.floats(1e-140, 1e150) | st.sampled_from([1.0, BENEATH, 2.0**26 + 1, 1e-140, 1e150])
numbers = st.just(0.0) | sizes | sizes.map(lambda x: -x) | st.floats(1, 2)
cells = st.lists(st.tuples(st.integers(0, 3), numbers), min_size=1, max_size=40)


def squares(cells: list[tuple[int, float]]) -> Binned:
    group = np.array([g for g, _ in cells], np.int64)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    return squares_of_runs(np.array([x for _, x in cells]), group, starts)


def plain(bins: Binned) -> list[list[int]]:
    return [bins.group.tolist(), bins.bin.tolist(), bins.amount.tolist()]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cells)
@example([(0, BENEATH)])
@example([(0, BENEATH), (1, 1.0), (1, 0.1)])
def test_squares_equal_the_squares_of_rationals(cells: list[tuple[int, float]]) -> None:
    cells = sorted(cells, key=lambda cell: cell[0])
    bins = squares(cells)
    for group in range(4):
        mine = bins.group == group
        parts = zip(bins.bin[mine].tolist(), bins.amount[mine].tolist(), strict=True)
        found = sum((Fraction(2) ** (BIN_BITS * b) * amount for b, amount in parts), Fraction(0))
        assert found == sum((Fraction(x) ** 2 for g, x in cells if g == group), Fraction(0))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cells)
@example([(0, BENEATH)])
@example([(0, 1e150), (0, 0.1), (1, 1e-140)])
def test_the_bins_are_those_of_products_and_errors_one_by_one(
    cells: list[tuple[int, float]],
) -> None:
    cells = sorted(cells, key=lambda cell: cell[0])
    parts = []
    for group, x in cells:
        of = np.array([group])
        parts += [binned_sums(part, of) for part in exact_squares(np.array([x]))]
    assert plain(squares(cells)) == plain(merge_bins(parts))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4999), numbers), max_size=9), st.integers(500, 5000))
def test_few_that_reach_further_down_are_squared_with_the_many(
    few: list[tuple[int, float]], rows: int
) -> None:
    values, group = np.tile([1.0, BENEATH, 0.0, -3.0], 1250), np.arange(5000) // rows
    for at, value in few:
        values[at] = value
    values[rows % 5000] = 2.0**-70 / 3  # the first of a group
    order = np.random.default_rng(1).permutation(5000)
    parts = [binned_sums(part[order], group[order]) for part in exact_squares(values)]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    assert plain(squares_of_runs(values, group, starts)) == plain(merge_bins(parts))
