"""The limit detector: a rate by theorem, quick where the limit is clearly passed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.limit_detector import LimitDetector


def test_its_alarms_are_as_rare_as_promised_at_the_limit_itself() -> None:
    """2,000 runs of 1,000 values each at 1 in 10,000: at most 200 alarms are expected."""
    rng = np.random.default_rng(20261129)
    alarms = 0
    for events in rng.binomial(10, 0.05, (2_000, 100)):
        detector = LimitDetector(limit=0.05)
        alarms += any(detector.update(int(x), 10) >= math.log(10_000) for x in events)
    assert alarms <= 200


def test_two_in_five_beyond_a_limit_of_one_in_twenty_are_found_within_a_hundred() -> None:
    detector = LimitDetector(limit=0.05)
    for _ in range(1_000):
        detector.update(0, 100)
    assert detector.is_idle
    assert detector.update(40, 100) >= 35.0


def test_restored_it_goes_on_alike() -> None:
    one = LimitDetector(limit=0.1)
    one.update(3, 20)
    other = LimitDetector.restore(one.snapshot())
    assert other.update(9, 20) == one.update(9, 20)
    assert other.is_idle == one.is_idle


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_a_limit_that_is_no_share_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="limit"):
        LimitDetector(limit=limit)
