"""Panes under the bank: what is told and when; batches and restores do not show."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.columns import Rows, column
from stream.monitor import Monitor
from stream.monitor_state import Sealed
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.rules import AdwinRule, BudgetRule, FloorRule, ReferenceRule, Rules
from stream.snapshot import packed
from tests.stream.monitors import lived
from tests.streams import SMALL

GROUP = ("m", "1", "champion", "")
PANE_MS = SMALL.pane_ms
RULES = replace(
    SMALL,
    adwin=AdwinRule(),
    reference=ReferenceRule(predictions=600, span_ms=60_000),
    budget=BudgetRule(predictions=10_000, span_ms=60_000_000),
    floors=FloorRule(shift=0.3),
    minimum_values=50,
    resolve_values=200,
    pane_rows=16,
    window_rows=256,
)


def panes(count: int, means: dict[int, float], *, seed: int = 1) -> PaneTable:
    """Five rows a pane; x is normal, with another mean from each pane of `means` on."""
    random = Random(seed)
    ends = np.repeat(np.arange(1, count + 1) * PANE_MS, 5)
    x: list[Any] = []
    for end in ends.tolist():
        begun = [mean for pane, mean in means.items() if pane <= end // PANE_MS]
        value = random.gauss(begun[-1] if begun else 0.0, 1)
        x.append(None if random.random() < 0.02 else value)
    texts: dict[int, str] = {}
    kinds = [random.choice("ABC") for _ in ends]
    hashes = np.array([random.getrandbits(64) for _ in ends], np.uint64)
    columns = {"feature:kind": column(kinds, texts), "feature:x": column(x, texts)}
    return summarise(Rows(ends, hashes, columns, texts), RULES.pane_rows, RULES.max_categories)


def told(table: PaneTable, cuts: list[int], rules: Rules = RULES) -> list[MonitorFinding]:
    return lived(table, rules, cuts).findings


def of(found: list[MonitorFinding], alertname: str) -> list[tuple[int, bool]]:
    """(pane, whether it is drift)."""
    mine = [f for f in found if f.alertname == alertname]
    return [(f.pane_end_ms // PANE_MS, f.detail is not None) for f in mine]


def test_a_shift_is_told_once_and_is_well_again_once_enough_values_agree() -> None:
    found = of(told(panes(1_200, {300: 2.0, 600: 0.0}), []), "FeatureDrift")
    assert [drift for _, drift in found] == [True, False]
    assert 300 < found[0][0] < 330
    assert 640 <= found[1][0] < 800  # 200 values, and as many again where those are not enough


def test_a_shift_that_stays_is_not_resolved_by_silence() -> None:
    found = of(told(panes(1_200, {300: 2.0}), []), "FeatureDrift")
    assert [drift for _, drift in found] == [True]


def test_nulls_that_are_gone_are_well_though_the_reference_had_some() -> None:
    random = np.random.default_rng(1)
    share = np.repeat([0.1, 0.3, 0.0], [2_000, 1_500, 4_000])
    ends = (np.arange(len(share)) // 5 + 1) * PANE_MS
    x = [None if null else 1.0 for null in (random.random(len(share)) < share).tolist()]
    hashes = random.integers(0, 2**63, len(share)).astype(np.uint64)
    rows = Rows(ends, hashes, {"feature:x": column(x, {})}, {})
    table = summarise(rows, RULES.pane_rows, RULES.max_categories)
    found = of(told(table, []), "NullRate")
    assert [drift for _, drift in found] == [True, False]
    assert found[1][0] > 3_500 // 5


@pytest.mark.parametrize(
    ("own", "untold"),
    [
        (FloorRule(0.3, series=(("feature:x", 2.5),)), {"FeatureDrift"}),
        (FloorRule(0.3, shapes=(("feature:x", 0.95),)), {"FeatureShapeDrift"}),
        (FloorRule(0.3, faults=(("feature:x", 0.5),)), {"NullRate", "OutOfRange"}),
    ],
)
def test_a_series_has_floors_of_its_own(own: FloorRule, untold: set[str]) -> None:
    random = np.random.default_rng(3)
    ends = (np.arange(4_000) // 5 + 1) * PANE_MS
    values = random.normal(0.0, 1.0, 4_000) + (np.arange(4_000) >= 2_000) * 1.5
    is_null = random.random(4_000) < np.where(np.arange(4_000) < 2_000, 0.05, 0.3)
    x = [
        None if null else value
        for value, null in zip(values.tolist(), is_null.tolist(), strict=True)
    ]
    hashes = random.integers(0, 2**63, 4_000).astype(np.uint64)
    rows = Rows(ends, hashes, {"feature:x": column(x, {})}, {})
    table = summarise(rows, RULES.pane_rows, RULES.max_categories)
    every = {f.alertname for f in told(table, [])}
    assert untold < every
    assert {f.alertname for f in told(table, [], replace(RULES, floors=own))} == every - untold


def test_a_second_change_while_it_fires_is_told_as_the_same_alert() -> None:
    found = of(told(panes(900, {300: 1.0, 600: 4.0}), []), "FeatureDrift")
    assert [drift for _, drift in found] == [True, True, True]
    assert 600 < found[1][0] < 640
    assert found[2][0] > 750, "once more, when as much is known as of a reference"


def test_rules_that_ask_for_more_values_hold_for_references_there_are_and_after_a_restore() -> None:
    table = panes(600, {300: 2.0})
    stricter = replace(RULES, minimum_values=700)  # the reference has 600
    before, after = (table.between(s * PANE_MS + 1, e * PANE_MS) for s, e in ((0, 200), (200, 600)))
    for asked, drifts in ((RULES, 1), (stricter, 0)):
        monitor = Monitor(RULES, GROUP, "prediction", RULES.reference)
        assert monitor.update(before)[0] == []
        found = monitor.update(after.between(1, 210 * PANE_MS), asked)[0]
        held = monitor.snapshot()
        state = Sealed(packed(held.parts())).held(held.to_plain())
        rest = after.between(210 * PANE_MS + 1, 600 * PANE_MS)
        for going_on in (monitor, Monitor.restore(asked, asked.reference, state)):
            assert len(of(found + going_on.update(rest)[0], "FeatureDrift")) == drifts


@pytest.mark.parametrize("seed", range(4))
def test_neither_batches_nor_restores_show(seed: int) -> None:
    random = Random(seed)
    table = panes(700, {200: 2.0, 450: 0.0}, seed=seed)
    whole = told(table, [])
    assert {f.alertname for f in whole} >= {"FeatureDrift"}
    cuts = sorted(random.sample(range(1, 700), 25))
    assert told(table, cuts) == whole


def test_it_is_not_blind_before_there_is_a_reference() -> None:
    rules = replace(RULES, reference=ReferenceRule(predictions=10**6, span_ms=10**9))
    found = of(told(panes(300, {100: 2.0}), [], rules), "FeatureDrift")
    assert found
    assert 100 < found[0][0] < 140


@pytest.mark.parametrize("seed", range(5))
def test_what_does_not_change_is_silent(seed: int) -> None:
    rules = replace(RULES, budget=BudgetRule())
    assert told(panes(1_500, {}, seed=seed), [], rules) == []


@pytest.mark.parametrize("seed", range(3))
def test_values_that_depend_on_each_other_are_no_drift(seed: int) -> None:
    """Autocorrelation .8: a threshold for independent values is crossed every few hundred."""
    random = Random(seed)
    ends = np.repeat(np.arange(1, 2_001) * PANE_MS, 5)
    x = [0.0]
    for _ in ends[1:]:
        x.append(0.8 * x[-1] + random.gauss(0, 0.6))
    hashes = np.array([random.getrandbits(64) for _ in ends], np.uint64)
    rows = Rows(ends, hashes, {"feature:x": column(x, {})}, {})
    table = summarise(rows, RULES.pane_rows, RULES.max_categories)
    reference = ReferenceRule(predictions=2_000, span_ms=60_000)
    rules = replace(RULES, budget=BudgetRule(), reference=reference, minimum_values=200)
    assert told(table, [], rules) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_flag_that_has_become_frequent_is_told_once(seed: int) -> None:
    rules = replace(
        RULES, reference=ReferenceRule(4_000, 60_000), floors=FloorRule(), budget=BudgetRule()
    )
    random, count = np.random.default_rng(seed), 60_000
    ends = (np.arange(count) // 50 + 1) * PANE_MS
    flag = random.random(count) < np.where(np.arange(count) < 6_000, 0.005, 0.1)
    hashes = random.integers(0, 2**63, count).astype(np.uint64)
    rows = Rows(ends, hashes, {"feature:flag": column(flag.astype(float).tolist(), {})}, {})
    found = told(summarise(rows, rules.pane_rows, rules.max_categories), [], rules)
    shifts = [f for f in found if f.alertname == "FeatureDrift"]
    assert [f.verdict for f in shifts] == ["drift"]
    assert shifts[0].detail is not None
    assert "flag rose by" in shifts[0].detail["summary"]


def test_what_was_within_the_floor_when_its_alert_ended_is_usual_from_then_on() -> None:
    life = lived(panes(1_200, {300: 2.0, 600: 0.0}), RULES)
    assert [drift for _, drift in of(life.findings, "FeatureDrift")] == [True, False]
    (terms,) = [
        one
        for one in life.monitor._detection.watch.terms()
        if (one.unit.name, one.unit.measure) == ("feature:x", "shift")
    ]
    assert int(terms.baseline.n[0]) >= 600 + 200 - 20  # the reference and a window; some are null
