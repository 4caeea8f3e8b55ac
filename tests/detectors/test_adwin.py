"""ADWIN: river's indices with weight 1, the paper's window, and weights that mean what they say."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from detectors.adwin import Adwin
from detectors.base import Change

Values = npt.NDArray[np.float64]

STREAMS = [
    "bernoulli",
    "bernoulli rises",
    "bernoulli falls",
    "normal",
    "normal shifts",
    "normal 2σ",
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
    shift = {"normal": 0.0, "normal shifts": float(rng.choice([-0.5, 0.5])), "normal 2σ": 2.0}
    values = rng.normal(size=LENGTH) + np.where(after, shift[kind], 0.0)
    # A variance far above 1 makes the first term of epsilon_cut, which is the screen, decide.
    return 30.0 * values if kind == "normal shifts" else values


def parameters(seed: int) -> dict[str, Any]:
    """Every third stream tests at each value, the others at river's default clock."""
    return {"clock": 1 if seed % 3 == 0 else 32, "delta": [0.002, 0.05, 0.3, 1e-5][seed % 4]}


def single(adwin: Adwin, values: Values) -> list[Change]:
    n = len(values)
    return adwin.update_many(values, np.ones(n, dtype=np.int64), np.zeros(n))


def panes(adwin: Adwin, values: Values, size: int) -> list[Change]:
    table = values.reshape(-1, size)
    return adwin.update_many(table.mean(axis=1), np.full(len(table), size), table.var(axis=1))


def river_indices(values: Values, **parameters: Any) -> list[int]:
    adwin, found = drift.ADWIN(**parameters), []
    for i, value in enumerate(values.tolist()):
        adwin.update(value)
        if adwin.drift_detected:
            found.append(i)
    return found


@pytest.mark.parametrize("kind", STREAMS)
def test_weight_one_finds_changes_at_the_indices_of_river(kind: str) -> None:
    found = 0
    for seed in SEEDS:
        values, chosen = stream(kind, seed), parameters(seed)
        golden = river_indices(values, **chosen)
        restarting = single(Adwin(**chosen, restart_after_change=True), values)
        assert [change.index for change in restarting] == golden, seed
        keeping = single(Adwin(**chosen), values)
        assert [change.index for change in keeping[:1]] == golden[:1], seed
        found += len(golden)
    assert found >= len(SEEDS) // 2 if kind not in {"bernoulli", "normal"} else found < 30


@pytest.mark.parametrize(
    "odd", [{"max_buckets": 2}, {"min_window_length": 1}, {"grace_period": 100}]
)
def test_other_parameters_mean_what_they_mean_in_river(odd: dict[str, int]) -> None:
    found = 0
    for seed in range(20):
        values = stream("normal 2σ", seed)
        golden = river_indices(values, **odd)
        restarting = single(Adwin(**odd, restart_after_change=True), values)
        assert [change.index for change in restarting] == golden
        found += len(golden)
    assert found >= 20


def test_no_cut_is_tested_within_the_grace_period() -> None:
    early = np.repeat([0.0, 9.0], [40, 160])
    golden = river_indices(early, clock=1, grace_period=100)
    patient = single(Adwin(clock=1, grace_period=100, restart_after_change=True), early)
    assert [change.index for change in patient] == golden == [100]
    assert single(Adwin(clock=1), early)[0].index < 50


def test_window_keeps_the_newer_part_after_a_change_and_river_empties_it() -> None:
    values = stream("normal 2σ", 0)
    keeping, emptying = Adwin(), Adwin(restart_after_change=True)
    at = single(Adwin(), values)[0].index + 1
    single(keeping, values[:at])
    single(emptying, values[:at])
    assert 10 <= keeping.width < at
    assert keeping.mean == pytest.approx(values[at - keeping.width : at].mean())
    assert keeping.variance == pytest.approx(values[at - keeping.width : at].var())
    assert emptying.width == 0
    assert math.isnan(emptying.mean)


def test_change_describes_both_sides_in_the_units_of_the_values() -> None:
    rng = np.random.default_rng(7)
    balances = 5e6 + 2000.0 * (rng.random(2000) + np.where(np.arange(2000) < 1000, 0.0, 1.0))
    change = single(Adwin(scale=2000.0, center=5e6), balances)[0]
    seen, split = change.index + 1, change.index + 1 - change.weight_since_change
    assert change.direction == "up"
    assert change.statistic == pytest.approx(change.after_mean - change.before_mean)
    assert change.statistic > change.threshold
    assert (change.before_weight, change.after_weight) == (split, seen - split)
    assert change.before_mean == pytest.approx(balances[:split].mean(), rel=1e-12)
    assert change.after_mean == pytest.approx(balances[split:seen].mean(), rel=1e-12)
    assert change.before_variance == pytest.approx(balances[:split].var())
    assert change.after_variance == pytest.approx(balances[split:seen].var())
    assert abs(split - 1000) <= 32


def test_scale_and_center_change_units_and_nothing_else() -> None:
    values = stream("normal 2σ", 3)
    plain = single(Adwin(), values)
    scaled = single(Adwin(scale=8.0, center=32.0), values * 8.0 + 32.0)
    assert [change.index for change in plain] == [change.index for change in scaled] != []
    assert scaled[0].threshold == pytest.approx(8.0 * plain[0].threshold)


@pytest.mark.parametrize("kind", ["bernoulli rises", "normal 2σ"])
def test_panes_of_100_find_the_shift_within_a_pane_and_the_clock_of_single_values(
    kind: str,
) -> None:
    compared = 0
    for seed in range(20):
        values = stream(kind, seed)
        by_value = [c.index for c in single(Adwin(), values) if c.index >= LENGTH // 2]
        by_pane = [c.index for c in panes(Adwin(), values, 100) if c.index >= LENGTH // 200]
        assert len(by_value) > 0
        assert len(by_pane) > 0
        pane_end = 100 * (by_pane[0] + 1)
        assert pane_end <= by_value[0] + 100 + 32, seed
        compared += 1
    assert compared == 20


def test_stationary_panes_raise_no_alarm() -> None:
    rng = np.random.default_rng(20)
    values = (rng.random(300_000) < 0.1).astype(np.float64)
    adwin = Adwin()
    assert panes(adwin, values, 100) == []
    assert adwin.width == 300_000
    assert adwin.mean == pytest.approx(values.mean())
    assert adwin.variance == pytest.approx(values.var())


def test_memory_grows_with_the_logarithm_of_the_updates() -> None:
    adwin = Adwin()
    single(adwin, np.zeros(20_000))
    buckets = len(adwin.snapshot()["window"]["weights"])
    assert 5 < buckets <= 5 * math.log2(20_000 / 5) + 5


def test_changes_are_plain_numbers_whatever_the_parameters_were() -> None:
    adwin = Adwin(scale=np.float64(2.0), center=np.float64(1.0))
    change = single(adwin, stream("normal 2σ", 0))[0]
    kinds = {name: type(getattr(change, name)) for name in Change.__slots__}
    assert set(kinds.values()) == {int, float, str}


def test_delta_is_settable_and_a_smaller_one_finds_less() -> None:
    values = stream("normal shifts", 1)
    adwin = Adwin(delta=0.05)
    eager = single(Adwin(delta=0.05), values)
    adwin.delta = 1e-300
    assert single(adwin, values) == []
    assert len(eager) > 0


def test_empty_panes_change_nothing() -> None:
    adwin = Adwin()
    weights, nothing = np.array([3, 0, 2]), np.array([0.5, math.nan, 1.0])
    adwin.update_many(nothing, weights, nothing)
    assert adwin.width == 5
    assert adwin.mean == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("mean", "weight", "variance"),
    [(math.nan, 1, 0.0), (math.inf, 1, 0.0), (1.0, -1, 0.0), (1.0, 2, -0.5), (1.0, 2, math.nan)],
)
def test_impossible_updates_are_refused(mean: float, weight: int, variance: float) -> None:
    adwin = Adwin()
    with pytest.raises(ValueError, match="weight"):
        adwin.update(mean, weight, variance)
    assert adwin.width == 0


@pytest.mark.parametrize(
    "wrong", [{"delta": 0.0}, {"delta": 1.0}, {"clock": 0}, {"scale": 0.0}, {"scale": math.nan}]
)
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Adwin(**wrong)


weighted = st.lists(
    st.tuples(
        st.floats(-2.0, 2.0), st.integers(0, 60), st.floats(0.0, 1.0), st.sampled_from([0.0, 3.0])
    ),
    min_size=1,
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(updates=weighted, cut=st.integers(0, 120), restart=st.booleans())
def test_cutting_looping_and_restoring_change_nothing(
    updates: list[tuple[float, int, float, float]], cut: int, restart: bool
) -> None:
    level = np.cumsum([step for *_, step in updates]) // 9
    means = np.array([mean for mean, *_ in updates]) + level
    weights = np.array([weight for _, weight, *_ in updates])
    variances = np.array([variance for _, _, variance, _ in updates])
    cut = min(cut, len(updates))

    whole = Adwin(restart_after_change=restart)
    expected = whole.update_many(means, weights, variances)

    first = Adwin(restart_after_change=restart)
    head = first.update_many(means[:cut], weights[:cut], variances[:cut])
    second = Adwin.restore(first.snapshot())
    tail = second.update_many(means[cut:], weights[cut:], variances[cut:])
    moved = [change.index + cut for change in tail]
    assert [change.index for change in head] + moved == [change.index for change in expected]
    assert [c.statistic for c in head + tail] == [c.statistic for c in expected]

    looped = Adwin(restart_after_change=restart)
    columns = zip(means.tolist(), weights.tolist(), variances.tolist(), strict=True)
    told = [looped.update(*row) for row in columns]
    assert [i for i, change in enumerate(told) if change] == [c.index for c in expected]

    for other in (second, looped):
        np.testing.assert_equal(other.snapshot(), whole.snapshot())


def test_the_property_above_does_see_changes() -> None:
    means = np.repeat([0.0, 4.0, 8.0], 40)
    found = Adwin().update_many(means, np.full(120, 10), np.full(120, 0.5))
    assert [change.direction for change in found][:1] == ["up"]
    assert {change.index // 40 for change in found} == {1, 2}


def test_weights_are_counted_like_that_many_values_in_the_moments() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=12_000)
    edges = np.sort(rng.choice(np.arange(1, 12_000), size=300, replace=False))
    parts = np.split(values, edges)
    adwin = Adwin()
    for part in parts:
        adwin.update(float(part.mean()), len(part), float(part.var()))
    assert adwin.width == 12_000
    assert adwin.mean == pytest.approx(values.mean(), abs=1e-12)
    assert adwin.variance == pytest.approx(values.var(), rel=1e-12)
