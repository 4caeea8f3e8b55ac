"""Values that come and go with the hours: a reference that knows them, and one that does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from stream.columns import ABSENT, NUMBER, Rows, column, number_column
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.reference import Reference
from stream.rules import DAY_MS, HOUR_MS, BudgetRule, FloorRule, RateRule, ReferenceRule, Rules
from stream.season import SeasonGathering
from stream.settings import Settings
from tests.stream.monitors import lived

HOURLY, ROWS = HOUR_MS // 4, 40  # four panes an hour
RULES = Rules(
    pane_ms=HOURLY,
    grace_ms=0,
    maturity=None,
    season="day",
    reference=ReferenceRule(predictions=4_000, span_ms=4 * DAY_MS),
    budget=BudgetRule(),
    floors=FloorRule(),
    pane_rows=64,
    window_rows=256,
)
GATHERED = 4 * 24 * 4  # panes of the reference


def panes(days: int, shift: float = 0.0, *, since: int = 0, seed: int = 1) -> PaneTable:
    """x swings by a σ in a day, and is shifted from a day on."""
    random = np.random.default_rng(seed)
    count = days * 24 * 4
    ends = np.repeat(np.arange(1, count + 1) * HOURLY, ROWS)
    x = random.standard_normal(len(ends)) + np.sin(2 * np.pi * (ends - HOURLY / 2) / DAY_MS)
    x[ends > since * DAY_MS] += shift
    return table_of(ends, {"feature:x": [float(value) for value in x]}, random)


def table_of(
    ends: NDArray[np.int64],
    values: Mapping[str, list[Any]],
    random: np.random.Generator,
    begins: Mapping[str, int] | None = None,
) -> PaneTable:
    """`begins`: the row from which on a feature is there."""
    texts: dict[int, str] = {}
    hashes = random.integers(0, 2**63, len(ends)).astype(np.uint64)
    columns = {name: column(of, texts) for name, of in values.items()}
    for name, first in (begins or {}).items():
        kind = np.where(np.arange(len(ends)) < first, ABSENT, NUMBER).astype(np.uint8)
        columns[name] = number_column(np.array(values[name]), kind)
    return summarise(Rows(ends, hashes, columns, texts), RULES.pane_rows, RULES.max_categories)


def model(days: int, *, seed: int, late: int | None = None, nulls: int | None = None) -> PaneTable:
    """A model of which everything comes and goes in a day, two texts among it, of which one is a
    text of nights alone. `late`: a day from which there is one feature more; `nulls`: a day on
    which one feature is null in a third of the predictions."""
    random = np.random.default_rng(seed)
    ends = np.repeat(np.arange(1, days * 24 * 4 + 1) * HOURLY, ROWS)
    count, day = len(ends), (ends - 1) // DAY_MS
    swing = np.sin(2 * np.pi * (ends - HOURLY / 2) / DAY_MS)
    x, y, score, latency, further = random.standard_normal((5, count)) + swing
    is_night = swing < -0.7
    missing = (day == nulls) & (random.random(count) < 1 / 3)
    values: dict[str, list[Any]] = {
        "feature:x": x.tolist(),
        "feature:y": [None if n else of for of, n in zip(y.tolist(), missing, strict=True)],
        "feature:amount": np.exp(2 * swing + random.standard_normal(count)).tolist(),
        "feature:kind": np.where(random.random(count) < 0.5 + 0.3 * swing, "a", "b").tolist(),
        "feature:when": np.where(is_night & (random.random(count) < 0.3), "n", "d").tolist(),
        "prediction:score": (1 / (1 + np.exp(-score))).tolist(),
        "prediction:label": np.where(score > 0, "1", "0").tolist(),
        "prediction:latency_ms": (20 * np.exp(latency / 3)).tolist(),
    }
    if late is None:
        return table_of(ends, values, random)
    values["feature:late"] = further.tolist()
    return table_of(ends, values, random, {"feature:late": int(np.searchsorted(day, late))})


def watched(
    table: PaneTable, rules: Rules = RULES, cuts: list[int] | None = None
) -> tuple[list[MonitorFinding], list[Reference], Monitor]:
    made = lived(table, rules, cuts or [])
    return made.findings, made.references, made.monitor


def shift_of(monitor: Monitor) -> dict[str, Any]:
    return next(p for p in monitor.powers() if p["measure"] == "shift")


def drifts(found: list[MonitorFinding]) -> list[int]:
    """Panes from the end of the reference on to those that tell a shift: less than 0 before it."""
    ends = [f.pane_end_ms // HOURLY for f in found if f.alertname == "FeatureDrift" and f.detail]
    return [end - GATHERED for end in ends]


def names(found: list[MonitorFinding]) -> set[tuple[str, str]]:
    return {(one.series, one.alertname) for one in found}


def test_the_mean_of_each_hour_is_in_the_reference_and_comes_back() -> None:
    _, (sealed,), _ = watched(panes(5))
    season = sealed.seasons["feature:x"]
    assert season.unknown == 0
    assert np.argmax(season.mean) in {5, 6}
    assert np.argmin(season.mean) in {17, 18}
    again = Reference.decode(sealed.encode())
    assert again.id == sealed.id
    assert np.array_equal(again.seasons["feature:x"].mean, season.mean)


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_and_goes_as_ever_is_silent_from_the_first_prediction_on(seed: int) -> None:
    found, (sealed,), monitor = watched(model(12, seed=seed))
    assert found == []
    assert sealed.end_ms == 4 * DAY_MS
    units = {(one.series, one.detector) for one in monitor.status()}
    assert {("feature:kind", "shape"), ("prediction:latency_ms", "shift")} <= units


@pytest.mark.parametrize("seed", range(4))
def test_two_days_are_enough_to_be_silent_behind_them(seed: int) -> None:
    rules = replace(RULES, reference=ReferenceRule(predictions=4_000, span_ms=2 * DAY_MS))
    found, (sealed,), _ = watched(model(10, seed=seed), rules)
    assert (found, sealed.end_ms) == ([], 2 * DAY_MS)


def test_the_same_is_told_by_who_does_not_know_the_hours() -> None:
    found, _, _ = watched(model(5, seed=0), replace(RULES, season="none"))
    assert len(names(found)) > 2


@pytest.mark.parametrize("seed", range(2))
def test_a_feature_that_comes_late_has_hours_of_its_own(seed: int) -> None:
    found, (_, own), monitor = watched(model(14, seed=seed, late=5))
    assert found == []
    assert np.argmax(own.seasons["feature:late"].mean) in {5, 6}
    powers = {p["measure"]: p for p in monitor.powers() if p["series"] == "feature:late"}
    assert powers["shift"]["smallest"] < 0.15
    assert "its values depend" in powers["shape"]["note"], "shares know no hours"


def test_what_is_not_told_yet_says_so() -> None:
    _, _, monitor = watched(model(2, seed=1))
    notes = {(p["series"], p["measure"]): p["note"] for p in monitor.powers()}
    assert "when its reference is sealed" in notes["feature:x", "shift"]
    assert "when its reference is sealed" in notes["feature:when", "unseen"]
    assert "when its reference is sealed" in notes["feature:x", "stale"]
    assert notes["feature:x", "null"] is None


@pytest.mark.parametrize("night", [6, 10])
def test_what_does_not_vary_at_night_is_not_stale(night: int) -> None:
    random = np.random.default_rng(night)
    ends = np.repeat(np.arange(1, 8 * 24 * 4 + 1) * HOURLY, ROWS)
    is_night = ((ends - 1) // HOUR_MS) % 24 >= 24 - night
    sun = np.where(is_night, 0.0, np.abs(random.standard_normal(len(ends))))
    sign = np.where(random.random(len(ends)) < 0.5, "a", "b")
    values = {"feature:sun": sun.tolist(), "feature:sign": np.where(is_night, "off", sign).tolist()}
    found, references, _ = watched(table_of(ends, values, random))
    assert (found, len(references)) == ([], 1)


def test_nulls_are_told_on_the_first_days_too() -> None:
    found, _, _ = watched(model(3, seed=1, nulls=1))
    assert names(found) == {("feature:y", "NullRate")}
    assert 0 < found[0].pane_end_ms - DAY_MS < 2 * HOUR_MS


def test_nor_is_anything_told_while_an_accepted_reference_is_gathered() -> None:
    table = model(10, seed=2)
    _, _, monitor = watched(table.between(0, 5 * DAY_MS))
    assert monitor.renew(7, 5 * DAY_MS) == []
    found, (sealed,) = monitor.update(table.between(5 * DAY_MS + 1, 10 * DAY_MS))
    assert (found, sealed.start_ms) == ([], 5 * DAY_MS)


def test_a_shift_is_found_that_the_hours_would_hide() -> None:
    table = panes(9, 0.3, since=6)
    known, _, monitor = watched(table)
    blind, _, other = watched(table, replace(RULES, season="none"))
    assert 2 * 96 < drifts(known)[0] < 3 * 96
    assert all(end < 0 for end in drifts(blind)), "nothing but the days themselves"
    assert shift_of(monitor)["smallest"] < 1.0
    assert shift_of(other)["smallest"] is None
    assert "for how they depend" in shift_of(other)["note"], "it says what the hours cost"


@pytest.mark.parametrize("seed", range(2))
def test_neither_batches_nor_restores_show(seed: int) -> None:
    table = panes(7, 0.5, since=5, seed=seed)
    found, references, _ = watched(table)
    cuts = sorted(Random(seed).sample(range(1, len(table)), 8))
    again, the_same, _ = watched(table, RULES, cuts)
    assert again == found
    assert [r.id for r in the_same] == [r.id for r in references]


@pytest.mark.parametrize("seed", range(2))
def test_nor_do_they_in_the_hours_and_dependence_of_a_late_feature(seed: int) -> None:
    table = model(10, seed=seed, late=5)
    _, references, monitor = watched(table)
    cuts = sorted(Random(seed).sample(range(1, len(table)), 40))
    _, the_same, other = watched(table, RULES, cuts)
    assert [r.id for r in the_same] == [r.id for r in references]
    assert other.powers() == monitor.powers()


def test_a_change_within_is_seen_behind_the_hours() -> None:
    _, (sealed,), _ = watched(panes(8, 1.0, since=2))
    (change,) = sealed.changes
    assert (change.series, change.measure) == ("feature:x", "shift")
    assert abs(change.since_ms - 2 * DAY_MS) <= 2 * HOUR_MS
    assert sealed.start_ms == 4 * DAY_MS


def shaped(kind: str, seed: int, days: int = 8) -> PaneTable:
    """From day 2 on the spread of x is half as much again, or one category has 8 % more."""
    random = np.random.default_rng(seed)
    ends = np.repeat(np.arange(1, days * 24 * 4 + 1) * HOURLY, ROWS)
    swing = np.sin(2 * np.pi * (ends - HOURLY / 2) / DAY_MS)
    is_behind = ends > 2 * DAY_MS
    if kind == "spread":
        x = random.standard_normal(len(ends)) * np.where(is_behind, 1.5, 1.0) + swing
        return table_of(ends, {"feature:x": x.tolist()}, random)
    share = 0.5 + 0.3 * swing + 0.08 * is_behind
    kinds = np.where(random.random(len(ends)) < share, "a", "b").tolist()
    return table_of(ends, {"feature:x": kinds}, random)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["spread", "category"])
def test_a_shape_that_changes_within_is_seen_behind_the_hours(kind: str, seed: int) -> None:
    table = shaped(kind, seed)
    rules = replace(RULES, rates=RateRule(enabled=False))
    _, (sealed,), _ = watched(table, rules)
    (change,) = sealed.changes
    assert (change.series, change.measure) == ("feature:x", "shape")
    assert abs(change.since_ms - 2 * DAY_MS) <= 6 * HOUR_MS
    assert sealed.start_ms == 4 * DAY_MS
    cuts = sorted(Random(seed).sample(range(1, len(table)), 8))
    assert [one.id for one in watched(table, rules, cuts)[1]] == [sealed.id]


def test_texts_of_many_categories_are_not_counted_by_the_hour() -> None:
    random = np.random.default_rng(1)
    ends = np.repeat(np.arange(1, 4 * 97) * HOURLY, ROWS)
    words = [f"w{n}" for n in random.integers(0, 500, len(ends))]
    gathering = SeasonGathering(24, RULES.max_categories)
    gathering.add(table_of(ends, {"feature:x": words}, random))
    plain = gathering.snapshot()
    assert (plain["texts"], plain["many"]) == ({}, ["feature:x"])


def test_a_reference_that_cannot_hold_two_seasons_is_refused() -> None:
    with pytest.raises(ValidationError, match="a season needs two of it: 14d at least"):
        Settings.model_validate({"season": "week"})
    two_weeks = {"season": "week", "reference": {"span": "14d"}}
    assert Settings.model_validate(two_weeks).rules().season == "week"


@pytest.mark.parametrize(("detector", "own"), [("adwin", "delta"), ("page_hinkley", "threshold")])
def test_what_knows_no_hours_spends_nothing_of_the_budget_of_a_season(
    detector: str, own: str
) -> None:
    season = {"season": "day", "reference": {"span": "4d"}}
    with pytest.raises(ValidationError, match=f"detectors.{detector}: it knows no hours"):
        Settings.model_validate(season | {"detectors": {detector: {"enabled": True}}})
    owned = {"owners": {"accountable": "team"}, "runbook_url": "https://example.com"}
    of_a_model = {"models": {"m": season | owned}, "detectors": {detector: {"enabled": True}}}
    with pytest.raises(ValidationError, match=r"by models\.m\.season would"):
        Settings.model_validate(of_a_model)
    Settings.model_validate(season | {"detectors": {detector: {"enabled": True, own: 0.002}}})


def test_without_a_season_nothing_has_another_hash() -> None:
    assert replace(Rules(), season="none").config_hash() == Rules().config_hash()
    assert replace(Rules(), season="day").state_hash() != Rules().state_hash()


# -- what goes together


def pairs(
    days: int, night: float, noon: float, *, broken_from: int | None = None, seed: int = 1
) -> PaneTable:
    """x and y swing together by a σ in a day; what is left of them is correlated, at night and at
    noon so much, and not any more from a day on."""
    random = np.random.default_rng(seed)
    count = days * 24 * 4
    ends = np.repeat(np.arange(1, count + 1) * HOURLY, ROWS)
    day = 2 * np.pi * (ends - HOURLY / 2) / DAY_MS
    both = night + (noon - night) * (1 - np.cos(day)) / 2
    if broken_from is not None:
        both = np.where(ends > broken_from * DAY_MS, 0.0, both)
    x, other = random.standard_normal((2, len(ends)))
    y = both * x + np.sqrt(1 - both**2) * other
    texts: dict[int, str] = {}
    hashes = random.integers(0, 2**63, len(ends)).astype(np.uint64)
    columns = {
        f"feature:{name}": column([float(value) for value in of + np.sin(day)], texts)
        for name, of in (("x", x), ("y", y))
    }
    return summarise(Rows(ends, hashes, columns, texts), RULES.pane_rows, RULES.max_categories)


def joint(found: list[MonitorFinding]) -> list[MonitorFinding]:
    return [one for one in found if one.alertname == "JointDrift"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("night", "noon"), [(0.5, 0.5), (0.3, 0.7)])
def test_what_goes_together_as_ever_at_each_hour_is_silent(
    night: float, noon: float, seed: int
) -> None:
    found, _, monitor = watched(pairs(16, night, noon, seed=seed))
    assert {status.detector for status in monitor.status()} >= {"joint"}
    assert joint(found) == []


def test_what_no_longer_goes_together_is_found_behind_the_hours() -> None:
    found, _, _ = watched(pairs(10, 0.6, 0.6, broken_from=8))
    told, *_ = joint(found)
    assert told.pane_end_ms > 8 * DAY_MS
    assert told.detail is not None
    assert told.detail["feature"] == "x × y"
    before = told.detail["evidence"]["reference"]["correlations"]["x × y"]
    assert before == pytest.approx(0.4, abs=0.1)  # two thirds of the variance are not the hour
    assert abs(told.detail["evidence"]["current"]["correlations"]["x × y"]) < 0.2
    assert abs(told.detail["change_at_ms"] - 8 * DAY_MS) < DAY_MS / 4


@pytest.mark.parametrize("seed", range(2))
def test_nor_do_batches_or_restores_show_in_what_goes_together(seed: int) -> None:
    table = pairs(10, 0.6, 0.6, broken_from=8, seed=seed)

    def told(cuts: list[int]) -> list[MonitorFinding]:
        found, _, _ = watched(table, cuts=cuts)
        return sorted(found, key=lambda f: (f.pane_end_ms, f.series, f.alertname))

    whole = told([])
    assert joint(whole)
    assert told(sorted(Random(seed).sample(range(1, len(table)), 60))) == whole


def nights(days: int, seed: int) -> PaneTable:
    """Nothing varies at night."""
    random = np.random.default_rng(seed)
    ends = np.repeat(np.arange(1, days * 24 * 4 + 1) * HOURLY, ROWS)
    is_night = np.sin(2 * np.pi * (ends - HOURLY / 2) / DAY_MS) < -0.7
    visits = np.where(is_night, 0, random.integers(0, 12, len(ends))).astype(float)
    mood = np.where(is_night, "closed", random.choice(list("abcdef"), len(ends)))
    columns = {"feature:visits": visits.tolist(), "feature:mood": mood.tolist()}
    return table_of(ends, columns, random)


@pytest.mark.parametrize("seed", range(2))
def test_what_is_one_value_every_night_has_not_stopped_varying(seed: int) -> None:
    assert names(watched(nights(10, seed))[0]) == set()
    hourless = replace(RULES, season="none")  # until nights are known they are too long
    found = watched(nights(10, seed), hourless)[0]
    stale = [(f.verdict, f.pane_end_ms) for f in found if f.alertname == "StaleFeature"]
    told = [end_ms for verdict, end_ms in stale if verdict == "drift"]
    assert len(stale) == 2 * len(told) > 0
    assert max(told) <= GATHERED * HOURLY
