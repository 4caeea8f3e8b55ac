"""Further ages: predictions are judged before their maturity too, against a reference as young."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.pane_kinds import age_text, checked_kind, cohort_at, further_age_of
from stream.pipeline import Pipeline
from stream.reference import Reference
from stream.rules import AdwinRule, BudgetRule, FloorRule, ModelRule, ReferenceRule, Rules
from tests.streams import SMALL, Event, alert_bytes, dealt, outcome, prediction
from tests.streams import run as run_stream

MATURITY_MS = 120_000
RULES = replace(
    SMALL,
    adwin=AdwinRule(),
    maturity=MATURITY_MS,
    ages=(5_000, 30_000),
    reference=ReferenceRule(predictions=3_000, span_ms=60_000),
    budget=BudgetRule(predictions=100_000, span_ms=60_000_000),
    floors=FloorRule(),
    minimum_values=200,
)
GAP_MS = 200


def events(
    count: int, *, worse_from: int | None = None, slower_from: int | None = None, seed: int = 1
) -> tuple[list[Event], list[Event]]:
    """Half of the labels come within 4 s, the others up to a minute later; wrong predictions are
    told of sooner than right ones. From some prediction on more are wrong, or labels are slow."""
    random = Random(seed)
    predictions, outcomes = [], []
    for i in range(count):
        at_ms = i * GAP_MS
        is_wrong = random.random() < (0.3 if worse_from is not None and i >= worse_from else 0.1)
        is_slow = slower_from is not None and i >= slower_from
        is_early = random.random() < (0.8 if is_wrong else 0.5) and not is_slow
        delay_ms = random.randint(1, 4_000) if is_early else random.randint(31_000, 60_000)
        predictions.append(prediction(f"p{i}", at_ms) | {"_arrival": at_ms})
        actual = {"label": "no" if is_wrong else "yes"}
        told = outcome(f"p{i}", at_ms + delay_ms, actual=actual)
        outcomes.append(told | {"_arrival": at_ms + delay_ms})
    return predictions, outcomes


def run(rules: Rules, seed: int = 1, partitions: int = 1, **which: Any) -> Pipeline:
    stream = dealt(*events(9_000, **which), partitions)
    return run_stream(rules, stream, Random(seed), largest=400)


def alerts(pipeline: Pipeline) -> list[Any]:
    return [effect.alert for effect in pipeline.alerts]


def test_a_model_that_is_worse_is_told_of_before_the_last_labels_are_in() -> None:
    found = alerts(run(RULES, worse_from=6_000))
    first = {a.alertname: a for a in reversed(found) if a.sequence == 1}
    assert {"ErrorRateDriftAt5s", "ErrorRateDriftAt30s", "ErrorRateDrift"} <= first.keys()
    early, last = first["ErrorRateDriftAt5s"], first["ErrorRateDrift"]
    assert early.evaluated_at < first["ErrorRateDriftAt30s"].evaluated_at < last.evaluated_at
    assert (early.kind, early.severity, early.recommended_action) == (
        ("performance", "error", "retrain")
    )
    assert early.summary.startswith("m v1: error rose from ")
    assert early.summary.endswith(" among predictions judged at the age of 5s")
    assert early.fingerprint != last.fingerprint
    assert early.incident_id == last.incident_id
    assert early.reference.id != last.reference.id
    assert early.impact.reference > last.impact.reference  # wrong ones are told of sooner
    assert early.impact.label_coverage < 0.7 < last.impact.label_coverage
    assert early.detector.budget_share == pytest.approx(last.detector.budget_share)


def test_early_labels_are_compared_with_early_labels() -> None:
    for seed in range(3):
        assert alerts(run(RULES, seed=seed)) == []


def test_labels_that_become_slow_leave_performance_undecided_at_the_ages_they_miss() -> None:
    names = {a.alertname for a in alerts(run(RULES, slower_from=6_000))}
    assert names == {"LabelDelayAt5s", "LabelDelayAt30s"}


def test_the_ledger_and_what_is_judged_at_maturity_are_as_without_them() -> None:
    without = run(replace(RULES, ages=()), worse_from=6_000)
    with_them = run(RULES, worse_from=6_000)
    assert with_them.ledger() == without.ledger()
    kinds = [Reference.decode(sealed.value).kind for sealed in with_them.references]
    assert kinds == ["prediction", "cohort@5000", "cohort@30000", "cohort"]
    of = {Reference.decode(sealed.value).kind: sealed.key for sealed in with_them.references}
    assert of["cohort"] in {sealed.key for sealed in without.references}


@pytest.mark.parametrize("maturity", ["auto", MATURITY_MS])
def test_alerts_are_the_same_however_the_records_are_cut_and_dealt(maturity: Any) -> None:
    rules = replace(RULES, maturity=maturity)
    first = alert_bytes(run(rules, worse_from=6_000))
    assert any(b"At5s" in one for one in first)
    assert alert_bytes(run(rules, seed=2, worse_from=6_000)) == first
    assert alert_bytes(run(rules, seed=3, partitions=3, worse_from=6_000)) == first


def test_ages_are_those_of_the_model_and_below_its_maturity() -> None:
    rules = replace(
        RULES,
        models={"own": ModelRule(ages=(7_000,)), "none": ModelRule(ages=()), "m": ModelRule()},
    )
    assert rules.ages_of("own") == (7_000,)
    assert rules.ages_of("none") == ()
    assert rules.ages_of("m", 30_000) == (5_000,)
    assert rules.judgements_of("m") == 3
    assert rules.judgements_of("none") == 1


def test_no_ages_of_a_model_are_not_those_of_all() -> None:
    all_have = replace(RULES, models={"m": ModelRule()})
    one_has_none = replace(RULES, models={"m": ModelRule(ages=())})
    assert all_have.config_hash() != one_has_none.config_hash()
    assert all_have.of_state("m") != one_has_none.of_state("m")
    assert one_has_none.cannot_follow(all_have)


def test_kinds_of_panes_are_read_as_they_are_written() -> None:
    for kind in ("prediction", "cohort", cohort_at(5_000)):
        assert checked_kind(kind) == kind
    assert further_age_of(cohort_at(5_000)) == 5_000
    assert further_age_of("cohort") is None
    for text in ("", "cohort@", "cohort@-1", "cohort@05", "cohort@x", "cohorts", "5000"):
        with pytest.raises(ValueError, match="no kind of panes"):
            checked_kind(text)
    assert [age_text(ms) for ms in (1, 5_000, 5_400_000, 86_400_000)] == ["1ms", "5s", "90m", "1d"]
