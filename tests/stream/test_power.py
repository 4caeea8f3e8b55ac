"""What would be found: the promise is held against streams in which it happens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream.columns import Rows, column
from stream.monitor import Monitor
from stream.panes import PaneTable, summarise
from stream.power import powers
from stream.rules import BudgetRule, ReferenceRule
from stream.unit_tilts import Baseline, Terms
from stream.units import Unit
from tests.stream.test_reference_life import panes
from tests.stream.test_watch import GROUP, PANE_MS, RULES

RULES_OF_MANY = replace(
    RULES,
    reference=ReferenceRule(predictions=5_000, span_ms=60_000),
    budget=BudgetRule(),
    minimum_values=200,
)
BEFORE, ROWS = 5_000, 10


def monitor_of(x: np.ndarray) -> Monitor:  # type: ignore[type-arg]
    monitor = Monitor(RULES_OF_MANY, GROUP, "prediction", RULES_OF_MANY.reference)
    monitor.update(panes({"x": x}, rows=ROWS))
    return monitor


def test_a_change_of_the_size_that_is_promised_is_told_about_when_it_is_promised() -> None:
    random = np.random.default_rng(1)
    monitor = monitor_of(random.standard_normal(BEFORE))
    (promised,) = [p for p in monitor.powers() if p["measure"] == "shift"]
    assert promised["reference"] == monitor.reference.id  # type: ignore[union-attr]
    assert promised["note"] is None
    assert promised["smallest"] >= promised["floor"]
    # ten rows a pane of a second
    assert promised["seconds"] == pytest.approx(promised["predictions"] / 10, rel=1e-3)
    size = 2 * promised["smallest"]
    told = []
    for seed in range(6):
        values = np.random.default_rng(seed).standard_normal(BEFORE + 6_000)
        values[BEFORE:] += size
        one = Monitor(RULES_OF_MANY, GROUP, "prediction", RULES_OF_MANY.reference)
        found, _ = one.update(panes({"x": values}, rows=ROWS, seed=seed))
        shifts = [f.pane_end_ms for f in found if f.alertname == "FeatureDrift" and f.detail]
        told.append(shifts[0] // PANE_MS * ROWS - BEFORE)
    assert all(0 < after <= promised["predictions"] for after in told)


def test_values_that_depend_on_each_other_cost_power_and_it_says_how_much() -> None:
    random = np.random.default_rng(2)
    x = np.zeros(BEFORE)
    noise = random.normal(0, 0.6, BEFORE)
    for i in range(1, BEFORE):
        x[i] = 0.8 * x[i - 1] + noise[i]
    (bound,) = [p for p in monitor_of(x).powers() if p["measure"] == "shift"]
    (alone,) = [p for p in monitor_of(random.permutation(x)).powers() if p["measure"] == "shift"]
    assert bound["tau"] > 3
    assert bound["smallest"] > 1.5 * alone["smallest"]
    assert bound["note"].startswith("its values depend: only changes ")
    assert alone["note"] is None


def test_a_label_of_long_runs_is_promised_nothing_whatever_a_new_one_would_be() -> None:
    random = np.random.default_rng(4)
    label = np.repeat((random.random(BEFORE // 100) < 0.5).astype(float), 100)
    texts: dict[int, str] = {}
    ends = (np.arange(BEFORE) // ROWS + 1) * PANE_MS
    hashes = random.integers(0, 2**64, BEFORE, np.uint64)
    columns = {"prediction:label": column([f"{one:g}" for one in label], texts)}
    rules = RULES_OF_MANY
    monitor = Monitor(rules, GROUP, "prediction", rules.reference)
    monitor.update(
        summarise(Rows(ends, hashes, columns, texts), rules.pane_rows, rules.max_categories)
    )
    (shape,) = [p for p in monitor.powers() if p["measure"] == "shape"]
    assert shape["tau"] > 50
    assert (shape["smallest"], shape["predictions"]) == (None, None)
    assert shape["note"].startswith("no change is found")


def test_of_a_rate_that_cannot_rise_it_is_for_falls() -> None:
    x, n = np.array([4_990]), np.array([5_000])
    rate = Unit.of("outcome:recall", "rate")
    (of_rate,) = powers([Terms(rate, Baseline(x, n), 0.01, 1e-8, None)])
    assert of_rate.smallest is not None
    assert 0.01 <= of_rate.smallest < 0.1
    (rise,) = powers([Terms(Unit.of("feature:x", "null"), Baseline(x, n), 0.01, 1e-8, None)])
    assert rise.smallest is None  # fewer faults are none


@pytest.mark.parametrize("values", [10, 40])
def test_a_feature_that_stops_varying_is_told_when_it_is_promised_at_any_value(values: int) -> None:
    random = np.random.default_rng(values)
    drawn = np.minimum(random.geometric(0.3, BEFORE) - 1, values).astype(float)
    (promised,) = [p for p in monitor_of(drawn).powers() if p["measure"] == "stale"]
    assert (promised["series"], promised["note"]) == ("feature:x", None)
    assert promised["budget_share"] == 0.01  # of one feature
    assert promised["floor"] < promised["smallest"] < 1.0
    assert promised["seconds"] == pytest.approx(promised["predictions"] / 10, rel=1e-3)
    for value in (0.0, 1.0, 3.0):
        stuck = np.concatenate([drawn, np.full(1_000, value)])
        one = Monitor(RULES_OF_MANY, GROUP, "prediction", RULES_OF_MANY.reference)
        found, _ = one.update(panes({"x": stuck}, rows=ROWS))
        told = [f.pane_end_ms for f in found if f.alertname == "StaleFeature" and f.detail]
        after = told[0] // PANE_MS * ROWS - BEFORE
        assert promised["predictions"] / 3 <= after <= promised["predictions"]


def test_what_hardly_varied_is_promised_nothing_and_it_says_why() -> None:
    mostly = (np.random.default_rng(1).random(BEFORE) < 0.2).astype(float)
    (none,) = [p for p in monitor_of(mostly).powers() if p["measure"] == "stale"]
    assert (none["smallest"], none["predictions"]) == (None, None)
    assert none["note"].startswith("more than half of its reference is one value")


TOGETHER = replace(RULES_OF_MANY, pane_rows=64, window_rows=2_048)


def monitor_of_two(correlation: float, count: int, *, rows: int, seed: int) -> tuple[Monitor, list]:  # type: ignore[type-arg]
    """x and y go together as `correlation` says, behind a reference and learning in which they do
    not; what is told behind those."""
    random = np.random.default_rng(seed)
    x, y = random.standard_normal((2, LEARNED + count))
    y[LEARNED:] = correlation * x[LEARNED:] + (1 - correlation**2) ** 0.5 * y[LEARNED:]
    monitor = Monitor(TOGETHER, GROUP, "prediction", TOGETHER.reference)
    found, _ = monitor.update(panes_of(x, y, rows=rows, seed=seed))
    return monitor, [f for f in found if f.alertname == "JointDrift"]


LEARNED = 20_000


def panes_of(x: np.ndarray, y: np.ndarray, *, rows: int, seed: int) -> PaneTable:  # type: ignore[type-arg]
    texts: dict[int, str] = {}
    ends = (np.arange(len(x)) // rows + 1) * PANE_MS
    hashes = np.random.default_rng(seed).integers(0, 2**64, len(x), np.uint64)
    columns = {"feature:x": column(x.tolist(), texts), "feature:y": column(y.tolist(), texts)}
    return summarise(
        Rows(ends, hashes, columns, texts), TOGETHER.pane_rows, TOGETHER.max_categories
    )


@pytest.mark.parametrize("rows", [10, 100])
def test_what_no_longer_goes_together_is_told_when_it_is_promised(rows: int) -> None:
    """Where a pane has more rows than count, predictions are more than rows."""
    calm, told = monitor_of_two(0.0, rows, rows=rows, seed=1)
    assert told == []
    (promised,) = [p for p in calm.powers() if p["measure"] == "joint"]
    assert promised["series"] == "joint:features"
    assert promised["reference"] == calm.reference.id  # type: ignore[union-attr]
    assert promised["note"] is None
    assert promised["smallest"] >= promised["floor"] >= TOGETHER.floors.joint
    assert promised["seconds"] == pytest.approx(promised["predictions"] / rows, rel=0.05)
    for seed in range(3):
        _, told = monitor_of_two(0.6, 8_000, rows=rows, seed=seed)
        (first,) = [f for f in told if f.verdict == "drift"][:1]
        assert first.detail is not None
        assert abs(first.detail["effect"]["estimate"]) >= 1.2 * promised["smallest"]
        after = first.pane_end_ms // PANE_MS * rows - LEARNED
        assert promised["predictions"] / 20 <= after <= promised["predictions"] + rows


def test_rows_that_depend_on_each_other_cost_power_too() -> None:
    random = np.random.default_rng(3)
    x, y = np.zeros((2, LEARNED))
    for of, noise in ((x, random.normal(0, 0.6, LEARNED)), (y, random.normal(0, 0.6, LEARNED))):
        for i in range(1, LEARNED):
            of[i] = 0.8 * of[i - 1] + noise[i]
    found = []
    for order in (np.arange(LEARNED), random.permutation(LEARNED)):
        monitor = Monitor(TOGETHER, GROUP, "prediction", TOGETHER.reference)
        monitor.update(panes_of(x[order], y[order], rows=10, seed=1))
        found += [p for p in monitor.powers() if p["measure"] == "joint"]
    bound, alone = found
    assert bound["tau"] > 3
    assert bound["smallest"] > 1.5 * alone["smallest"]
    assert bound["note"].startswith("its values depend: only changes ")
    assert alone["note"] is None
