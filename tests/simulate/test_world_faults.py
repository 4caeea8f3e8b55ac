"""Drift: of the inputs while the relation stays, and of the relation while the inputs stay."""

from __future__ import annotations

import math
from statistics import fmean, pstdev

import pytest

from tests.simulate.naive import Event, brier, error, excess, numbers, seen, share


def logs(rows: list[Event]) -> list[float]:
    return [math.log(value) for value in numbers(rows, "amount")]


def test_covariate_drift_moves_a_feature_by_its_spread() -> None:
    drifted = seen("covariate:amount@1h,0.5")
    before, since = logs(drifted.before), logs(drifted.since)
    assert fmean(since) - fmean(before) == pytest.approx(0.6, abs=0.05)  # half of 1.2
    assert pstdev(since) == pytest.approx(pstdev(before), rel=0.03)
    assert drifted.fault["factor"] == pytest.approx(math.exp(0.6))


def test_covariate_drift_leaves_scores_calibrated() -> None:
    """The relation is as it was: more fraud, and the scores say so."""
    drifted = seen("covariate:amount@1h,1")
    assert sum(drifted.actual.values()) > 1.2 * sum(seen().actual.values())
    assert excess(drifted.since, drifted.actual) == pytest.approx(0, abs=0.006)


def test_gradual_drift_grows() -> None:
    rows = seen("covariate:amount@1h,1,ramp=1h").since
    first, last = rows[: len(rows) // 4], rows[-len(rows) // 4 :]
    assert fmean(logs(last)) - fmean(logs(first)) == pytest.approx(0.75 * 1.2, abs=0.1)


def test_categories_and_flags_drift_by_share() -> None:
    drifted = seen("covariate:channel@1h,30%")
    to = drifted.fault["to"]
    was = share(drifted.before, lambda p: p["features"]["channel"] == to)
    now = share(drifted.since, lambda p: p["features"]["channel"] == to)
    assert now == pytest.approx(was + 0.3 * (1 - was), abs=0.02)
    flags = seen("covariate:card_present@1h,30%")
    was = share(flags.before, lambda p: p["features"]["card_present"])
    now = share(flags.since, lambda p: p["features"]["card_present"])
    assert now == pytest.approx(was + 0.3 * (1 - was), abs=0.02)


def test_concept_drift_leaves_inputs_and_predictions_and_breaks_the_truth() -> None:
    plain, drifted = seen(), seen("concept@1h")
    assert drifted.predictions == plain.predictions
    assert error(drifted.before, drifted.actual) == error(plain.before, plain.actual)
    assert error(drifted.since, drifted.actual) > 1.2 * error(plain.since, plain.actual)
    assert brier(drifted.since, drifted.actual) > 1.3 * brier(plain.since, plain.actual)
    assert drifted.fault["relation_of"] == ["amount", "customer_score"]


def test_concept_drift_of_one_feature_turns_what_it_says() -> None:
    drifted = seen("concept:amount@1h,100%")

    def share_of_large(rows: list[Event]) -> float:
        frauds = [p for p in rows if drifted.actual.get(p["prediction_id"]) == 1]
        return share(frauds, lambda p: p["features"]["amount"] > 33)  # the median

    assert share_of_large(drifted.before) > 0.75
    assert share_of_large(drifted.since) < 0.35


def test_a_regression_drifts_too() -> None:
    drifted = seen("concept:distance_km@1h,20%", models=("pricing",))

    def off(rows: list[Event]) -> float:
        known = [p for p in rows if p["prediction_id"] in drifted.actual]
        return fmean(
            abs(math.log(p["prediction"]["value"] / drifted.actual[p["prediction_id"]]))
            for p in known
        )

    assert off(drifted.since) > 1.5 * off(drifted.before)
