"""What no single feature shows is told, once; what one of them shows is told of it only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.columns import Rows, column
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.pipeline import Pipeline
from stream.rules import AdwinRule, BudgetRule, FloorRule, JointRule, ReferenceRule, Rules
from stream.spells import spells
from stream.unit_walk import Told
from tests.stream.monitors import lived
from tests.stream.test_performance import RULES as RULES_OF_NIGHTS
from tests.streams import SMALL, Event, prediction, records

GROUP = ("m", "1", "champion", "")
PANE_MS = SMALL.pane_ms
RULES = replace(
    SMALL,
    maturity=None,
    adwin=AdwinRule(),
    budget=BudgetRule(),
    floors=FloorRule(),
    reference=ReferenceRule(predictions=2_000, span_ms=60_000),
    minimum_values=200,
    resolve_values=500,
    pane_rows=64,
    window_rows=2_048,
    max_categories=16,
)
EVERY_MS = 100  # ten predictions a pane
SHIFT_AT = 4_000


def correlated(random: Random, correlation: float) -> Event:
    x = random.gauss(0, 1)
    y = correlation * x + (1 - correlation**2) ** 0.5 * random.gauss(0, 1)
    return {"x": x, "y": y, "z": random.gauss(0, 1), "kind": random.choice("ABC")}


def alerts(
    draw: Callable[[Random, int], Event], size: int, *, rules: Rules = RULES, seed: int = 1
) -> list[Any]:
    random, pipeline = Random(seed), Pipeline(rules, 1)
    events = [prediction(f"p{i}", EVERY_MS * i, features=draw(random, i)) for i in range(size)]
    pipeline.predictions(records(events))
    pipeline.end_of_input(None)
    return [effect.alert for effect in pipeline.alerts]


def test_a_joint_shift_is_told_once_with_the_pair_and_no_feature_is_blamed() -> None:
    found = alerts(lambda r, i: correlated(r, 0.8 if i < SHIFT_AT else 0.0), 6_000)
    (alert,) = found
    assert (alert.alertname, alert.kind, alert.severity) == (
        "JointDrift", "feature_drift", "warning",
    )  # fmt: skip
    assert alert.scope.feature == "x × y"
    assert alert.detector.name == "joint_cusum"
    assert alert.detector.budget_share == 0.02
    assert alert.detector.direction == "down"
    late_s = _seconds(alert.evaluated_at) - SHIFT_AT * EVERY_MS / 1000
    assert 0 < late_s < 30  # 300 predictions
    assert abs(_seconds(alert.starts_at) - SHIFT_AT * EVERY_MS / 1000) < 10
    assert alert.effect.low <= alert.effect.estimate <= alert.effect.high < -alert.effect.floor
    assert alert.evidence["reference"]["correlations"]["x × y"] == pytest.approx(0.8, abs=0.05)
    assert abs(alert.evidence["current"]["correlations"]["x × y"]) < 0.4
    assert "x × y no longer go together" in alert.summary


def test_with_categories_too() -> None:
    def draw(random: Random, i: int) -> Event:
        event = correlated(random, 0.0)
        if i < SHIFT_AT:  # the sum of a category's rows is as before without it
            event["kind"] = "A" if event["x"] < -0.43 else "B" if event["x"] < 0.43 else "C"
        return event

    found = alerts(draw, 6_000)
    assert {alert.alertname for alert in found} == {"JointDrift"}


def test_it_is_resolved_once_they_go_together_as_before() -> None:
    found = alerts(
        lambda r, i: correlated(r, 0.0 if SHIFT_AT <= i < 5_000 else 0.9),
        9_000,
        rules=replace(RULES, floors=FloorRule(joint=0.4)),
    )
    assert [(a.status, a.sequence) for a in found] == [("firing", 1), ("resolved", 2)]


def test_after_14_days_its_owner_is_asked_once_and_it_goes_on_firing() -> None:
    found = alerts(
        lambda r, i: correlated(r, 0.8 if i < SHIFT_AT else 0.0),
        8_000,
        rules=replace(RULES, ask_after_ms=100_000),
    )
    assert [(a.status, a.sequence) for a in found] == [("firing", 1), ("firing", 2)]
    late_s = _seconds(found[1].evaluated_at) - _seconds(found[0].evaluated_at)
    assert 100 <= late_s <= 102  # from a pane of its beginning
    assert found[1].summary == (
        "m v1: what goes together has differed from its reference for 0.00116 days; if it is to "
        "stay so, accept a new one: leeway reference accept m 1"
    )


def test_switched_off_it_says_nothing() -> None:
    rules = replace(RULES, joint=JointRule(enabled=False))
    draw = lambda r, i: correlated(r, 0.8 if i < SHIFT_AT else 0.0)  # noqa: E731
    assert alerts(draw, 6_000, rules=rules) == []


SPOILT: dict[str, Callable[[Random, Event], None]] = {
    "a shift": lambda r, e: e.update(x=e["x"] + 1.0),
    "a wider spread": lambda r, e: e.update(x=2.5 * e["x"]),
    "nulls": lambda r, e: e.update(x=None if r.random() < 0.3 else e["x"]),
    "an absent feature": lambda r, e: e.pop("x") and None,
    "two shifts": lambda r, e: e.update(x=e["x"] + 1.0, y=e["y"] + 1.0),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_what_a_feature_shows_by_itself_is_told_of_it_only(fault: str) -> None:
    def draw(random: Random, i: int) -> Event:
        event = correlated(random, 0.7)
        if i >= SHIFT_AT:
            SPOILT[fault](random, event)
        return event

    found = alerts(draw, 7_000)
    assert found
    assert {a.alertname for a in found if a.scope.feature not in {"x", "y"}} == set()


@pytest.mark.parametrize("seed", range(3))
def test_what_goes_together_as_before_is_silent(seed: int) -> None:
    assert alerts(lambda r, _: correlated(r, 0.7), 8_000, seed=seed) == []


# -- a monitor by itself


def panes(count: int, changes: dict[int, float], seed: int) -> PaneTable:
    """Five rows a pane; x and y are correlated, otherwise from each pane of `changes` on."""
    random = Random(seed)
    ends = np.repeat(np.arange(1, count + 1) * PANE_MS, 5)
    rows = []
    for end in ends.tolist():
        begun = [value for pane, value in changes.items() if pane <= end // PANE_MS]
        rows.append(correlated(random, begun[-1]))
        if 900 <= end // PANE_MS < 1_000:
            rows[-1]["x"] += 2.0
    hashes = np.array([random.getrandbits(64) for _ in ends], np.uint64)
    texts: dict[int, str] = {}
    columns = {f"feature:{n}": column([row[n] for row in rows], texts) for n in rows[0]}
    return summarise(Rows(ends, hashes, columns, texts), RULES.pane_rows, RULES.max_categories)


def told(table: PaneTable, cuts: list[int], rules: Rules) -> list[MonitorFinding]:
    found = lived(table, rules, cuts).findings
    return sorted(found, key=lambda f: (f.pane_end_ms, f.series, f.alertname))


@pytest.mark.parametrize("seed", range(4))
def test_neither_batches_nor_restores_show(seed: int) -> None:
    random = Random(seed)
    rules = replace(
        RULES,
        reference=ReferenceRule(predictions=1_000, span_ms=60_000),
        floors=FloorRule(joint=0.5),
        budget=BudgetRule(predictions=10_000, span_ms=60_000_000),
        resolve_values=200,
        joint=JointRule(rows=4),  # of five in a pane
    )
    table = panes(1_200, {0: 0.9, 400: 0.0, 600: 0.9, 1_050: -0.5}, seed)
    whole = told(table, [], rules)
    joint = [f.detail is not None for f in whole if f.alertname == "JointDrift"]
    assert joint[:2] == [True, False]
    cuts = sorted(random.sample(range(1, 1_200), 30))
    assert told(table, cuts, rules) == whole


def test_two_that_move_by_themselves_each_night_do_not_go_together_otherwise() -> None:
    """They are told of the first nights, and then no more."""
    rules = replace(
        RULES_OF_NIGHTS, reference=ReferenceRule(predictions=3_000, span_ms=20_000), pane_rows=64,
        window_rows=512, max_categories=8,
    )  # fmt: skip
    random, pipeline, made = Random(2), Pipeline(rules, 1), []
    for i in range(19_500):
        by = 1.5 if i >= 6_000 and i % 3_000 < 300 else 0.0
        features = {name: random.gauss(by, 1.0) for name in "ab"}
        made.append(prediction(f"p{i}", i * 200, features=features))
    pipeline.predictions(records(made))
    pipeline.end_of_input(None)
    told = [effect.alert.alertname for effect in pipeline.alerts]
    assert "FeatureDrift" in told
    assert "JointDrift" not in told


def test_spells_count_the_panes_at_which_a_unit_begins_and_ends_to_fire_as_firing() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.key = (name, "shift")

    def at(row: int, name: str, *, begins: bool) -> Told:
        return Told(row, Named(name), object() if begins else None, None)  # type: ignore[arg-type]

    found = list(spells([("a", "shift")], [at(3, "b", begins=True), at(5, "a", begins=False)], 8))
    assert found == [
        (0, 3, {"a"}),
        (3, 4, {"a", "b"}),
        (4, 5, {"a", "b"}),
        (5, 6, {"a", "b"}),
        (6, 8, {"b"}),
    ]


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.removesuffix("Z").split("T")[1].split(":")
    return 3_600 * int(hours) + 60 * int(minutes) + float(seconds)
