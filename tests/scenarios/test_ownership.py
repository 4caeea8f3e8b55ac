"""Nobody owns the fix: who is told, what is asked for, and what follows when nobody does it."""

from __future__ import annotations

from stream.alert_lines import epoch_ms
from stream.events import Alert
from stream.notices import Notice
from tests.scenarios.play import Play, play

NULLS = "null:amount@36h,30%"
MINUTE_MS = 60_000
ESCALATE = """
alerts:
  escalate:
    - {after: 30m, to: [payments-lead]}
    - {after: 2h, to: [head-of-payments]}
"""


def escalations(story: Play) -> list[Alert]:
    told = {"payments-lead", "head-of-payments"}
    found = [a for a in story.alerts if a.status == "firing" and {*a.owners.informed} & told]
    return [a for a in found if a.summary.endswith(("payments-lead", "head-of-payments"))]


def test_a_fault_that_nobody_takes_in_hand_is_told_to_the_lead_and_then_to_the_head() -> None:
    story, quiet = play(NULLS, config=ESCALATE), play(NULLS)
    first = story.of(story.fault["expected"][0])[0]
    lead, head = escalations(story)
    assert {lead.fingerprint, head.fingerprint} == {first.fingerprint}
    fired_ms = epoch_ms(first.evaluated_at)
    assert [epoch_ms(a.evaluated_at) - fired_ms for a in (lead, head)] == [
        30 * MINUTE_MS,
        120 * MINUTE_MS,
    ]
    assert lead.owners.informed == ["payments-lead"]
    assert head.owners.informed == ["payments-lead", "head-of-payments"]
    assert head.evidence["escalation"]["step"] == 2
    assert head.recommended_action == "fix_pipeline"
    assert [a.id for a in story.first] == [a.id for a in quiet.first], "nothing else is told"


def test_who_takes_it_in_hand_is_not_escalated_over() -> None:
    first = play(NULLS).of(play(NULLS).fault["expected"][0])[0]
    at_ms = epoch_ms(first.evaluated_at) + 45 * MINUTE_MS
    taken = Notice("acknowledgement", at_ms, incident_id=first.incident_id, by="ann")
    story = play(NULLS, config=ESCALATE, notices=(taken,))
    (lead,) = escalations(story)
    assert lead.owners.informed == ["payments-lead"]


def test_a_storm_asks_once_for_the_pipeline() -> None:
    story = play(NULLS)
    (request,) = story.requests
    first = story.of(story.fault["expected"][0])[0]
    assert (request.type, request.feature) == ("fix_pipeline", "amount")
    assert request.incident_id == first.incident_id
    assert request.requested_at == first.evaluated_at
    assert request.owners.accountable == "payments-risk"


def test_a_feature_that_is_missing_asks_for_the_pipeline_and_never_to_retrain() -> None:
    assert {r.type for r in play("missing:amount@36h").requests} == {"fix_pipeline"}


def test_a_relation_that_changes_asks_once_to_retrain_with_what_came_since() -> None:
    story = play("concept@36h")
    (request,) = story.requests
    assert request.type == "retrain"
    assert request.training_window is not None
    assert request.training_window.start is not None
    assert abs(epoch_ms(request.training_window.start) - story.onset_ms) <= 600 * MINUTE_MS
    assert request.reasons[0]["trigger"] == "performance"


def test_where_nothing_fails_nothing_is_asked_for() -> None:
    assert play(models=("fraud", "pricing")).requests == []


VERSIONS = """
models:
  fraud:
    requires: [reference, owner, rollback]
    versions:
      "6": {deprecated_after: DATE, successor: "7"}
"""


def test_a_deprecated_version_that_still_gets_requests_is_told() -> None:
    bare = play("version:deprecated@30h,20%")
    day = bare.fault["onset"][:10]
    story = play("version:deprecated@30h,20%", config=VERSIONS.replace("DATE", day))
    told = [a for a in story.first if a.alertname == "DeprecatedVersion"]
    (alert,) = told
    assert (alert.model.version, alert.kind) == ("6", "version")
    assert alert.evidence["reference"]["successor"] == "7"
    assert "move them to v7" in alert.summary
    assert 0 < epoch_ms(alert.evaluated_at) - story.onset_ms <= 61 * MINUTE_MS
    assert {a.model.version for a in story.first if a.kind != "version"} == set(), "it is no v8"
    assert story.requests == []
    told = [a for a in bare.first if a.kind == "version"]
    assert [(a.alertname, a.model.version) for a in told] == [("VersionUnready", "6")]
    off = play("version:deprecated@30h,20%", config="requires: []")
    assert "version" not in {a.kind for a in off.first}, "nothing was asked"


def test_a_version_that_goes_live_with_nothing_to_roll_back_to_is_told() -> None:
    story = play("version:new@30h", config=VERSIONS.replace("DATE", "2200-01-01"))
    ready = [a for a in story.first if a.alertname == "VersionUnready"]
    first, new = ready
    assert "a reference" in first.summary, "the first version has none until it is sealed"
    assert new.model.version == "8"
    assert new.summary == (
        "fraud v8: went live without a version to roll back to: "
        "declare models.fraud.versions.8.rollback_to"
    )
    assert 0 < epoch_ms(new.evaluated_at) - story.onset_ms <= 2 * MINUTE_MS


def test_a_new_version_is_told_what_it_lacks_though_nobody_asked() -> None:
    story = play("version:new@30h")
    (alert,) = story.first
    assert (alert.alertname, alert.kind, alert.severity) == ("VersionUnready", "version", "warning")
    assert (alert.model.version, alert.owners.accountable) == ("8", "payments-risk")
    assert alert.summary == (
        "fraud v8: went live without thresholds of its own and a version to roll back to: "
        "declare models.fraud.objectives and models.fraud.versions.8.rollback_to"
    )
    assert 0 < epoch_ms(alert.evaluated_at) - story.onset_ms <= 2 * MINUTE_MS
    assert [a.status for a in story.alerts] == ["firing"]


def test_a_model_that_nobody_retrains_is_stale_and_asked_for() -> None:
    story = play(config="retrain: {every: 12h}")
    assert {a.alertname for a in story.first} == {"StaleModel"}
    (request,) = story.requests
    assert (request.type, request.reasons[0]["trigger"]) == ("retrain", "cadence")


OBJECTIVES = """
models:
  fraud:
    objectives:
      - {metric: error, at_most: 0.06, over: 7d}
      - {metric: false_positive_rate, at_most: 0.02, over: 7d}
"""


def test_worse_performance_is_told_in_what_the_owner_declared_acceptable() -> None:
    bare, story = play("false_positives@36h"), play("false_positives@36h", config=OBJECTIVES)
    told = [a for a in story.alerts if a.alertname != "ObjectiveMissed"]
    assert [a.evaluated_at for a in told] == [a.evaluated_at for a in bare.alerts]
    assert len({a.incident_id for a in story.alerts}) == 1
    (alert,) = [a for a in story.first if a.alertname == "FalsePositiveRateDrift"]
    spent = alert.evidence["objectives"]["outcome:false_positive_rate"]
    assert spent["at_most"] == 0.02
    assert spent["burn_rate"] > spent["budget_spent"] > 0
    assert spent["value_since_change"] > alert.impact.reference
    assert "of false positives at most 2 % are acceptable" in alert.summary
    assert "outcome:error" in alert.evidence["objectives"]


def acceptable(errors: float) -> str:
    return f"models: {{fraud: {{objectives: [{{metric: error, at_most: {errors}}}]}}}}"


def test_a_model_that_never_was_acceptable_is_told_with_its_owner_and_terms() -> None:
    """Its errors are 4.2 %, 1.8 times what is acceptable, and nothing has changed."""
    story = play(config=acceptable(0.0236))
    (alert,) = story.alerts
    assert (alert.alertname, alert.kind, alert.severity) == (
        "ObjectiveMissed",
        "performance",
        "error",
    )
    assert (alert.recommended_action, alert.owners.accountable) == ("investigate", "payments-risk")
    assert alert.impact.value is not None
    assert 0.04 < alert.impact.value < 0.045
    assert alert.evidence["objectives"]["outcome:error"]["burn_rate"] > 1.7
    assert "errors are 4.2" in alert.summary
    assert "at most 2.36 % are acceptable" in alert.summary
    assert epoch_ms(alert.evaluated_at) - epoch_ms(story.truth["start"]) < 30 * 60 * MINUTE_MS
    assert story.requests == []


def test_a_model_that_is_just_acceptable_is_not_told() -> None:
    assert play(config=acceptable(0.0433), hours=96).alerts == []


def test_what_a_fault_makes_unacceptable_follows_from_the_fault() -> None:
    story = play("unit:amount@36h,x100", config=acceptable(0.055))
    (missed,) = [a for a in story.first if a.alertname == "ObjectiveMissed"]
    (fault,) = [a for a in story.first if a.alertname == "FeatureDrift"]
    assert missed.recommended_action == "fix_pipeline"
    assert missed.evidence["folded_under"]["fingerprint"] == fault.fingerprint
    assert len({a.incident_id for a in story.alerts}) == 1
