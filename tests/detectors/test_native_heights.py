"""Thresholds in C are those of numpy, once they are rounded."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import bernoulli_tilts, native, score_tilts, thresholds
from detectors.known_rows import forget_rows
from detectors.tilts import CLEAR, HEIGHT_STEP, Floats, Tilts, are_clear, reach

pytestmark = pytest.mark.skipif(
    not native.IS_BUILT and os.environ.get("CI") != "true", reason="no compiler"
)


def by_both(work: Callable[[], Any]) -> tuple[Any, Any]:
    """By numpy, in C; nothing is known of before."""
    found = []
    for in_c in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "IN_USE", in_c)
            forget_rows()
            found.append(work())
    return found[0], found[1]


def drawn(seed: int, series: int) -> dict[str, Any]:
    """References small and large, rare events and frequent ones, values that depend."""
    rng = np.random.default_rng(seed)
    n = np.floor(10 ** rng.uniform(0.0, [2.5, 4.0, 8.0][seed % 3], series)).astype(np.int64)
    often = rng.choice([0.0, 1e-3, 0.1, 0.6], series)
    k = rng.binomial(n, often)
    tau = np.where(rng.random(series) < 0.6, 1.0, 1.0 + rng.exponential(5.0, series))
    return {
        "events": k, "count": n, "tau": tau, "rate": 10 ** -rng.uniform(2.0, 10.0, series),
        "floor": rng.choice([0.0, 0.02, 0.1], series), "up_only": rng.random(series) < 0.5,
    }  # fmt: skip


def same(one: Tilts, other: Tilts) -> None:
    for name, of in one.snapshot().items():
        assert of.tobytes() == other.snapshot()[name].tobytes(), name


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), series=st.integers(1, 40))
def test_tilts_are_the_same_to_the_last_bit(seed: int, series: int) -> None:
    given_ = drawn(seed, series)
    rates = by_both(
        lambda: bernoulli_tilts.bernoulli_tilts(given_["events"], given_["count"], **{
            name: given_[name] for name in ("rate", "tau", "floor", "up_only")
        })
    )  # fmt: skip
    same(*rates)
    of_scores = {name: given_[name] for name in ("rate", "tau", "floor")}
    same(*by_both(lambda: score_tilts.score_tilts(given_["count"], **of_scores)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_both_differ_by_less_than_what_is_left_to_numpy(seed: int) -> None:
    of = drawn(seed, 30)
    terms = {name: of[name] for name in ("rate", "tau", "floor")}
    few = of["count"] / of["tau"] <= CLEAR
    for tilts, heights in (
        (bernoulli_tilts.bernoulli_tilts(of["events"], of["count"], **terms), _of_rates),
        (score_tilts.score_tilts(of["count"], **terms), _of_scores),
    ):
        one, other = by_both(partial(heights, tilts))
        assert (np.isinf(one) == np.isinf(other)).all()
        known = np.isfinite(one) & few[:, None]
        assert np.abs(one[known] - other[known]).max(initial=0.0) < 1e-7


def _of_rates(of: Tilts) -> Floats:
    shifts = of.theta * of.sd[:, None]
    return bernoulli_tilts.heights(of.mean, of.n_eff, of.tau, of.rate, shifts)


def _of_scores(of: Tilts) -> Floats:
    return score_tilts.heights(of.theta, of.n_eff, of.tau, of.rate)


def test_a_threshold_that_lies_on_a_step_is_left_to_numpy() -> None:
    on, tau = 14.5, np.ones(1)
    assert not are_clear(np.array([on]), tau, tau)[0]
    assert not are_clear(np.array([on - 1e-9]), tau, tau)[0]
    assert not are_clear(np.array([np.nan]), tau, tau)[0]
    assert not are_clear(np.array([14.1]), tau, np.array([2.0 * CLEAR]))[0]
    assert are_clear(np.array([14.1, np.inf]), tau, tau).all()
    theta = np.ones((1, 1))
    below, above = (reach(theta, np.array([[on + by]]), tau)[0, 0] for by in (-1e-9, 1e-9))
    assert above - below == HEIGHT_STEP


def test_columns_that_do_not_fit_are_refused() -> None:
    heights, nodes = native.EXTENSION.heights, thresholds.NODES
    row, flag, place = np.ones(2), np.ones(2, np.bool_), np.zeros(2, np.int64)
    grid = np.full(nodes, 0.5)
    good = (row, row, row, row, flag, place, grid, grid, np.zeros(2))
    assert heights(nodes, good) is None
    for bad in (
        good[:-1],
        (*good[:5], place + 1, *good[6:]),
        (*good[:5], place - 1, *good[6:]),
        (*good[:8], np.zeros(3)),
        (*good[:4], place, *good[5:]),
        (*good[:6], grid[:-1], *good[7:]),
        (row[:1], *good[1:]),
    ):
        with pytest.raises(ValueError, match=r"column|length|series"):
            heights(nodes, bad)
    for other in (0, 65, -1):
        with pytest.raises(ValueError, match="nodes"):
            heights(other, good)
    normal = native.EXTENSION.normal_heights
    assert normal(row, row, row, row, grid, grid, np.zeros(2)) is None
    with pytest.raises(ValueError, match="length"):
        normal(row, row, row, row, grid, grid[:-1], np.zeros(2))
    with pytest.raises(ValueError, match="nodes"):
        normal(row, row, row, row, np.ones(65), np.ones(65), np.zeros(2))
