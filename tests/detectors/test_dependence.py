"""Dependence: τ is bounded from above, and a change inside a reference is seen."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from detectors.dependence import common_ratio, scan_reference, variance_ratio

Floats = npt.NDArray[np.float64]


def autoregressive(phi: float, size: int, seed: int) -> Floats:
    noise = np.random.default_rng(seed).standard_normal(size) * math.sqrt(1 - phi * phi)
    values = np.zeros(size)
    for i in range(1, size):
        values[i] = phi * values[i - 1] + noise[i]
    return values


def in_panes(values: Floats, weight: int) -> tuple[Floats, Floats, Floats]:
    panes = values[: len(values) // weight * weight].reshape(-1, weight)
    return np.full(len(panes), float(weight)), panes.sum(axis=1), (panes**2).sum(axis=1)


@pytest.mark.parametrize("weight", [1, 10, 50])
@pytest.mark.parametrize("phi", [0.0, 0.3, 0.7, 0.9])
def test_the_upper_bound_holds_and_costs_little(phi: float, weight: int) -> None:
    truth = (1 + phi) / (1 - phi)
    found = [variance_ratio(*in_panes(autoregressive(phi, 20_000, seed), weight))
             for seed in range(20)]  # fmt: skip
    assert np.mean([f.upper >= 0.95 * truth for f in found]) >= 0.9
    assert np.mean([f.upper for f in found]) <= 1.7 * truth
    assert all(f.long_enough for f in found)


def test_a_daily_cycle_counts_as_dependence() -> None:
    rng = np.random.default_rng(5)
    values = rng.standard_normal(21_000) + 0.5 * np.sin(np.arange(21_000) / 1000 * 2 * math.pi)
    assert variance_ratio(*in_panes(values, 10)).upper > 20


def test_too_few_panes_say_nothing_and_a_constant_has_no_dependence() -> None:
    assert variance_ratio(*in_panes(autoregressive(0.5, 190, 1), 10)).upper == math.inf
    assert variance_ratio(*in_panes(np.full(1000, 7.0), 10)).upper == 1.0


def test_empty_panes_change_nothing() -> None:
    n, x, xx = in_panes(autoregressive(0.5, 2000, 1), 4)
    padded = [np.insert(v, 100, [0.0, 0.0]) for v in (n, x, xx)]
    assert variance_ratio(*padded) == variance_ratio(n, x, xx)
    assert scan_reference(*padded).statistic == scan_reference(n, x, xx).statistic


@pytest.mark.parametrize("phi", [0.0, 0.7])
def test_good_references_are_not_refused(phi: float) -> None:
    scans = [scan_reference(*in_panes(autoregressive(phi, 10_000, seed), 5), level=0.01)
             for seed in range(60)]  # fmt: skip
    assert sum(s.found for s in scans) <= 3


def test_a_change_inside_a_reference_is_found_at_its_place() -> None:
    for seed in range(10):
        values = autoregressive(0.3, 10_000, seed)
        values[4000:] += 0.4
        scan = scan_reference(*in_panes(values, 5))
        assert scan.found
        assert abs(scan.row - 800) <= 60


def test_a_constant_that_jumped_is_a_change() -> None:
    values = np.where(np.arange(1000) < 300, 1.0, 2.0)
    assert scan_reference(*in_panes(values, 10)).found
    assert scan_reference(*in_panes(values, 10)).row == 30
    assert not scan_reference(*in_panes(np.full(1000, 3.0), 10)).found


def sessions(length: int, series: int, rows: int, seed: int) -> Floats:
    drawn = np.random.default_rng(seed).standard_normal((rows // length, series))
    return np.repeat(drawn, length, axis=0)


@pytest.mark.parametrize("length", [5, 20, 50])
def test_many_series_know_together_what_each_of_them_cannot(length: int) -> None:
    found = []
    for seed in range(50):
        values = sessions(length, 20, 400, seed)
        found.append(common_ratio(np.ones_like(values), values, values**2))
    assert np.mean([f >= length for f in found]) >= 0.9


@pytest.mark.parametrize("series", [1, 3, 20, 60])
@pytest.mark.parametrize("rows", [200, 1_600])
def test_independent_series_hardly_ever_seem_to_depend_and_little_then(
    series: int, rows: int
) -> None:
    found = []
    for seed in range(200):
        values = sessions(1, series, rows, seed)
        found.append(common_ratio(np.ones_like(values), values, values**2))
    assert np.mean([f > 1.0 for f in found]) <= 0.07
    assert np.mean(found) <= 1.1


def test_a_few_series_that_depend_say_nothing_of_the_others() -> None:
    found = []
    for seed in range(50):
        values = sessions(1, 20, 800, seed)
        values[:, :2] = sessions(40, 2, 800, seed)
        found.append(common_ratio(np.ones_like(values), values, values**2))
    assert np.mean(found) < 1.5
    assert max(found) < 3.0
    assert common_ratio(np.ones((800, 0)), np.ones((800, 0)), np.ones((800, 0))) == 1.0
    assert common_ratio(np.ones((800, 3)), np.ones((800, 3)), np.ones((800, 3))) == 1.0
