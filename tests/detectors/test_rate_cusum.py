"""Rate CUSUM: a handful of events finds a rise, a million finds nothing where there is none."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.rate_cusum import RateCusum, rate_upper_bound

Counts = npt.NDArray[np.int64]


def events(rate: float, count: int, seed: int) -> Counts:
    return (np.random.default_rng(seed).random(count) < rate).astype(np.int64)


def ones(count: int) -> Counts:
    return np.ones(count, dtype=np.int64)


def test_thirty_percent_nulls_after_none_in_10_000_are_found_within_60_events() -> None:
    delays = []
    for seed in range(100):
        cusum = RateCusum(reference_rate=0.0, reference_count=10_000)
        assert cusum.update_many(np.zeros(5000, dtype=np.int64), ones(5000)) == []
        delays.append(cusum.update_many(events(0.3, 200, seed), ones(200))[0].index + 1)
    assert max(delays) <= 60
    assert 10 <= np.mean(delays) <= 30
    assert min(delays) >= 5  # never on a few nulls: that is what e^h = 1e6 buys


def test_a_million_stationary_events_are_silent() -> None:
    rate = 0.05
    cusum = RateCusum(reference_rate=rate, reference_count=10_000)
    assert cusum.update_many(events(rate, 1_000_000, 1), ones(1_000_000)) == []


def test_a_reference_rate_that_came_out_low_by_chance_causes_no_alarms() -> None:
    # The plug-in trap: 1,000 values at 5 % show 3.1 % or less once in 400 references.
    cusum = RateCusum(reference_rate=0.031, reference_count=1000)
    assert cusum.p0 > 0.05
    assert cusum.update_many(events(0.05, 1_000_000, 2), ones(1_000_000)) == []


def test_a_falling_rate_is_no_fault() -> None:
    cusum = RateCusum(reference_rate=0.3, reference_count=10_000)
    assert cusum.update_many(np.zeros(100_000, dtype=np.int64), ones(100_000)) == []


def test_where_no_rise_is_possible_nothing_is_told() -> None:
    cusum = RateCusum(reference_rate=1.0, reference_count=10_000)
    assert cusum.update_many(ones(1_000_000), ones(1_000_000)) == []
    assert cusum.break_even == 1.0


def test_break_even_lies_between_the_two_rates_and_divides_never_from_soon() -> None:
    fresh = RateCusum(reference_rate=0.05, reference_count=10_000).snapshot()
    cusum = RateCusum.restore(fresh)
    assert cusum.p0 < cusum.break_even < cusum.p1
    found = {
        rate: RateCusum.restore(fresh).update_many(events(rate, 200_000, 3), ones(200_000))
        for rate in (cusum.p0, 0.8 * cusum.break_even, 1.2 * cusum.break_even)
    }
    at_p0, below, above = found.values()
    assert len(at_p0) == 0
    assert 10 * len(below) < len(above)


@pytest.mark.parametrize("count", [1, 10, 10_000])
def test_upper_bound_at_rate_zero_is_the_exact_one(count: int) -> None:
    assert rate_upper_bound(0.0, count, 0.001) == pytest.approx(1 - 0.001 ** (1 / count))


@pytest.mark.parametrize(("hits", "count"), [(1, 20), (5, 100), (50, 1000), (19, 20)])
def test_upper_bound_is_never_below_the_exact_one(hits: int, count: int) -> None:
    bound = rate_upper_bound(hits / count, count, 0.001)
    tail = sum(math.comb(count, k) * bound**k * (1 - bound) ** (count - k) for k in range(hits + 1))
    assert hits / count < bound < 1.0
    assert tail <= 0.001  # a true rate at the bound shows so few events no more often than this


def test_raised_rate_stays_below_one_and_above_the_reference() -> None:
    for rate in (0.0, 0.01, 0.2, 0.5, 0.9):
        for count in (100, 10_000):
            cusum = RateCusum(reference_rate=rate, reference_count=count)
            assert rate < cusum.p0 < cusum.p1 < 1.0


def test_more_series_share_the_budget_by_a_higher_threshold() -> None:
    nulls = events(0.3, 300, 0)
    one = RateCusum(reference_rate=0.0, reference_count=10_000)
    many = RateCusum(reference_rate=0.0, reference_count=10_000, series=1000)
    first, later = one.update_many(nulls, ones(300))[0], many.update_many(nulls, ones(300))[0]
    assert later.threshold == pytest.approx(first.threshold + math.log(1000), abs=1e-6)
    assert later.index > first.index


def test_change_describes_reference_and_what_came_since() -> None:
    steady, broken = events(0.02, 5000, 5), events(0.4, 100, 6)
    cusum = RateCusum(reference_rate=0.02, reference_count=20_000)
    change = cusum.update_many(np.concatenate([steady, broken]), ones(5100))[0]
    since = np.concatenate([steady, broken])[: change.index + 1][-change.weight_since_change :]
    assert change.direction == "up"
    assert (change.before_mean, change.before_weight) == (0.02, 20_000)
    assert change.after_mean == pytest.approx(since.mean())
    assert change.after_variance == pytest.approx(since.var())
    assert change.after_weight == change.weight_since_change == len(since)
    assert 4980 <= change.index + 1 - change.weight_since_change <= 5005
    assert change.statistic >= change.threshold


def naive_indices(cusum: RateCusum, counts: Counts, weights: Counts) -> list[int]:
    """One pane at a time, in floating point, from the definition."""
    account, found = 0.0, []
    win = math.log(cusum.p1 / cusum.p0)
    lose = math.log((1 - cusum.p1) / (1 - cusum.p0))
    for i, (k, n) in enumerate(zip(counts.tolist(), weights.tolist(), strict=True)):
        account = max(0.0, account + k * win + (n - k) * lose)
        if account >= cusum.threshold:
            found.append(i)
            account = 0.0
    return found


def test_vectors_equal_the_definition_pane_by_pane() -> None:
    rng = np.random.default_rng(9)
    weights = rng.integers(0, 5, 6000)
    counts = rng.binomial(weights, np.where(np.arange(6000) // 1500 % 2 == 1, 0.25, 0.03))
    cusum = RateCusum(reference_rate=0.03, reference_count=10_000)
    expected = naive_indices(cusum, counts, weights)
    assert len(expected) > 20
    assert [change.index for change in cusum.update_many(counts, weights)] == expected


@settings(max_examples=80, deadline=None)
@given(
    panes=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=400),
    cut=st.integers(0, 400),
)
def test_cutting_looping_and_restoring_change_nothing(
    panes: list[tuple[int, int]], cut: int
) -> None:
    counts = np.array([k for k, _ in panes])
    weights = np.array([k + rest * 8 for k, rest in panes])
    cut = min(cut, len(panes))

    def fresh() -> RateCusum:
        return RateCusum(reference_rate=0.02, reference_count=5000)

    whole, first, looped = fresh(), fresh(), fresh()
    expected = whole.update_many(counts, weights)
    head = first.update_many(counts[:cut], weights[:cut])
    second = RateCusum.restore(first.snapshot())
    tail = second.update_many(counts[cut:], weights[cut:])
    assert [c.index for c in head] + [c.index + cut for c in tail] == [c.index for c in expected]
    assert [(c.statistic, c.after_mean) for c in head + tail] == [
        (c.statistic, c.after_mean) for c in expected
    ]
    columns = zip(counts.tolist(), weights.tolist(), strict=True)
    told = [looped.update(*pane) for pane in columns]
    assert [i for i, change in enumerate(told) if change] == [c.index for c in expected]
    assert second.snapshot() == whole.snapshot() == looped.snapshot()


def test_sustained_fault_goes_on_alarming_and_long_vectors_stay_exact() -> None:
    cusum = RateCusum(reference_rate=0.0, reference_count=10_000)
    found = [change.index for change in cusum.update_many(ones(2000), ones(2000))]
    period = found[0] + 1
    assert found == list(range(period - 1, 2000, period))


@pytest.mark.parametrize(("k", "n"), [(-1, 1), (2, 1), (0, -1)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="events must lie"):
        RateCusum(reference_rate=0.1, reference_count=100).update(k, n)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference_rate": 1.5},
        {"reference_rate": math.nan},
        {"reference_count": 0},
        {"series": 0},
        {"min_rise": 0.0},
        {"ratio": 0.5},
        {"threshold": 0.0},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RateCusum(**{"reference_rate": 0.1, "reference_count": 100, **wrong})
