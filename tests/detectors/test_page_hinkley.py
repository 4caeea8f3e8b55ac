"""Page-Hinkley: river's indices with weight 1, the paper behind a flag, weights that scale."""

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from detectors.base import Change
from detectors.page_hinkley import PageHinkley

Values = npt.NDArray[np.float64]

STREAMS = [
    "bernoulli",
    "bernoulli rises",
    "bernoulli falls",
    "normal",
    "normal rises",
    "normal falls",
]
SEEDS = range(60)
LENGTH = 1500


def stream(kind: str, seed: int) -> Values:
    rng = np.random.default_rng([STREAMS.index(kind), seed])
    after = np.arange(LENGTH) >= LENGTH // 2
    p = float(rng.choice([0.05, 0.2, 0.5]))
    shifted_p = {"bernoulli": p, "bernoulli rises": p + 0.3, "bernoulli falls": p / 5}
    if kind in shifted_p:
        return (rng.random(LENGTH) < np.where(after, shifted_p[kind], p)).astype(np.float64)
    shift = {"normal": 0.0, "normal rises": 0.7, "normal falls": -2.0}
    return rng.normal(size=LENGTH) + np.where(after, shift[kind], 0.0)


def parameters(seed: int) -> dict[str, Any]:
    return {
        "threshold": [50.0, 20.0, 8.0][seed % 3],
        "alpha": [1 - 0.0001, 0.99, 1.0, 1 - 0.0001][seed % 4],
        "mode": ["both", "up", "both", "down", "both"][seed % 5],
    }


def single(test: PageHinkley, values: Values) -> list[Change]:
    n = len(values)
    return test.update_many(values, np.ones(n, dtype=np.int64), np.zeros(n))


def river_indices(values: Values, **parameters: Any) -> list[int]:
    test, found = drift.PageHinkley(**parameters), []
    for i, value in enumerate(values.tolist()):
        test.update(value)
        if test.drift_detected:
            found.append(i)
    return found


def naive_paper(values: list[float], delta: float, threshold: float) -> list[int]:
    """The definition, every sum anew at every value: m_T = Σ (x_t - x̄_t ∓ δ)."""
    found, start = [], 0
    for end in range(1, len(values) + 1):
        part = values[start:end]
        if len(part) < 30:
            continue
        apart = np.array(part) - np.cumsum(part) / np.arange(1, len(part) + 1)
        rise, fall = np.cumsum(apart - delta), np.cumsum(apart + delta)
        if rise[-1] - rise.min() > threshold or fall.max() - fall[-1] > threshold:
            found.append(end - 1)
            start = end
    return found


@pytest.mark.parametrize("kind", STREAMS)
def test_weight_one_finds_changes_at_the_indices_of_river(kind: str) -> None:
    found = 0
    for seed in SEEDS:
        values, chosen = stream(kind, seed), parameters(seed)
        golden = river_indices(values, **chosen)
        changes = single(PageHinkley(**chosen), values)
        assert [change.index for change in changes] == golden, seed
        found += len(golden)
    assert found >= 20


@pytest.mark.parametrize("kind", ["bernoulli rises", "normal falls"])
def test_follow_paper_is_the_definition_without_fading(kind: str) -> None:
    found = 0
    for seed in range(4):
        values = stream(kind, seed)
        golden = naive_paper(values.tolist(), 0.05, 20.0)
        changes = single(PageHinkley(delta=0.05, threshold=20.0, follow_paper=True), values)
        assert [change.index for change in changes] == golden
        found += len(golden)
    assert found >= 4


def test_fading_forgets_a_slow_rise_that_the_paper_finds() -> None:
    # Each step rises by so little that fading loses it as fast as it comes.
    slow = np.linspace(0.0, 0.25, 3000)
    assert single(PageHinkley(threshold=20.0, alpha=0.99), slow) == []
    assert river_indices(slow, threshold=20.0, alpha=0.99) == []
    paper = single(PageHinkley(threshold=20.0, alpha=0.99, follow_paper=True), slow)
    assert [change.direction for change in paper][:1] == ["up"]


def test_change_describes_both_sides_in_the_units_of_the_values() -> None:
    rng = np.random.default_rng(3)
    years = 2000.0 + 10.0 * (rng.normal(size=2000) + np.where(np.arange(2000) < 1000, 0.0, -3.0))
    test = PageHinkley(delta=0.5, threshold=20.0, scale=10.0, center=2000.0)
    change = single(test, years)[0]
    seen = change.index + 1
    split = seen - change.weight_since_change
    assert change.direction == "down"
    assert 1000 < change.index < 1020
    assert 990 <= split <= 1000
    assert change.statistic > change.threshold == 200.0
    assert (change.before_weight, change.after_weight) == (split, seen - split)
    assert change.before_mean == pytest.approx(years[:split].mean())
    assert change.after_mean == pytest.approx(years[split:seen].mean())
    assert change.before_variance == pytest.approx(years[:split].var())
    assert change.after_variance == pytest.approx(years[split:seen].var())


@pytest.mark.parametrize("alpha", [1 - 0.0001, 0.99, 1.0])
def test_pane_of_equal_values_is_nearly_that_many_updates(alpha: float) -> None:
    # Not equal: the running mean is taken after the pane, not within it.
    levels = np.repeat([0.0, 1.0], [100, 20])
    panes = PageHinkley(alpha=alpha, threshold=20.0)
    found = panes.update_many(levels, np.full(120, 10), np.zeros(120))
    values = single(PageHinkley(alpha=alpha, threshold=20.0), np.repeat(levels, 10))
    assert abs(10 * (found[0].index + 1) - (values[0].index + 1)) <= 10


def test_empty_panes_change_nothing_and_impossible_ones_are_refused() -> None:
    test = PageHinkley()
    test.update(1.0, 3)
    before = test.snapshot()
    test.update(math.nan, 0, math.nan)
    assert test.snapshot() == before
    for mean, weight, variance in [(math.nan, 1, 0.0), (1.0, -1, 0.0), (1.0, 1, -1.0)]:
        with pytest.raises(ValueError, match="weight"):
            test.update(mean, weight, variance)
    assert test.snapshot() == before


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"threshold": 0.0}, {"delta": -1.0}, {"mode": "x"}, {"scale": 0.0}]
)
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PageHinkley(**wrong)


def test_snapshot_of_a_fresh_test_is_plain_json() -> None:
    state = json.loads(json.dumps(PageHinkley().snapshot(), allow_nan=False))
    values = stream("normal falls", 0)
    again = single(PageHinkley.restore(state), values)
    assert again == single(PageHinkley(), values) != []


@settings(max_examples=60, deadline=None)
@given(
    updates=st.lists(
        st.tuples(st.floats(-3.0, 3.0), st.integers(0, 9), st.floats(0.0, 1.0)),
        min_size=1,
        max_size=100,
    ),
    cut=st.integers(0, 100),
    paper=st.booleans(),
)
def test_cutting_looping_and_restoring_change_nothing(
    updates: list[tuple[float, int, float]], cut: int, paper: bool
) -> None:
    means, weights, variances = (np.array(column) for column in zip(*updates, strict=True))
    cut = min(cut, len(updates))

    def fresh() -> PageHinkley:
        return PageHinkley(threshold=5.0, follow_paper=paper)

    whole, first, looped = fresh(), fresh(), fresh()
    expected = whole.update_many(means, weights, variances)
    head = first.update_many(means[:cut], weights[:cut], variances[:cut])
    second = PageHinkley.restore(first.snapshot())
    tail = second.update_many(means[cut:], weights[cut:], variances[cut:])
    assert [c.index for c in head] + [c.index + cut for c in tail] == [c.index for c in expected]
    assert [c.statistic for c in head + tail] == [c.statistic for c in expected]
    told = [looped.update(*update) for update in updates]
    assert [i for i, change in enumerate(told) if change] == [c.index for c in expected]
    assert second.snapshot() == whole.snapshot() == looped.snapshot()
