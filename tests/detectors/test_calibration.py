"""What becomes of equal scores: no difference without one, and intervals that hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.calibration import reliability_difference

P = np.array([0.05, 0.2, 0.5, 0.8, 0.95])


def test_it_is_near_zero_without_a_change_and_held_by_its_interval() -> None:
    rng = np.random.default_rng(6)
    count0 = np.full(5, 2_000)
    for now in (P, 0.7 * P):
        truth = float(np.abs(now - P).mean())
        held, estimates = [], []
        for _ in range(400):
            count = rng.multinomial(1_000, np.full(5, 0.2))
            found = reliability_difference(
                rng.binomial(count, now), count, rng.binomial(count0, P), count0
            )
            held.append(found.low <= truth <= found.high)
            estimates.append(float(found.estimate))
        assert np.mean(held) >= 0.94
        assert np.mean(estimates) == pytest.approx(truth, abs=0.02)


def test_other_scores_that_come_true_as_often_are_no_difference() -> None:
    count, count0 = np.array([1_800, 100, 0, 100, 1_800]), np.full(5, 10_000)
    found = reliability_difference(P * count, count, P * count0, count0)
    assert found.estimate == found.low == 0.0


def test_repeated_looks_need_a_wider_interval() -> None:
    count = np.full(5, 200)
    once, often = (
        reliability_difference(0.5 * P * count, count, P * count, count, anytime=anytime)
        for anytime in (0.0, 500.0)
    )
    assert often.low < once.low
    assert once.high < often.high


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="different bins"):
        reliability_difference([1], [2], [1, 1], [2, 2])
    with pytest.raises(ValueError, match="both sides"):
        reliability_difference([0, 1], [0, 2], [1, 0], [2, 0])
