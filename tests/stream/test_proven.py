"""Proven mode: rates under e-detectors, by model; all else as ever."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.columns import Rows, column
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.pipeline import Pipeline
from stream.rules import BudgetRule, ModelRule, ReferenceRule, Rules
from tests.stream.monitors import lived
from tests.stream.test_watch import PANE_MS
from tests.stream.test_watch import RULES as BANK
from tests.streams import outcome, prediction, records

RULES = replace(BANK, models={"m": ModelRule(proven=True)}, budget=BudgetRule())


def panes(count: int, shares: dict[int, float], *, seed: int = 1) -> PaneTable:
    """Ten rows a pane, of which a share is null: another one from each pane of `shares` on."""
    random = Random(seed)
    ends = np.repeat(np.arange(1, count + 1) * PANE_MS, 10)
    x: list[Any] = []
    for end in ends.tolist():
        share = [share for pane, share in shares.items() if pane <= end // PANE_MS][-1]
        x.append(None if random.random() < share else random.gauss(0, 1))
    hashes = np.array([random.getrandbits(64) for _ in ends], np.uint64)
    rows = Rows(ends, hashes, {"feature:x": column(x, {})}, {})
    return summarise(rows, RULES.pane_rows, RULES.max_categories)


def told(table: PaneTable, cuts: list[int], rules: Rules = RULES) -> list[MonitorFinding]:
    return lived(table, rules, cuts).findings


def test_nulls_are_told_by_the_e_detector_and_are_well_again_by_the_interval() -> None:
    found = told(panes(900, {0: 0.02, 300: 0.3, 500: 0.02}), [])
    nulls = [f for f in found if f.alertname == "NullRate"]
    assert [f.detail is not None for f in nulls] == [True, False]
    detail = nulls[0].detail
    assert detail is not None
    assert detail["detector"]["name"] == "e_detector"
    assert detail["detector"]["statistic"] >= detail["detector"]["threshold"]
    assert 300 <= nulls[0].pane_end_ms // PANE_MS < 330
    assert detail["effect"]["estimate"] == pytest.approx(0.28, abs=0.12)
    assert abs(detail["change_at_ms"] // PANE_MS - 300) < 10
    assert detail["reference"]["count"] == 600
    assert nulls[1].pane_end_ms // PANE_MS > 500


def test_fewer_nulls_are_no_fault() -> None:
    assert told(panes(900, {0: 0.3, 300: 0.0}), []) == []


def test_a_second_rise_while_it_fires_is_told_as_the_same_alert() -> None:
    found = told(panes(1_000, {0: 0.02, 300: 0.3, 600: 0.8}), [])
    nulls = [(f.pane_end_ms // PANE_MS, f.detail is not None) for f in found if f.detail]
    assert len(nulls) == 3
    assert 600 <= nulls[1][0] < 640
    assert nulls[2][0] > 640, "once more, when as much is known as of a reference"


@pytest.mark.parametrize("seed", range(3))
def test_what_does_not_change_is_silent(seed: int) -> None:
    rules = replace(RULES, budget=BudgetRule(predictions=10_000, span_ms=60_000_000))
    found = told(panes(1_200, {0: 0.1}, seed=seed), [], rules)
    assert [f for f in found if f.alertname == "NullRate"] == []


@pytest.mark.parametrize("seed", range(3))
def test_neither_batches_nor_restores_show(seed: int) -> None:
    table = panes(900, {0: 0.05, 300: 0.4, 500: 0.05, 700: 0.5}, seed=seed)
    whole = told(table, [])
    assert len(whole) >= 2
    cuts = sorted(Random(seed).sample(range(1, 900), 15))
    assert told(table, cuts) == whole


def test_errors_of_the_models_that_ask_for_it() -> None:
    random = Random(4)
    events, truths = [], []
    for i in range(8_000):
        model, n = ("m", "n")[i % 2], i // 2
        wrong = random.random() < (0.05 if n < 2_500 else 0.4)
        events.append(prediction(f"p{i}", 50 * i, model_id=model, prediction={"label": "a"}))
        truths.append(
            outcome(f"p{i}", 50 * i + 500, model_id=model, actual={"label": "b" if wrong else "a"})
        )
    rules = replace(
        RULES,
        maturity=2_000,
        reference=ReferenceRule(predictions=1_000, span_ms=60_000),
        models={"m": ModelRule(proven=True), "n": ModelRule()},
    )
    pipeline = Pipeline(rules, 1)
    pipeline.predictions(records(events))
    pipeline.outcomes(records(truths, "outcomes"))
    pipeline.end_of_input(None)
    errors = {
        alert.model.id: alert.detector
        for alert in (effect.alert for effect in pipeline.alerts)
        if alert.alertname == "ErrorRateDrift" and alert.sequence == 1
    }
    assert {model: of.name for model, of in errors.items()} == {
        "m": "e_detector",
        "n": "bernoulli_cusum",
    }
    assert errors["m"].budget_share == errors["n"].budget_share


def test_a_models_own_word_counts_before_that_for_all() -> None:
    rules = Rules(proven=True, models={"a": ModelRule(proven=False), "b": ModelRule()})
    assert [rules.is_proven(m) for m in ("a", "b")] == [False, True]
    others = Rules(proven=True, models={"a": ModelRule(), "b": ModelRule()})
    assert rules.config_hash() != others.config_hash()


def scored(count: int, worse_from: int | None, seed: int) -> list[Any]:
    """Alerts of a model whose scores of what is true are worse from some prediction on, under the
    e-detector."""
    random, events, truths = Random(seed), [], []
    for i in range(count):
        is_true = random.random() < 0.5
        is_bad = worse_from is not None and i >= worse_from and random.random() < 0.4
        score = random.betavariate(*((2, 8) if is_true == is_bad else (8, 2)))
        said = {"label": "1", "score": round(score, 4)}
        events.append(prediction(f"p{i}", 50 * i, prediction=said))
        truths.append(outcome(f"p{i}", 50 * i + 500, actual={"label": str(int(is_true))}))
    rules = replace(
        RULES, maturity=2_000, reference=ReferenceRule(predictions=1_000, span_ms=60_000)
    )
    pipeline = Pipeline(rules, 1)
    pipeline.predictions(records(events))
    pipeline.outcomes(records(truths, "outcomes"))
    pipeline.end_of_input(None)
    return [e.alert for e in pipeline.alerts if e.alert.alertname == "BrierScoreDrift"]


def test_brier_scores_are_told_in_their_own_unit() -> None:
    alert = scored(6_000, 3_000, seed=1)[0]
    assert alert.detector.name == "e_detector"
    assert alert.summary.startswith("m v1: brier rose from 0.05")
    assert alert.impact.metric == "brier"
    assert 0.15 < alert.effect.low <= alert.effect.estimate <= alert.effect.high < 0.4
    assert alert.impact.value - alert.impact.reference == pytest.approx(
        alert.effect.estimate, abs=0.01
    )


@pytest.mark.parametrize("seed", range(3))
def test_brier_scores_that_stay_are_silent(seed: int) -> None:
    assert scored(4_000, None, seed) == []
