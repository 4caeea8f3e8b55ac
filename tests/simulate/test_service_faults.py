"""Faults of answers, traffic and labels."""

from __future__ import annotations

import math
from statistics import fmean, median, quantiles

import pytest

from tests.simulate.naive import (
    HOUR_MS,
    START_MS,
    Event,
    at_ms,
    error,
    excess,
    seen,
    share,
)


def scores(rows: list[Event]) -> list[float]:
    return [p["prediction"]["score"] for p in rows]


def latencies(rows: list[Event]) -> list[float]:
    return [p["latency_ms"] for p in rows]


def test_prediction_shift_raises_every_score_and_nothing_else() -> None:
    plain, shifted = seen(), seen("prediction@1h,0.5")
    assert scores(shifted.before) == scores(plain.before)
    pairs = zip(scores(shifted.since), scores(plain.since), strict=True)
    assert all(now >= was for now, was in pairs)
    assert [p["features"] for p in shifted.since] == [p["features"] for p in plain.since]
    assert shifted.actual == plain.actual


def test_values_of_a_regression_shift_by_a_factor() -> None:
    plain, shifted = seen(models=("pricing",)), seen("prediction@1h,0.3", models=("pricing",))
    for now, was in zip(shifted.since, plain.since, strict=True):
        wanted = was["prediction"]["value"] * math.exp(0.3)
        assert now["prediction"]["value"] == pytest.approx(wanted, rel=0.01, abs=0.02)


def test_a_low_threshold_refuses_legitimate_requests() -> None:
    plain, broken = seen(), seen("false_positives@1h,0.1")

    def refused(stream_since: list[Event]) -> float:
        legitimate = [p for p in stream_since if plain.actual.get(p["prediction_id"]) == 0]
        return share(legitimate, lambda p: p["prediction"]["label"] == 1)

    assert refused(broken.before) == refused(plain.before)
    assert refused(broken.since) > 5 * refused(plain.since)
    assert scores(broken.since) == scores(plain.since)


def test_lost_calibration_keeps_order_and_decisions() -> None:
    plain, broken = seen(), seen("calibration@1h,x2")
    assert [p["prediction"]["label"] for p in broken.since] == [
        p["prediction"]["label"] for p in plain.since
    ]
    by_score = sorted(zip(scores(plain.since), scores(broken.since), strict=True))
    assert [now for _, now in by_score] == sorted(now for _, now in by_score)
    assert abs(excess(plain.since, plain.actual)) < 0.004
    assert excess(broken.since, plain.actual) < -0.01
    assert error(broken.since, broken.actual) == error(plain.since, plain.actual)


def test_latency_rises_for_all_or_in_the_tail() -> None:
    slow, tail = seen("latency@1h,x3"), seen("latency:tail@1h,x20")
    assert median(latencies(slow.since)) == pytest.approx(
        3 * median(latencies(slow.before)), rel=0.05
    )
    assert median(latencies(tail.since)) == pytest.approx(median(latencies(tail.before)), rel=0.1)
    assert (
        quantiles(latencies(tail.since), n=100)[98]
        > 5 * quantiles(latencies(tail.before), n=100)[98]
    )


@pytest.mark.parametrize("factor", [0.3, 3])
def test_throughput_falls_and_rises(factor: float) -> None:
    changed = seen(f"throughput@1h,x{factor}")
    assert len(changed.since) == pytest.approx(factor * len(seen().since), rel=0.03)
    assert len({p["prediction_id"] for p in changed.predictions}) == len(changed.predictions)


def test_more_requests_of_one_segment_only() -> None:
    more = seen("throughput@1h,x3,where=region=APAC")
    for region, factor in (("APAC", 3), ("EU", 1)):

        def here(rows: list[Event], region: str = region) -> int:
            return sum(p["segment"]["region"] == region for p in rows)

        assert here(more.since) == pytest.approx(factor * here(seen().since), rel=0.05)


def test_a_batch_job_crowds_the_service_and_slows_it() -> None:
    crowded = seen("batch@1h,x10,every=30m").since

    def is_batch(p: Event) -> bool:
        return (at_ms(p["predicted_at"]) - START_MS) % (HOUR_MS // 2) < HOUR_MS // 6

    batch = [p for p in crowded if is_batch(p)]
    rest = [p for p in crowded if not is_batch(p)]
    assert len(batch) / len(rest) == pytest.approx(10 / 2, rel=0.05)
    assert median(latencies(batch)) == pytest.approx(2 * median(latencies(rest)), rel=0.05)


def test_a_silent_segment_sends_nothing_while_it_lasts() -> None:
    quiet = seen("silence:producer=scorer-2@1h..90m")
    gone = {p["prediction_id"] for p in seen().predictions} - {
        p["prediction_id"] for p in quiet.predictions
    }
    wanted = {
        p["prediction_id"]
        for p in seen().predictions
        if p["segment"]["producer"] == "scorer-2"
        and HOUR_MS <= at_ms(p["predicted_at"]) - START_MS < 1.5 * HOUR_MS
    }
    assert gone == wanted
    assert quiet.fault["affected"]["count"] == len(wanted) > 2_000
    assert quiet.fault["expected"][0]["segment"] == "producer=scorer-2"


def test_labels_stop_and_predictions_go_on() -> None:
    stopped = seen("labels_stop@1h")
    assert len(stopped.predictions) == len(seen().predictions)
    assert max(at_ms(o["observed_at"]) for o in stopped.outcomes) < START_MS + HOUR_MS
    assert len(seen().outcomes) > 2 * len(stopped.outcomes)


def test_labels_come_later() -> None:
    usual, late = seen(length="4h"), seen("label_delay@1h,x3", length="4h")
    times = {p["prediction_id"]: at_ms(p["predicted_at"]) for p in usual.predictions}

    def delays(stream_outcomes: list[Event]) -> list[float]:
        due = [o for o in stream_outcomes if 60 <= minute(o) < 80]
        return [at_ms(o["observed_at"]) - times[o["prediction_id"]] for o in due]

    def minute(o: Event) -> float:
        return (times[o["prediction_id"]] - START_MS) / 60_000

    assert fmean(delays(late.outcomes)) == pytest.approx(
        3 * fmean(delays(usual.outcomes)), rel=0.05
    )
