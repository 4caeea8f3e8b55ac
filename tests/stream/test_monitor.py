"""What is watched and told of a model: faults, shifts, new versions; silence where all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.events import Alert
from stream.pipeline import Pipeline
from stream.rules import AdwinRule, BudgetRule, FloorRule, PageHinkleyRule, ReferenceRule, Rules
from tests.streams import SMALL, Event, outcome, prediction, records

RULES = replace(
    SMALL,
    maturity=None,
    adwin=AdwinRule(),
    budget=BudgetRule(),
    floors=FloorRule(),
    reference=ReferenceRule(predictions=1_000, span_ms=60_000),
    minimum_values=200,
    resolve_after_panes=200,
    resolve_values=500,
    pane_rows=64,
    window_rows=512,
    max_categories=16,
)
SIZE, SHIFT_AT, EVERY_MS = 4_000, 2_500, 100  # ten predictions a pane
SHIFT_MS = SHIFT_AT * EVERY_MS


def told(pipeline: Pipeline) -> list[Alert]:
    return [effect.alert for effect in pipeline.alerts]


def run(
    features: Callable[[Random, bool], Event], *, rules: Rules = RULES, seed: int = 1, **other: Any
) -> list[Alert]:
    """The alerts of a stream whose features are drawn with shifted = False, then True."""
    random = Random(seed)
    pipeline = Pipeline(rules, 1)
    events = [
        prediction(f"p{i}", EVERY_MS * i, features=features(random, i >= SHIFT_AT), **other)
        for i in range(SIZE)
    ]
    for first in range(0, SIZE, 500):
        pipeline.predictions(records(events[first : first + 500], first_offset=first))
    pipeline.outcomes(records([outcome("p0", EVERY_MS * SIZE)], "outcomes"))
    pipeline.end_of_input(None)
    return told(pipeline)


def ms(text: str) -> int:
    hours, minutes, seconds = text.removesuffix("Z").split("T")[1].split(":")
    return round(1_000 * (3_600 * int(hours) + 60 * int(minutes) + float(seconds)))


def usual(random: Random) -> Event:
    return {"x": random.gauss(0, 1), "country": random.choice("ABCDE"), "n": random.randint(0, 9)}


FAULTS: dict[str, tuple[str, str | None, Callable[[Random, Event], None]]] = {
    "a shift of a mean": (
        "FeatureDrift",
        "x",
        lambda r, e: e.update(x=e["x"] + 1.0),
    ),
    "nulls": ("NullRate", "x", lambda r, e: e.update(x=None if r.random() < 0.3 else e["x"])),
    "an absent feature": ("AbsentFeature", "n", lambda r, e: e.pop("n") and None),
    "texts among numbers": (
        "TypeErrors",
        "n",
        lambda r, e: e.update(n="n/a" if r.random() < 0.3 else e["n"]),
    ),
    "lists for texts": ("TypeErrors", "country", lambda r, e: e.update(country=[1])),
    "unseen categories": (
        "UnseenCategories",
        "country",
        lambda r, e: e.update(country="Z" if r.random() < 0.3 else e["country"]),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_soon_once_and_of_its_feature_only(fault: str) -> None:
    alertname, feature, spoil = FAULTS[fault]

    def features(random: Random, shifted: bool) -> Event:
        event = usual(random)
        if shifted:
            spoil(random, event)
        return event

    found = run(features)
    firing = [a for a in found if a.status == "firing"]
    mine = [a for a in firing if a.alertname == alertname]
    assert [a.scope.feature for a in mine] == [feature]
    assert {a.scope.feature for a in firing} == {feature}
    (alert,) = mine
    assert SHIFT_MS <= ms(alert.evaluated_at) <= SHIFT_MS + 300 * EVERY_MS + 3_000
    assert abs(ms(alert.starts_at) - SHIFT_MS) <= 100 * EVERY_MS
    assert alert.effect.low <= alert.effect.estimate <= alert.effect.high
    assert abs(alert.effect.estimate) >= alert.effect.floor
    assert alert.reference.id.startswith("ref-")
    assert alert.evidence["reference"]["count"] == alert.reference.count == 1_000


@pytest.mark.parametrize("seed", range(3))
def test_a_stationary_stream_is_silent_with_nulls_absences_and_rare_types_in_it(seed: int) -> None:
    def features(random: Random, _shifted: bool) -> Event:
        event = usual(random)
        if random.random() < 0.05:
            event["x"] = None
        if random.random() < 0.05:
            del event["n"]
        if random.random() < 0.02:
            event["country"] = 7
        return event

    assert run(features, seed=seed) == []


def test_a_shift_that_goes_back_resolves_and_fires_again_when_it_comes_back() -> None:
    rules = replace(RULES, floors=FloorRule(shift=0.3))  # 1,000 are too few to be surer
    random, pipeline = Random(3), Pipeline(rules, 1)
    events = []
    for i in range(8_000):
        shifted = 3_000 <= i < 4_500 or i >= 6_000
        x = random.gauss(2.0 if shifted else 0.0, 1)
        events.append(prediction(f"p{i}", EVERY_MS * i, features={"x": x}))
    pipeline.predictions(records(events))
    pipeline.end_of_input(None)
    shifts = [a for a in told(pipeline) if a.alertname == "FeatureDrift"]
    states = [(a.status, a.sequence) for a in shifts]
    begun = [
        a.status for a in shifts if a.status == "resolved" or a.sequence == 1
    ]  # not told again
    assert begun[:2] == ["firing", "resolved"]
    assert ("firing", 1) in states[2:]
    ids = [a.id for a in told(pipeline)]
    assert len(set(ids)) == len(ids)


def test_page_hinkley_tells_under_its_own_name_where_it_is_configured() -> None:
    rules = replace(RULES, page_hinkley=PageHinkleyRule(enabled=True))
    found = run(lambda r, shifted: {"x": r.gauss(3.0 if shifted else 0.0, 1)}, rules=rules)
    (alert,) = [a for a in found if a.alertname == "FeatureDriftPageHinkley"]
    assert alert.detector.name == "page_hinkley"


def test_a_first_text_does_not_make_a_numeric_feature_a_text_for_ever() -> None:
    first = [True]

    def features(random: Random, shifted: bool) -> Event:
        if first.pop() if first else False:
            return {"x": "n/a"}
        return {"x": random.gauss(2.0 if shifted else 0.0, 1)}

    rules = replace(RULES, pane_ms=100)  # the first pane holds nothing but the text
    found = run(features, rules=rules)
    firing = {a.alertname for a in found if a.status == "firing"}
    assert "FeatureDrift" in firing
    assert "TypeErrors" not in firing


def versions(first: Callable[[Random], Event], second: Callable[[Random], Event]) -> list[Alert]:
    """Version 2 begins after 1 has sealed, and ends long before it could seal its own."""
    random, pipeline = Random(5), Pipeline(RULES, 1)
    events = [
        prediction(f"p{i}", EVERY_MS * i, features=first(random), model_version="1")
        for i in range(1_500)
    ]
    events += [
        prediction(f"p{i}", EVERY_MS * i, features=second(random), model_version="2")
        for i in range(1_500, 2_000)
    ]
    pipeline.predictions(records(events))
    pipeline.end_of_input(None)
    (sealed,) = pipeline.references
    found = told(pipeline)
    assert {a.reference.id for a in found} <= {sealed.key.decode()}
    assert {a.model.version for a in found} <= {"2"}
    return found


BROKEN: dict[str, tuple[str, Callable[[Random], Event]]] = {
    "nulls": ("NullRate", lambda r: usual(r) | {"x": None if r.random() < 0.5 else 1.0}),
    "only nulls": ("NullRate", lambda r: usual(r) | {"x": None}),
    "never sent": (
        "AbsentFeature",
        lambda r: {k: v for k, v in usual(r).items() if k != "x"},
    ),
    "a text now": ("TypeErrors", lambda r: usual(r) | {"x": "high"}),
    "new categories": ("UnseenCategories", lambda r: usual(r) | {"country": r.choice("XYZ")}),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_new_version_is_measured_by_its_predecessors_reference(fault: str) -> None:
    alertname, broken = BROKEN[fault]
    found = versions(usual, broken)
    assert alertname in {a.alertname for a in found}
    assert ms(found[0].evaluated_at) <= EVERY_MS * 1_500 + 200 * EVERY_MS


def test_a_new_version_like_its_predecessor_is_silent() -> None:
    assert versions(usual, usual) == []


def test_the_error_rate_is_told_with_its_label_coverage() -> None:
    rules = replace(RULES, maturity=10_000)
    random, pipeline = Random(8), Pipeline(rules, 1)
    predictions = [prediction(f"p{i}", EVERY_MS * i) for i in range(SIZE)]
    outcomes = []
    for i in range(SIZE):
        wrong = random.random() < (0.4 if i >= SHIFT_AT else 0.1)
        if i % 4:
            label = {"label": "no" if wrong else "yes"}
            outcomes.append(outcome(f"p{i}", EVERY_MS * i + 5_000, actual=label))
    pipeline.predictions(records(predictions))
    pipeline.outcomes(records(outcomes, "outcomes"))
    pipeline.end_of_input(None)
    (alert,) = [a for a in told(pipeline) if a.status == "firing"]
    assert (alert.alertname, alert.kind, alert.scope.feature) == (
        "ErrorRateDrift",
        "performance",
        None,
    )
    assert alert.impact.metric == "error"
    assert alert.impact.label_coverage == pytest.approx(0.75, abs=0.01)
    assert alert.impact.value is not None
    assert alert.impact.reference is not None
    assert alert.impact.value > 2 * alert.impact.reference
    assert ms(alert.evaluated_at) >= SHIFT_MS + 10_000
