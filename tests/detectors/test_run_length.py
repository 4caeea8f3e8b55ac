"""Runs of one value come by chance no more often than the budget says."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.run_length import FEWEST, fewest, share_at_most, statistic, threshold

EVERY, RATE = 64, 5e-6


@pytest.mark.parametrize("categories", [2, 3, 10])
def test_false_alarms_are_within_the_rate(categories: int) -> None:
    random = np.random.default_rng(categories)
    reference = random.integers(0, categories + 1, 10_000)  # of any value less than a half
    counts = np.bincount(reference)
    nats, alarms, size = threshold(RATE, EVERY), 0, 4_000_000
    values = random.integers(0, categories + 1, size)
    begins = np.flatnonzero(np.diff(values) != 0) + 1
    for look in range(EVERY, size, EVERY):
        place = int(np.searchsorted(begins, look, "right")) - 1
        run = look - int(begins[place]) if place >= 0 else look
        value = int(values[look - 1])
        share = share_at_most(int(counts[value]), 10_000, int(counts.max()))
        assert share is not None
        alarms += run >= FEWEST and statistic(run, share) >= nats
    assert alarms <= 0.5 * RATE * size  # shares are taken for larger than they were counted


@pytest.mark.parametrize("tau", [1.0, 5.0])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5])
def test_the_shortest_run_is_the_first_that_reaches_the_threshold(share: float, tau: float) -> None:
    nats = threshold(1e-8, EVERY)
    run = fewest(share, nats, tau=tau)
    assert statistic(run, share, tau=tau) >= nats
    assert run == FEWEST or statistic(run - 1, share, tau=tau) < nats


def test_what_hardly_varies_has_no_share() -> None:
    assert share_at_most(600, 1_000, 600) is None
    assert share_at_most(1, 1_000, 600) is None
    assert share_at_most(3, 6, 3) is None  # too few to say that it is no more than a half
