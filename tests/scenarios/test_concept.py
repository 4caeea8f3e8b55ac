"""Concept drift: inputs as before, and what follows from them is another."""

from __future__ import annotations

import pytest

from tests.scenarios.play import play
from tests.scenarios.test_scenarios import caught


@pytest.mark.parametrize(("model", "hours"), [("fraud", 48), ("pricing", 40)])
def test_a_relation_that_changes_while_all_inputs_certainly_do_not_is_concept_drift(
    model: str, hours: int
) -> None:
    """At one event a second: to be certain of the inputs takes more than ten a minute. What is told
    first may come too soon for it."""
    story = play("concept@36h", models=(model,), hours=hours, rate="1/s")
    first = caught(story, within_min=720, severity="error")
    alert = next(a for a in story.first if a.kind == "concept_drift")
    assert alert.incident_id == first.incident_id
    assert (alert.recommended_action, alert.severity) == ("retrain", "error")
    inputs = alert.evidence["inputs"]
    assert (inputs["undecided"], inputs["moved"]) == ([], [])
    assert "inputs and predictions are as before" in alert.summary
    assert {a.kind for a in story.first} <= {"concept_drift", "performance", "calibration"}


def test_where_an_input_moved_it_is_not_called_so() -> None:
    story = play("covariate:amount@36h")
    losses = [a for a in story.first if a.kind == "performance" and a.severity == "error"]
    assert losses
    assert all("amount" in a.evidence["inputs"]["moved"] for a in losses)
    assert "concept_drift" not in {a.kind for a in story.first}
