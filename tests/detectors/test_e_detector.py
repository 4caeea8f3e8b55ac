"""The e-detector: bets that are fair under any mean, and so a false alarm rate by theorem."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.e_detector import EDetector, log_e_value

means = st.floats(0.01, 0.99)


@settings(max_examples=200, deadline=None)
@given(n1=st.integers(1, 12), n0=st.integers(1, 12), after=means, before=means, p=means)
def test_the_expectation_of_a_bet_on_events_is_at_most_one(
    n1: int, n0: int, after: float, before: float, p: float
) -> None:
    expected = math.fsum(
        math.comb(n1, k1) * math.comb(n0, k0) * p ** (k1 + k0) * (1 - p) ** (n1 + n0 - k1 - k0)
        * math.exp(log_e_value(k1, n1, k0, n0, after=after, before=before))
        for k1 in range(n1 + 1) for k0 in range(n0 + 1)
    )  # fmt: skip
    assert expected <= 1 + 1e-9


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(0, 1), min_size=2, max_size=3), after=means, before=means,
    weights=st.lists(st.floats(0.1, 1), min_size=3, max_size=3),
)  # fmt: skip
def test_and_so_it_is_of_any_values_between_zero_and_one(
    values: list[float], after: float, before: float, weights: list[float]
) -> None:
    chance = [w / sum(weights[: len(values)]) for w in weights[: len(values)]]
    expected = math.fsum(
        p1 * p0 * math.exp(log_e_value(v1, 1, v0, 1, after=after, before=before))
        for v1, p1 in zip(values, chance, strict=True)
        for v0, p0 in zip(values, chance, strict=True)
    )
    assert expected <= 1 + 1e-9


@pytest.mark.parametrize("reference", [300, 5000])
def test_alarms_are_as_rare_as_proven_whatever_the_reference(reference: int) -> None:
    rng = np.random.default_rng(1)
    rate, panes, times = 1 / 2000, 1500, []
    for _ in range(60):
        start = rng.binomial(10, 0.1, reference // 10)
        detector = EDetector(rate=rate, x=start, n=np.full(len(start), 10))
        changes = detector.update_many(rng.binomial(10, 0.1, panes), np.full(panes, 10))
        first = changes[0].index if changes else panes
        times.append(first * 10 / 2)  # half of the values are tested; those beyond are cut off
    assert np.mean(times) >= 0.9 / rate


def test_a_slow_drift_is_no_alarm_and_a_jump_is() -> None:
    rng = np.random.default_rng(2)
    slow = np.linspace(0.1, 0.3, 20_000)
    detector = EDetector(rate=1e-6, x=rng.binomial(10, 0.1, 100), n=np.full(100, 10))
    assert detector.update_many(rng.binomial(10, slow), np.full(20_000, 10)) == []
    change = detector.update_many(rng.binomial(10, 0.7, 200), np.full(200, 10))[0]
    assert change.direction == "up"
    assert change.statistic >= change.threshold == pytest.approx(math.log(1e6))
    assert detector.reserve < 2000


@pytest.mark.parametrize(("after", "direction"), [(0.3, "up"), (0.02, "down")])
def test_what_being_proven_costs(after: float, direction: str) -> None:
    rng = np.random.default_rng(3)
    delays = []
    for _ in range(20):
        start = rng.binomial(10, 0.1, 2000)
        detector = EDetector(rate=1e-6, x=start, n=np.full(2000, 10))
        change = detector.update_many(rng.binomial(10, after, 1000), np.full(1000, 10))[0]
        assert change.direction == direction
        delays.append(10 * (change.index + 1))
    # .10 to .30 takes a calibrated bank 81 values
    assert 300 <= np.mean(delays) <= (700 if after == 0.3 else 3000)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 300))
def test_cutting_and_restoring_change_nothing(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 30, 300)
    x = rng.binomial(n, np.where(np.arange(300) < 150, 0.1, 0.6)).astype(float)
    whole, first = (EDetector(rate=1e-3, x=np.full(50, 1), n=np.full(50, 10)) for _ in range(2))
    expected = whole.update_many(x, n)
    told = first.update_many(x[:cut], n[:cut])
    second = EDetector.restore(first.snapshot())
    rest = second.update_many(x[cut:], n[cut:])
    assert [c.index for c in told] + [c.index + cut for c in rest] == [c.index for c in expected]
    one, other = whole.snapshot(), second.snapshot()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


def test_without_a_reference_it_begins_by_itself() -> None:
    rng = np.random.default_rng(4)
    detector = EDetector(rate=1e-4)
    assert detector.update_many(rng.binomial(10, 0.1, 200), np.full(200, 10)) == []
    assert 150 <= detector.reserve <= 250
    assert detector.update_many(rng.binomial(10, 0.8, 60), np.full(60, 10))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        EDetector(rate=0.0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        EDetector(rate=1e-6).update(1.5)
    with pytest.raises(ValueError, match="alike"):
        EDetector(rate=1e-6).update_many([1.0], [1, 2])
