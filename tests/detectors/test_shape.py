"""Bins of a distribution: whole cells, balanced, with atoms apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.cusum_bank import CusumBank
from detectors.shape import quantile_bins, split, top_categories


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80).filter(any), st.integers(2, 12))
def test_bins_ascend_without_gaps_and_are_no_more_than_asked(cells: list[int], bins: int) -> None:
    numbers = quantile_bins(cells, bins)
    steps = np.diff(numbers)
    assert numbers[0] == 0
    assert ((steps == 0) | (steps == 1)).all()
    # a heavy cell is set apart, which may split what lies around it in two
    assert numbers[-1] + 1 <= 2 * bins + 1
    weights = np.bincount(numbers, weights=cells)
    heavy = np.array(cells) * bins >= sum(cells)
    light = [w for i, w in enumerate(weights) if not heavy[numbers == i].any()]
    assert max(light, default=0) <= 2 * sum(cells) / bins
    for cell in np.flatnonzero(heavy):
        assert np.array(cells)[numbers == numbers[cell]].sum() == cells[cell]


def test_even_cells_make_even_bins() -> None:
    assert np.bincount(quantile_bins(np.ones(1000, dtype=int))).tolist() == [100] * 10


def test_parts_of_a_budget_add_up_to_it() -> None:
    for numeric in (True, False):
        parts = split(1e-6, bins=7, numeric=numeric)
        assert parts.mean + 7 * parts.per_bin == pytest.approx(1e-6)
    assert split(1e-6, bins=7, numeric=False).mean == 0.0
    with pytest.raises(ValueError, match="rate"):
        split(0.0, bins=7, numeric=False)


def test_the_most_frequent_categories_have_bins_of_their_own() -> None:
    assert top_categories([5, 5, 9, 0, 1], most=3).tolist() == [2, 0, 1]
    assert top_categories([0, 2], most=3).tolist() == [1]


def test_a_spread_that_doubles_at_the_same_mean_is_found_by_the_bins() -> None:
    rng = np.random.default_rng(3)
    reference = rng.standard_normal(10_000)
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    counts = np.bincount(np.searchsorted(edges, reference), minlength=10)
    per_bin = split(5e-7, bins=10, numeric=True).per_bin
    bank = CusumBank(bernoulli_tilts(counts, np.full(10, 10_000), rate=per_bin))
    values = np.concatenate([rng.standard_normal(2000), 2 * rng.standard_normal(1000)])
    events = (np.searchsorted(edges, values)[:, None] == np.arange(10)).astype(np.int64)
    told = bank.update(np.arange(3000), events, np.ones_like(events))
    assert 2000 <= told.pane[0] < 2300
    assert told.series[0] in (0, 9)  # the tails
