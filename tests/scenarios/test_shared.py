"""A feature from one upstream: what happens to it is one incident of all models that read it."""

from __future__ import annotations

import pytest

from tests.scenarios.play import OWNERS, play

SHARED = "shared_features: {customer_score: [fraud, pricing]}"


@pytest.mark.parametrize("fault", ["null:customer_score@36h,30%", "unit:customer_score@36h,x100"])
def test_a_shared_feature_that_fails_is_one_incident_and_says_who_reads_it(fault: str) -> None:
    story = play(fault, models=("fraud", "pricing"), config=SHARED)
    of_it = [a for a in story.first if a.scope.feature == "customer_score"]
    assert {a.model.id for a in of_it} == {*OWNERS}
    assert len({a.incident_id for a in of_it}) == 1
    for alert in of_it:
        (other,) = {*OWNERS} - {alert.model.id}
        assert alert.evidence["shared"]["read_by"] == [other]
    assert of_it[0].evidence["shared"]["told_by"] == []
    later = next(a for a in of_it if a.model.id != of_it[0].model.id)
    assert later.evidence["shared"]["told_by"] == [of_it[0].model.id]
    assert f"told by {of_it[0].model.id} too" in later.summary


def test_features_of_one_name_that_nobody_declared_say_nothing_of_others() -> None:
    story = play("null:customer_score@36h,30%", models=("fraud", "pricing"))
    assert {(a.model.id, a.scope.feature) for a in story.first} >= {
        (model, "customer_score") for model in OWNERS
    }
    assert not [a for a in story.first if "shared" in a.evidence]
