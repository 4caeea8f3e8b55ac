"""Confidence sequences: the mean is within at all times, and they become narrow."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.confidence_sequence import MeanSequence


def missed(values: np.ndarray, mean: float, alpha: float) -> int:
    """In how many of the runs (runs, panes, values) the interval leaves the mean out, ever."""
    count = 0
    for run in values:
        sequence = MeanSequence(-1.0, 1.0, alpha=alpha)
        for pane in run:
            sequence.update(len(pane), float(pane.sum()), float((pane**2).sum()))
            between = sequence.interval()
            if not between.low <= mean <= between.high:
                count += 1
                break
    return count


@pytest.mark.parametrize("often", [0.02, 0.3])
def test_whenever_one_stops_the_mean_is_left_out_in_no_more_than_alpha_of_the_runs(
    often: float,
) -> None:
    """400 runs of 4,000 paired differences at α = 0.1: at most 40 are expected."""
    rng = np.random.default_rng(20261129)
    drawn = rng.random((400, 200, 20))
    values = np.where(drawn < often, 1.0, np.where(drawn > 1.0 - often, -1.0, 0.0))
    assert missed(values, 0.0, 0.1) <= 40


def test_a_mean_that_moves_is_followed_on_average() -> None:
    sequence = MeanSequence(0.0, 1.0, alpha=0.01)
    for share in (0.1, 0.3):
        for _ in range(200):
            sequence.update(50, 50 * share, 50 * share)
    between = sequence.interval()
    assert between.low < 0.2 < between.high
    assert between.high - between.low < 0.05


def test_restored_it_goes_on_alike() -> None:
    one = MeanSequence(0.0, 2.0, alpha=0.05)
    one.update(10, 7.0, 6.0)
    other = MeanSequence.restore(one.snapshot())
    for sequence in (one, other):
        sequence.update(20, 9.0, 8.5)
    assert one.interval() == other.interval()


def test_what_lies_between_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing lies"):
        MeanSequence(1.0, 1.0, alpha=0.05)
