"""What is asked for on the actions topic: once for each cause, and not what a fault explains."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from stream import schemas
from stream.events import Request, ToActions
from stream.incidents import Incidents
from stream.notices import Notice
from stream.rules import DAY_MS, ModelRule, Owners, RetrainRule, Rules, VersionRule
from stream.wire import Finding, Noticed
from tests.stream.test_incidents import finding, run
from tests.streams import SMALL

END = [(5 * DAY_MS, 5 * DAY_MS)]
VERSIONS = (("1", VersionRule(rollback_to="0")),)
MODEL = ModelRule(owners=Owners("risk"), runbook_url="https://r", versions=VERSIONS)
RULES = replace(SMALL, models={"m": MODEL, "n": MODEL}, cooldown_ms=0)


def asked(findings: list[Finding], rules: Rules = RULES, *notices: Noticed) -> list[Request]:
    effects = run(findings, END, rules=rules, notices=notices)
    told = [effect for effect in effects if isinstance(effect, ToActions)]
    return [effect.request for effect in sorted(told, key=lambda e: e.order)]


def kinds(requests: list[Request]) -> list[tuple[str, str, str]]:
    return [(r.type, r.model.id, r.requested_at[17:23]) for r in requests]


def told(at_ms: int, type_: Any, **about: str) -> Noticed:
    return Noticed(3, 0, 0, at_ms, at_ms, Notice(type_, **about))


def retrain(**rule: Any) -> Rules:
    return replace(RULES, retrain=RetrainRule(**rule))


NULLS, ERRORS = finding(1_000, "NullRate", "x"), finding(1_000, "ErrorRateDrift")


def test_ten_faults_at_once_ask_once_for_the_pipeline_and_never_to_retrain() -> None:
    faults = [finding(1_000, "NullRate", name) for name in "abcdefghij"]
    (request,) = asked([*faults, finding(1_100, "ErrorRateDrift", since_ms=980)])
    assert (request.type, request.model.version, request.target) == ("fix_pipeline", "1", None)
    assert request.feature == "a"
    assert request.owners.accountable == "risk"
    assert request.links == {"runbook_url": "https://r"}
    assert request.training_window is None
    assert request.reasons[0]["alertname"] == "NullRate"


def test_each_model_of_an_incident_has_its_own_request() -> None:
    requests = asked([NULLS, finding(1_001, "NullRate", "x", model="n")])
    assert [(r.type, r.model.id) for r in requests] == [
        ("fix_pipeline", "m"),
        ("fix_pipeline", "n"),
    ]
    assert len({r.incident_id for r in requests}) == 1


def test_versions_and_roles_of_a_model_share_the_request_for_its_pipeline() -> None:
    beside = finding(1_001, "NullRate", "x", version="2")
    beside.group = ("m", "2", "shadow", "")
    beside.detail["summary"] = "m v2 (shadow): nulls of x rose"
    (request,) = asked([NULLS, beside])
    assert request.summary == "fix the pipeline of m v1: NullRate of x"
    (request,) = asked([beside])
    assert request.summary == "fix the pipeline of m v2 (shadow): nulls of x rose"


def test_worse_performance_asks_to_retrain_with_what_came_since_the_change() -> None:
    (request,) = asked([ERRORS])
    assert request.type == "retrain"
    assert request.training_window is not None
    assert request.training_window.start == "1970-01-01T00:00:00.970Z"
    assert request.training_window.end == request.requested_at == "1970-01-01T00:00:01.510Z"
    assert request.summary.startswith("retrain m v1 with what came since 1970-01-01T00:00:00.970Z")
    jsonschema.validate(json.loads(_bytes([ERRORS])), schemas.schema("request.v1"))


def _bytes(findings: list[Finding]) -> bytes:
    (effect,) = [e for e in run(findings, END, rules=RULES) if isinstance(e, ToActions)]
    return effect.value


def test_two_alerts_of_one_cause_ask_once_and_another_cause_asks_anew() -> None:
    both = [ERRORS, finding(1_010, "ErrorRateDrift", "x")]
    assert len(asked(both)) == 1
    ended = finding(2_000, "ErrorRateDrift", verdict="quiet")
    anew = finding(90_000_000, "ErrorRateDrift")
    assert kinds(asked([ERRORS, ended, anew], retrain(cooldown_ms=0)))[1:] == [
        ("retrain", "m", "00.510")
    ]
    _, later = asked([ERRORS, ended, anew], retrain(cooldown_ms=2 * DAY_MS))
    assert later.requested_at == "1970-01-03T00:00:01.510Z", "two days after the first"


def test_what_still_fires_when_the_cooldown_is_over_is_asked_for_then() -> None:
    ended = finding(2_000, "ErrorRateDrift", verdict="quiet")
    anew = finding(3_000, "ErrorRateDrift")
    requests = asked([ERRORS, ended, anew], retrain(cooldown_ms=50_000))
    assert kinds(requests) == [("retrain", "m", "01.510"), ("retrain", "m", "51.510")]


def test_a_fault_of_the_same_incident_is_fixed_first() -> None:
    errors = finding(1_200, "ErrorRateDrift", since_ms=1_199)
    late = finding(1_205, "NullRate", "x", since_ms=1_199)
    assert [r.type for r in asked([errors, late])] == ["fix_pipeline"]


def test_somebody_who_has_retrained_ends_the_cooldown_and_answers_what_fired() -> None:
    ended = finding(2_000, "ErrorRateDrift", verdict="quiet")
    anew = finding(3_000, "ErrorRateDrift")
    retrained = told(2_600, "retrained", model_id="m")
    assert kinds(asked([ERRORS, ended, anew], RULES, retrained))[1:] == [("retrain", "m", "03.510")]
    later = told(4_000, "retrained", model_id="m")
    assert len(asked([ERRORS], RULES, later)) == 1
    of_another = told(2_600, "retrained", model_id="m", model_version="2")
    assert len(asked([ERRORS, ended, anew], RULES, of_another)) == 1


def test_drifts_ask_when_there_are_as_many_as_the_owner_said() -> None:
    drifts = [finding(1_000 + n, "FeatureDrift", name) for n, name in enumerate("abc")]
    assert asked(drifts) == []
    assert asked(drifts, retrain(drifts=4)) == []
    assert asked(drifts, retrain(drifts=3, severity_at_least="error")) == []
    (request,) = asked(drifts, retrain(drifts=3))
    assert request.requested_at == "1970-01-01T00:00:01.012Z", "with the third"
    assert [one["feature"] for one in request.reasons] == ["a", "b", "c"]
    assert (
        asked([finding(990, "NullRate", "a", since_ms=900), *drifts], retrain(drifts=3))[1:] == []
    )


def test_a_business_event_that_the_owner_named_asks_for_the_model_as_a_whole() -> None:
    event = told(5_000, "business_event", model_id="m", name="prices", by="sales")
    assert asked([], RULES, event) == []
    (request,) = asked([], retrain(events=("prices",)), event)
    assert (request.type, request.model.version) == ("retrain", None)
    assert request.reasons == [
        {"trigger": "business_event", "name": "prices", "by": "sales", "note": ""}
    ]
    assert request.summary == "retrain m with what came since its reference: business event prices"


@pytest.mark.parametrize(("version", "target"), [("1", "0"), ("2", None)])
def test_a_rollback_names_the_version_that_the_configuration_does(
    version: str, target: str | None
) -> None:
    worse = finding(1_000, "ErrorRateDrift", version=version)
    worse.detail["recommended_action"] = "rollback"
    (request,) = asked([worse])
    assert (request.type, request.target) == ("rollback", target)
    assert request.evidence["effect"]["estimate"] == 1.0
    back_to = f"v{target}" if target else "the version before it"
    assert f"roll m v{version} back to {back_to}" in request.summary


def test_what_stage_2_asks_for_is_no_alert_and_is_asked_for_once() -> None:
    verdict = finding(1_000, "ErrorRateDrift")
    verdict.verdict = "request"
    verdict.detail = {"type": "experiment", "cause": "checkout", "summary": "b wins", "target": "b"}
    again = finding(2_000, "ErrorRateDrift")
    again.verdict, again.detail = verdict.verdict, verdict.detail
    effects = run([verdict, again], END, rules=RULES)
    (request,) = [effect.request for effect in effects if isinstance(effect, ToActions)]
    assert len(effects) == 1
    assert (request.type, request.target, request.summary) == ("experiment", "b", "b wins")


def test_a_version_to_be_rolled_back_is_not_trained_whatever_speaks_for_it() -> None:
    worse = finding(1_000, "VersionWorse")
    later = finding(90_000, "ErrorRateDrift", since_ms=89_900)
    drifts = [finding(3_000 + n, "FeatureDrift", name) for n, name in enumerate("abc")]
    rules = retrain(drifts=3)
    assert [r.type for r in asked([worse, later, *drifts], rules)] == ["rollback"]
    at_ms = 15 * DAY_MS  # since it went live
    late = finding(at_ms, "VersionWorse", since_ms=1_000)
    effects = run(
        [late, finding(at_ms + 90_000, "ErrorRateDrift")], [(2 * at_ms, 2 * at_ms)], rules=RULES
    )
    requests = [effect.request for effect in effects if isinstance(effect, ToActions)]
    assert [request.type for request in requests] == ["rollback"]
    over = finding(9_000, "VersionWorse", verdict="quiet")
    assert kinds(asked([worse, over, *drifts], rules))[1:] == [("retrain", "m", "09.510")]


def test_a_version_that_was_to_end_is_not_trained() -> None:
    ended = replace(MODEL, versions=(("1", VersionRule(deprecated_after_ms=1_200)),))
    rules = replace(RULES, models={"m": ended})
    assert asked([ERRORS], rules) == []
    before = finding(100, "ErrorRateDrift")
    assert [r.requested_at[17:23] for r in asked([before], rules)] == ["00.610"]


def test_nothing_is_trained_on_what_a_broken_pipeline_makes_whatever_speaks_for_it() -> None:
    fixed = finding(9_000, "NullRate", "x", verdict="quiet")
    other = finding(1_100, "ErrorRateDrift", since_ms=100)  # had begun before, found behind
    event = told(5_000, "business_event", model_id="m", name="prices")
    rules = retrain(events=("prices",), cooldown_ms=0)
    for speaks, notices in (([other], ()), ([], (event,))):
        requests = asked([NULLS, *speaks], rules, *notices)
        assert [r.type for r in requests] == ["fix_pipeline"]
        _, request = asked([NULLS, *speaks, fixed], rules, *notices)
        assert (request.type, request.requested_at[17:23]) == ("retrain", "09.010")
        (broken,) = request.evidence["broken"]
        assert (broken["feature"], broken["end"]) == ("x", "1970-01-01T00:00:09.000Z")
        assert (
            f"but not from {broken['start']} to {broken['end']} (NullRate of x)" in request.summary
        )
    elsewhere = finding(1_000, "NullRate", "x", version="2")
    assert "retrain" in {r.type for r in asked([elsewhere, other])}


@pytest.mark.parametrize("is_forgotten", [True, False])
def test_what_is_left_out_does_not_hang_on_how_far_inputs_have_come(is_forgotten: bool) -> None:
    rules = retrain(events=("prices",))
    fixed = finding(15 * DAY_MS, "NullRate", "x", verdict="quiet")
    kept_ms, trained_ms = Incidents(rules.horizon_ms).kept_ms, 15 * DAY_MS + 2
    at_ms = fixed.ready_ms + kept_ms + 2 if is_forgotten else trained_ms + 1
    notices = [told(at_ms, "business_event", model_id="m", name="prices")]
    if not is_forgotten:  # the fault has ended by then, and nobody knows it yet
        assert trained_ms < at_ms < fixed.ready_ms
        notices.insert(0, told(trained_ms, "retrained", model_id="m"))
    end = (at_ms + DAY_MS, at_ms + DAY_MS)
    found = []
    for steps in ([end], [(at_ms - 1, at_ms - 1), (at_ms, at_ms), end]):
        effects = run([NULLS, fixed], steps, rules=rules, notices=tuple(notices))
        _, request = (effect.request for effect in effects if isinstance(effect, ToActions))
        found.append(request)
    assert found[0] == found[1]
    assert ("broken" in found[0].evidence) is not is_forgotten


def test_new_categories_are_there_to_be_learned() -> None:
    event = told(5_000, "business_event", model_id="m", name="prices")
    new = finding(1_000, "UnseenCategories", "x")
    _, request = asked([new], retrain(events=("prices",)), event)
    assert (request.type, request.evidence) == ("retrain", {})


def test_a_fault_of_two_weeks_is_how_things_are() -> None:
    at_ms = 15 * DAY_MS
    errors = finding(at_ms, "ErrorRateDrift")
    end = [(at_ms + DAY_MS, at_ms + DAY_MS)]
    effects = run([NULLS, errors], end, rules=RULES)
    told = [effect.request for effect in effects if isinstance(effect, ToActions)]
    assert [request.type for request in told] == ["fix_pipeline", "retrain"]


def test_skew_is_no_drift_that_retraining_is_asked_for() -> None:
    drifts = [finding(1_000 + n, "FeatureDrift", name) for n, name in enumerate("abc")]
    drifts[0].detail["evidence"] = {"current": {}, "reference": {"skew": True}}
    assert asked(drifts, retrain(drifts=3)) == []
    assert len(asked(drifts, retrain(drifts=2))) == 1


def test_a_shadow_is_not_retrained_and_what_is_better_asks_for_nothing() -> None:
    shadow = finding(1_000, "ErrorRateDrift")
    shadow.group = ("m", "1", "shadow", "")
    better = finding(1_000, "ErrorRateDrift", version="2")
    better.detail |= {"severity": "info", "recommended_action": "investigate"}
    assert asked([shadow, better]) == []
    assert asked([ERRORS], retrain(performance=False)) == []
