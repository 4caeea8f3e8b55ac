"""Effects: intervals hold the truth as often as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.effects import (
    Interval,
    rate_difference,
    score_difference,
    superiority,
    total_variation,
    within_floor,
)
from detectors.rank_scores import SCORE_UNIT, RankScores


def covered(interval: Interval, truth: float) -> float:
    return float(((interval.low <= truth) & (truth <= interval.high)).mean())


@pytest.mark.parametrize(("now", "then"), [(0.1, 0.1), (0.3, 0.0), (0.002, 0.001), (0.5, 0.2)])
def test_intervals_of_rates_hold_the_truth(now: float, then: float) -> None:
    rng = np.random.default_rng(1)
    k1, k0 = rng.binomial(500, now, 4000), rng.binomial(10_000, then, 4000)
    assert covered(rate_difference(k1, 500, k0, 10_000), now - then) >= 0.94
    if now > 0.01:  # below, counts are too few for one half to mean anything
        assert covered(rate_difference(k1, 500, k0, 10_000, level=0.5), now - then) >= 0.45


def test_intervals_of_scores_hold_the_truth_and_widen_with_dependence() -> None:
    rng = np.random.default_rng(2)
    x = np.rint((rng.standard_normal(4000) * np.sqrt(300) + 90) * SCORE_UNIT)
    reference = rng.standard_normal(4000) / np.sqrt(10_000)
    found = score_difference(x, 300, 10_000, mean=reference)
    assert 0.93 <= covered(found, 0.3) <= 0.97
    wider = score_difference(x, 300, 10_000, mean=reference, tau=4.0)
    assert (wider.high - wider.low) == pytest.approx(2 * (found.high - found.low))


def test_anytime_intervals_hold_the_truth_at_every_look() -> None:
    rng = np.random.default_rng(7)
    z = np.cumsum(rng.standard_normal((1000, 4000)), axis=1)
    k = np.cumsum(rng.random((1000, 4000)) < 0.1, axis=1)
    looks = np.arange(100, 4001, 25)
    score = score_difference(z[:, looks - 1] * SCORE_UNIT, looks, 10**9, level=0.95, anytime=500.0)
    rate = rate_difference(k[:, looks - 1], looks, 10**8, 10**9, level=0.95, anytime=500.0)
    for found, truth in ((score, 0.0), (rate, 0.0)):
        held = ((found.low <= truth) & (truth <= found.high)).all(axis=1)
        assert held.mean() >= 0.95
    once = score_difference(z[:, looks - 1] * SCORE_UNIT, looks, 10**9, level=0.95)
    held_once = ((once.low <= 0.0) & (once.high >= 0.0)).all(axis=1)
    assert held_once.mean() < 0.8  # nor is it meant for that
    assert (score.high - score.low).mean() < 1.7 * (once.high - once.low).mean()


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.5])
def test_anytime_intervals_of_rare_rates_hold_the_truth_at_every_look(rate: float) -> None:
    rng, first, runs = np.random.default_rng(8), 500, 5000
    held, k, n = np.ones(runs, np.bool_), np.zeros(runs, np.int64), 0
    for look in (first * 2**i for i in range(8)):
        k, n = k + rng.binomial(look - n, rate, runs), look
        found = rate_difference(k, n, 0, 10**12, level=0.99, anytime=first)
        held &= (found.low <= rate) & (rate <= found.high)
    assert held.mean() >= 0.99


def test_none_of_so_many_values_is_known_to_be_less_than_one_in_a_hundred() -> None:
    found = rate_difference(0, 1000, 0, 10_000, level=0.99, anytime=500.0)
    assert float(found.high) < 0.01
    assert float(rate_difference(0, 500, 0, 10_000, level=0.99, anytime=500.0).high) > 0.01


def test_superiority_is_the_chance_of_a_larger_value() -> None:
    rng = np.random.default_rng(3)
    old, new = rng.exponential(1.0, 4000), rng.exponential(1.5, 4000)
    x = int(RankScores.from_values(old).score(new).sum())
    counted = float((new[:, None] > old[None, :]).mean())
    assert float(superiority(score_difference(x, 4000, 4000)).estimate) == pytest.approx(
        counted, abs=0.01
    )


def test_total_variation_is_near_zero_without_a_change_and_held_by_its_interval() -> None:
    rng = np.random.default_rng(4)
    p, q = np.full(10, 0.1), np.array([0.15] * 5 + [0.05] * 5)
    for truth, now in ((0.0, p), (0.25, q)):
        held, estimates = [], []
        for _ in range(400):
            found = total_variation(rng.multinomial(500, now), rng.multinomial(10_000, p))
            held.append(found.low <= truth <= found.high)
            estimates.append(float(found.estimate))
        assert np.mean(held) >= 0.95
        assert np.mean(estimates) == pytest.approx(truth, abs=0.04)


def test_within_the_floor_means_all_of_the_interval() -> None:
    few, many = (score_difference(0, n, 1_000_000, level=0.99) for n in (500, 5000))
    assert not within_floor(few, 0.1)  # quiet, but too little to say so
    assert within_floor(many, 0.1)
    assert not within_floor(score_difference(500 * SCORE_UNIT, 5000, 1_000_000), 0.1)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="events"):
        rate_difference(5, 4, 0, 10)
    with pytest.raises(ValueError, match="level"):
        rate_difference(1, 4, 0, 10, level=1.0)
    with pytest.raises(ValueError, match="bins"):
        total_variation([1, 2], [1, 2, 3])


@given(
    k=st.integers(0, 2_000),
    n=st.integers(1, 2_000),
    tau=st.floats(1.0, 30.0),
    level=st.sampled_from([0.9, 0.99]),
)
def test_anytime_intervals_end_where_the_likelihood_has_told_as_much_as_it_may(
    k: int, n: int, tau: float, level: float
) -> None:
    k = min(k, n)
    rate, size, first = k / n, n / tau, 50.0
    found = rate_difference(k, n, 0, 10**15, tau=tau, level=level, anytime=first)
    mixed = 0.4 * first
    room = 0.5 * (1 + mixed / size) * math.log((size + mixed) / (mixed * (1 - level) ** 2)) / size

    def nats(q: float) -> float:
        pairs = ((rate, q), (1.0 - rate, 1.0 - q))
        return sum(p * math.log(p / of) for p, of in pairs if p > 0.0)

    for end, edge in ((float(found.low), 0.0), (float(found.high), 1.0)):
        if abs(end - edge) > 1e-6:
            assert end == pytest.approx(rate, abs=1e-9) or nats(end) == pytest.approx(
                room, rel=1e-5
            )
        else:  # as far as rates go
            assert rate == edge or nats(abs(edge - 2e-6)) <= room
