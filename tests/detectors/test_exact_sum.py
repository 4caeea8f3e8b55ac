"""Exact sums: against rationals, in any order and grouping."""

from __future__ import annotations

import itertools
from fractions import Fraction
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.exact_sum import BIN_BITS, Binned, binned_sums, merge_bins, to_floats

numbers = st.floats(-1e200, 1e200, allow_nan=False) | st.sampled_from(
    [0.0, -0.0, 5e-324, -5e-324, 2.0**-1022, 1e16, 1.0, -1e16, 1e200, 2.0**26, 2.0**26 - 1]
)
summands = st.lists(st.tuples(numbers, st.integers(0, 3)), max_size=40)


def summed(pairs: list[tuple[float, int]]) -> Binned:
    values = np.array([x for x, _ in pairs], np.float64)
    return binned_sums(values, np.array([group for _, group in pairs], np.int64))


def exactly(bins: Binned, group: int) -> Fraction:
    mine = bins.group == group
    cells = zip(bins.bin[mine].tolist(), bins.amount[mine].tolist(), strict=True)
    return sum((Fraction(2) ** (BIN_BITS * b) * amount for b, amount in cells), Fraction(0))


def plain(bins: Binned) -> list[list[int]]:
    return [bins.group.tolist(), bins.bin.tolist(), bins.amount.tolist()]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(summands)
def test_sums_equal_the_sums_of_rationals(pairs: list[tuple[float, int]]) -> None:
    bins = summed(pairs)
    for group in range(4):
        expected = sum((Fraction(x) for x, g in pairs if g == group), Fraction(0))
        assert exactly(bins, group) == expected


@settings(max_examples=150, deadline=None, derandomize=True)
@given(summands, st.randoms(use_true_random=False), st.integers(1, 5))
def test_merging_parts_in_any_order_gives_the_bins_of_the_whole(
    pairs: list[tuple[float, int]], random: Random, count: int
) -> None:
    whole = plain(merge_bins([summed(pairs)]))
    shuffled = random.sample(pairs, len(pairs))
    cuts = sorted(random.randint(0, len(pairs)) for _ in range(count))
    bounds = [0, *cuts, len(pairs)]
    parts = [summed(shuffled[a:b]) for a, b in itertools.pairwise(bounds)]
    assert plain(merge_bins(parts)) == whole
    nested = parts[0]
    for part in parts[1:]:
        nested = merge_bins([part, nested])
    assert plain(merge_bins([nested])) == whole


@settings(max_examples=150, deadline=None, derandomize=True)
@given(summands)
def test_as_floats_a_sum_is_within_a_few_units_of_double_double(
    pairs: list[tuple[float, int]],
) -> None:
    high, low = to_floats(summed(pairs), 4)
    for group in range(4):
        exact = sum((Fraction(x) for x, g in pairs if g == group), Fraction(0))
        largest = max((abs(Fraction(x)) for x, g in pairs if g == group), default=Fraction(0))
        off = abs(Fraction(high[group]) + Fraction(low[group]) - exact)
        assert off <= len(pairs) * largest * Fraction(2) ** -104 + Fraction(2) ** -1074
        assert abs(low[group]) <= abs(high[group]) * 2.0**-52 + 5e-324


def test_two_to_the_26_largest_parts_do_not_overflow_the_53_bits_of_a_bin() -> None:
    """The stated capacity, by its largest bin: 2**26 summands of 2**26 - 1 stay below 2**53."""
    part = 2**26 - 1
    assert 2**26 * part < 2**53
    bins = binned_sums(np.full(2**16, float(part)), np.zeros(2**16, np.int64))
    assert exactly(bins, 0) == 2**16 * part


def test_cancellation_leaves_no_bin_behind() -> None:
    bins = merge_bins([summed([(1e16, 0), (3.5, 0)]), summed([(-1e16, 0), (-3.5, 0)])])
    assert plain(bins) == [[], [], []]


def test_the_sum_of_nothing_is_zero() -> None:
    empty = binned_sums(np.zeros(0), np.zeros(0, np.int64))
    assert [side.tolist() for side in to_floats(merge_bins([empty, empty]), 2)] == [[0, 0], [0, 0]]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(summands)
def test_groups_that_lie_together_have_the_bins_of_those_that_do_not(
    pairs: list[tuple[float, int]],
) -> None:
    assert plain(summed(sorted(pairs, key=lambda pair: pair[1]))) == plain(summed(pairs))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4999), numbers), max_size=20), st.integers(1, 2000))
def test_few_that_reach_further_down_are_summed_with_the_many(
    few: list[tuple[int, float]], rows: int
) -> None:
    """In order: bin by bin of all, and what is left of a few by itself; else one by one."""
    values, group = np.tile([1.0, 0.1, 0.0, -3.0], 1250), np.arange(5000) // rows
    for at, value in few:
        values[at] = value
    values[rows % 5000] = 2.0**-70 / 3  # the first of a group
    order = np.random.default_rng(1).permutation(5000)
    assert plain(binned_sums(values, group)) == plain(binned_sums(values[order], group[order]))
