"""Distances: exact, safe on offset data, with the errors they promise."""

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.distance import (
    _chi_squared_tail,
    chi_squared,
    jensen_shannon,
    ks,
    ks_sample_bound,
    psi,
    quantile_counts,
    wasserstein,
)


def psi_numeric(left: npt.ArrayLike, right: npt.ArrayLike, *, bins: int = 10) -> float:
    return psi(*quantile_counts(left, right, bins=bins))


OFFSETS = {"zero": 0.0, "years": 2020.0, "balances": 5e8, "epochs": 1.7e9}


def naive_ks(left: list[float], right: list[float]) -> Fraction:
    def cdf(values: list[float], x: float) -> Fraction:
        return Fraction(sum(value <= x for value in values), len(values))

    return max(abs(cdf(left, x) - cdf(right, x)) for x in left + right)


few_values = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=30)
any_values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30)


@given(left=few_values | any_values, right=few_values | any_values)
def test_ks_is_the_definition_ties_included(left: list[float], right: list[float]) -> None:
    assert ks(sorted(left), right) == float(naive_ks(left, right))


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS.keys())
def test_ks_and_psi_see_the_same_shift_whatever_the_offset(offset: float) -> None:
    rng = np.random.default_rng(1)
    reference = rng.integers(0, 64, 4000) / 4.0
    current = rng.integers(12, 76, 1000) / 4.0
    assert ks(np.sort(reference + offset), current + offset) == ks(np.sort(reference), current)
    assert psi_numeric(reference + offset, current + offset) == psi_numeric(reference, current)
    assert ks(np.sort(reference), current) == pytest.approx(12 / 64, abs=0.03)
    assert psi_numeric(reference, current) > 0.25


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS.keys())
def test_samples_of_k_rows_keep_the_error_they_promise(offset: float) -> None:
    rng = np.random.default_rng(2)
    reference = offset + rng.normal(size=20_000)
    current = offset + 0.3 + rng.normal(size=20_000)
    exact = ks(np.sort(reference), current)
    k, alpha, trials = 256, 0.05, 200
    bound = ks_sample_bound(k, k, alpha)
    errors = []
    for _ in range(trials):
        left, right = rng.choice(reference, k, False), rng.choice(current, k, False)
        errors.append(abs(ks(np.sort(left), right) - exact))
    assert np.mean(np.array(errors) > bound) <= alpha
    assert max(errors) > bound / 5  # the bound is not idle


def test_samples_of_one_distribution_stay_below_the_bound() -> None:
    rng = np.random.default_rng(3)
    bound = ks_sample_bound(200, 300, 0.05)
    statistics = [ks(np.sort(rng.random(200)), rng.random(300)) for _ in range(300)]
    assert np.mean(np.array(statistics) > bound) <= 0.05
    assert ks(np.sort(rng.random(200)), rng.random(300) + 0.5) > bound


def test_bound_shrinks_with_the_samples_and_a_complete_side_adds_nothing() -> None:
    assert ks_sample_bound(400, 400, 0.01) == pytest.approx(ks_sample_bound(100, 100, 0.01) / 2)
    both, one = ks_sample_bound(100, 100, 0.01), ks_sample_bound(math.inf, 100, 0.01)
    assert one == pytest.approx(both / 2)


def test_psi_is_its_formula_symmetric_and_blind_to_order_and_padding() -> None:
    left, right = [90, 10, 0], [40, 50, 10]
    p = np.array([90.5, 10.5, 0.5]) / 101.5
    q = np.array([40.5, 50.5, 10.5]) / 101.5
    assert psi(left, right) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    assert psi(right, left) == pytest.approx(psi(left, right))
    assert psi(left[::-1], right[::-1]) == psi(left, right)
    assert psi([*left, 0, 0], [*right, 0, 0]) == psi(left, right)
    assert psi(left, left) == 0.0


def test_psi_of_a_new_category_is_finite_and_grows_with_its_share() -> None:
    shares = [psi([1000, 0], [1000 - k, k]) for k in (1, 10, 100, 1000)]
    assert shares == sorted(shares)
    assert 0.0 < shares[0] < 0.01
    assert shares[-1] > 5.0


def test_psi_of_two_samples_of_one_distribution_is_near_its_expectation() -> None:
    rng = np.random.default_rng(4)
    m, n, bins = 10_000, 1000, 10
    found = [psi_numeric(rng.normal(size=m), rng.normal(size=n), bins=bins) for _ in range(200)]
    assert np.mean(found) == pytest.approx((bins - 1) * (1 / m + 1 / n), rel=0.15)


@pytest.mark.parametrize("moved", [3.0, 7.0])
def test_psi_of_a_constant_reference_sees_a_shift_to_either_side(moved: float) -> None:
    assert psi_numeric(np.full(1000, 5.0), np.full(1000, moved)) > 5.0
    assert psi_numeric(np.full(1000, 5.0), np.full(200, 5.0)) == 0.0


def test_psi_of_mostly_zeros_sees_zeros_turn_into_small_values() -> None:
    rng = np.random.default_rng(5)
    amounts = np.where(rng.random(5000) < 0.8, 0.0, rng.random(5000))
    touched = np.where(amounts == 0.0, 1e-9, amounts)
    assert psi_numeric(amounts, touched) > 5.0
    assert psi_numeric(amounts, -touched) > 5.0


Sample = npt.ArrayLike


@pytest.mark.parametrize("bad", [[], [math.nan], [1.0, math.inf], [[1.0]]])
def test_samples_that_cannot_be_compared_are_refused(bad: Sample) -> None:
    for left, right in [(bad, [1.0]), ([1.0], bad)]:
        with pytest.raises(ValueError, match="sample"):
            ks(left, right)
        with pytest.raises(ValueError, match="sample"):
            psi_numeric(left, right)


def test_other_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="not sorted"):
        ks([2.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="different bins"):
        psi([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        psi([1, -2], [1, 2])
    with pytest.raises(ValueError, match="empty"):
        psi([0, 0], [1, 2])
    with pytest.raises(ValueError, match="smoothing"):
        psi([1, 2], [1, 2], smoothing=0.0)
    with pytest.raises(ValueError, match="bins"):
        psi_numeric([1.0], [1.0], bins=1)
    with pytest.raises(ValueError, match="alpha"):
        ks_sample_bound(100, 100, 0.0)


some_counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=12)


@given(left=few_values | any_values, right=few_values | any_values)
def test_wasserstein_is_what_moving_costs(left: list[float], right: list[float]) -> None:
    many = sorted(left * len(right)), sorted(right * len(left))  # as many on either side
    moved = sum(abs(Fraction(a) - Fraction(b)) for a, b in zip(*many, strict=True)) / len(many[0])
    assert wasserstein(sorted(left), right) == pytest.approx(float(moved), rel=1e-9, abs=1e-6)


@given(counts=some_counts)
def test_jensen_shannon_is_the_definition_and_does_not_mind_which_is_which(
    counts: list[tuple[int, int]],
) -> None:
    before, after = ([pair[side] for pair in counts] for side in (0, 1))
    if not (sum(before) and sum(after)):
        return
    p, q = np.array(before) / sum(before), np.array(after) / sum(after)

    def entropy(shares: npt.NDArray[np.float64]) -> float:
        some = shares[shares > 0]
        return -float((some * np.log2(some)).sum())

    naive = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    found = jensen_shannon(before, after)
    assert found**2 == pytest.approx(max(naive, 0.0), abs=1e-9)
    assert jensen_shannon(after, before) == pytest.approx(found, abs=1e-9)
    assert 0.0 <= found <= 1.0


def test_the_tail_of_chi_squared_is_that_of_tables() -> None:
    # Abramowitz & Stegun, table 26.8: upper 5 % and 0.1 % points
    for degrees, five, thousandth in ((1, 3.841, 10.828), (2, 5.991, 13.816), (9, 16.919, 27.877)):
        for point, p in ((five, 0.05), (thousandth, 0.001)):
            assert _chi_squared_tail(point, degrees) == pytest.approx(p, rel=2e-3)


def test_p_of_chi_squared_is_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(4)
    shares = np.array([0.4, 0.3, 0.2, 0.1])
    found = np.array(
        [
            chi_squared(rng.multinomial(2000, shares), rng.multinomial(300, shares)).p
            for _ in range(1000)
        ]
    )
    assert abs((found <= 0.1).mean() - 0.1) < 0.03
    assert abs(found.mean() - 0.5) < 0.04


def test_without_a_shift_they_are_what_they_promise_and_with_one_they_see_it() -> None:
    rng = np.random.default_rng(5)
    m, n = 5000, 1000
    chance = math.sqrt(1 / m + 1 / n)
    moved, diverged = [], []
    for _ in range(100):
        before, same = np.sort(rng.normal(size=m)), rng.normal(size=n)
        moved.append(wasserstein(before, same))
        diverged.append(jensen_shannon(*quantile_counts(before, same)))
    assert np.mean(moved) == pytest.approx(1.3 * chance, rel=0.15)
    promised = math.sqrt(9 / (8 * math.log(2))) * chance
    assert np.mean(diverged) == pytest.approx(promised, rel=0.15)
    assert wasserstein(before, same + 0.5) == pytest.approx(0.5, abs=0.1)
    assert jensen_shannon(*quantile_counts(before, same + 0.5)) > 0.15


def test_distances_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="different bins"):
        jensen_shannon([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="neither side"):
        chi_squared([1, 2], [0, 0])
    with pytest.raises(ValueError, match="not sorted"):
        wasserstein([2.0, 1.0], [1.0])
