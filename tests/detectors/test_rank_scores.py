"""Normal scores: standardised over the reference whatever its shape, and blind to tails."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import native
from detectors.rank_scores import SCORE_UNIT, RankScores, normal_quantiles
from detectors.shape import quantile_bins, quantile_bins_of


def naive_scores(reference: list[float], values: list[float]) -> list[float]:
    """By counting, one value at a time."""
    n = len(reference)

    def raw(value: float) -> float:
        below = sum(r < value for r in reference)
        equal = sum(r == value for r in reference)
        rank = min(max(below + equal / 2, 0.5), n - 0.5)
        return NormalDist().inv_cdf(rank / n)

    own = [raw(r) for r in reference]
    mean = math.fsum(own) / n
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in own) / n)
    return [(raw(value) - mean) / (sd if sd > 1e-9 else 1.0) for value in values]


numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=150, deadline=None)
@given(reference=st.lists(numbers, min_size=1, max_size=40), asked=st.lists(numbers, max_size=20))
def test_scores_are_what_counting_gives(reference: list[float], asked: list[float]) -> None:
    scores = RankScores.from_values(reference)
    values = [*reference, *asked]
    expected = naive_scores(reference, values)
    assert scores.score(np.array(values)) / SCORE_UNIT == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["normal", "cauchy", "lognormal", "zeros", "coin", "constant"])
def test_over_the_reference_the_mean_is_zero_and_the_variance_one(name: str) -> None:
    rng = np.random.default_rng(3)
    values = {
        "normal": rng.standard_normal(5000),
        "cauchy": rng.standard_cauchy(5000),
        "lognormal": np.exp(1.5 * rng.standard_normal(5000)),
        "zeros": rng.exponential(1.0, 5000) * (rng.random(5000) < 0.2),
        "coin": (rng.random(5000) < 0.01).astype(float),
        "constant": np.full(5000, 7.0),
    }[name]
    z = RankScores.from_values(values).score(values) / SCORE_UNIT
    assert z.mean() == pytest.approx(0.0, abs=1e-4)
    assert z.var() == pytest.approx(0.0 if name == "constant" else 1.0, abs=1e-3)


def test_buckets_score_as_the_values_they_hold() -> None:
    rng = np.random.default_rng(4)
    values = rng.integers(0, 30, 2000).astype(float)
    counts = np.bincount(values.astype(int), minlength=32)  # two empty buckets above
    by_bucket, by_value = RankScores.from_counts(counts), RankScores.from_values(values)
    np.testing.assert_array_equal(by_bucket.cell_scores[:30], by_value.cell_scores)
    assert by_bucket.cell_scores[31] == by_value.gap_scores[30]
    assert by_bucket.largest_mass == counts.max() / 2000


def test_a_shift_of_normal_values_moves_the_mean_score_by_almost_as_much() -> None:
    rng = np.random.default_rng(5)
    scores = RankScores.from_values(rng.standard_normal(10_000))
    for shift in (0.25, 0.5, 1.0):
        moved = scores.score(rng.standard_normal(100_000) + shift).mean() / SCORE_UNIT
        assert moved == pytest.approx(shift, abs=0.02 + 0.05 * shift)


def test_cumulants_are_those_of_the_scores() -> None:
    rng = np.random.default_rng(6)
    values = rng.exponential(1.0, 3000) * (rng.random(3000) < 0.3)
    scores = RankScores.from_values(values)
    z = scores.score(values) / SCORE_UNIT
    theta = np.array([-0.5, 0.0, 0.8])
    expected = [math.log(math.fsum(math.exp(t * v) for v in z) / 3000) for t in theta]
    assert scores.cgf(theta) == pytest.approx(expected, abs=1e-6)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="cell_counts"):
        RankScores.from_counts([0, 0])
    with pytest.raises(ValueError, match="finite"):
        RankScores.from_values([1.0, math.nan])
    with pytest.raises(ValueError, match="ascend"):
        RankScores([1, 1], [2.0, 1.0])
    with pytest.raises(ValueError, match="buckets"):
        RankScores.from_counts([3, 2]).score([1.0])
    with pytest.raises(ValueError, match="not a number"):
        RankScores.from_values([1.0, 2.0]).score([math.nan])


@pytest.mark.parametrize("in_c", [False, native.IS_BUILT])
def test_normal_quantiles_are_those_of_python_bit_for_bit(
    in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "IN_USE", in_c)
    shares = np.random.default_rng(3).random(20_000)
    shares[:200] **= 9
    edges = [1e-300, 1e-12, 0.075, 0.5 - 0.425, 0.5, np.nextafter(0.5, 1), 0.5 + 0.425, 1 - 1e-12]
    asked = np.concatenate([shares, edges])
    exact = [NormalDist().inv_cdf(p) for p in asked.tolist()]
    assert normal_quantiles(asked).tolist() == exact


@given(st.lists(st.lists(st.integers(1, 900), min_size=1, max_size=30), min_size=1, max_size=6))
def test_scores_and_bins_of_many_references_are_those_of_each(counted: list[list[int]]) -> None:
    counts = np.concatenate([np.array(one, np.int64) for one in counted])
    starts = np.cumsum([0, *(len(one) for one in counted[:-1])])
    together = RankScores.from_all_counts(counts, starts)
    bins = np.split(quantile_bins_of(counts, starts), starts[1:])
    for one, made, of_bins in zip(counted, together, bins, strict=True):
        alone = RankScores.from_counts(one)
        assert made.count == alone.count
        assert made.cell_counts.tolist() == alone.cell_counts.tolist()
        assert made.cell_counts.dtype == alone.cell_counts.dtype
        assert made.mixed.tobytes() == alone.mixed.tobytes()
        assert of_bins.tolist() == quantile_bins(one).tolist()


@given(
    st.lists(
        st.lists(st.integers(0, 90), min_size=1, max_size=6).filter(any), min_size=1, max_size=40
    )
)
def test_cumulants_of_many_references_are_those_of_each(counted: list[list[int]]) -> None:
    counts = np.concatenate([np.array(one, np.int64) for one in counted])
    starts = np.cumsum([0, *(len(one) for one in counted[:-1])])
    together = RankScores.from_all_counts(counts, starts)
    theta = np.linspace(-2.0, 2.0, 3 * len(counted)).reshape(-1, 3)
    of_all = RankScores.all_cgf(together, theta)
    for one, row, made, cumulants in zip(counted, theta, together, of_all, strict=True):
        alone = RankScores.from_counts(one)
        assert made.mixed.tobytes() == alone.mixed.tobytes()
        assert alone.cgf(row).tobytes() == cumulants.tobytes()
        z, share = alone.cell_scores / SCORE_UNIT, np.array(one) / sum(one)
        naive = [round(math.log(math.fsum(share * np.exp(t * z))), 9) for t in row.tolist()]
        assert cumulants == pytest.approx(naive, abs=2e-9)
