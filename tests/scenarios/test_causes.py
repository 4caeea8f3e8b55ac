"""A schema that changes: the feature is named, and what was done to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.play import play
from tests.scenarios.test_scenarios import caught

PRICING = ("pricing",)
ROWS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("rename:amount@36h", ("fraud",), {"what": "renamed", "to": "amount_v2"}),
    ("rename:channel@36h,to=sales_channel", ("fraud",), {"to": "sales_channel"}),
    ("retype:amount@36h", ("fraud",), {"what": "retyped", "to": "number as text"}),
    ("unit:amount@36h,x100", ("fraud",), {"what": "other_unit", "unit": "×100"}),
    ("unit:amount@36h,x0.01", ("fraud",), {"what": "other_unit", "unit": "÷100"}),
    ("unit:weight_kg@36h,x1000", PRICING, {"what": "other_unit", "unit": "×1000"}),
    (
        "unit:temperature_c@36h,x1.8,offset=32",
        PRICING,
        {"what": "other_unit", "unit": "°C as °F", "factor": 1.8, "offset": 32.0},
    ),
    ("swap:amount+utilization@36h", ("fraud",), {"what": "swapped"}),
    ("swap:amount+distance_km@36h", ("fraud",), {"what": "swapped"}),
    ("stale:amount@36h", ("fraud",), {"what": "stale"}),
    ("stale:amount@36h,40%", ("fraud",), {"what": "stuck"}),
    ("new_category:country@36h", ("fraud",), {"what": "new_category"}),
]


@pytest.mark.parametrize(("fault", "models", "cause"), ROWS, ids=[row[0] for row in ROWS])
def test_the_cause_is_named_and_the_pipeline_is_to_be_fixed(
    fault: str, models: tuple[str, ...], cause: dict[str, Any]
) -> None:
    story = play(fault, models=models)
    root = caught(story, within_min=30)
    assert root.recommended_action == "fix_pipeline"
    named = [a for a in story.first if "cause" in a.evidence]
    assert named
    for alert in named:
        assert cause.items() <= alert.evidence["cause"].items()
        assert alert.incident_id == root.incident_id
    assert not [a for a in story.alerts if a.recommended_action == "retrain"]


def test_columns_that_change_places_are_named_by_each_other() -> None:
    story = play("swap:amount+utilization@36h")
    pairs = {
        (a.scope.feature, a.evidence["cause"]["with"]) for a in story.first if "cause" in a.evidence
    }
    assert pairs == {("amount", "utilization"), ("utilization", "amount")}


@pytest.mark.parametrize("fault", ["covariate:amount@36h", "covariate:amount@36h,3"])
def test_a_drift_of_the_world_is_not_called_a_fault(fault: str) -> None:
    story = play(fault)
    assert "FeatureDrift" in {a.alertname for a in story.first if a.scope.feature == "amount"}
    assert not [a for a in story.first if a.evidence.get("cause")]


def test_a_feature_that_comes_under_its_own_name_again_is_no_second_fault() -> None:
    story = play("rename:customer_score@30h..36h", hours=48)
    assert {a.alertname for a in story.first if a.scope.feature} == {"AbsentFeature"}
    assert [a.scope.feature for a in story.first if a.scope.feature] == ["customer_score"]
    assert [r.type for r in story.requests] == ["fix_pipeline"]
