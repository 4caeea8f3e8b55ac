"""A jump is told from what is on its way and from what comes and goes."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from detectors.jump import Course, Floats, clearest, course_of


def course(values: Floats, weight: int = 5) -> Course:
    panes = values[: len(values) // weight * weight].reshape(-1, weight)
    return course_of(np.full(len(panes), weight), panes.sum(axis=1), (panes**2).sum(axis=1))


def found_after(size: float, before: int, nats: float) -> int:
    """Values until a jump of that size weighs so much against its absence."""
    after = 1
    while before * after / (before + after) * size**2 / 2 < nats:
        after += 1
    return after


@pytest.mark.parametrize("size", [1.0, 0.5])
@pytest.mark.parametrize("before", [300, 1_000, 4_000])
def test_a_jump_is_one_as_soon_as_it_is_found(size: float, before: int) -> None:
    random, after = np.random.default_rng(before), found_after(size, before, 16.0)
    time = np.arange(before + after)
    found = Counter(
        course(random.standard_normal(len(time)) + size * (time >= before)) for _ in range(200)
    )
    assert found["jumped"] >= 190, found


@pytest.mark.parametrize("hours", [1, 2, 3])
@pytest.mark.parametrize("begin", [0, 3, 6, 9, 12, 15, 18, 21])
def test_a_cycle_is_none_once_it_is_seen(begin: int, hours: int) -> None:
    """Of amplitude 2 σ, a value every five seconds: from where it has moved by half a σ on."""
    random, day = np.random.default_rng(begin), 2 * math.pi / 24
    time = begin + np.arange(720 * hours) / 720
    wave = 2.0 * np.sin(time * day)
    if np.ptp(wave) < 1.0:
        return
    found = Counter(course(random.standard_normal(len(time)) + wave) for _ in range(100))
    assert found["jumped"] <= 10, found


def test_steps_every_hour_are_restless() -> None:
    hour = np.repeat(np.arange(8.0), 200)
    assert course(hour) == "restless"
    assert course(np.repeat([0.0, 1.0], 300)) == "jumped"


def test_where_there_is_too_little_a_change_is_a_jump() -> None:
    assert course_of([], [], []) == course_of([5], [3], [9]) == "jumped"
    assert course_of([5, 0, 5], [0, 0, 5], [0, 0, 5]) == "jumped"


def test_the_clearest_column_is_the_one_that_jumped() -> None:
    random = np.random.default_rng(1)
    counts = random.multinomial(10, [0.25] * 4, 300)
    counts[200:] = random.multinomial(10, [0.1, 0.2, 0.5, 0.2], 100)
    assert clearest(np.full((300, 4), 10), counts) == 2


def test_a_column_may_lack_values() -> None:
    n = np.zeros((40, 3), np.int64)
    n[10:, 1] = 10
    x = np.zeros((40, 3), np.int64)
    x[30:, 1] = 10
    assert clearest(n, x) == 1
