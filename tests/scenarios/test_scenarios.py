"""Failures of a model's life in production: each is caught, named, owned, and says what to do.

One test for each failure, at default settings, on what the simulator makes of it. Everything else
that is told belongs to the same incident.
"""

from __future__ import annotations

from typing import Any

import pytest

from stream.alert_lines import epoch_ms
from stream.events import Alert
from tests.scenarios.play import OWNERS, Play, play

MINUTE_MS = 60_000
BY_REGION = "models: {fraud: {segments: [region]}}"
PROMISED = "models: {fraud: {latency: {p50: 20ms, p95: 30ms, p99: 32ms}}}"


def caught(
    story: Play, *, within_min: float, also: frozenset[str] = frozenset(), **wanted: Any
) -> Alert:
    """The alert that the truth asks for, first told within so many minutes of the onset. Nothing
    is told before, and all that is told is of its incident: folded under it, of the kinds that
    follow from the fault, or of those in `also`."""
    found = [one for expected in story.fault["expected"] for one in story.of(expected)]
    assert found, [f"{a.kind} {a.scope.feature}" for a in story.first]
    alert = found[0]
    for name, value in wanted.items():
        assert getattr(alert, name) == value
    assert alert.owners.accountable == OWNERS[alert.model.id]
    assert alert.links["runbook_url"]
    took_min = (epoch_ms(alert.evaluated_at) - story.onset_ms) / MINUTE_MS
    assert 0 < took_min <= within_min
    assert abs(epoch_ms(alert.starts_at) - story.onset_ms) <= within_min * MINUTE_MS
    others = [a for a in story.first if a.incident_id != alert.incident_id]
    assert not [f"{a.alertname} {a.scope.feature} {a.evaluated_at}" for a in others]
    assert all(epoch_ms(a.evaluated_at) > story.onset_ms for a in story.alerts)
    kinds = {kind for expected in story.fault["expected"] for kind in expected["kinds"]}
    of_its_own = {a.kind for a in story.first if "folded_under" not in a.evidence}
    assert of_its_own <= kinds | also | {*story.fault["follows"]}
    return alert


def test_where_nothing_fails_nothing_is_told() -> None:
    assert play(models=("fraud", "pricing")).alerts == []


def test_nulls_of_three_in_ten_are_found_within_a_hundred_events() -> None:
    story = play("null:amount@36h,30%")
    alert = caught(story, within_min=10, alertname="NullRate", severity="error")
    assert story.events_until(alert) <= 100
    assert alert.recommended_action == "fix_pipeline"


@pytest.mark.parametrize(
    ("fault", "alertname"),
    [
        ("missing:amount@36h", "AbsentFeature"),
        ("rename:amount@36h", "AbsentFeature"),
        ("retype:amount@36h", "TypeErrors"),
        ("new_category:country@36h", "UnseenCategories"),
        ("unit:amount@36h,x100", "FeatureDrift"),
    ],
)
def test_a_schema_that_changes_names_the_feature_and_asks_for_the_pipeline(
    fault: str, alertname: str
) -> None:
    alert = caught(play(fault), within_min=10, alertname=alertname)
    assert alert.recommended_action == "fix_pipeline"


def test_a_feature_that_stays_what_it_was_is_a_fault() -> None:
    alert = caught(play("stale:amount@36h"), within_min=30)
    assert alert.recommended_action == "fix_pipeline"


DEPLOYED = """
models:
  fraud:
    budget: {predictions: 1000000}
    versions: {"8": {rollback_to: "7"}}
"""


def test_the_version_that_is_worse_is_named_and_the_others_are_not() -> None:
    story = play("version:worse@30h,50%", config=DEPLOYED)
    assert {a.model.version for a in story.alerts} == {"8"}
    assert len({a.incident_id for a in story.alerts}) == 1
    assert {"performance", "calibration"} <= {a.kind for a in story.first}


def test_celsius_that_becomes_fahrenheit_is_a_fault_and_the_errors_follow_from_it() -> None:
    story = play("unit:temperature_c@36h,x1.8,offset=32", models=("pricing",))
    caught(story, within_min=10, alertname="OutOfRange")
    (error,) = [a for a in story.first if a.kind == "performance"]
    assert error.recommended_action == "fix_pipeline"
    assert error.evidence["folded_under"]["feature"] == "temperature_c"


def test_the_pipeline_is_to_be_fixed_and_the_model_not_to_be_retrained() -> None:
    """Retrained five times before anybody saw that the feature pipeline was breaking."""
    story = play("missing:amount@36h")
    root = caught(story, within_min=10, alertname="AbsentFeature")
    followers = [a for a in story.first if a.kind == "performance"]
    assert followers
    for alert in followers:
        assert alert.incident_id == root.id
        assert alert.evidence["folded_under"]["fingerprint"] == root.fingerprint
    assert not [a for a in story.alerts if a.recommended_action == "retrain"]


def test_what_outlasts_a_fault_that_came_with_it_is_to_be_retrained_after_all() -> None:
    story = play("concept@32h", "null:temperature_c@30h..34h,20%", models=("pricing",), hours=60)
    (first, *_, last) = [a for a in story.alerts if a.alertname == "AbsoluteErrorDrift"]
    assert first.evidence["folded_under"]["alertname"] == "NullRate"
    assert first.recommended_action == "fix_pipeline"
    assert (last.status, last.recommended_action) == ("firing", "retrain")
    assert last.summary.endswith("; outlasts NullRate of temperature_c")
    (over,) = [a for a in story.alerts if a.alertname == "NullRate" and a.status == "resolved"]
    (asked,) = [r for r in story.requests if r.type == "retrain"]
    assert epoch_ms(asked.requested_at) > epoch_ms(over.evaluated_at)
    assert "but not from" in asked.summary  # what was broken is nothing to train with


def test_the_same_upstream_of_two_models_is_one_incident_with_two_owners() -> None:
    story = play("null:customer_score@36h,30%", models=("fraud", "pricing"))
    caught(story, within_min=10, alertname="NullRate")
    assert {a.owners.accountable for a in story.first} == {*OWNERS.values()}
    assert {a.scope.feature for a in story.first} == {"customer_score"}


@pytest.mark.parametrize(
    ("fault", "within_min"),
    [("covariate:amount@36h", 20), ("covariate:amount@30h,2,ramp=10h", 180)],
    ids=["abrupt", "gradual"],
)
def test_inputs_that_drift_are_told_with_before_and_after(fault: str, within_min: int) -> None:
    story = play(fault)
    alert = caught(story, within_min=within_min, alertname="FeatureDrift")
    assert alert.recommended_action == "investigate"
    assert alert.evidence["current"]["mean"] > 1.2 * alert.evidence["reference"]["mean"]
    assert "fix_pipeline" not in {a.recommended_action for a in story.first}


@pytest.mark.parametrize("model", OWNERS)
def test_a_relation_that_changes_while_the_inputs_do_not_asks_for_retraining(model: str) -> None:
    story = play("concept@36h", models=(model,))
    alert = caught(story, within_min=600, kind="performance", severity="error")
    assert alert.recommended_action == "retrain"
    assert alert.impact.label_coverage is not None
    assert {a.kind for a in story.first} <= {"performance", "calibration", "concept_drift"}


def test_predictions_that_move_are_told_before_any_label_is_there() -> None:
    story = play("prediction@36h")
    alert = caught(story, within_min=30, alertname="PredictionDrift")
    assert alert.scope.feature is None
    performance = [a for a in story.first if a.kind == "performance"]
    assert all(a.evaluated_at > alert.evaluated_at for a in performance)


def test_legitimate_requests_that_are_refused_are_told_as_what_they_are() -> None:
    story = play("false_positives@36h")
    moved = frozenset({"prediction_drift"})  # of the labels: more are refused
    assert caught(story, within_min=360, also=moved).alertname == "FalsePositiveRateDrift"


def test_scores_that_come_true_less_often_are_not_calibrated() -> None:
    alert = caught(play("calibration@36h"), within_min=480, kind="calibration")
    assert alert.recommended_action == "retrain"


def test_answers_that_take_longer_are_told() -> None:
    story = play("latency@36h")
    caught(story, within_min=10, alertname="LatencyDrift")
    assert len(story.first) == 1


@pytest.mark.parametrize(
    ("fault", "within_min", "worst", "missed"),
    [
        ("latency@36h", 30, "p99", {"p50", "p95", "p99"}),
        ("latency:tail@36h", 240, "p99", {"p99"}),  # 3 in 100, not 1
    ],
    ids=["all", "tail"],
)
def test_what_is_slower_than_was_promised_is_told_with_its_quantiles(
    fault: str, within_min: int, worst: str, missed: set[str]
) -> None:
    story = play(fault, config=PROMISED)
    caught(story, within_min=within_min, kind="latency")
    (alert,) = [a for a in story.first if a.alertname == "LatencyObjective"]
    now, promised = alert.evidence["current"], alert.evidence["reference"]
    assert worst in now["missed"]
    assert set(now["missed"]) <= missed
    assert worst in alert.summary
    assert now[worst] > promised[worst]
    assert alert.severity == "error"
    assert {a.alertname for a in story.first} <= {"LatencyObjective", "LatencyDrift"}
    assert {a.severity for a in story.first if a.alertname == "LatencyDrift"} <= {"info"}


def test_a_model_that_is_slower_than_it_was_and_within_its_objectives_pages_nobody() -> None:
    story = play("latency@36h,x1.5", config="models: {fraud: {latency: {p50: 40ms, p95: 80ms}}}")
    assert {(a.alertname, a.severity) for a in story.alerts} == {("LatencyDrift", "info")}


@pytest.mark.parametrize(
    ("fault", "within_min", "up"),
    [("throughput@36h,0.3", 60, False), ("throughput@36h,x5", 30, True)],
    ids=["fewer", "more"],
)
def test_fewer_requests_or_more_are_told(fault: str, within_min: int, up: bool) -> None:
    story = play(fault)
    alert = caught(story, within_min=within_min, kind="throughput", severity="warning")
    assert (alert.effect.estimate > 0.5) if up else (alert.effect.high < -0.3)
    assert len(story.first) == 1
    assert story.alerts[-1].status == "firing"


def test_a_batch_job_in_a_real_time_service_is_told_with_the_latency_that_it_costs() -> None:
    story = play("batch@36h,x30")
    caught(story, within_min=20, kind="throughput")
    assert {a.kind for a in story.first} == {"throughput", "latency"}


def test_a_model_that_is_asked_nothing_any_more_is_silent_while_others_go_on() -> None:
    story = play("silence@36h,model=fraud", models=("fraud", "pricing"))
    alert = caught(story, within_min=15, kind="silence", severity="error")
    assert alert.model.id == "fraud"
    assert alert.recommended_action == "fix_pipeline"
    assert len(story.first) == 1


@pytest.mark.parametrize("faults", [(), ("silence@36h,model=fraud",)], ids=["none", "silence"])
def test_segments_tell_nothing_that_holds_of_the_whole_model(faults: tuple[str, ...]) -> None:
    story = play(*faults, models=("fraud", "pricing"), config=BY_REGION)
    assert [(a.kind, a.scope.segment) for a in story.alerts] == [("silence", None)] * len(faults)


def test_a_region_that_sends_nothing_any_more_is_silent_while_others_go_on() -> None:
    story = play("silence:region=EU@36h", config=BY_REGION)
    alert = caught(story, within_min=30, kind="silence", severity="error")
    assert alert.scope.segment == story.fault["expected"][0]["segment"] == "region=EU"
    assert {(a.kind, a.scope.segment) for a in story.first} <= {
        ("silence", "region=EU"),
        ("throughput", None),  # it had half of them
    }


def test_what_drifts_in_one_region_names_it_and_the_others_are_silent() -> None:
    story = play("covariate:amount@36h,where=region=EU", config=BY_REGION)
    caught(story, within_min=60, alertname="FeatureDrift")
    assert {a.scope.segment for a in story.first} == {None, "region=EU"}
    whole = [a for a in story.alerts if a.alertname == "FeatureDrift" and not a.scope.segment]
    assert whole[-1].evidence["segments"]["greatest"][0]["segment"] == "region=EU"
    assert "most of all region=EU" in whole[-1].summary


def test_a_drift_that_begins_with_another_feature_set_follows_from_it() -> None:
    story = play("feature_set:amount@30h")
    alert = caught(story, within_min=150, alertname="FeatureDrift")
    assert alert.recommended_action == "fix_pipeline"
    under = alert.evidence["folded_under"]
    assert (under["from"], under["to"]) == ("payments@7", story.fault["feature_set"])
    assert abs(epoch_ms(under["since"]) - story.onset_ms) <= MINUTE_MS
    assert alert.summary.endswith("; follows from payments@8, which came in place of payments@7")
    assert {a.incident_id for a in story.alerts} == {under["incident_id"]}


def test_another_feature_set_with_which_nothing_begins_is_not_told() -> None:
    story = play("feature_set:amount@30h,x1")
    assert story.fault["feature_set"] in story.feature_sets
    assert story.alerts == []


def test_a_drift_that_begins_hours_after_another_feature_set_does_not_follow_from_it() -> None:
    story = play("feature_set:amount@30h,x1", "covariate:amount@38h")
    assert story.fault["feature_set"] in story.feature_sets
    assert story.first
    assert not [a for a in story.alerts if a.kind == "schema" or "folded_under" in a.evidence]


def test_a_drift_without_another_feature_set_follows_from_none() -> None:
    story = play("covariate:amount@36h")
    caught(story, within_min=20, alertname="FeatureDrift")
    assert not [a for a in story.alerts if a.kind == "schema" or "folded_under" in a.evidence]


def test_a_silence_that_ends_is_over_and_nothing_is_told_of_the_hour_behind_it() -> None:
    story = play("silence@36h..40h,model=fraud", models=("fraud", "pricing"))
    assert [(a.kind, a.status) for a in story.alerts] == [
        ("silence", "firing"),
        ("silence", "resolved"),
    ]


@pytest.mark.parametrize(
    ("fault", "within_min"), [("labels_stop@30h", 360), ("label_delay@30h,x3", 600)]
)
def test_labels_that_stop_or_come_later_are_told_and_performance_is_undecided(
    fault: str, within_min: int
) -> None:
    story = play(fault)
    alert = caught(story, within_min=within_min, kind="label_delay")
    assert alert.recommended_action == "fix_pipeline"
    assert len(story.first) == 1


def test_ten_features_at_once_are_one_incident_with_a_ranked_list() -> None:
    features = [
        *("amount", "country", "channel", "merchant", "card_present", "payments_last_hour"),
        *("distance_km", "account_age_days", "utilization", "customer_score"),
    ]
    story = play(*(f"null:{name}@36h,{40 + n}%" for n, name in enumerate(features)))
    assert len({a.incident_id for a in story.alerts}) == 1
    assert {a.scope.feature for a in story.first if a.kind == "data_quality"} == {*features}
    told = [a.evidence["incident"] for a in story.alerts if "incident" in a.evidence]
    assert told[0]["alerts"] >= 10
    assert {one["feature"] for one in told[0]["ranked"]} >= {*features}
    assert "retrain" not in {a.recommended_action for a in story.alerts}
