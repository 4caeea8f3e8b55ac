"""Distances with thresholds of the owner's own: told, quiet again, and only those asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from stream.rules import JointRule, ModelRule, ThresholdRule
from stream.settings import load
from tests.stream.test_watch import PANE_MS, RULES, of, panes, told

ALL = ThresholdRule(psi=0.5, ks=0.4, jensen_shannon=0.35, wasserstein=0.8, chi2=1e-6)
ASKED = replace(RULES, models={"m": ModelRule(thresholds=ALL)}, joint=JointRule(enabled=False))
NAMES = ("Psi", "Ks", "JensenShannon", "Wasserstein")


def test_a_distance_beyond_its_threshold_is_told_and_quiet_again_below_it() -> None:
    found = told(panes(1_200, {300: 2.0, 600: 0.0}), [], ASKED)
    for name in NAMES:
        mine = of(found, f"FeatureDrift{name}")
        assert [far for _, far in mine] == [True, False]
        assert 300 < mine[0][0] < 400
        assert 600 < mine[1][0] < 700
    (detail,) = [f.detail for f in found if f.alertname == "FeatureDriftPsi" and f.detail]
    assert detail["detector"]["name"] == "psi"
    assert detail["detector"]["statistic"] >= detail["detector"]["threshold"] == 0.5
    assert detail["detector"]["budget_share"] == 0.0
    assert detail["effect"]["low"] < detail["effect"]["estimate"] < detail["effect"]["high"]
    assert detail["evidence"]["current"]["psi"] >= 0.5
    assert detail["summary"].startswith("m v1: PSI of x is ")


def test_beyond_its_threshold_for_14_days_its_owner_is_asked_once() -> None:
    rules = replace(ASKED, ask_after_ms=500 * PANE_MS)
    found = told(panes(1_200, {300: 2.0}), [], rules)
    for name in NAMES:
        mine = [f for f in found if f.alertname == f"FeatureDrift{name}"]
        assert [f.verdict for f in mine] == ["drift", "lasting"]
        assert 500 <= (mine[1].pane_end_ms - mine[0].pane_end_ms) // PANE_MS < 520
    assert mine[1].detail is not None
    assert "accept a new one: leeway reference accept m 1" in mine[1].detail["summary"]


def test_what_is_not_asked_for_is_not_told() -> None:
    some = replace(ASKED, models={"m": ModelRule(thresholds=ThresholdRule(ks=0.4))})
    names = {f.alertname for f in told(panes(600, {300: 2.0}), [], some)}
    assert "FeatureDriftKs" in names
    assert names.isdisjoint(f"FeatureDrift{name}" for name in NAMES if name != "Ks")
    assert not [f for f in told(panes(600, {300: 2.0}), []) if f.alertname.endswith(NAMES)]


def test_a_threshold_that_is_taken_away_ends_its_alert() -> None:
    from stream.monitor import Monitor
    from tests.stream.test_watch import GROUP

    table = panes(600, {300: 2.0})
    monitor = Monitor(ASKED, GROUP, "prediction", ASKED.reference)
    before, _ = monitor.update(table.between(0, 500 * PANE_MS))
    assert [far for _, far in of(before, "FeatureDriftPsi")] == [True]
    after, _ = monitor.update(table.between(501 * PANE_MS, 600 * PANE_MS), RULES)
    assert of(after, "FeatureDriftPsi") == [(501, False)]


@pytest.mark.parametrize("seed", range(3))
def test_neither_batches_nor_restores_show(seed: int) -> None:
    table = panes(700, {200: 2.0, 450: 0.0}, seed=seed)
    cuts = sorted(Random(seed).sample(range(1, 700), 15))

    def all_of(where: list[int]) -> list[str]:
        found = told(table, where, ASKED)
        return sorted(str((f.pane_end_ms, f.series, f.alertname, f.detail)) for f in found)

    assert all_of(cuts) == all_of([])


def test_a_model_adds_its_own_to_those_of_all(tmp_path: Path) -> None:
    path = tmp_path / "leeway.yaml"
    path.write_text(
        """
thresholds: {psi: 0.25, ks: 0.2}
models:
  m: {owners: {accountable: a}, runbook_url: https://e.com, thresholds: {ks: 0.3, chi2: 0.001}}
  n: {owners: {accountable: a}, runbook_url: https://e.com}
""",
        encoding="utf-8",
    )
    rules = load(path).rules()
    assert rules.thresholds_of("m") == ThresholdRule(psi=0.25, ks=0.3, chi2=0.001)
    assert rules.thresholds_of("n") == ThresholdRule(psi=0.25, ks=0.2)
