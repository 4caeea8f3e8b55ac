"""Looks: false decisions add up to no more than α; subjects count, not values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.looks import Group, alpha_of_look, difference
from detectors.sample_ratio import log_e_value

SIZES = np.unique((200 * 1.5 ** np.arange(14)).astype(int))  # of each group: 200 to 38,000


@pytest.mark.parametrize("rate", [0.01, 0.04, 0.3])
def test_of_equal_groups_no_more_than_alpha_are_ever_told_apart(rate: float) -> None:
    """1,000 runs of 14 looks at α = 0.05: at most 50 are expected."""
    rng = np.random.default_rng(20261129)
    grown = np.diff(SIZES, prepend=0)
    false = 0
    for _ in range(1_000):
        events = [rng.binomial(grown, rate).cumsum() for _ in range(2)]
        false += any(told_apart(look, *events) for look in range(1, len(SIZES) + 1))
    assert false <= 50


def told_apart(look: int, *events: np.ndarray) -> bool:
    groups = [Group(), Group()]
    for group, of in zip(groups, events, strict=True):
        count = int(of[look - 1])
        group.add_singles(int(SIZES[look - 1]), count, count)
    between = difference(*groups, alpha=alpha_of_look(0.05, look), largest=1.0)
    return not between.low <= 0.0 <= between.high


def test_subjects_whose_values_are_all_alike_count_once() -> None:
    """400 runs of 300 subjects with 20 equal values each, at 1 - α = 0.9: some 40 are expected, of
    6,000 values taken for independent it would be most of the runs."""
    rng = np.random.default_rng(20261130)
    missed = 0
    for _ in range(400):
        groups = [Group(), Group()]
        for group in groups:
            for event in rng.random(300) < 0.3:
                group.add(20, 20.0 * event)
        between = difference(*groups, alpha=0.1, largest=1.0)
        missed += not between.low <= 0.0 <= between.high
    assert 20 <= missed <= 60


def test_all_looks_together_have_alpha() -> None:
    assert math.fsum(alpha_of_look(0.05, k) for k in range(1, 100_000)) == pytest.approx(0.05, 1e-4)


def test_as_planned_the_e_value_ever_passes_in_no_more_than_alpha_of_the_runs() -> None:
    """2,000 runs at α = 0.05, looked at behind every 20 of 2,000 subjects: at most 100."""
    rng = np.random.default_rng(20261129)
    passed = 0
    for _ in range(2_000):
        ones = rng.binomial(20, 0.3, 100).cumsum().tolist()
        counts = ([one, 20 * (k + 1) - one] for k, one in enumerate(ones))
        passed += any(log_e_value(of, [0.3, 0.7]) >= math.log(20) for of in counts)
    assert passed <= 100
