"""Another unit is told from a drift by the decimals of values, or by its size."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.distance import ks
from detectors.unit_maps import (
    MAPS,
    UnitMap,
    _least_distance,
    _middle,
    decimals_of,
    is_denied,
    p_value,
    unit_of,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]
DRAWS: dict[str, tuple[Draw, int]] = {
    "amount": (lambda r, n: r.lognormal(3.5, 1.2, n), 2),
    "temperature": (lambda r, n: r.normal(11, 7, n), 1),
    "days": (lambda r, n: np.floor(r.lognormal(6, 0.9, n)), 0),
    "share": (lambda r, n: r.beta(2, 5, n), 4),
}
BY_NAME = {one.name: one for one in MAPS}
CELSIUS = BY_NAME["°C as °F"]


def drawn(what: str, seed: int, n: int) -> np.ndarray:
    draw, decimals = DRAWS[what]
    return np.round(draw(np.random.default_rng(seed), n), decimals)


@pytest.mark.parametrize("what", DRAWS)
@pytest.mark.parametrize("name", ["×100", "×1000", "×10", "×60, as minutes to seconds"])
def test_whole_factors_are_named_from_a_dozen_values(what: str, name: str) -> None:
    one = BY_NAME[name]
    named = [
        unit_of(drawn(what, seed, 256), np.round(drawn(what, seed + 1, 14) * one.factor, 4))
        for seed in range(0, 60, 2)
    ]
    assert all(fit is None or (fit.map is one and fit.is_proven) for fit in named)
    assert sum(fit is not None for fit in named) >= 28


def test_fahrenheit_for_celsius_is_named_from_eight_values() -> None:
    before, now = drawn("temperature", 1, 256), drawn("temperature", 2, 8)
    fit = unit_of(before, np.round(now * 1.8 + 32, 4))
    assert fit is not None
    assert fit.map is CELSIUS
    assert fit.is_proven


@given(
    st.sampled_from(sorted(DRAWS)),
    st.sampled_from([1.5, 2.0, 3.3]),
    st.integers(0, 1_000),
    st.sampled_from([8, 40, 200]),
)
@settings(max_examples=60, deadline=None)
def test_a_drift_that_is_written_as_ever_is_no_other_unit(
    what: str, factor: float, seed: int, n: int
) -> None:
    decimals = DRAWS[what][1]
    many = np.round(drawn(what, seed + 1_000, 16 * n) * factor, decimals)
    _, first = np.unique(many, return_index=True)
    now = many[np.sort(first)][:n]  # of few distinct values chance puts all on a grid
    assert len(now) == n
    fit = unit_of(drawn(what, seed, 256), now)
    assert fit is None or not fit.map.is_large


@pytest.mark.parametrize("what", DRAWS)
def test_what_is_as_it_was_has_no_other_unit(what: str) -> None:
    assert all(
        unit_of(drawn(what, seed, 256), drawn(what, seed + 1, 64)) is None
        for seed in range(0, 40, 2)
    )


@pytest.mark.parametrize("one", MAPS, ids=lambda one: one.name)
def test_an_inverse_takes_values_back(one: UnitMap) -> None:
    values = np.array([-3.5, 0.0, 1.25, 1e6])
    np.testing.assert_allclose(one.inverse(values * one.factor + one.offset), values, atol=1e-9)


def test_decimals_are_those_that_all_values_need() -> None:
    assert decimals_of(np.array([1.0, 200.0])) == 0
    assert decimals_of(np.array([1.0, 0.25, 1234567.5])) == 2
    assert decimals_of(np.array([np.pi])) is None


def test_p_is_what_simulation_says() -> None:
    random = np.random.default_rng(5)
    found = np.array(
        [
            p_value(256, 12, ks(np.sort(random.normal(size=256)), random.normal(size=12)))
            for _ in range(2_000)
        ]
    )
    for level in (0.01, 0.1, 0.5):
        assert (found <= level).mean() == pytest.approx(level, abs=4 * np.sqrt(level / 2_000))


@pytest.mark.parametrize("statistic", np.linspace(0.01, 1.0, 34).tolist())
def test_the_series_of_a_p_value_ends_where_its_terms_do(statistic: float) -> None:
    for m, n in ((256, 5), (256, 40), (4, 4), (10_000, 10_000)):
        size = math.sqrt(m * n / (m + n))
        at = (size + 0.12 + 0.11 / size) * statistic
        terms = [(-1) ** (k - 1) * math.exp(-2.0 * (k * at) ** 2) for k in range(1, 101)]
        whole = 1.0 if at < 0.2 else min(1.0, max(0.0, 2.0 * math.fsum(terms)))
        assert p_value(m, n, statistic) == whole


@settings(max_examples=300)
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
)
def test_what_the_middle_value_tells_is_never_more_than_the_distance(
    reference: list[int], current: list[int]
) -> None:
    ordered, values = np.sort(np.array(reference, float)), np.array(current, float)
    middle = _middle(values)
    assert _least_distance(ordered, middle, len(values)) <= ks(ordered, values) + 1e-12


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40), st.sampled_from(MAPS))
def test_the_middle_value_has_a_map_as_all_have(values: list[float], one: UnitMap) -> None:
    given_ones = np.array(values)
    assert one.inverse(_middle(given_ones)) == _middle(one.inverse(given_ones))


@given(st.integers(1, 2_000), st.integers(1, 2_000), st.floats(0, 1), st.floats(1e-9, 0.5))
def test_what_is_denied_is_what_the_whole_sum_denies(m: int, n: int, d: float, p: float) -> None:
    assert is_denied(m, n, d, p) == (p_value(m, n, d) < p)
