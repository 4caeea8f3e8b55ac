"""Tilts and thresholds: exact likelihoods, and false alarm rates that simulation confirms."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.budget_change import rethreshold
from detectors.cusum_bank import CusumBank
from detectors.power import smallest_change
from detectors.rank_scores import SCORE_UNIT, RankScores
from detectors.score_tilts import score_tilts
from detectors.thresholds import overshoot
from detectors.tilts import DOUBT, NATS, Tilts

Ints = npt.NDArray[np.int64]


def test_steps_of_rates_are_the_log_likelihood_ratio() -> None:
    tilts = bernoulli_tilts([1000, 3], [10_000, 900], rate=1e-6)
    for s, k, n in ((0, 7, 31), (1, 2, 40)):
        p0 = (1000.5 / 10_001, 3.5 / 901)[s]
        for gain, cost, theta in zip(tilts.gain[s], tilts.cost[s], tilts.theta[s], strict=True):
            if theta:
                p1 = p0 + theta * math.sqrt(p0 * (1 - p0))
                exact = k * math.log(p1 / p0) + (n - k) * math.log((1 - p1) / (1 - p0))
                assert (k * int(gain) + n * int(cost)) / NATS == pytest.approx(exact, abs=1e-6)


def test_steps_of_scores_are_a_martingale_under_the_reference() -> None:
    rng = np.random.default_rng(2)
    values = rng.exponential(1.0, 4000) * (rng.random(4000) < 0.3)  # most are 0
    scores = RankScores.from_values(values)
    tilts = score_tilts([4000], rate=1e-6, scores=[scores])
    z = scores.score(values)
    for gain, cost, theta in zip(tilts.gain[0], tilts.cost[0], tilts.theta[0], strict=True):
        if theta:
            assert np.exp((z * gain + cost) / NATS).mean() == pytest.approx(1.0, abs=1e-5)


def test_smallest_tilts_follow_the_reference_and_the_floor() -> None:
    tilts = score_tilts([2500, 10_000, 1_000_000], rate=1e-6, tau=[1.0, 4.0, 1.0], floor=0.1)
    assert tilts.smallest == pytest.approx([DOUBT / 50, DOUBT / 50, 0.1], abs=1e-4)
    rates = bernoulli_tilts([1000, 1000], [10_000, 10_000], rate=1e-6, floor=[0.0, 0.1])
    assert rates.smallest * rates.sd == pytest.approx([DOUBT * rates.sd[0] / 100, 0.1])


def test_faults_are_looked_for_upwards_only_and_no_rate_below_zero() -> None:
    both = bernoulli_tilts([20, 5000], [10_000, 10_000], rate=1e-6)
    assert (both.theta[0] >= 0).all()  # nothing to find below 0.2 %
    assert (both.theta[1] < 0).any()
    assert (bernoulli_tilts([5000], [10_000], rate=1e-6, up_only=True).theta >= 0).all()


def test_thresholds_rise_with_a_smaller_budget_a_smaller_reference_and_dependence() -> None:
    def lowest(**how: float) -> float:
        named = {"rate": 1e-6, "tau": 1.0, "floor": 0.5, **how}
        tilts = score_tilts([int(named.pop("count", 10_000))], **named)
        return float(tilts.threshold[0, 0]) / NATS

    assert lowest(rate=1e-7) == pytest.approx(lowest() + math.log(10), abs=0.15)
    assert lowest(count=1000) > lowest()
    assert lowest(tau=3.0) > 2.5 * lowest()


def test_another_budget_gives_the_thresholds_it_would_have_had_from_the_start() -> None:
    def all_tilts(rate: float) -> Tilts:
        rates = bernoulli_tilts([1000, 0], [10_000, 400], rate=rate, tau=[1.0, 2.0])
        return Tilts.concat([rates, score_tilts([9000], rate=rate, tau=1.3)])

    moved, fresh = rethreshold(all_tilts(1e-6), 2e-8), all_tilts(2e-8)
    np.testing.assert_allclose(moved.threshold, fresh.threshold, atol=1e-3 * NATS)
    np.testing.assert_array_equal(moved.gain, fresh.gain)
    assert moved.rate.tolist() == [2e-8] * 3


@pytest.mark.parametrize("p0", [1e-4, 0.01, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("odds", [0.3, 1.0, 2.0])
def test_overshoot_of_rates_is_that_of_simulated_walks(p0: float, odds: float) -> None:
    rng = np.random.default_rng(1)
    p1 = p0 * math.exp(odds) / (1 - p0 + p0 * math.exp(odds))
    win, loss = math.log(p1 / p0), math.log((1 - p0) / (1 - p1))
    bar = (8 + rng.random(4000)) * max(win, loss)  # at random: no place on the lattice is special
    place, walking, over = np.zeros(4000), np.arange(4000), np.zeros(4000)
    while len(walking):
        failures = rng.geometric(p1, len(walking)) - 1
        place[walking] += win - failures * loss
        past = place[walking] >= bar[walking]
        over[walking[past]] = (place - bar)[walking[past]]
        walking = walking[~past]
    simulated = -2 * math.log(np.exp(-over).mean())
    fitted = float(overshoot(np.array([p0]), np.array([win]))[0])
    assert fitted == pytest.approx(simulated, abs=0.1 * win + 0.01)


def alarms(tilts: Tilts, values: Ints) -> int:
    """How many are told of columns of values, starting anew after each."""
    bank, ones = CusumBank(tilts), np.ones_like(values)
    position, count = np.arange(len(values)), 0
    todo = [(None, 0)]
    while todo:
        series, start = todo.pop()
        columns = slice(None) if series is None else [series]
        told = bank.update(
            position[start:], values[start:, columns], ones[start:, columns],
            series=None if series is None else [series],
        )  # fmt: skip
        for s, pane in zip(told.series.tolist(), told.pane.tolist(), strict=True):
            bank.restart([s], tilts.take([s]))
            todo.append((s, start + pane + 1))
            count += 1
    return count


@pytest.mark.parametrize(("p", "count"), [(0.1, 10_000), (0.1, 1000), (0.002, 10_000)])
def test_false_alarms_of_rates_are_those_asked_for(p: float, count: int) -> None:
    rng = np.random.default_rng(11)
    series, length, rate = 400, 10_000, 2e-5  # 80 expected at most
    events = rng.binomial(count, p, series)  # every series errs by a reference of its own
    tilts = bernoulli_tilts(events, np.full(series, count), rate=rate)
    found = alarms(tilts, (rng.random((length, series)) < p).astype(np.int64))
    assert 0.35 * rate <= found / (series * length) <= 1.25 * rate


@pytest.mark.parametrize("name", ["normal", "lognormal", "zeros"])
def test_false_alarms_of_numeric_series_are_those_asked_for(name: str) -> None:
    rng = np.random.default_rng(12)

    def draw(size: int) -> npt.NDArray[np.float64]:
        return {
            "normal": lambda: rng.standard_normal(size),
            "lognormal": lambda: np.exp(1.5 * rng.standard_normal(size)),
            "zeros": lambda: rng.exponential(1.0, size) * (rng.random(size) < 0.2),
        }[name]()

    series, length, rate = 200, 10_000, 4e-5
    scores = [RankScores.from_values(draw(4000)) for _ in range(series)]
    tilts = score_tilts([4000] * series, rate=rate, scores=scores)
    values = np.stack([one.score(draw(length)) for one in scores], axis=1)
    assert 0.35 * rate <= alarms(tilts, values) / (series * length) <= 1.25 * rate


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", [1e-12, 1e-6, 1e-2])
@pytest.mark.parametrize("tau", [1.0, 50.0, 1e12])
def test_every_reference_gives_thresholds_that_are_numbers(rate: float, tau: float) -> None:
    events = [0, 1, 0, 200, 0, 1, 5 * 10**8, 10**9]
    counts = [1, 1, 200, 200, 10**9, 10**9, 10**9, 10**9]
    for tilts in (
        bernoulli_tilts(events, counts, rate=rate, tau=tau),
        score_tilts([1, 200, 10**9], rate=rate, tau=tau),
    ):
        assert np.isfinite(tilts.theta).all()
        assert (tilts.threshold > 0).all()
        smallest = smallest_change(tilts, within=1000)
        assert (np.isnan(smallest) | (smallest > 0.0)).all()


@pytest.mark.parametrize("rate", [0.0, 0.1, math.nan])
def test_budgets_that_cannot_be_are_refused(rate: float) -> None:
    for make in (
        lambda: bernoulli_tilts([1], [10], rate=rate),
        lambda: score_tilts([10], rate=rate),
    ):
        with pytest.raises(ValueError, match="rate"):
            make()


@pytest.mark.parametrize("rare", [0.01, 0.03, 0.1])
def test_scores_of_which_few_are_far_off_keep_the_rate_against_a_mean_that_was_learned(
    rare: float,
) -> None:
    """By the form of the reference; by the normal one accounts rise by chance 40 times as often."""
    rng = np.random.default_rng(7)
    alarms, rate, values = 0, 1e-5, 20_000
    for _ in range(20):
        scores = RankScores.from_values((rng.random(10_000) < rare).astype(float))
        usual = scores.score((rng.random(20_000) < rare).astype(float)) / SCORE_UNIT
        mean = [usual.sum() / 30_000]
        sd = [np.sqrt((10_000 + (usual**2).sum()) / 30_000 - mean[0] ** 2)]
        bank = CusumBank(score_tilts([30_000], rate=rate, mean=mean, sd=sd, scores=[scores]))
        x = scores.score((rng.random(values) < rare).astype(float))[:, None]
        alarms += len(bank.update(np.arange(values), x, np.ones_like(x)))
    assert alarms <= 3 * rate * 20 * values  # 4 expected


def test_references_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="events"):
        bernoulli_tilts([5], [4], rate=1e-6)
    with pytest.raises(ValueError, match="count"):
        score_tilts([0], rate=1e-6)
    with pytest.raises(ValueError, match="tau"):
        score_tilts([100], rate=1e-6, tau=0.5)
    with pytest.raises(ValueError, match="exact cumulants"):
        score_tilts([100, 100], rate=1e-6, scores=[RankScores.from_counts([50, 50])])
