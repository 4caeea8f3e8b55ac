"""What would be found: the promise is held against streams in which it happens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream.monitor import Monitor
from stream.rules import BudgetRule, ReferenceRule
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
