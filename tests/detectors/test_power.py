"""Power: the delay people are told is the delay they will see."""

import numpy as np
import pytest

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.cusum_bank import CusumBank
from detectors.power import expected_delay, smallest_change, sure_delay
from detectors.rank_scores import SCORE_UNIT
from detectors.score_tilts import score_tilts
from detectors.tilts import Tilts


@pytest.mark.parametrize(("before", "after"), [(0.1, 0.2), (0.2, 0.1), (0.001, 0.05)])
def test_delays_of_rates(before: float, after: float) -> None:
    rng, runs = np.random.default_rng(1), 200
    count = 1_000_000  # a reference that does not err, which the forecast takes it for
    tilts = bernoulli_tilts([round(before * count)] * runs, [count] * runs, rate=1e-6)
    values = (rng.random((3000, runs)) < after).astype(np.int64)
    told = CusumBank(tilts).update(np.arange(3000), values, np.ones_like(values))
    forecast = expected_delay(tilts, (after - before) / tilts.sd)[0]
    assert len(told) == runs
    assert told.pane.mean() + 1 == pytest.approx(forecast, rel=0.2, abs=3)


@pytest.mark.parametrize("shift", [0.25, -0.5, 1.0])
def test_delays_of_scores(shift: float) -> None:
    rng, runs = np.random.default_rng(2), 200
    tilts = score_tilts([1_000_000] * runs, rate=1e-6)
    values = np.rint((rng.standard_normal((3000, runs)) + shift) * SCORE_UNIT).astype(np.int64)
    told = CusumBank(tilts).update(np.arange(3000), values, np.ones_like(values))
    assert len(told) == runs
    assert told.pane.mean() + 1 == pytest.approx(expected_delay(tilts, shift)[0], rel=0.2, abs=3)


def test_the_smallest_change_is_found_just_in_time() -> None:
    tilts = Tilts.concat([
        bernoulli_tilts([1000, 0], [10_000, 10_000], rate=1e-6),
        score_tilts([10_000], rate=1e-6),
    ])  # fmt: skip
    smallest = smallest_change(tilts, within=500)
    assert np.isfinite(smallest).all()
    assert sure_delay(tilts, smallest) == pytest.approx(500, rel=0.01)
    assert (expected_delay(tilts, smallest) < 500).all()
    assert (smallest_change(tilts, within=5000) < smallest).all()


RUNS, REFERENCE = 400, 10_000


@pytest.mark.parametrize("within", [500, 2_000])
@pytest.mark.parametrize("rate", [0.002, 0.03, 0.2])
def test_a_rate_that_rises_by_the_smallest_change_is_told_in_time_19_times_in_20(
    rate: float, within: int
) -> None:
    """And by half of it less often; references err as they do."""
    random = np.random.default_rng(3)
    tilts = bernoulli_tilts(
        random.binomial(REFERENCE, rate, RUNS), [REFERENCE] * RUNS, rate=2e-7, floor=0.001
    )
    change = (smallest_change(tilts, within=within) * tilts.sd).mean()

    def told(size: float) -> float:
        values = (random.random((within, RUNS)) < rate + size).astype(np.int64)
        found = CusumBank(tilts).update(np.arange(within), values, np.ones_like(values))
        return len(set(found.series.tolist())) / RUNS

    assert told(change) >= 0.95 - 2 * 0.011
    assert told(0.8 * change) < 0.9


@pytest.mark.parametrize("within", [500, 2_000])
def test_scores_that_shift_by_the_smallest_change_are_told_in_time_19_times_in_20(
    within: int,
) -> None:
    random = np.random.default_rng(4)
    tilts = score_tilts([REFERENCE] * RUNS, rate=2e-7)
    change, errs = smallest_change(tilts, within=within)[0], REFERENCE**-0.5

    def told(size: float) -> float:
        shifted = random.standard_normal((within, RUNS)) + size
        shifted -= random.standard_normal(RUNS) * errs
        values = np.rint(shifted * SCORE_UNIT).astype(np.int64)
        found = CusumBank(tilts).update(np.arange(within), values, np.ones_like(values))
        return len(set(found.series.tolist())) / RUNS

    assert told(change) >= 0.95 - 2 * 0.011
    assert told(0.8 * change) < 0.9


def test_what_cannot_be_found_is_not_promised() -> None:
    tilts = bernoulli_tilts([5], [10_000], rate=1e-6)
    assert np.isnan(smallest_change(tilts, within=10_000, up=False)).all()  # rarer than 0.05 %
    assert expected_delay(tilts, 1e-6).tolist() == [np.inf]
    with pytest.raises(ValueError, match="below 0"):
        expected_delay(tilts, -1.0)
