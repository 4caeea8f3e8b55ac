"""Rollback: a version that is worse than the one before it is told with where to go back to."""

from __future__ import annotations

import pytest

from stream.alert_lines import epoch_ms
from tests.scenarios.play import OWNERS, Play, play

CONFIG = """
models:
  pricing:
    versions: {"8": {rollback_to: "7"}}
    rollback: {metric: absolute_error}
    budget: {predictions: 1000000}
"""


def worse(story: Play) -> None:
    (alert,) = [a for a in story.first if a.alertname == "VersionWorse"]
    assert (alert.kind, alert.recommended_action) == ("performance", "rollback")
    assert (alert.model.version, alert.owners.accountable) == ("8", OWNERS["pricing"])
    assert alert.effect.low > 0
    assert epoch_ms(alert.evaluated_at) - story.onset_ms <= 12 * 3_600_000
    assert len({a.incident_id for a in story.alerts}) == 1
    assert {a.model.version for a in story.alerts} == {"8"}
    (request,) = [r for r in story.requests if r.type == "rollback"]
    assert (request.target, request.model.version) == ("7", "8")
    assert request.evidence["effect"]["low"] > 0
    assert {a.recommended_action for a in story.alerts} <= {"investigate", "rollback"}
    assert "retrain" not in {r.type for r in story.requests}


@pytest.mark.parametrize("share", ["50%", "100%"], ids=["beside it", "after it"])
def test_a_version_that_is_worse_is_to_be_rolled_back_to_the_one_before_it(share: str) -> None:
    worse(play(f"version:worse@30h,{share}", models=("pricing",), config=CONFIG))


def test_a_version_that_is_not_compared_is_as_usual_once_its_own_reference_has_it_so() -> None:
    story = play(
        "version:worse@30h",
        models=("pricing",),
        hours=64,
        config="models: {pricing: {requires: []}}",
    )
    first, last = story.alerts
    assert first.alertname == last.alertname == "AbsoluteErrorDrift"
    assert last.summary.startswith("resolved (as in its own reference, sealed since): pricing v8")


def test_a_version_that_is_as_good_stays() -> None:
    story = play("version:new@30h,50%", models=("pricing",), config=CONFIG)
    assert story.alerts == []
    assert story.requests == []


def test_what_becomes_worse_long_behind_its_beginning_is_not_of_the_version() -> None:
    """It is compared with the reference of the version before it still."""
    story = play("version:new@30h", "concept@44h", models=("pricing",), hours=54, config=CONFIG)
    losses = [a for a in story.first if a.recommended_action == "retrain"]
    assert losses, "retraining is asked for"
    assert {a.model.version for a in losses} == {"8"}
    assert "so since it went live" not in losses[0].summary
