"""Versions that answer predictions as their owner did not want them to."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.events import Alert, ToActions
from stream.notices import Notice
from stream.pipeline import Pipeline
from stream.rules import (
    DAY_MS,
    HOUR_MS,
    BudgetRule,
    ExperimentRule,
    ModelRule,
    Owners,
    ReferenceRule,
    RetrainRule,
    Rules,
    VersionRule,
)
from stream.times import iso
from stream.wire import Finding, Noticed
from tests.stream.test_determinism import restore_some
from tests.stream.test_incidents import alerts_of, in_order, requests, run
from tests.streams import SMALL, Stream, alert_bytes, dealt, feed, prediction
from tests.streams import run as play

OWNED = ModelRule(owners=Owners("risk", ("ann",)))
START = 100 * DAY_MS
ASKING = ("reference", "owner", "thresholds", "rollback")


def ruled(*, requires: Any = (), every_ms: int | None = None, **model: Any) -> Rules:
    rule = replace(OWNED, **model)
    retrain = RetrainRule(every_ms=every_ms)
    return replace(SMALL, models={"m": rule}, requires=requires, retrain=retrain, cooldown_ms=0)


def seen(
    hour: float, version: str = "1", *, since: float = 0, role: str = "champion", **detail: Any
) -> Finding:
    """Of the pane that ends so many hours after the start."""
    end_ms, first_ms = (START + int(h * HOUR_MS) for h in (hour, since))
    told = {
        "first_ms": first_ms,
        "predictions": int(100 * (hour - since)) + 1,
        "base_ms": first_ms,
        "has_reference": True,
    }
    group = ("m", version, role, "")
    place = ("prediction", end_ms + 10, end_ms, group, "version", "Version", "seen")
    return Finding(0, 0, *place, told | detail)  # type: ignore[arg-type]


def end(hour: float) -> list[tuple[int, int]]:
    at_ms = START + int(hour * HOUR_MS) + 10
    return [(at_ms, at_ms)]


def told(findings: list[Finding], rules: Rules, *notices: Noticed, until: float = 0) -> list[Alert]:
    last = max(f.pane_end_ms for f in findings) - START
    steps = end(until or last / HOUR_MS)
    return alerts_of(run(findings, steps, rules=rules, notices=notices))


def names(alerts: list[Alert]) -> list[tuple[str, str, str]]:
    return [(a.alertname, a.model.version, a.status) for a in alerts]


def test_where_nothing_is_asked_of_versions_nothing_is_told() -> None:
    assert told([seen(0, has_reference=False)], ruled()) == []
    assert not ruled().governs("m")
    assert not Rules().governs("m")


def test_a_version_that_goes_live_without_what_it_needs_is_told_until_it_has_it() -> None:
    rules = ruled(requires=ASKING)
    rules = replace(rules, models={"m": replace(OWNED, owners=Owners("risk"))})
    bare, ready = seen(0, has_reference=False), seen(20)
    first, changed = told([bare, ready], rules)
    assert (first.kind, first.severity) == ("version", "warning")
    assert first.recommended_action == "investigate"
    assert first.summary == (
        "m v1: went live without a reference, anybody responsible and thresholds of its own: "
        "deploy one (leeway reference deploy), and declare "
        "models.m.owners.responsible and models.m.objectives"
    ), "the first version has none to roll back to"
    assert changed.sequence == 2
    assert "a reference" not in changed.summary
    whole = ruled(requires=("reference",))
    assert names(told([bare, ready], whole)) == [
        ("VersionUnready", "1", "firing"),
        ("VersionUnready", "1", "resolved"),
    ]


def test_a_second_version_needs_one_to_roll_back_to() -> None:
    both = [seen(0), seen(5), seen(5, "2", since=5)]
    (alert,) = told(both, ruled(requires=("rollback",)))
    assert alert.model.version == "2"
    assert "a version to roll back to" in alert.summary
    named = ruled(requires=("rollback",), versions=(("2", VersionRule(rollback_to="1")),))
    assert told(both, named) == []


def test_a_shadow_does_not_answer() -> None:
    assert told([seen(0, role="shadow", has_reference=False)], ruled(requires=ASKING)) == []


def test_a_deployment_is_held_to_all_there_is_where_nothing_else_is_said() -> None:
    auto = ruled(requires="auto")
    first, new = seen(0, has_reference=False), seen(30, "2", since=30, has_reference=False)
    new.detail["is_deployment"] = True
    assert told([first], auto) == [], "what was there when Leeway came is no deployment"
    (alert,) = told([first, new], auto)
    assert (alert.model.version, alert.severity) == ("2", "warning")
    assert alert.summary == (
        "m v2: went live without a reference, thresholds of its own and a version to roll back to: "
        "deploy one (leeway reference deploy), and declare "
        "models.m.objectives and models.m.versions.2.rollback_to"
    )
    assert alert.evidence["reference"] == {
        "required": ["reference", "owner", "thresholds", "rollback"],
        "missing": ["reference", "thresholds", "rollback"],
    }
    assert alert.evidence["current"]["traffic_share"] is None, "the others are not told of"
    named = {"versions": (("2", VersionRule(rollback_to="1")),), "budget": BudgetRule(9)}
    fired, ended = told([new, seen(31, "2", since=30)], ruled(requires="auto", **named))
    assert fired.summary == (
        "m v2: went live without a reference: deploy one (leeway reference deploy)"
    )
    assert ended.status == "resolved"


def test_a_model_that_no_configuration_names_is_asked_for_nothing_nor_where_it_says_so() -> None:
    new = seen(30, "2", since=30, has_reference=False)
    new.detail["is_deployment"] = True
    assert told([new], replace(SMALL, cooldown_ms=0)) == []
    assert told([new], ruled(requires=())) == []
    assert told([new], replace(ruled(), models={"m": replace(OWNED, requires=())})) == []


def test_a_variant_of_an_experiment_needs_an_owner_only_and_a_shadow_nothing() -> None:
    test = ExperimentRule("prices", ("control", "treatment"), (0.5, 0.5))
    new = seen(30, "2", since=30, role="treatment", has_reference=False)
    new.detail["is_deployment"] = True
    assert told([new], ruled(requires="auto", experiments=(test,))) == []
    unowned = ruled(requires="auto", experiments=(test,), owners=Owners("risk"))
    (alert,) = told([new], unowned)
    assert "went live without anybody responsible" in alert.summary
    shadow = seen(30, "2", since=30, role="shadow", has_reference=False)
    shadow.detail["is_deployment"] = True
    assert told([shadow], ruled(requires="auto")) == []


DEPRECATED = VersionRule(deprecated_after_ms=START + 10 * HOUR_MS, successor="2")


def test_a_deprecated_version_that_still_answers_is_told_with_its_share_and_successor() -> None:
    rules = ruled(versions=(("1", DEPRECATED),))
    both = [seen(h, v) for h in range(15) for v in "12"]
    (alert,) = told(both, rules)
    assert alert.alertname == "DeprecatedVersion"
    assert alert.starts_at == iso(START + 10 * HOUR_MS)
    assert alert.evaluated_at == iso(START + 11 * HOUR_MS + 10)
    assert alert.evidence["current"]["traffic_share"] == 0.5
    assert alert.evidence["reference"]["successor"] == "2"
    assert alert.summary == (
        "m v1: was to end on 1970-04-11 and still answers 50 % of predictions: move them to v2"
    )
    assert told([seen(h) for h in range(10)], rules) == []


def test_what_answers_no_more_is_over_a_day_later() -> None:
    rules = ruled(versions=(("1", DEPRECATED),))
    both = [seen(h) for h in range(15)] + [seen(h, "2") for h in range(50)]
    fired, ended = told(both, rules)
    assert ended.status == "resolved"
    assert ended.ends_at == iso(START + 38 * HOUR_MS + 10)
    assert "no predictions for 1 d" in ended.summary
    assert fired.fingerprint == ended.fingerprint


def test_a_model_that_nobody_retrains_is_stale_and_asked_for_once() -> None:
    rules = ruled(every_ms=20 * HOUR_MS)
    findings = [seen(h) for h in range(40)]
    effects = run(findings, end(39), rules=rules)
    (alert,) = alerts_of(effects)
    assert (alert.alertname, alert.recommended_action) == ("StaleModel", "retrain")
    assert alert.evaluated_at == iso(START + 21 * HOUR_MS + 10)
    (request,) = [e.request for e in effects if isinstance(e, ToActions)]
    assert request.type == "retrain"
    assert request.requested_at == alert.evaluated_at
    assert request.training_window is not None
    assert request.training_window.start == iso(START)
    assert request.reasons[0]["trigger"] == "cadence"


def test_who_has_retrained_or_accepted_a_new_reference_begins_the_count_anew() -> None:
    rules = ruled(every_ms=20 * HOUR_MS)
    findings = [seen(h) for h in range(35)]
    retrained = Notice("retrained", model_id="m")
    before = Noticed(3, 0, 0, 1, START + 15 * HOUR_MS, retrained)
    assert told(findings, rules, before) == []
    after = Noticed(3, 0, 0, 1, START + 30 * HOUR_MS, retrained)
    assert [a.status for a in told(findings, rules, after)] == ["firing", "resolved"]
    anew = [seen(h, base_ms=START + 14 * HOUR_MS) for h in range(15, 34)]
    assert told([*findings[:15], *anew], rules) == []


@pytest.mark.parametrize("seed", range(20))
def test_bytes_do_not_depend_on_how_far_a_release_goes_nor_on_restarts(seed: int) -> None:
    random = Random(seed)
    rules = ruled(requires=ASKING, every_ms=9 * HOUR_MS, versions=(("1", DEPRECATED),))
    findings = [
        seen(h, v, has_reference=h > 5)
        for v in "12"
        for h in range(60)
        if random.random() < 0.8 and not 18 < h < random.choice((20, 45))
    ]
    at_once = run(findings, end(90), rules=rules)
    hours = sorted(random.uniform(0, 80) for _ in range(30))
    steps = [(p, int(p - random.uniform(0, 3) * HOUR_MS)) for ((p, _),) in map(end, hours)]
    steps = [(p, max(c for _, c in steps[: n + 1])) for n, (p, _) in enumerate(steps)]
    restored = frozenset(random.sample(range(30), 8))
    in_steps = run(findings, [*steps, *end(90)], rules=rules, restored_at=restored)
    assert in_order(in_steps) == in_order(at_once)
    assert requests(in_steps) == requests(at_once)
    assert len(at_once) > 4


def test_stage_2_tells_of_versions_by_the_hour_however_the_records_are_batched() -> None:
    rules = replace(SMALL, requires=("reference", "rollback"), reference=ReferenceRule(40, 1_000))
    random = Random(3)
    events = [
        prediction(
            f"p{n}",
            1_000 + n * 120_000,
            model_version="2" if n > 150 and n % 3 == 0 else "1",
            features={"x": random.gauss(0, 1)},
            _arrival=1_000 + n * 120_000,
        )
        for n in range(300)
    ]
    stream = dealt(events, [], 2)
    told = {tuple(alert_bytes(play(rules, stream, Random(seed), largest=90))) for seed in range(6)}
    assert len(told) == 1
    names = [json.loads(value)["alertname"] for value in told.pop()]
    assert names.count("VersionUnready") >= 3
    pipeline = play(rules, stream, Random(0))
    first, second = pipeline.summary()["versions"]
    assert (first["version"], first["predictions"]) == ("1", 251)
    assert (second["version"], second["predictions"]) == ("2", 49)
    assert first["traffic_share"] + second["traffic_share"] == pytest.approx(1.0)
    assert second["last_seen"] > second["first_seen"] > first["first_seen"]


def of_days(*shares: tuple[str, str, float, float], every_ms: int = 600_000) -> Stream:
    """(version, role, from which hour, until which): a prediction in ten minutes of each."""
    events = [
        prediction(
            f"{version} {role} {at_ms}",
            at_ms,
            model_version=version,
            role=role,
            features={"x": Random(at_ms).gauss(0, 1)},
            _arrival=at_ms,
        )
        for version, role, since, until in shares
        for at_ms in range(int(since * HOUR_MS) + 1_000, int(until * HOUR_MS), every_ms)
    ]
    return dealt(sorted(events, key=lambda event: event["_arrival"]), [], 2)


DAYS = replace(
    SMALL,
    models={"m": OWNED},
    adwin=replace(SMALL.adwin, enabled=False),
    budget=BudgetRule(),
    reference=ReferenceRule(40, 1_000),
    forget_ms=10 * DAY_MS,
)


def unready(rules: Rules, stream: Stream) -> list[tuple[str, str, str]]:
    """However the records are batched and the stages restored."""
    expected = alert_bytes(play(rules, stream, Random(0)))
    assert alert_bytes(play(rules, stream, Random(1), largest=7)) == expected
    random, pipeline = Random(3), Pipeline(rules, 2)
    for side, batch in stream.batches(Random(2), 150):
        feed(pipeline, side, batch)
        restore_some(pipeline, rules, random)
    pipeline.end_of_input(None)
    assert alert_bytes(pipeline) == expected
    found = [json.loads(value) for value in expected]
    return [
        (a["model"]["version"], a["model"]["role"], a["status"])
        for a in sorted(found, key=lambda a: (a["evaluated_at"], a["fingerprint"], a["sequence"]))
        if a["alertname"] == "VersionUnready"
    ]


def test_a_version_that_comes_a_day_or_more_behind_another_one_is_a_deployment() -> None:
    both = of_days(("1", "champion", 0, 40), ("2", "champion", 30, 40))
    assert unready(DAYS, both) == [("2", "champion", "firing")]
    assert unready(replace(DAYS, models={}), both) == []
    there = of_days(("1", "champion", 0, 40), ("2", "champion", 20, 40))
    assert unready(DAYS, there) == [], "it was there when Leeway came"
    owned = replace(OWNED, budget=BudgetRule(), versions=(("2", VersionRule(rollback_to="1")),))
    assert unready(replace(DAYS, models={"m": owned}), both) == [], "its reference is inherited"


def test_a_known_version_in_another_role_or_behind_a_long_silence_is_no_deployment() -> None:
    again = of_days(("1", "champion", 0, 40), ("1", "control", 30, 40))
    assert unready(DAYS, again) == []
    monthly = of_days(("1", "champion", 0, 3), ("1", "champion", 300, 303))
    assert unready(DAYS, monthly) == []
    live = of_days(("1", "champion", 0, 40), ("2", "shadow", 3, 40), ("2", "champion", 30, 40))
    assert unready(DAYS, live) == [("2", "champion", "firing")], "a shadow does not answer"


def test_what_was_deployed_to_one_role_is_a_deployment_in_the_next() -> None:
    promoted = of_days(("1", "champion", 0, 60), ("2", "b", 30, 40), ("2", "champion", 40, 60))
    both = [("2", "b", "firing"), ("2", "champion", "firing")]
    assert list(dict.fromkeys(unready(DAYS, promoted))) == both
    tried = ExperimentRule("prices", ("a", "b"), (0.5, 0.5))
    variant = replace(DAYS, models={"m": replace(OWNED, experiments=(tried,))})
    told = list(dict.fromkeys(unready(variant, promoted)))
    assert told == both[1:], "as a variant it needs an owner only"


def test_what_is_declared_ends_the_alert_however_late_stage_3_hears_of_it() -> None:
    owned = replace(OWNED, budget=BudgetRule(), versions=(("2", VersionRule(rollback_to="1")),))
    declared = replace(DAYS, models={"m": owned})
    stream = of_days(("1", "champion", 0, 50), ("2", "champion", 30, 50))
    ends = set()
    for late_h in (0, 3, 10**6):
        pipeline = Pipeline(DAYS, 2)
        for stage in pipeline.models:
            stage.activate(35 * HOUR_MS, declared)
        pipeline.alert_stage.activate((35 + late_h) * HOUR_MS, declared)
        for side, batch in stream.batches(Random(2), 150):
            feed(pipeline, side, batch)
        pipeline.end_of_input(None)
        told = [json.loads(value) for value in alert_bytes(pipeline)]
        (end,) = [a["ends_at"] for a in told if a["status"] == "resolved"]
        ends.add(end)
    assert len(ends) == 1
    assert ends.pop() <= iso(36 * HOUR_MS + 600_000)


def test_a_deployment_is_ready_once_its_reference_is_there() -> None:
    owned = replace(OWNED, budget=BudgetRule(), versions=(("2", VersionRule(rollback_to="1")),))
    rules = replace(DAYS, models={"m": owned}, reference=ReferenceRule(200, 1_000))
    both = of_days(("1", "champion", 0, 90), ("2", "champion", 25, 90))
    assert unready(rules, both) == [("2", "champion", "firing"), ("2", "champion", "resolved")]
