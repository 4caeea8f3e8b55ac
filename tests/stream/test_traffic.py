"""The traffic of a model: what is told of it, and that it does not hang on batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import traffic_power
from stream.columns import Group
from stream.panes import Ints
from stream.rules import DAY_MS, HOUR_MS, ModelRule, ReferenceRule, Rules, TrafficRule
from stream.snapshot import pack, unpack
from stream.traffic import SLOT_MS, Traffic, TrafficTold
from stream.traffic_words import finding_of

OLD: Group = ("fraud", "1", "champion", "")
NEW: Group = ("fraud", "2", "champion", "")
RULES = Rules(pane_ms=SLOT_MS, forget_ms=60 * DAY_MS)
Panes = list[tuple[Group, Ints, Ints]]
Rate = Callable[[Ints], Ints]
"""Pane ends to predictions expected in each."""


def panes(days: float, rate: Rate, group: Group = OLD, *, seed: int = 1) -> Panes:
    ends = np.arange(1, int(days * DAY_MS / SLOT_MS) + 1) * SLOT_MS
    rows = np.random.default_rng(seed).poisson(rate(ends))
    some = rows > 0
    return [(group, ends[some], rows[some])]


def until(table: Panes, first_ms: int, last_ms: int) -> Panes:
    """Those that end in (first, last]."""
    found = []
    for group, ends, rows in table:
        inside = (ends > first_ms) & (ends <= last_ms)
        if inside.any():
            found.append((group, ends[inside], rows[inside]))
    return found


def told(
    table: Panes, days: float, rules: Rules = RULES, cuts: tuple[int, ...] = ()
) -> list[TrafficTold]:
    return lived(table, days, rules, cuts)[0]


def lived(
    table: Panes, days: float, rules: Rules, cuts: tuple[int, ...], renewed_ms: int | None = None
) -> tuple[list[TrafficTold], bytes]:
    """What is told and what is known then. In pieces, from stored state behind every one."""

    def renewed(_: Group, at_ms: int) -> int | None:
        return None if renewed_ms is None or at_ms <= renewed_ms else 9

    traffic, found = Traffic.of("fraud"), list[TrafficTold]()
    for first_ms, last_ms in pairwise(sorted({0, *cuts, int(days * DAY_MS)})):
        piece = until(table, first_ms, last_ms)
        found += traffic.walk(piece, last_ms, lambda _: rules, renewed)
        state = pack(b"T", 1, traffic.snapshot())
        traffic = Traffic.restore("fraud", unpack(b"T", 1, state))
    return found, pack(b"T", 1, traffic.snapshot())


def steady(ends: Ints) -> Ints:
    return np.full(len(ends), 20)


def daily(ends: Ints) -> Ints:
    """Between 8 and 32 at night and by day."""
    return 20 + 12 * np.sin(2 * np.pi * ends / DAY_MS)


def times(rate: Rate, factor: float, since_ms: int) -> Rate:
    return lambda ends: rate(ends) * np.where(ends > since_ms, factor, 1.0)


@pytest.mark.parametrize("rate", [steady, daily])
@pytest.mark.parametrize("season", ["none", "day"])
def test_nothing_is_told_of_traffic_that_is_as_ever(rate: Rate, season: str) -> None:
    rules = replace(RULES, season=season, reference=ReferenceRule(span_ms=4 * DAY_MS))
    for seed in range(5):
        assert told(panes(90, rate, seed=seed), 90, rules) == []


def test_one_prediction_where_none_came_so_far_is_no_rise_but_a_job_is() -> None:
    def nights(ends: Ints) -> Ints:
        return np.where(ends % DAY_MS < 18 * HOUR_MS, 20, 0.05)

    rules = replace(RULES, season="day", reference=ReferenceRule(span_ms=2 * DAY_MS))
    table = panes(60, nights)
    assert told(table, 60, rules) == []
    job = [(NEW, np.array([30 * DAY_MS - 3 * HOUR_MS]), np.array([40]))]
    assert [one.up for one in told(table + job, 60, rules)] == [True, False]


def test_counts_that_scatter_more_than_poisson_are_judged_by_how_they_scatter() -> None:
    def bursts(ends: Ints) -> Ints:
        return np.random.default_rng(5).gamma(0.5, 40, len(ends))

    assert told(panes(90, bursts), 90) == []


@pytest.mark.parametrize(("factor", "up"), [(0.2, False), (3.0, True)])
def test_a_rate_that_changes_is_told_within_an_hour_with_its_onset(factor: float, up: bool) -> None:
    onset_ms = 3 * DAY_MS
    (one,) = told(panes(5, times(steady, factor, onset_ms)), 5)
    assert (one.what, one.up) == ("throughput", up)
    assert onset_ms < one.at_ms <= onset_ms + HOUR_MS
    assert abs(one.since_ms - onset_ms) <= SLOT_MS
    detail = finding_of(one, RULES).detail
    assert detail is not None
    assert abs(detail["effect"]["estimate"]) > 0.5
    assert detail["summary"].startswith("fraud: predictions of an hour ")


def few(ends: Ints) -> Ints:
    return np.full(len(ends), 10)


def test_a_fall_that_an_hour_is_too_few_for_is_told_once_it_adds_up() -> None:
    onset_ms = 8 * DAY_MS
    for seed in range(8):
        (one,) = told(panes(9, times(few, 0.3, onset_ms), seed=seed), 9)
        assert (one.what, one.up) == ("throughput", False)
        assert onset_ms + 2 * HOUR_MS <= one.at_ms <= onset_ms + 4 * HOUR_MS
        assert abs(one.since_ms - onset_ms) <= HOUR_MS
        assert one.statistic >= one.threshold
        detail = finding_of(one, RULES).detail
        assert detail is not None
        assert detail["effect"]["high"] < -0.4
        assert detail["window"]["count"] == one.count
        hours = f"{(one.at_ms - one.since_ms) / HOUR_MS:.3g} hours"
        assert f"fell to {one.an_hour} for {hours}, where" in detail["summary"]


def every_other_hour(ends: Ints) -> Ints:
    return np.where((ends - 1) // HOUR_MS % 2 == 0, 40, 1)


def in_the_first_minutes(ends: Ints) -> Ints:
    return np.where(ends % HOUR_MS == SLOT_MS, 60, 0)


def rarely(ends: Ints) -> Ints:
    return np.full(len(ends), 1)


def by_day_of_the_week(ends: Ints) -> Ints:
    return np.where((ends - 1) // DAY_MS % 7 < 5, 12, 5) + 4 * np.sin(2 * np.pi * ends / DAY_MS)


@pytest.mark.parametrize(
    "rate", [every_other_hour, in_the_first_minutes, rarely, by_day_of_the_week]
)
def test_what_comes_and_goes_as_ever_adds_up_to_nothing(rate: Rate) -> None:
    rules = replace(RULES, reference=ReferenceRule(span_ms=7 * DAY_MS))
    for seed in range(3):
        found = told(panes(60, rate, seed=seed), 60, rules)
        assert [one for one in found if one.what == "throughput"] == []


def test_one_hour_of_more_by_chance_does_not_end_a_fall_of_few() -> None:
    found = told(panes(60, times(few, 0.3, 8 * DAY_MS)), 60)
    assert [one.verdict for one in found] == ["drift", "lasting"]


def test_with_a_season_a_fall_by_day_is_told_that_leaves_more_than_at_night() -> None:
    noon_ms = 9 * DAY_MS + DAY_MS // 4
    table = panes(9.4, times(daily, 0.4, noon_ms))
    rules = replace(RULES, season="day", reference=ReferenceRule(span_ms=4 * DAY_MS))
    assert told(table, 9.4) == []
    assert [one.what for one in told(table, 9.4, rules)] == ["throughput"]


def test_what_comes_back_is_over_and_was_not_learned() -> None:
    def gap(ends: Ints) -> Ints:
        away = (ends > 3 * DAY_MS) & (ends <= 5 * DAY_MS)
        return np.where(away | (ends > 8 * DAY_MS), 1, 20)

    found = told(panes(9, gap), 9)
    verdicts = [(one.what, one.verdict) for one in found if one.what == "throughput"]
    assert verdicts == [("throughput", v) for v in ("drift", "quiet", "drift")]


def test_what_stays_another_way_is_never_usual_unless_the_owner_says_so() -> None:
    def more(ends: Ints) -> Ints:
        return np.where((ends > 3 * DAY_MS) & (ends <= 40 * DAY_MS), 80, 20)

    verdicts = [one.verdict for one in told(panes(60, more), 60)]
    assert verdicts == ["drift", "lasting", "quiet"]


def test_a_version_that_takes_over_changes_nothing() -> None:
    switch_ms = 3 * DAY_MS
    old = panes(6, times(steady, 0.0, switch_ms))
    new = panes(6, lambda ends: np.where(ends > switch_ms, 20, 0), NEW)
    assert told(old + new, 6) == []


def test_silence_is_told_by_the_version_that_had_most_of_the_traffic_and_ends_with_it() -> None:
    away = 3 * DAY_MS
    table = panes(3, steady) + panes(3, lambda ends: np.full(len(ends), 2), NEW)
    back = [(NEW, np.array([away + 5 * HOUR_MS]), np.array([7]))]
    begun, over = told(table + back, 3.4)[:2]
    assert (begun.what, begun.group, begun.since_ms) == ("silence", OLD, away)
    assert begun.at_ms <= away + 3 * SLOT_MS
    assert (over.what, over.verdict, over.at_ms) == ("silence", "quiet", away + 5 * HOUR_MS)


def known(table: Panes, days: float, rules: Rules = RULES) -> dict[str, dict[str, Any]]:
    """What would be found, by what."""
    traffic = Traffic.of("fraud")
    list(traffic.walk(table, int(days * DAY_MS), lambda _: rules, lambda *_: None))
    return {one["measure"]: one for one in traffic_power.shown(traffic, "", rules)}


def test_what_would_be_found_of_traffic_is_told_when_it_is_promised_and_less_is_not() -> None:
    promised = known(panes(3, steady), 3)
    assert known(panes(0.9, steady), 0.9) == {}
    many = known(panes(3, lambda ends: np.full(len(ends), 500)), 3)
    assert many["throughput"]["smallest"] == RULES.traffic.change == 0.5
    assert many["throughput"]["seconds"] == 3_600
    assert promised["throughput"]["smallest"] == 0.5  # of 120 an hour it takes more than one
    assert promised["throughput"]["seconds"] == 2 * 3_600
    scarce = known(panes(3, lambda ends: np.full(len(ends), 1.3)), 3)
    assert 0.5 < scarce["throughput"]["smallest"] < 0.9
    assert 23 * 3_600 < scarce["throughput"]["seconds"] <= 24 * 3_600
    (silence,) = told(panes(3, steady), 3.4)
    waited_ms = silence.at_ms - 3 * DAY_MS
    assert 0 <= waited_ms - 1_000 * promised["silence"]["seconds"] <= RULES.pane_ms
    for fall in (0.45, 0.75):  # of the mean; what is promised is of the fewest that are usual
        found = told(panes(5, times(steady, 1 - fall, 3 * DAY_MS)), 5)
        assert [one.what for one in found] == ["throughput"] * (fall > 0.5)
    few = known(panes(3, lambda ends: np.full(len(ends), 1)), 3)
    assert few["throughput"]["smallest"] is None
    assert few["throughput"]["note"].startswith("no fall is found in a day: too few predictions")
    off = replace(RULES, traffic=TrafficRule(enabled=False))
    assert known(panes(3, steady), 3, off) == {}


def test_a_fall_is_promised_at_every_hour_of_a_model_that_sleeps_every_night() -> None:
    def by_day(ends: Ints) -> Ints:
        return np.where(ends % DAY_MS < 10 * HOUR_MS, 14, 0)

    rules = replace(RULES, season="day", traffic=TrafficRule(silence=None))
    for slot in range(8 * 144, 9 * 144, 3):
        found = known(until(panes(9, by_day), 0, slot * SLOT_MS), slot / 144, rules)
        smallest = found["throughput"]["smallest"]
        assert smallest is None or 0.5 <= smallest <= 1.0


def test_a_model_that_sleeps_every_night_is_not_silent_then() -> None:
    def by_day(ends: Ints) -> Ints:
        return np.where(ends % DAY_MS < 10 * HOUR_MS, 20, 0)

    assert told(panes(30, by_day), 30) == []
    (one,) = told(panes(20, by_day), 25)
    assert one.at_ms - one.since_ms > 28 * HOUR_MS


@pytest.mark.parametrize("silence", [None, 2 * HOUR_MS])
def test_the_owner_says_which_silence_is_told(silence: int | None) -> None:
    rule = ModelRule(traffic=TrafficRule(silence=silence))
    found = told(panes(2, steady), 2.5, replace(RULES, models={"fraud": rule}))
    waited = [one.at_ms - one.since_ms for one in found if one.what == "silence"]
    assert waited == ([] if silence is None else [silence])
    off = ModelRule(traffic=TrafficRule(enabled=False))
    assert told(panes(2, steady), 2.5, replace(RULES, models={"fraud": off})) == []


def test_where_the_input_ends_nothing_is_told_of_the_time_until_its_declared_end() -> None:
    traffic, end_ms = Traffic.of("fraud"), 10 * DAY_MS
    walk = [*traffic.walk(panes(2, steady), 2 * DAY_MS, lambda _: RULES, lambda *_: None)]
    traffic.skip(end_ms, RULES)
    assert walk == []
    more = [(OLD, ends + end_ms + SLOT_MS, rows) for _, ends, rows in panes(1, steady)]
    assert [*traffic.walk(more, 11 * DAY_MS, lambda _: RULES, lambda *_: None)] == []
    (one,) = traffic.walk([], 12 * DAY_MS, lambda _: RULES, lambda *_: None)
    assert one.what == "silence"


def test_after_two_weeks_the_owner_is_asked_and_a_model_that_is_forgotten_ends() -> None:
    rules = replace(RULES, forget_ms=30 * DAY_MS)
    verdicts = [one.verdict for one in told(panes(3, steady), 40, rules)]
    assert verdicts == ["drift", "lasting", "quiet"]


def test_a_renewal_begins_anew() -> None:
    table = panes(12, times(steady, 0.1, 4 * DAY_MS))
    traffic = Traffic.of("fraud")

    def renewed(_: Group, end_ms: int) -> int | None:
        return 9 if end_ms > 6 * DAY_MS else None

    found = [*traffic.walk(table, 12 * DAY_MS, lambda _: RULES, renewed)]
    assert [(one.verdict, bool(one.because)) for one in found] == [
        ("drift", False),
        ("quiet", True),
    ]


@st.composite
def some_panes(draw: st.DrawFn) -> Panes:
    """A day and more of steady traffic, then anything."""
    first, *_ = panes(2, steady)
    gaps = draw(st.lists(st.integers(1, 40), min_size=1, max_size=40))
    ends = (2 * DAY_MS // SLOT_MS + np.cumsum(gaps)) * SLOT_MS
    rows = draw(st.lists(st.integers(1, 300), min_size=len(ends), max_size=len(ends)))
    group = draw(st.sampled_from([OLD, NEW]))
    return [first, (group, ends, np.array(rows))]


@given(some_panes(), st.lists(st.integers(1, int(14 * DAY_MS)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_what_is_told_does_not_hang_on_how_panes_are_released(
    table: Panes, cuts: list[int]
) -> None:
    rules = replace(RULES, forget_ms=2 * DAY_MS)
    assert told(table, 14, rules, tuple(cuts)) == told(table, 14, rules)


@st.composite
def some_fine_panes(draw: st.DrawFn) -> Panes:
    """The same in panes of a minute, ten to a slot."""
    first, *_ = panes(2, steady)
    gaps = draw(st.lists(st.integers(1, draw(st.sampled_from((9, 400)))), min_size=1, max_size=60))
    ends = 2 * DAY_MS + np.cumsum(gaps) * SLOT_MS // 10
    return [first, (OLD, ends, np.full(len(ends), 20))]


@given(
    some_fine_panes(),
    st.lists(st.integers(2 * DAY_MS, 5 * DAY_MS), max_size=12),
    st.integers(0, 400).map(lambda minutes: 2 * DAY_MS + minutes * SLOT_MS // 10),
)
@settings(max_examples=100, deadline=None)
def test_nor_where_a_pane_is_less_than_a_slot_and_the_owner_accepts_a_new_reference(
    table: Panes, cuts: list[int], renewed_ms: int
) -> None:
    rules = replace(RULES, pane_ms=SLOT_MS // 10, forget_ms=2 * DAY_MS)
    ends = sorted({int(end) for _, of, _ in table for end in of if end > 2 * DAY_MS})
    last_ms = (ends[-1] + SLOT_MS) / DAY_MS
    at_once = lived(table, last_ms, rules, (), renewed_ms)
    some = tuple(cut for cut in cuts if cut < ends[-1])
    assert lived(table, last_ms, rules, some, renewed_ms) == at_once
    assert lived(table, last_ms, rules, tuple(ends), renewed_ms) == at_once
