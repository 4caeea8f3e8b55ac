"""The healthy stream: traffic, labels, and predictions that are as good as they say."""

from __future__ import annotations

import math
from statistics import fmean, median

import pytest

from stream.simulate import Simulation, Spec
from tests.simulate.naive import HOUR_MS, START_MS, Event, at_ms, excess, seen, share


def test_frauds_are_rare_and_scores_are_probabilities() -> None:
    stream = seen(rate="10/s")
    assert fmean(stream.actual.values()) == pytest.approx(0.03, abs=0.003)
    known = [p for p in stream.predictions if p["prediction_id"] in stream.actual]
    for low, high in ((0.0, 0.01), (0.01, 0.1), (0.1, 0.3), (0.3, 1.0)):
        bin_ = [p for p in known if low <= p["prediction"]["score"] < high]
        noise = math.sqrt(high / len(bin_))
        assert abs(excess(bin_, stream.actual)) < 4 * noise
        assert len(bin_) > 1_000


def test_prices_are_right_on_average() -> None:
    stream = seen(models=("pricing",))
    known = [p for p in stream.predictions if p["prediction_id"] in stream.actual]
    off = [math.log(p["prediction"]["value"] / stream.actual[p["prediction_id"]]) for p in known]
    assert fmean(off) == pytest.approx(0, abs=0.01)
    assert median(map(abs, off)) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(("rate", "per_hour"), [("1/min", 60), ("10/s", 36_000)])
def test_requests_come_at_the_rate(rate: str, per_hour: float) -> None:
    hours = 200 if rate == "1/min" else 1
    count = len(seen(rate=rate, length=f"{hours}h").predictions)
    assert count == pytest.approx(per_hour * hours, abs=4 * math.sqrt(per_hour * hours) + 1)


def test_a_thousand_a_second() -> None:
    spec = Spec.model_validate({"length": "20s", "traffic": {"rate": "1000/s"}})
    assert sum(is_prediction for is_prediction, _ in Simulation(spec).events()) == pytest.approx(
        20_000, abs=600
    )


def test_the_season_has_busy_and_quiet_hours() -> None:
    rows = seen(rate="10/min", daily="60%", length="10d").predictions

    def at(hour: int) -> int:
        return sum((at_ms(p["predicted_at"]) - START_MS) // HOUR_MS % 24 == hour for p in rows)

    assert at(14) / at(3) == pytest.approx(1.6 / 0.4, rel=0.2)


def test_bursts_come_now_and_then() -> None:
    given = {"rate": "1/s", "bursts": {"per_day": 24, "factor": 10, "length": "5m"}}
    spec = Spec.model_validate({"length": "1d", "traffic": given})
    minutes: dict[int, int] = {}
    for is_prediction, event in Simulation(spec).events():
        if is_prediction:
            minute = event.arrival_ms // 60_000
            minutes[minute] = minutes.get(minute, 0) + 1
    assert median(minutes.values()) == pytest.approx(60, rel=0.1)
    assert max(minutes.values()) > 400
    assert sum(n > 300 for n in minutes.values()) < 24 * 5 * 2


def test_labels_come_late_or_never_and_positive_ones_sooner() -> None:
    stream = seen(length="4h", label_median="4m", never="20%")
    times = {p["prediction_id"]: at_ms(p["predicted_at"]) for p in stream.predictions}
    old = {name for name, at in times.items() if at < START_MS + HOUR_MS}
    assert share([{"id": name} for name in old], lambda e: e["id"] in stream.actual) == (
        pytest.approx(0.8, abs=0.01)
    )

    def delay_ms(label: int) -> float:
        chosen: list[Event] = [
            o for o in stream.outcomes
            if o["prediction_id"] in old and o["actual"]["label"] == label
        ]  # fmt: skip
        return median(at_ms(o["observed_at"]) - times[o["prediction_id"]] for o in chosen)

    assert delay_ms(0) == pytest.approx(240_000, rel=0.05)
    assert delay_ms(1) == pytest.approx(120_000, rel=0.15)


def test_segments_and_customers_are_those_of_the_population() -> None:
    rows = seen(models=("fraud", "pricing")).predictions
    assert share(rows, lambda p: p["segment"]["region"] == "EU") == pytest.approx(0.5, abs=0.03)
    scores = [
        {p["features"]["customer_score"] for p in rows if p["model_id"] == m}
        for m in ("fraud", "pricing")
    ]
    assert len(scores[0] & scores[1]) > 0.7 * len(scores[0])
