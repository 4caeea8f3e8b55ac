"""Who is told what nobody has taken in hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stream.events import Alert
from stream.notices import Notice
from stream.rules import EscalationRule, ModelRule, Owners, Rules
from stream.wire import Finding, Noticed
from tests.stream.test_incidents import DETAIL, alerts_of, finding, run
from tests.streams import SMALL

END = [(10_000, 10_000)]
STEPS = (
    EscalationRule(1_000, "error", ("lead",)),
    EscalationRule(3_000, "error", ("head", "lead")),
)
OWNED = ModelRule(owners=Owners("risk", ("ann",), (), ("desk",)))
RULES = replace(SMALL, escalate=STEPS, models={"m": OWNED, "n": OWNED})


def told(findings: list[Finding], rules: Rules = RULES, *notices: Noticed) -> list[Alert]:
    return alerts_of(run(findings, END, rules=rules, notices=notices))


def noticed(at_ms: int, **about: str) -> Noticed:
    return Noticed(3, 0, 0, at_ms, at_ms, Notice("acknowledgement", by="ann", **about))


NULLS = finding(1_000, "NullRate", "x")  # found at 1,010


def test_nobody_acknowledges_and_step_by_step_more_people_are_told() -> None:
    first, second, third = told([NULLS])
    assert [a.sequence for a in (first, second, third)] == [1, 2, 3]
    assert second.evaluated_at == "1970-01-01T00:00:02.010Z"
    assert third.evaluated_at == "1970-01-01T00:00:04.010Z"
    assert first.owners.informed == ["desk"]
    assert second.owners.informed == ["desk", "lead"]
    assert third.owners.informed == ["desk", "lead", "head"]
    assert second.evidence["escalation"] == {
        "step": 1,
        "unacknowledged_ms": 1_000,
        "informed": ["lead"],
    }
    assert third.summary == f"{first.summary}; unacknowledged for 3 s, told to head and lead"
    assert third.evidence["escalation"]["informed"] == ["lead", "head"]
    assert {a.fingerprint for a in (first, second, third)} == {first.fingerprint}
    assert third.recommended_action == first.recommended_action


def test_who_was_told_stays_told_when_the_alert_changes_and_when_it_ends() -> None:
    again = finding(3_000, "NullRate", "x")
    again.detail["effect"] = DETAIL["effect"] | {"estimate": 5.0, "low": 4.0, "high": 6.0}
    *_, changed, ended = told([NULLS, again, finding(3_500, "NullRate", "x", verdict="quiet")])
    assert (changed.sequence, ended.status) == (3, "resolved")
    for alert in (changed, ended):
        assert alert.owners.informed == ["desk", "lead"]
        assert alert.evidence["escalation"]["step"] == 1
    assert changed.effect.estimate == 5.0


@pytest.mark.parametrize("what", ["alert_id", "incident_id", "fingerprint"])
@pytest.mark.parametrize(("at_ms", "sequences"), [(2_010, 1), (2_011, 2), (4_011, 3)])
def test_an_acknowledgement_ends_it_from_its_ready_time_on(
    what: str, at_ms: int, sequences: int
) -> None:
    first = told([NULLS])[0]
    value = {"alert_id": first.id}.get(what) or getattr(first, what)
    assert len(told([NULLS], RULES, noticed(at_ms, **{what: value}))) == sequences


def test_the_id_of_any_sequence_will_do() -> None:
    _, second, _ = told([NULLS])
    assert len(told([NULLS], RULES, noticed(3_000, alert_id=second.id))) == 2


def test_an_acknowledgement_is_not_of_the_next_alert_of_the_same_fingerprint() -> None:
    ended, anew = finding(1_500, "NullRate", "x", verdict="quiet"), finding(2_000, "NullRate", "x")
    fingerprint = told([NULLS])[0].fingerprint
    alerts = told([NULLS, ended, anew], RULES, noticed(1_200, fingerprint=fingerprint))
    assert [a.sequence for a in alerts] == [1, 2, 1, 2, 3]


def test_what_is_over_or_less_severe_is_not_escalated() -> None:
    quiet = finding(1_900, "NullRate", "x", verdict="quiet")
    assert [a.status for a in told([NULLS, quiet])] == ["firing", "resolved"]
    assert len(told([finding(1_000, "FeatureDrift", "x")])) == 1, "a warning"


def test_one_alert_of_an_incident_and_model_speaks_for_the_others() -> None:
    others = [finding(1_000 + n, "NullRate", name) for n, name in enumerate("abcdef", 1)]
    errors = finding(1_200, "ErrorRateDrift", since_ms=990)
    alerts = told([NULLS, *others, errors, finding(1_010, "NullRate", "x", model="n")])
    told_twice = [(a.model.id, a.scope.feature) for a in alerts if a.sequence == 2]
    assert told_twice == [("m", "x"), ("n", "x")], "each model has owners of its own"
    assert len({a.incident_id for a in alerts}) == 1


def test_when_who_spoke_is_quiet_the_next_one_speaks() -> None:
    second = finding(1_005, "NullRate", "y")
    quiet = finding(1_500, "NullRate", "x", verdict="quiet")
    alerts = told([NULLS, second, quiet])
    assert [(a.scope.feature, a.evaluated_at[17:23]) for a in alerts if a.sequence == 2] == [
        ("x", "01.510"),
        ("y", "02.015"),
    ]


def test_a_step_that_another_alert_has_spoken_for_does_not_hold_up_the_next() -> None:
    """The lead was told of the warning; the head is to know of the error all the same."""
    steps = (EscalationRule(1_000, "warning", ("lead",)), EscalationRule(3_000, "error", ("head",)))
    drift = finding(1_000, "FeatureDrift", "x")
    errors = finding(1_100, "ErrorRateDrift", since_ms=975)
    alerts = told([drift, errors], replace(RULES, escalate=steps))
    assert len({a.incident_id for a in alerts}) == 1
    assert [(a.alertname, a.sequence, a.owners.informed[1:]) for a in alerts] == [
        ("FeatureDrift", 1, []),
        ("ErrorRateDrift", 1, []),
        ("FeatureDrift", 2, ["lead"]),
        ("ErrorRateDrift", 2, ["head"]),
    ]


def test_a_step_that_comes_late_delays_the_one_behind_it() -> None:
    second = finding(1_005, "NullRate", "y")
    quiet = finding(4_990, "NullRate", "x", verdict="quiet")
    alerts = told([NULLS, second, quiet])
    assert [(a.sequence, a.evaluated_at[17:23]) for a in alerts if a.scope.feature == "y"] == [
        (1, "01.015"),
        (2, "05.000"),
        (3, "07.000"),
    ]


def test_a_model_has_steps_of_its_own_or_none() -> None:
    own = replace(OWNED, escalate=(EscalationRule(500, "info", ("boss",)),))
    rules = replace(RULES, models={"m": own, "n": replace(OWNED, escalate=())})
    alerts = told([NULLS, finding(1_000, "NullRate", "z", model="n")], rules)
    told_twice: list[Any] = [a.owners.informed for a in alerts if a.sequence == 2]
    assert told_twice == [["desk", "boss"]]
    assert Rules().escalates is False
    assert rules.escalates


def test_without_steps_nothing_is_told_again() -> None:
    assert len(told([NULLS], replace(RULES, escalate=()))) == 1
