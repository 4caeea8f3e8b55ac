"""Shadows: what keeps one from going live is told before it does."""

from __future__ import annotations

import pytest

from tests.scenarios.play import play
from tests.scenarios.test_scenarios import caught


def test_a_shadow_as_good_as_its_champion_is_not_told() -> None:
    assert play("shadow:agree@24h").alerts == []


@pytest.mark.parametrize(
    ("fault", "alertname", "kind"),
    [
        ("shadow:missing@24h", "ShadowMissing", "version"),
        ("shadow:slow@24h", "ShadowSlower", "version"),
        ("shadow:schema@24h", "ShadowLacksFeature", "schema"),
    ],
)
def test_a_shadow_that_is_not_integrated_is_told_before_it_goes_live(
    fault: str, alertname: str, kind: str
) -> None:
    alert = caught(play(fault), within_min=30, alertname=alertname, kind=kind)
    assert alert.model.role == "shadow"
    assert alert.recommended_action == "fix_pipeline"


def test_a_shadow_that_errs_more_on_the_same_predictions_is_told_and_is_not_to_go_live() -> None:
    story = play("shadow:disagree@24h", models=("pricing",))
    alert = caught(story, within_min=120, alertname="ShadowWorse", kind="version")
    assert alert.model.role == "shadow"
    assert alert.effect.low > alert.effect.floor
