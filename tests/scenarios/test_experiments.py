"""A/B tests: winner, loser or undecided, by subject; subjects not dealt as planned are told."""

from __future__ import annotations

import pytest

from tests.scenarios.play import Play, play
from tests.scenarios.test_scenarios import caught

CONFIG = """
models:
  {model}:
    subject: customer
    experiments:
      challenger: {{variants: [control, treatment], metric: {metric}, span: 1d}}
"""
FRAUD = CONFIG.format(model="fraud", metric="brier")
PRICING = CONFIG.format(model="pricing", metric="absolute_error")


def decisions(story: Play) -> dict[str, str]:
    (experiment,) = story.summary["experiments"]
    found: dict[str, str] = experiment["decisions"]
    return found


@pytest.mark.parametrize(
    ("way", "model", "decision"),
    [("none", "fraud", "undecided"), ("winner", "fraud", "winner"), ("loser", "pricing", "loser")],
)
def test_variants_are_compared_by_subject_and_decided_once(
    way: str, model: str, decision: str
) -> None:
    config = FRAUD if model == "fraud" else PRICING
    story = play(f"ab:{way}@12h", models=(model,), config=config, hours=60)
    assert decisions(story) == {"treatment": decision}
    assert story.alerts == []
    (request,) = story.requests
    assert (request.type, request.model.role) == ("experiment", "treatment")
    assert request.evidence["decision"] == decision
    assert request.target == ("treatment" if decision == "winner" else "control")
    assert request.evidence["difference"]["low"] < request.evidence["difference"]["high"]
    assert request.owners.accountable


def test_subjects_that_are_not_dealt_as_planned_are_told_and_nothing_is_decided() -> None:
    story = play("ab:mismatch@12h", config=FRAUD, hours=60)
    alert = caught(story, within_min=1_020, alertname="SampleRatioMismatch", kind="version")
    assert alert.model.role == "treatment"
    assert decisions(story) == {"treatment": "undecided"}
