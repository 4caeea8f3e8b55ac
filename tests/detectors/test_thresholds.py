"""Thresholds are where the formula has them: by a naive search, and each by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.thresholds import NODES, OFFSETS, Floats, bernoulli_roots, normal_error, solve


def walks(seed: int, count: int) -> tuple[Floats, Floats, Floats]:
    """Chances of neighbouring nodes about one that the tilt looks for a change of."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-9.0, 3.0, (count, 1))
    p0 = 1.0 / (1.0 + np.exp(-centre))
    p = 1.0 / (1.0 + np.exp(-(centre + OFFSETS * 10 ** rng.uniform(-2.0, 0.2, (count, 1)))))
    tilted = p0 + (1.0 - p0) * 10 ** rng.uniform(-3.0, -0.3, (count, 1))
    return p, np.log(tilted / p0), -np.log((1.0 - tilted) / (1.0 - p0))


def naive_root(p: float, win: float, loss: float) -> float:
    """Of E exp(w z) = 1 the root that is not 0, by halving."""
    least = math.log((1.0 - p) * loss / (p * win)) / (win + loss)

    def beyond(w: float) -> bool:
        return p * math.expm1(w * win) + (1.0 - p) * math.expm1(-w * loss) > 0.0

    near, far = least, 2.0 * least
    while not beyond(far):
        far *= 2.0
    for _ in range(200):
        middle = 0.5 * (near + far)
        near, far = (near, middle) if beyond(middle) else (middle, far)
    return far


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_roots_are_those_of_a_search_by_halving(seed: int) -> None:
    p, win, loss = walks(seed, 3)
    root, half = bernoulli_roots(p, win, loss)
    for i, j in np.ndindex(p.shape):
        exact = naive_root(p[i, j], win[i, 0], loss[i, 0])
        if abs(exact) < 1e-2:  # there its last digits say where it is
            assert root[i, j] == pytest.approx(exact, abs=1e-6)
            continue
        assert root[i, j] == pytest.approx(exact, rel=1e-7)
        chance = p[i, j] * math.exp(exact * win[i, 0]) if exact > 0.0 else p[i, j]
        drift = abs(chance * win[i, 0] - (1.0 - chance) * loss[i, 0])
        assert half[i, j] == pytest.approx(drift / abs(exact), rel=1e-6)


def naive_rate(height: float, root: Floats, half: Floats) -> float:
    weight, rate = normal_error(), 0.0
    for i in range(NODES):
        y = min(max(root[i] * height, -1e6), 700.0)
        bend = 2.0 - 2.0 * y / 3.0 if abs(y) < 1e-2 else y * y / (math.expm1(y) - y)
        rate += weight[i] * half[i] * bend / height**2
    return rate


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    size=st.floats(0.05, 2.0), error=st.floats(1e-3, 0.06), rate=st.floats(-10.0, -2.5),
    c=st.floats(0.0, 2.0),
)  # fmt: skip
def test_the_rate_at_a_threshold_is_the_one_asked_for(
    size: float, error: float, rate: float, c: float
) -> None:
    root = (1.0 - 2.0 * OFFSETS * error / size)[None]
    half, weight = np.full((1, NODES), 0.5 * size**2), normal_error()[None]
    (height,) = solve(np.array([10**rate]), np.array([c]), root, half, weight)
    if math.isinf(height):
        assert naive_rate(200.0 + c, root[0], half[0]) > 10**rate * (1.0 - 1e-9)
    elif height > 0.25:
        assert naive_rate(height + c, root[0], half[0]) == pytest.approx(10**rate, rel=1e-7)


def test_each_is_found_by_itself_whatever_others_are_asked_for() -> None:
    p, win, loss = walks(1, 40)
    weight = np.broadcast_to(normal_error(), p.shape)
    rate, c = 10 ** np.linspace(-9.0, -2.5, 40), np.linspace(0.0, 1.0, 40)
    roots = bernoulli_roots(p, win, loss)
    together = solve(rate, c, *roots, weight)
    for i in range(40):
        one = slice(i, i + 1)
        alone = bernoulli_roots(p[one], win[one], loss[one])
        for found, of_all in zip(alone, roots, strict=True):
            assert found.tobytes() == of_all[one].tobytes()
        assert solve(rate[one], c[one], *alone, weight[one]).tobytes() == together[one].tobytes()
