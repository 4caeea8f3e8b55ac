"""A feature that has stopped varying is a fault of the pipeline, not a drift of the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.pipeline import Pipeline
from stream.rules import ReferenceRule, Rules
from stream.times import iso
from tests.stream.test_performance import RULES
from tests.stream.test_reference_life import CALM, panes, watched
from tests.streams import prediction, records

SAMPLED = replace(
    RULES,
    reference=ReferenceRule(predictions=3_000, span_ms=20_000),
    pane_rows=64,
    window_rows=512,
    max_categories=8,
)
Value = Callable[[Random, bool], Any]


def told(
    value: Value, *, gap_ms: int = 200, size: int = 8_000, rules: Rules = SAMPLED
) -> list[Any]:
    random, pipeline = Random(1), Pipeline(rules, 1)
    made = [
        prediction(f"p{i}", i * gap_ms, features={"x": value(random, i >= 6_000)})
        for i in range(size)
    ]
    pipeline.predictions(records(made))
    pipeline.end_of_input(None)
    return [effect.alert for effect in pipeline.alerts]


STALE: dict[str, Value] = {
    "number": lambda random, changed: 0.3 if changed else random.gauss(0, 1),
    "year": lambda random, changed: 2019 if changed else random.randint(2015, 2024),
    "text": lambda random, changed: "B" if changed else random.choice("ABCDE"),
}
OTHERS: dict[str, Value] = {
    "number": lambda random, changed: random.gauss(2.0 if changed else 0.0, 1),
    "year": lambda random, changed: (
        random.randint(2018, 2027) if changed else random.randint(2015, 2024)
    ),
    "text": lambda random, changed: random.choice("AAAAB") if changed else random.choice("ABCDE"),
    "coin": lambda random, changed: int(random.random() < (0.9 if changed else 0.5)),
}


@pytest.mark.parametrize("gap_ms", [200, 7])
@pytest.mark.parametrize("what", STALE)
def test_a_constant_is_told_as_a_fault_of_the_pipeline(what: str, gap_ms: int) -> None:
    alerts = told(STALE[what], gap_ms=gap_ms)
    assert alerts
    first = alerts[0]
    assert (first.kind, first.severity) == ("data_quality", "error")
    assert first.recommended_action == "fix_pipeline"
    assert first.summary.endswith("it has stopped varying")
    assert first.scope.feature == "x"
    assert first.alertname in {"FeatureDrift", "FeatureShapeDrift", "StaleFeature"}
    (stale,) = [a for a in alerts if a.alertname == "StaleFeature" and a.sequence == 1]
    assert (stale.kind, stale.detector.name) == ("data_quality", "run_length")
    assert stale.detector.statistic >= stale.detector.threshold
    assert stale.effect.low <= stale.effect.estimate <= stale.effect.high
    assert stale.starts_at >= iso(6_000 * gap_ms - 3 * SAMPLED.pane_ms)


@pytest.mark.parametrize("what", OTHERS)
def test_a_drift_of_what_varies_is_none(what: str) -> None:
    alerts = told(OTHERS[what])
    assert alerts
    assert {alert.kind for alert in alerts} <= {"feature_drift", "data_quality"}
    assert not any("stopped varying" in alert.summary for alert in alerts)


MANY = [f"c{i}" for i in range(40)]  # more than are counted: they have no shape


def stale(alerts: list[Any]) -> list[tuple[str, str]]:
    return [(a.status, a.summary) for a in alerts if a.alertname == "StaleFeature"]


def test_what_no_drift_tells_is_found() -> None:
    alerts = told(lambda random, changed: "c7" if changed else random.choice(MANY))
    assert {a.alertname for a in alerts} == {"StaleFeature"}
    assert stale(alerts)[0][1].startswith("m v1: x is c7 in all of its last ")


def returning(after: int, back: Callable[[Random], Any]) -> Value:
    """Stuck for so many predictions, and then as `back` says."""
    made = iter(range(100_000))

    def value(random: Random, changed: bool) -> Any:
        if not changed:
            return random.choice(MANY)
        return "c7" if next(made) < after else back(random)

    return value


def test_what_varies_again_is_well() -> None:
    alerts = told(returning(500, lambda random: random.choice(MANY)), size=9_000)
    assert [status for status, _ in stale(alerts)] == ["firing", "resolved"]


def test_one_other_value_is_no_end_of_it() -> None:
    """Once in a while something else comes: it is as stuck as before."""
    rare = lambda random: "c7" if random.random() < 0.9 else random.choice(MANY)  # noqa: E731
    assert [status for status, _ in stale(told(returning(300, rare), size=10_000))] == ["firing"]


def test_without_values_it_stays() -> None:
    assert [s for s, _ in stale(told(returning(300, lambda _: None), size=10_000))] == ["firing"]


def test_stuck_at_another_value_it_is_told_as_the_same_alert() -> None:
    alerts = told(returning(300, lambda _: "c9"), size=10_000)
    assert [status for status, _ in stale(alerts)] == ["firing", "firing"]
    assert "x is c9 in all of its last " in stale(alerts)[1][1]


def test_after_14_days_its_owner_is_asked_once() -> None:
    asks = replace(SAMPLED, ask_after_ms=100_000)
    alerts = told(lambda r, changed: "c7" if changed else r.choice(MANY), rules=asks)
    assert [status for status, _ in stale(alerts)] == ["firing", "firing"]
    assert stale(alerts)[1][1].startswith(
        "m v1: x has been one and the same, unlike in its reference, for 0.00116 days; if it is "
        "to stay so, accept a new one: leeway reference accept m 1"
    )


@pytest.mark.parametrize(("predictions", "named"), [(5_000, "self:1970-01-01T"), (600, "ref-")])
def test_what_it_is_compared_with_has_the_name_that_all_alerts_give(
    predictions: int, named: str
) -> None:
    values = np.random.default_rng(4).integers(0, 30, 3_000).astype(float)
    values[2_000:2_400] = 7.0
    rules = replace(CALM, reference=ReferenceRule(predictions=predictions, span_ms=60_000))
    found, _, _ = watched(panes({"x": values}), rules=rules)
    first = next(f.detail for f in found if f.alertname == "StaleFeature")
    assert first is not None
    assert first["reference"]["id"].startswith(named)


HARDLY: dict[str, Value] = {
    "mostly zero": lambda random, _: 0.0 if random.random() < 0.9 else random.random(),
    "coin": lambda random, _: int(random.random() < 0.5),
    "text": lambda random, _: "A" if random.random() < 0.8 else random.choice("BCD"),
}


@pytest.mark.parametrize("gap_ms", [200, 7])
@pytest.mark.parametrize("what", HARDLY)
def test_runs_of_what_is_usual_are_none(what: str, gap_ms: int) -> None:
    assert stale(told(HARDLY[what], gap_ms=gap_ms)) == []


@pytest.mark.parametrize("each", [100, 400, 3_500])
def test_what_changes_seldom_has_not_stopped(each: int) -> None:
    """It holds a value for so many predictions at a time."""
    numbers = iter(range(10_000))
    values = [Random(9).gauss(0, 1) for _ in range(200)]
    assert stale(told(lambda _random, _changed: values[next(numbers) // each])) == []


def test_neither_batches_nor_restores_show() -> None:
    random = np.random.default_rng(4)
    values = random.integers(0, 30, 4_000).astype(float)
    values[2_000:2_400], values[2_400:2_700] = 7.0, 9.0
    table = panes({"x": values})
    rules = replace(CALM, ask_after_ms=100 * CALM.pane_ms)

    def told_of(cuts: list[int]) -> list[Any]:
        found = watched(table, cuts, rules)[0]
        return sorted(found, key=lambda f: (f.pane_end_ms, f.series, f.alertname))

    found = told_of([])
    stale = [f.verdict for f in found if f.alertname == "StaleFeature"]
    assert sorted(stale) == ["drift", "drift", "lasting", "quiet"]
    assert (stale[0], stale[-1]) == ("drift", "quiet")
    for seed in range(3):
        cuts = sorted(Random(seed).sample(range(1, len(table)), 40))
        assert told_of(cuts) == found


def test_what_always_was_constant_is_silent() -> None:
    assert told(lambda _random, _changed: 7) == []


def test_sessions_are_no_constants() -> None:
    """Rows of one session have the same value: 20 in a row on average."""
    session = [""]

    def value(random: Random, changed: bool) -> str:
        if random.random() < 1 / 20:
            session[0] = f"s{random.randrange(1_000)}"
        return session[0]

    assert "StaleFeature" not in {a.alertname for a in told(value)}


PARTS: dict[str, tuple[Value, str]] = {
    "of a number": (
        lambda r, changed: r.uniform(900.0, 1_000.0) if changed else r.uniform(0.0, 1_000.0),
        "values from 896 on rose",
    ),
    "of few numbers": (
        lambda r, changed: r.choice((0, 0, 0, 1, 5)) if changed else r.choice((0, 1, 2, 3, 5)),
        "values of 0 rose",
    ),
    "of years": (
        lambda r, changed: r.randint(2023, 2024) if changed else r.randint(2015, 2024),
        "values of 202",
    ),
    "of texts": (
        lambda r, changed: r.choice("AAAAB") if changed else r.choice("ABCDE"),
        ": A rose",
    ),
}


@pytest.mark.parametrize("what", PARTS)
def test_the_part_of_a_distribution_that_moved_is_named(what: str) -> None:
    value, named = PARTS[what]
    told_of = [a for a in told(value) if a.alertname == "FeatureShapeDrift" and a.sequence == 1]
    assert told_of
    assert named in told_of[0].summary
