"""Alerts of one cause are one incident, however the two kinds of panes interleave."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alert_lines import epoch_ms
from stream.alert_stage import AlertStage
from stream.events import Alert, ToActions, ToAlerts
from stream.notices import Notice
from stream.numbering import Speaker
from stream.rules import DAY_MS, EscalationRule, ModelRule, Owners, RetrainRule
from stream.snapshot import packed
from stream.wire import Finding, Noticed, Progress, encode_finding
from tests.stream.test_alert_stage import DETAIL
from tests.streams import SMALL

END = (10**9, 10**9)
AGE_MS = 500  # of a cohort when it is judged
FEATURES = ("x", "y", "z")
KINDS_OF: dict[str, tuple[str, str, str]] = {
    "NullRate": ("data_quality", "error", "fix_pipeline"),
    "UnseenCategories": ("data_quality", "warning", "fix_pipeline"),
    "FeatureDrift": ("feature_drift", "warning", "investigate"),
    "PredictionDrift": ("prediction_drift", "warning", "investigate"),
    "ErrorRateDrift": ("performance", "error", "retrain"),
    "VersionWorse": ("performance", "error", "rollback"),
    "OutOfRange": ("data_quality", "warning", "fix_pipeline"),
    "LatencyDrift": ("latency", "warning", "investigate"),
    "FeatureShapeDrift": ("feature_drift", "info", "investigate"),
    "FeatureSetChange": ("schema", "info", "investigate"),
}
OF_ONE: dict[str, tuple[str, str, str]] = {
    "ObjectiveMissed": ("performance", "error", "investigate"),
    "RecallDrift": ("performance", "error", "retrain"),
    "VersionWorse": ("performance", "error", "rollback"),
    "ThroughputChange": ("throughput", "warning", "investigate"),
}


def finding(
    at_ms: int,
    alertname: str,
    feature: str | None = None,
    *,
    since_ms: int | None = None,
    model: str = "m",
    version: str = "1",
    verdict: str = "drift",
    estimate: float = 1.0,
) -> Finding:
    """Of the pane that ends then."""
    kind, severity, action = (KINDS_OF | OF_ONE)[alertname]
    is_cohort = kind == "performance"
    detail = DETAIL | {
        "alertname": alertname,
        "kind": kind,
        "severity": severity,
        "recommended_action": action,
        "feature": feature,
        "change_at_ms": at_ms - 30 if since_ms is None else since_ms,
        "effect": DETAIL["effect"] | {"estimate": estimate},
        "summary": f"{alertname} of {feature}",
    }
    if alertname == "VersionWorse":
        beside = {"version": "0", "same_hours": False}
        detail |= {"evidence": {"reference": beside}, "summary": "it errs more: go back to v0"}
    if alertname == "FeatureSetChange":
        detail |= {"from": "f@7", "to": "f@8"}
    return Finding(
        partition=0,
        epoch=0,
        pane_kind="cohort" if is_cohort else "prediction",
        ready_ms=at_ms + 10 + (AGE_MS if is_cohort else 0),
        pane_end_ms=at_ms,
        group=(model, version, "champion", ""),
        series=f"feature:{feature}" if feature else f"of:{alertname}",
        alertname=alertname,
        verdict=verdict,  # type: ignore[arg-type]
        detail={
            "drift": detail,
            "cause": detail,
            "quiet": {},
            "lasting": {"summary": "still so"},
            "stands": {},
            "raised": {"severity": "warning", "summary": "predictions have moved too"},
        }[verdict],
    )


def told(findings: list[Finding], **options: Any) -> list[Alert]:
    """In the order of decisions, when both kinds are released at once at the end."""
    return alerts_of(run(findings, [(10**12, 10**12)], **options))


def alerts_of(effects: list[ToAlerts | ToActions]) -> list[Alert]:
    told = [effect for effect in effects if isinstance(effect, ToAlerts)]
    return [effect.alert for effect in sorted(told, key=lambda e: e.order)]


def run(
    findings: list[Finding],
    steps: list[tuple[int, int]],
    *,
    rules: Any = SMALL,
    restored_at: frozenset[int] = frozenset(),
    notices: tuple[Noticed, ...] = (),
) -> list[ToAlerts | ToActions]:
    """Findings reach stage 3 before the progress that passes them; `steps`: (prediction, cohort)
    progress; the stage is restored from its state behind some of them. Notices are heard at the
    last moment, before what passes them."""
    stage, speaker, effects = AlertStage(rules, 1), Speaker(0), []
    left = list(findings)
    for place, (prediction_ms, cohort_ms) in enumerate(steps):
        for noticed in notices:
            if noticed.at_ms <= prediction_ms and not stage.has_activated(noticed.announced_at):
                assert noticed.at_ms >= stage.next_ready_ms()
                stage.notice(noticed)
        reached = {"prediction": prediction_ms, "cohort": cohort_ms}
        now = [f for f in left if f.ready_ms <= reached[f.pane_kind]]
        left = [f for f in left if f not in now]
        for record in [*now, Progress(0, 1, 0, prediction_ms, cohort_ms)]:
            effects += stage.handle(speaker.say(0, encode_finding(record)))
        if place in restored_at:
            state = packed(stage.snapshot())
            stage = AlertStage.restore(rules, 1, state)
            assert packed(stage.snapshot()) == state
    assert all(isinstance(effect, ToAlerts | ToActions) for effect in effects)
    return effects  # type: ignore[return-value]


def test_a_feature_that_was_information_leads_to_predictions_once_it_is_more() -> None:
    shape, moved = finding(1_000, "FeatureShapeDrift", "x"), finding(1_500, "PredictionDrift")
    raised = finding(1_200, "FeatureShapeDrift", "x", verdict="raised")
    alone, other = told([shape, moved])
    assert alone.incident_id != other.incident_id
    first, graver, follower = told([shape, raised, moved])
    assert (first.severity, graver.severity) == ("info", "warning")
    assert follower.incident_id == first.incident_id
    too_late = finding(1_600, "FeatureShapeDrift", "x", verdict="raised")
    assert len({a.incident_id for a in told([shape, moved, too_late])}) == 2


def test_a_fault_that_no_cause_was_named_of_may_turn_out_to_be_where_a_drift_has_come_to() -> None:
    beyond = finding(2_000, "OutOfRange", "x")
    beyond.detail |= {"kind": "feature_drift", "recommended_action": "investigate"}
    beyond.detail["effect"] = beyond.detail["effect"] | {"estimate": 5.0, "low": 4.9, "high": 5.1}
    _, again = told([finding(1_000, "OutOfRange", "x"), beyond])
    known = again.sequence, again.kind, again.severity, again.recommended_action
    assert known == (2, "feature_drift", "warning", "investigate")
    assert "folded_under" not in again.evidence  # not under itself


def test_what_turned_out_to_be_a_drift_explains_nothing_from_then_on() -> None:
    beyond = finding(2_000, "OutOfRange", "x")
    beyond.detail |= {"kind": "feature_drift", "recommended_action": "investigate"}
    beyond.detail["effect"] = beyond.detail["effect"] | {"estimate": 5.0, "low": 4.9, "high": 5.1}
    before, behind = finding(1_500, "PredictionDrift"), finding(2_500, "ErrorRateDrift")
    findings = [finding(1_000, "OutOfRange", "x"), beyond, before, behind]
    apart = [(1_600, 600), (3_000, 900), (10**12, 10**12)]
    for steps in ([(10**12, 10**12)], apart):
        for restored_at in (frozenset[int](), frozenset({1})):
            effects = run(findings, steps, restored_at=restored_at)
            of = {a.alertname: a for a in alerts_of(effects)}
            assert of["PredictionDrift"].recommended_action == "fix_pipeline"
            assert of["ErrorRateDrift"].recommended_action == "retrain"
            asked = [e.request.type for e in effects if isinstance(e, ToActions)]
            assert asked == ["fix_pipeline", "retrain"]


def test_what_moves_with_a_fault_is_folded_under_it() -> None:
    alerts = told(
        [
            finding(1_000, "NullRate", "x"),
            finding(1_010, "FeatureDrift", "x"),
            finding(1_020, "PredictionDrift"),
            finding(1_030, "ErrorRateDrift", since_ms=980),
        ]
    )
    root, *followers = alerts
    assert root.alertname == "NullRate"
    assert root.incident_id == root.id
    assert "folded_under" not in root.evidence
    assert {a.alertname for a in followers} == {"FeatureDrift", "PredictionDrift", "ErrorRateDrift"}
    for alert in followers:
        assert alert.incident_id == root.id
        assert alert.recommended_action == "fix_pipeline"
        assert alert.evidence["folded_under"]["fingerprint"] == root.fingerprint
        assert alert.summary.endswith("; follows from NullRate of x")


def test_an_alert_that_is_folded_is_no_worse_than_its_cause() -> None:
    _, error = told(
        [finding(1_000, "UnseenCategories", "x"), finding(1_030, "ErrorRateDrift", since_ms=980)]
    )
    assert (error.severity, error.recommended_action) == ("warning", "fix_pipeline")


def test_what_had_fired_before_its_cause_is_told_again() -> None:
    first, cause, again = told(
        [
            finding(1_000, "PredictionDrift", since_ms=900),
            finding(1_040, "NullRate", "x", since_ms=930),
        ]
    )
    assert (first.alertname, first.incident_id, first.recommended_action) == (
        "PredictionDrift",
        first.id,
        "investigate",
    )
    assert (again.fingerprint, again.sequence) == (first.fingerprint, 2)
    assert again.recommended_action == "fix_pipeline"
    assert again.evidence["folded_under"]["fingerprint"] == cause.fingerprint
    assert {a.incident_id for a in (first, cause, again)} == {first.id}


@pytest.mark.parametrize(
    "other",
    [
        finding(1_040, "FeatureDrift", "y"),  # another feature
        finding(1_040, "ErrorRateDrift", version="2"),  # another version's
        finding(1_040, "ErrorRateDrift", model="n"),  # another model's
        finding(1_040, "LatencyDrift"),  # no feature makes it slow
        finding(1_040, "ErrorRateDrift", since_ms=700),  # it had begun before
        finding(16 * DAY_MS, "ErrorRateDrift"),  # the fault is how things are
    ],
)
def test_a_fault_does_not_account_for_what_it_cannot_explain(other: Finding) -> None:
    _, alert = told([finding(1_000, "NullRate", "x"), other])
    assert alert.recommended_action == KINDS_OF[alert.alertname][2]
    assert "folded_under" not in alert.evidence


def test_what_begins_after_a_fault_is_over_does_not_follow_from_it() -> None:
    fault = [finding(1_000, "NullRate", "x"), finding(2_000, "NullRate", "x", verdict="quiet")]
    alerts = told([*fault, finding(2_100, "ErrorRateDrift", since_ms=2_050)])
    assert [a.recommended_action for a in alerts] == ["fix_pipeline", "none", "retrain"]
    alerts = told([*fault, finding(2_100, "ErrorRateDrift", since_ms=1_990)])
    assert alerts[-1].recommended_action == "fix_pipeline"


def test_what_lasts_when_its_cause_is_over_says_its_own_action_again() -> None:
    alerts = told(
        [
            finding(1_000, "NullRate", "x"),
            finding(1_010, "ErrorRateDrift", since_ms=980),
            finding(1_200, "ErrorRateDrift", verdict="lasting"),
            finding(1_400, "NullRate", "x", verdict="quiet"),
            finding(1_800, "ErrorRateDrift", verdict="lasting"),
        ]
    )
    errors = [a for a in alerts if a.alertname == "ErrorRateDrift"]
    actions = ["fix_pipeline", "fix_pipeline", "retrain"]
    assert [a.recommended_action for a in errors] == actions
    assert ["folded_under" in a.evidence for a in errors] == [True, True, False]
    assert len({a.incident_id for a in alerts}) == 1


def test_so_does_what_surely_stands_by_values_behind_the_end_of_its_cause_alone() -> None:
    lasting = [
        finding(1_000, "NullRate", "x"),
        finding(1_010, "ErrorRateDrift", since_ms=980),
        finding(1_300, "ErrorRateDrift", verdict="stands"),
        finding(1_400, "NullRate", "x", verdict="quiet"),
        finding(1_800, "ErrorRateDrift", verdict="stands"),  # by values since 1,300
    ]
    assert [a.recommended_action for a in told(lasting)] == ["fix_pipeline", "none", "fix_pipeline"]
    stands = [finding(at_ms, "ErrorRateDrift", verdict="stands") for at_ms in (2_200, 2_600)]
    last = told([*lasting, *stands])[-1]
    assert (last.alertname, last.sequence, last.recommended_action) == (
        "ErrorRateDrift",
        2,
        "retrain",
    )
    assert last.summary == "ErrorRateDrift of None; outlasts NullRate of x"
    assert "folded_under" not in last.evidence


def test_a_version_whose_loss_outlasts_the_fault_it_followed_from_is_to_go_back_after_all() -> None:
    alerts = told(
        [
            finding(1_000, "NullRate", "x"),
            finding(1_010, "ErrorRateDrift", since_ms=990),
            finding(1_020, "VersionWorse", since_ms=990),
            finding(1_400, "NullRate", "x", verdict="quiet"),
            finding(1_800, "ErrorRateDrift", verdict="stands"),
            finding(2_200, "ErrorRateDrift", verdict="stands"),
        ]
    )
    assert {a.recommended_action for a in alerts[:4] if a.status == "firing"} == {"fix_pipeline"}
    assert [(a.alertname, a.recommended_action) for a in alerts[4:]] == [
        ("VersionWorse", "rollback"),
        ("ErrorRateDrift", "rollback"),
    ]
    assert len({a.incident_id for a in alerts}) == 1


def test_every_loss_of_a_version_that_outlasts_the_fault_says_so() -> None:
    alerts = told(
        [
            finding(1_000, "NullRate", "x"),
            finding(1_010, "ErrorRateDrift", since_ms=990),
            finding(1_011, "RecallDrift", since_ms=990),
            finding(1_020, "VersionWorse", since_ms=990),
            finding(1_400, "NullRate", "x", verdict="quiet"),
            *(
                finding(at, name, verdict="stands")
                for at in (1_800, 2_200, 2_900)
                for name in ("ErrorRateDrift", "RecallDrift")
            ),
        ]
    )
    assert [(a.alertname, a.recommended_action) for a in alerts[5:]] == [
        ("VersionWorse", "rollback"),
        ("ErrorRateDrift", "rollback"),
        ("RecallDrift", "rollback"),
    ]


def test_what_seems_to_have_begun_shortly_before_a_fault_follows_from_it() -> None:
    fault = finding(1_000, "NullRate", "x", since_ms=990)
    for since_ms, action in ((935, "fix_pipeline"), (900, "retrain")):
        alert = told([fault, finding(1_060, "ErrorRateDrift", since_ms=since_ms)])[-1]
        assert alert.recommended_action == action


def test_drifts_that_begin_together_are_one_incident_and_keep_their_actions() -> None:
    alerts = told(
        [
            finding(1_000, "FeatureDrift", "x"),
            finding(1_000, "FeatureDrift", "y"),
            finding(1_010, "PredictionDrift"),
            finding(1_030, "ErrorRateDrift", since_ms=980),
            finding(5_000, "FeatureDrift", "z"),
        ]
    )
    assert {a.incident_id for a in alerts[:2]} == {alerts[0].id}
    by_name = {a.alertname: a for a in alerts[2:] if a.scope.feature is None}
    assert by_name["ErrorRateDrift"].incident_id == alerts[0].id
    assert by_name["ErrorRateDrift"].recommended_action == "retrain"
    (later,) = [a for a in alerts if a.scope.feature == "z"]
    assert later.incident_id == later.id


def test_what_a_firing_drift_leads_to_later_is_of_its_incident() -> None:
    alerts = told(
        [
            finding(1_000, "FeatureDrift", "x"),
            finding(5_000, "PredictionDrift"),
            finding(9_000, "ErrorRateDrift"),
            finding(9_000, "FeatureDrift", "y"),
        ]
    )
    ids = {(a.alertname, a.scope.feature): a.incident_id for a in alerts}
    assert len(set(ids.values())) == 2
    assert ids["FeatureDrift", "x"] == ids["ErrorRateDrift", None] != ids["FeatureDrift", "y"]


def test_values_beyond_the_reference_follow_from_a_drift_that_had_led_there() -> None:
    drift, beyond, error = told(
        [
            finding(1_000, "FeatureDrift", "x"),
            finding(5_000, "OutOfRange", "x"),
            finding(5_100, "ErrorRateDrift", since_ms=4_990),
        ]
    )
    assert beyond.incident_id == drift.id
    assert beyond.recommended_action == "investigate"
    assert beyond.evidence["folded_under"]["alertname"] == "FeatureDrift"
    assert (error.incident_id, error.recommended_action) == (drift.id, "retrain")
    _, beyond = told([finding(1_000, "FeatureDrift", "x"), finding(1_010, "OutOfRange", "x")])[:2]
    assert beyond.recommended_action == "fix_pipeline"  # both at once: another unit


def test_the_same_fault_of_the_same_feature_in_several_models_is_one_incident() -> None:
    alerts = told(
        [
            finding(1_000, "NullRate", "x"),
            finding(1_010, "NullRate", "x", model="n"),
            finding(1_010, "NullRate", "x", version="2"),
            finding(1_020, "ErrorRateDrift", model="n", since_ms=980),
            finding(1_010, "NullRate", "y", model="o"),
            finding(9_000, "NullRate", "x", model="p"),
        ]
    )
    of = {(a.model.id, a.model.version, a.alertname): a.incident_id for a in alerts}
    one = of["m", "1", "NullRate"]
    assert of["n", "1", "NullRate"] == of["m", "2", "NullRate"] == one
    assert of["n", "1", "ErrorRateDrift"] == one
    assert one not in (of["o", "1", "NullRate"], of["p", "1", "NullRate"])


def test_a_version_that_goes_live_while_a_fault_of_its_model_lasts_is_of_its_incident() -> None:
    fault = finding(1_000, "NullRate", "x")
    over = finding(3_000, "NullRate", "x", verdict="quiet")
    later = finding(5_000, "NullRate", "x", version="2")
    assert len({a.incident_id for a in told([fault, later])}) == 1
    assert len({a.incident_id for a in told([fault, over, later])}) == 2
    of_another = finding(5_000, "NullRate", "x", model="n")
    assert len({a.incident_id for a in told([fault, of_another])}) == 2


def test_a_storm_is_one_incident_whose_root_ranks_its_members() -> None:
    storm = [finding(1_000, "NullRate", f"f{i:03d}", estimate=i / 10) for i in range(100)]
    alerts = told([*storm, finding(1_010, "NullRate", "g", estimate=0.1)])
    assert len({a.incident_id for a in alerts}) == 1
    again = [a for a in alerts if a.sequence == 2]
    assert [a.id for a in alerts if a.id == a.incident_id] == [alerts[0].id]
    assert [a.fingerprint for a in again] == [alerts[0].fingerprint]
    found = again[0].evidence["incident"]
    assert found["alerts"] == 100
    assert [one["feature"] for one in found["ranked"][:3]] == ["f099", "f098", "f097"]
    assert len(found["ranked"]) == 20


def test_an_alert_that_comes_back_within_the_cooldown_is_of_the_same_incident() -> None:
    cycle = [
        one
        for start in (1_000, 2_000)
        for one in (
            finding(start, "FeatureDrift", "x"),
            finding(start + 500, "FeatureDrift", "x", verdict="quiet"),
        )
    ]
    assert len({a.incident_id for a in told(cycle)}) == 1
    apart = told(cycle, rules=replace(SMALL, cooldown_ms=400))
    assert len({a.incident_id for a in apart}) == 2


def test_what_comes_and_goes_is_quiet_only_after_a_cooldown() -> None:
    rules = replace(SMALL, cooldown_ms=1_000)
    flapping = [
        finding(
            start + 300 * is_quiet, "FeatureDrift", "x", verdict="quiet" if is_quiet else "drift"
        )
        for start in range(1_000, 5_000, 600)
        for is_quiet in (False, True)
    ]
    alerts = told(flapping, rules=rules)
    assert [a.status for a in alerts[:5]] == ["firing", "resolved"] * 2 + ["firing"]
    assert [a.sequence for a in alerts[4:]] == [*range(1, len(alerts) - 3)]
    assert alerts[-1].status == "resolved"
    assert alerts[-1].ends_at == "1970-01-01T00:00:05.910Z"  # the last quiet, and a cooldown


def confirmed(alerts: list[Alert]) -> list[tuple[str, str | None, str, str]]:
    return [
        (a.status, a.scope.feature, a.severity, a.summary)
        for a in alerts
        if a.alertname == "FeatureShapeDriftConfirmed"
    ]


def test_a_feature_that_drifts_alone_becomes_a_warning_when_measured_performance_moves_too() -> (
    None
):
    alerts = told(
        [
            finding(1_000, "FeatureShapeDrift", "x"),
            finding(1_010, "FeatureDrift", "y"),  # a warning by itself
            finding(1_020, "ErrorRateDrift", since_ms=980),
            finding(1_900, "ErrorRateDrift", verdict="quiet"),
        ]
    )
    drift, *_, last = alerts
    assert drift.severity == "info"
    assert confirmed(alerts) == [
        (
            "firing",
            "x",
            "warning",
            "FeatureShapeDrift of x; ErrorRateDrift moves with it",
        ),
        (
            "resolved",
            "x",
            "warning",
            "resolved (performance is well again): FeatureShapeDrift of x",
        ),
    ]
    assert len({a.incident_id for a in alerts if a.alertname != "FeatureDrift"}) == 1
    assert last.kind == "feature_drift"


def test_it_becomes_one_too_when_performance_had_moved_before() -> None:
    alerts = told(
        [
            finding(1_000, "ErrorRateDrift"),
            finding(1_700, "FeatureShapeDrift", "x", since_ms=960),
            finding(2_400, "FeatureShapeDrift", "x", verdict="quiet"),
        ]
    )
    assert [one[0] for one in confirmed(alerts)] == ["firing", "resolved"]
    assert confirmed(alerts)[1][3].startswith("resolved (the feature is well again): ")


@pytest.mark.parametrize(
    "others",
    [
        [finding(1_020, "ErrorRateDrift", version="2")],  # another version
        [finding(1_020, "PredictionDrift")],  # nothing that was measured: stage 2 raises it then
        [
            finding(1_010, "FeatureShapeDrift", "x", verdict="quiet"),
            finding(1_900, "ErrorRateDrift"),
        ],
        [
            finding(1_010, "FeatureShapeDrift", "x", verdict="raised"),
            finding(1_020, "ErrorRateDrift"),
        ],
        [finding(500, "ErrorRateDrift"), finding(990, "ErrorRateDrift", verdict="quiet")],
    ],
)
def test_nothing_is_borne_out_by_what_does_not_fire_with_it(others: list[Finding]) -> None:
    assert confirmed(told([finding(1_000, "FeatureShapeDrift", "x"), *others])) == []


def test_an_alert_keeps_owners_of_its_own_model() -> None:
    models = {name: ModelRule(owners=Owners(f"{name}-team")) for name in "mn"}
    alerts = told(
        [finding(1_000, "NullRate", "x"), finding(1_010, "NullRate", "x", model="n")],
        rules=replace(SMALL, models=models),
    )
    assert [a.owners.accountable for a in alerts] == ["m-team", "n-team"]


# -- new feature sets


def change(at_ms: int, **more: Any) -> Finding:
    return finding(at_ms, "FeatureSetChange", verdict="cause", **more)


def test_a_new_feature_set_is_no_alert_and_what_begins_with_it_follows_from_it() -> None:
    assert told([change(1_000)]) == []
    drift, loss = told(
        [
            change(1_000),
            finding(1_100, "FeatureDrift", "x", since_ms=980),
            finding(1_200, "ErrorRateDrift", since_ms=900),
        ]
    )
    for alert, severity in ((drift, "warning"), (loss, "error")):
        assert alert.severity == severity
        assert alert.recommended_action == "fix_pipeline"
        under = alert.evidence["folded_under"]
        assert (under["from"], under["to"]) == ("f@7", "f@8")
        assert alert.summary.endswith("; follows from f@8, which came in place of f@7")
    assert drift.incident_id == loss.incident_id


def test_what_had_fired_before_the_feature_set_was_seen_is_told_again() -> None:
    first, again = told(
        [finding(1_000, "FeatureDrift", "x", since_ms=980), change(1_010, since_ms=990)]
    )
    assert (first.recommended_action, again.recommended_action) == ("investigate", "fix_pipeline")
    assert (first.fingerprint, again.sequence) == (again.fingerprint, 2)


def test_what_its_features_move_later_follows_from_it_too() -> None:
    hours = 3_600_000
    drift = finding(9 * hours, "FeatureDrift", "x", since_ms=980)
    since = 30 * hours
    moved = [
        finding(40 * hours, "PredictionDrift", since_ms=since),
        finding(44 * hours, "ErrorRateDrift", since_ms=since),
    ]
    found = told([change(1_000), drift, *moved])
    assert [a.recommended_action for a in found] == ["fix_pipeline"] * 3
    of_y = finding(48 * hours, "FeatureDrift", "y", since_ms=since)
    other = told([change(1_000), drift, of_y])[-1]
    assert (other.scope.feature, other.recommended_action) == ("y", "investigate")
    alone = told([change(1_000), *moved])
    assert [a.recommended_action for a in alone] == ["investigate", "retrain"]


def test_of_two_feature_sets_the_nearer_one_is_blamed() -> None:
    def to(at_ms: int, name: str) -> Finding:
        new = change(at_ms, since_ms=at_ms - 10)
        return msgspec.structs.replace(new, detail=new.detail | {"to": name})

    day = 86_400_000
    sets = [to(20 * day, "f@8"), to(22 * day, "f@9")]
    (drift,) = told([*sets, finding(26 * day, "FeatureDrift", "x", since_ms=22 * day)])
    assert drift.evidence["folded_under"]["to"] == "f@9"


def test_a_storm_that_begins_with_it_is_ranked_by_the_first_of_its_alerts() -> None:
    drifts = [
        finding(1_010 + n, "FeatureDrift", f"f{n}", since_ms=980, estimate=float(n))
        for n in range(12)
    ]
    found = told([change(1_000), *drifts])
    (root,) = [a for a in found if "incident" in a.evidence]
    assert root.scope.feature == "f0"
    assert root.evidence["incident"]["alerts"] >= 10
    assert all(one["alertname"] == "FeatureDrift" for one in root.evidence["incident"]["ranked"])


# -- however they interleave


VERDICTS = st.lists(
    st.tuples(
        st.integers(1, 20), st.sampled_from(("drift", "lasting", "quiet", "raised", "stands"))
    ),
    max_size=3,
)
LIVES = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(sorted(KINDS_OF)),
        st.sampled_from(FEATURES),
        st.sampled_from("mn"),
        st.sampled_from("12"),
        st.sampled_from((0, 30, 300)),
        VERDICTS,
    ),
    max_size=12,
)
"""Alerts of two models that come, change, last and go."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from((0, 10, 200, 2_000)), st.sampled_from((0.0, 0.3, 1.0)), st.booleans()
    ),
    max_size=30,
)
"""How much further predictions come, cohorts (a part of what they are behind), and whether the
stage is restored then."""


def lived(lives: list[Any]) -> list[Finding]:
    found = []
    for at, alertname, of, model, version, before_ms, verdicts in lives:
        is_of_feature = KINDS_OF[alertname][0] in ("data_quality", "feature_drift")
        feature = of if is_of_feature else None
        where = {"model": model, "version": version, "since_ms": 20 * at - before_ms}
        if alertname == "FeatureSetChange":
            found.append(change(20 * at, **where))
            continue
        found.append(finding(20 * at, alertname, feature, **where))
        afters = accumulate((after for after, _ in verdicts), initial=at)
        for now, (_, verdict) in zip([*afters][1:], verdicts, strict=True):
            found.append(finding(20 * now, alertname, feature, verdict=verdict, **where))
    return list({f.order: f for f in found}.values())


@settings(deadline=None)
@given(LIVES, STEPS, st.sampled_from((0, 200, DAY_MS)))
def test_bytes_do_not_depend_on_how_the_kinds_and_restarts_interleave(
    lives: list[Any], moves: list[Any], cooldown_ms: int
) -> None:
    is_the_same_however(lived(lives), moves, cooldown_ms)


@pytest.mark.parametrize("seed", range(60))
def test_nor_where_much_happens_to_one_model(seed: int) -> None:
    random = Random(seed)
    verdicts = ("drift", "lasting", "quiet", "quiet", "raised")
    lives = [
        (
            random.randint(0, 60),
            random.choice(sorted(KINDS_OF)),
            random.choice("xxxy"),
            random.choice("mmmn"),
            random.choice("112"),
            random.choice((0, 30, 100, 300)),
            [(random.randint(1, 20), random.choice(verdicts)) for _ in range(3)],
        )
        for _ in range(20)
    ]
    moves = [(random.choice((10, 60)), random.random(), random.random() < 0.2) for _ in range(40)]
    is_the_same_however(lived(lives), moves, random.choice((0, 200, DAY_MS)))


def is_the_same_however(findings: list[Finding], moves: list[Any], cooldown_ms: int) -> None:
    """Both kinds released at the end, both step by step, and as `moves` has it."""
    rules = replace(SMALL, cooldown_ms=cooldown_ms, horizon_ms=1_000, escalate=ESCALATE)
    rules = replace(rules, retrain=RETRAIN)
    notices = acknowledged(alerts_of(run(findings, [END], rules=rules)))
    at_once = run(findings, [END], rules=rules, notices=notices)
    ids = [a.id for a in alerts_of(at_once) if a.alertname.endswith("Confirmed")]
    assert len(ids) == len(set(ids))
    by_twenties = [*((at, at) for at in range(0, 3_000, 20)), END]
    in_step = run(findings, by_twenties, rules=rules, notices=notices)
    steps, prediction_ms, cohort_ms = [], 0, 0
    for further_ms, part, _ in moves:
        prediction_ms += further_ms
        cohort_ms += int(part * (prediction_ms - cohort_ms))
        steps.append((prediction_ms, cohort_ms))
    restored_at = frozenset(n for n, (_, _, is_restored) in enumerate(moves) if is_restored)
    in_moves = run(findings, [*steps, END], rules=rules, restored_at=restored_at, notices=notices)
    for effects in (in_step, in_moves):
        assert in_order(effects) == in_order(at_once)
        assert requests(effects) == requests(at_once)
        for fingerprint in {
            e.fingerprint for e in at_once if isinstance(e, ToAlerts)
        }:  # and of each alert in this order
            one = [e.value for e in effects if e.fingerprint == fingerprint]
            assert one == [e.value for e in at_once if e.fingerprint == fingerprint]
            sequences = [msgspec.json.decode(value)["sequence"] for value in one]
            assert all(after in (before + 1, 1) for before, after in pairwise(sequences))


ESCALATE = (
    EscalationRule(90, "warning", ("lead",)),
    EscalationRule(300, "error", ("lead", "head")),
)


RETRAIN = RetrainRule(drifts=2, events=("prices",), cooldown_ms=150)


def acknowledged(alerts: list[Alert]) -> tuple[Noticed, ...]:
    """Of some of them, each in another way, at some time behind."""
    named = ("alert_id", "incident_id", "fingerprint")
    found = []
    for n, alert in enumerate(sorted(alerts, key=lambda a: a.id)[:9]):
        if alert.status == "firing" and n % 4 < 3:
            values = (alert.id, alert.incident_id, alert.fingerprint)
            notice = Notice("acknowledgement", by="ann", **{named[n % 4]: values[n % 4]})
            at_ms = epoch_ms(alert.evaluated_at) + (10, 100, 400)[n % 3]
            found.append(Noticed(3, 0, 0, n, at_ms, notice))
    if alerts:
        at_ms = epoch_ms(alerts[0].evaluated_at)
        retrained = Notice("retrained", model_id="m", model_version="1")
        found.append(Noticed(3, 0, 0, 20, at_ms + 300, retrained))
        event = Notice("business_event", model_id="n", name="prices")
        found.append(Noticed(3, 0, 0, 21, at_ms + 50, event))
    return tuple(found)


def in_order(effects: list[ToAlerts | ToActions]) -> list[tuple[Any, ...]]:
    return sorted((e.order, e.value) for e in effects if isinstance(e, ToAlerts))


def requests(effects: list[ToAlerts | ToActions]) -> list[bytes]:
    """Each once."""
    found = sorted(e.value for e in effects if isinstance(e, ToActions))
    assert len({e.request.id for e in effects if isinstance(e, ToActions)}) == len(found)
    return found


def test_what_names_its_segments_is_read_back_by_a_new_owner_and_by_whoever_reads_alerts() -> None:
    whole, drift = (finding(at, "FeatureDrift", "x", since_ms=990) for at in (1_200, 1_100))
    eu = msgspec.structs.replace(drift, group=(*drift.group[:3], "region=EU"))
    steps = [(1_150, 0), (1_250, 0), (10**12, 10**12)]
    quiet = finding(2_000, "FeatureDrift", "x", verdict="quiet")
    effects = run([eu, whole, quiet], steps)
    *_, told, over = alerts_of(effects)
    assert told.evidence["segments"]["greatest"][0]["segment"] == "region=EU"
    assert over.status == "resolved"
    assert run([eu, whole, quiet], steps, restored_at=frozenset({1})) == effects
    written = [effect.value for effect in effects if isinstance(effect, ToAlerts)]
    assert [msgspec.json.decode(value, type=Alert) for value in written] == alerts_of(effects)


def test_what_outcomes_say_of_a_version_to_be_rolled_back_is_folded_whenever_it_is_told() -> None:
    before, worse = finding(1_000, "ErrorRateDrift"), finding(1_010, "VersionWorse", since_ms=960)
    behind, of_segment = finding(1_020, "ErrorRateDrift", "x"), finding(1_030, "ErrorRateDrift")
    of_segment.group = (*worse.group[:3], "region=EU")
    for findings in ([before, worse, behind, of_segment], [worse, before, behind, of_segment]):
        last = {alert.fingerprint: alert for alert in told(findings)}.values()
        assert {alert.recommended_action for alert in last} == {"rollback"}
        assert len({alert.incident_id for alert in last}) == 1
    of_another = finding(1_020, "ErrorRateDrift", version="2")
    assert told([worse, of_another])[-1].recommended_action == "retrain"
    over = finding(1_011, "VersionWorse", verdict="quiet")
    later = finding(5_000, "ErrorRateDrift", since_ms=4_990)
    assert told([worse, over, later])[-1].recommended_action == "retrain"


def test_nobody_goes_back_where_a_version_was_as_good_until_something_changed() -> None:
    worse = finding(9_000, "VersionWorse", since_ms=1_000)
    (lost, alert) = told([finding(8_000, "ErrorRateDrift"), worse])
    assert (lost.recommended_action, alert.recommended_action) == ("retrain", "investigate")
    assert "it became worse on 1970-01-01T00:00:07.970Z only" in alert.summary
    again = finding(9_500, "VersionWorse", since_ms=1_000, estimate=9.0)
    assert told([finding(8_000, "ErrorRateDrift"), worse, again])[-1].recommended_action == (
        "investigate"
    )
    from_first = finding(8_000, "ErrorRateDrift", since_ms=1_000)
    assert told([from_first, worse])[-1].recommended_action == "rollback"


def test_nobody_goes_back_to_a_version_that_had_become_worse_than_its_reference_too() -> None:
    worse, lost = finding(3_000, "VersionWorse"), finding(1_000, "ErrorRateDrift", version="0")
    (alert,) = [a for a in told([lost, worse]) if a.alertname == "VersionWorse"]
    assert alert.recommended_action == "investigate"
    assert "v0 had become worse than that too" in alert.summary
    well = finding(2_000, "ErrorRateDrift", version="0", verdict="quiet")
    beside = finding(3_000, "VersionWorse")
    beside.detail["evidence"] = {"reference": {"version": "0", "same_hours": True}}
    for findings in ([worse], [lost, well, worse], [lost, beside]):
        assert told(findings)[-1].recommended_action == "rollback"
