"""Training/serving skew, which a reference that is learned from live predictions takes for usual:
a version goes live with one of its training data, and is compared with it from the first on."""

from __future__ import annotations

import pytest

from stream.alert_lines import epoch_ms
from stream.events import Alert
from tests.scenarios.play import OWNERS, Play, play

AT_2H = "models: {fraud: {maturity: 2h}}"


def skewed(fault: str, rows: int = 3_000) -> Play:
    """The worker never sees a good prediction."""
    return play(fault, hours=6, config=AT_2H, trained=rows)


def root(story: Play, events: int) -> Alert:
    """What is told first, within so many events; all that is told is of its incident."""
    first = story.first[0]
    assert epoch_ms(first.window.end) - story.onset_ms <= events * 6_000
    assert {alert.incident_id for alert in story.first} == {first.incident_id}
    assert first.owners.accountable == OWNERS["fraud"]
    assert first.reference.id.startswith("ref-")
    assert first.summary.count("against training, from the first predictions on: skew") == 1
    assert first.evidence["reference"]["source"] == "training"
    assert first.evidence["reference"]["skew"]
    return first


def test_without_a_deployed_reference_it_is_taken_for_usual() -> None:
    assert not play("unit:amount@0h,x100", hours=6, config=AT_2H).alerts


@pytest.mark.parametrize("rows", [1_000, 3_000])
def test_a_unit_that_serving_has_otherwise_is_named_within_a_hundred_events(rows: int) -> None:
    story = skewed("unit:amount@0h,x100", rows)
    alert = root(story, 100)
    assert (alert.scope.feature, alert.recommended_action) == ("amount", "fix_pipeline")
    assert alert.evidence["cause"]["what"] == "other_unit"
    of_outcomes = [a for a in story.first if a.kind == "performance" and a.severity == "error"]
    assert of_outcomes, "labels are compared with those of the training data too"
    for told in of_outcomes:
        assert "against training, from the first judged predictions on" in told.summary
        assert told.recommended_action == "fix_pipeline"


@pytest.mark.parametrize(
    ("fault", "alertname", "events"),
    [
        ("null:amount@0h,30%", "NullRate", 200),
        ("missing:amount@0h", "AbsentFeature", 100),
        ("covariate:amount@0h", "FeatureDrift", 500),
    ],
)
def test_a_feature_that_serving_computes_otherwise_is_told(
    fault: str, alertname: str, events: int
) -> None:
    alert = root(skewed(fault), events)
    assert (alert.alertname, alert.scope.feature) == (alertname, "amount")
    assert alert.recommended_action == "fix_pipeline"


def test_what_is_lost_by_skew_asks_for_no_training() -> None:
    story = skewed("skew:customer_score@0h,x0.5")
    assert "error" in {a.severity for a in story.first if a.kind == "performance"}
    assert {a.recommended_action for a in story.alerts if a.severity != "info"} <= {
        "fix_pipeline", "investigate", "none"
    }  # fmt: skip
    assert [r.type for r in story.requests] == ["fix_pipeline"]


def test_what_begins_a_day_later_is_no_skew() -> None:
    story = play("null:amount@24h,30%", hours=30, config=AT_2H, trained=3_000)
    alert = story.first[0]
    assert alert.alertname == "NullRate"
    assert "against training" in alert.summary
    assert "skew" not in alert.evidence["reference"]


@pytest.mark.parametrize("rows", [1_000, 3_000])
def test_where_serving_is_as_training_was_nothing_is_told(rows: int) -> None:
    for seed in (7, 8):
        assert not play(hours=30, seed=seed, config=AT_2H, trained=rows).alerts
