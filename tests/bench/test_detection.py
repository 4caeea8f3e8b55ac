"""The goals of detection in small: fixed seeds, so each either holds or does not."""

from __future__ import annotations

import math

import pytest

from tests.bench import detection_delays as delay
from tests.bench import detection_false as quiet
from tests.bench import detection_fresh as fresh
from tests.bench import detection_hours as hours
from tests.bench import detection_judged as judged
from tests.bench import detection_season as season
from tests.bench import detection_unseen as unseen
from tests.bench.detection_plot import svg

SHIPPED = quiet.SHIPPED * quiet.BUDGET


@pytest.mark.parametrize("name", ["bernoulli .001", "bernoulli .1", "normal", "zero-inflated"])
def test_a_series_alone_keeps_the_budget(name: str) -> None:
    found = quiet.single(name, 10_000, series=100, length=40_000, seed=5)
    assert found["alerts"] <= 6  # 2 are expected of 4M values at half of 1 per 1M
    assert found["firing_share"] <= 0.01


def test_a_model_of_many_series_keeps_the_budget_too() -> None:
    found = quiet.models(models=20, length=50_000, count=10_000, seed=5)
    assert found["mean_per_million"] <= 3.0  # 3 of 1M predictions, where 0.5 are expected


def test_judged_predictions_keep_the_budget_and_changes_of_them_are_found() -> None:
    for scores in judged.SCORES:
        assert judged.quiet(scores, models=2, length=60_000, seed=5)["alerts"] == 0
    for what in judged.CHANGES:
        found = judged.found(what, models=2, length=100_000, seed=5)
        assert (found["found"], found["early"]) == (1.0, 0)


@pytest.mark.parametrize("kind", hours.KINDS)
def test_what_goes_together_at_each_hour_as_ever_is_silent(kind: str) -> None:
    assert hours.quiet(kind, "as shipped", days=60, seed=5)["told"] == 0
    if kind != "no cycle":
        assert hours.quiet(kind, "ranks", days=60, seed=5)["told"] > 10


def test_a_model_that_comes_and_goes_with_the_day_is_silent_and_a_step_of_it_is_found() -> None:
    assert season.quiet(models=2, days=8, seed=5)["names"] == []
    step = season.found(models=1, change=5, seed=5)
    assert (step["alerts"], step["found"]) == (0, 1.0)


def test_series_without_a_reference_keep_the_budget() -> None:
    for kind in ("bernoulli .1", "normal"):
        found = fresh.quiet(kind, series=150, length=5_000, rate=SHIPPED, seed=5)
        assert found["alerts"] <= 3  # 0.4 expected of 750,000 values
    nulls = fresh.found(0.0, 0.3, at=500, within=100, series=100, rate=SHIPPED, seed=5)
    rise = fresh.found(0.1, 0.3, at=2000, within=300, series=100, rate=SHIPPED, seed=5)
    assert min(nulls["found"], rise["found"]) >= 0.95


def test_delays_are_near_those_of_the_detector_that_knows_both_distributions() -> None:
    rows = [delay.delays(shift, count=50_000, series=60, rate=SHIPPED, seed=5)
            for shift in delay.SHIFTS if shift.name != "+.25σ"]  # fmt: skip
    summary = delay.summary(rows)
    assert summary["geometric_mean"] <= 1.40
    assert summary["worst"] <= 1.65
    assert summary["most_missed"] == 0.0
    for row in rows:  # the oracle is the one that was measured elsewhere
        near = 4 * row["oracle"]["error"] + 0.06 * row["published_oracle"]
        assert row["oracle"]["mean"] == pytest.approx(row["published_oracle"], abs=near)


@pytest.mark.parametrize(("kind", "count"), [("ar 0.7", 20_000), ("season", 30_000)])
def test_dependent_values_keep_the_budget(kind: str, count: int) -> None:
    found = quiet.dependent(kind, count, series=20, length=50_000, seed=5)
    assert found["alerts"] <= 2  # of 1M values
    assert found["tau"] > 5


def test_a_public_generator_is_silent_until_its_concept_changes() -> None:
    found = unseen.measure("LED", 20, 24_000, 18_000)["Leeway"]
    assert found.false == 0
    assert found.delay is not None
    assert found.delay < 200


def test_the_plot_shows_every_point_and_the_best_possible() -> None:
    rows = [
        {"detector": d, "setting": "s", "per_million": rate, "mean": mean, "missed": missed}
        for d, rate, mean, missed in (
            ("a", 0.0, 250.0, 0.0), ("a", 5.0, 200.0, 0.0), ("b & c", 300.0, 80.0, 0.3),
            ("d", 1.0, math.nan, 1.0),
        )
    ]  # fmt: skip
    drawn = svg(rows, "t", 213.0)
    assert drawn.count("<circle") == 3
    assert "b &amp; c" in drawn
    assert "best possible" in drawn
