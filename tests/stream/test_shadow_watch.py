"""A shadow beside its champion, pane by pane: however panes are released, and restored between."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import NUMBER, Rows, column, number_column, text_hash
from stream.panes import PaneTable, summarise
from stream.rules import ModelRule, Rules, ShadowRule
from stream.shadow_watch import ShadowTold, ShadowWatch
from stream.snapshot import pack, unpack
from tests.stream.test_governance import DAYS, of_days
from tests.streams import alert_bytes, run

RULES = Rules(resolve_values=200)


def panes(
    counts: dict[int, int], *, features: int = 1, texts: int = 0, latency: float = 10.0
) -> PaneTable | None:
    """Of so many rows each, by end, of which all have so many features, behind them texts."""
    ends = np.repeat(np.array([*counts], np.int64), [*counts.values()])
    if not len(ends):
        return None
    values = np.arange(len(ends), dtype=np.float64)
    columns = {f"feature:{n}": number_column(values) for n in range(features)}
    columns["prediction:latency_ms"] = number_column(np.full(len(ends), latency))
    assert all((of.kind == NUMBER).all() for of in columns.values())
    for n in range(texts):
        columns[f"feature:text{n}"] = column(["a"] * len(ends), {})
    shown = {text_hash("a"): "a"}
    return summarise(Rows(ends, np.arange(len(ends), dtype=np.uint64), columns, shown), 4, 4)


def watched(
    champion: dict[int, int], shadow: dict[int, int], cuts: list[int], rules: Rules = RULES,
    texts: int = 0, **of_shadow: Any,
) -> list[ShadowTold]:  # fmt: skip
    """What is told where all panes that end by each cut are released together, and the watch is
    stored and restored between."""
    watch, told, since = None, [], 0
    for cut in [*cuts, 10**9]:
        ours = panes({e: n for e, n in champion.items() if since < e <= cut}, texts=texts)
        its = panes({e: n for e, n in shadow.items() if since < e <= cut}, **of_shadow)
        if its is not None and watch is None:
            watch = ShadowWatch("m", its.first_end_ms)
        if watch is not None:
            told += watch.update([] if ours is None else [ours], its, lambda _: rules)
            plain = unpack(b"S", 1, pack(b"S", 1, watch.to_plain()))
            watch = ShadowWatch.from_plain("m", plain)
        since = cut
    return told


def test_a_shadow_that_answers_like_its_champion_is_not_told() -> None:
    every = dict.fromkeys(range(10, 3_000, 10), 7)
    assert watched(every, every, [500]) == []


def test_what_it_does_not_answer_is_told_and_once_it_does_again_quiet() -> None:
    every = dict.fromkeys(range(10, 3_000, 10), 7)
    half = every | dict.fromkeys(range(1000, 1500, 10), 3)
    first, last = watched(every, half, [])
    assert first.fault == last.fault == ("missing", "")
    assert first.counted is not None
    assert first.since_ms <= 1_000 < first.end_ms
    assert last.counted is None
    assert last.end_ms > 1_500


def test_a_shadow_that_has_begun_or_ended_within_a_pane_has_not_failed() -> None:
    champion = dict.fromkeys(range(10, 1_000, 10), 1_000)
    shadow = dict.fromkeys(range(310, 700, 10), 1000) | {310: 2, 700: 1}
    assert watched(champion, shadow, [300, 310, 700]) == []


def test_one_that_is_there_before_its_champion_is_counted_from_its_own_first_pane_on() -> None:
    stream = of_days(("1", "champion", 17, 70), ("2", "shadow", 3, 37), ("2", "shadow", 123, 155))
    expected, *others = (
        alert_bytes(run(DAYS, stream, Random(5), largest=largest)) for largest in (10_000, 150, 7)
    )
    assert any(b"ShadowMissing" in value for value in expected)
    assert others == [expected, expected]


def test_one_that_was_forgotten_and_is_back_ends_when_it_was_however_panes_are_released() -> None:
    shadow = [("2", "shadow", *hours) for hours in ((0, 20), (28, 40), (60, 80), (90, 140))]
    stream, rules = of_days(("1", "champion", 0, 200), *shadow), replace(DAYS, forget_ms=43_200_000)
    expected, *others = (
        alert_bytes(run(rules, stream, Random(5), largest=largest)) for largest in (10_000, 150, 7)
    )
    assert sum(b'"alertname":"ShadowMissing"' in value for value in expected) == 4
    assert others == [expected, expected]


def test_what_was_missed_in_a_silence_is_told_when_it_is_back() -> None:
    champion = dict.fromkeys(range(10, 1_000, 10), 10)
    shadow = {end: 10 for end in range(10, 1_000, 10) if not 400 < end < 600}
    (told,) = [one for one in watched(champion, shadow, []) if one.counted is not None]
    assert told.end_ms >= 600


def test_a_feature_that_it_lacks_is_named_unless_that_is_on_purpose() -> None:
    every = dict.fromkeys(range(10, 1_000, 10), 10)
    (told,) = watched(every, every, [], features=0)
    assert told.fault == ("absent", "feature:0")
    models = {"m": ModelRule(shadow=ShadowRule(without=("0",)))}
    assert watched(every, every, [], Rules(models=models), features=0) == []


def test_so_is_a_text_that_it_lacks() -> None:
    every = dict.fromkeys(range(10, 1_000, 10), 10)
    (told,) = watched(every, every, [], texts=1)
    assert told.fault == ("absent", "feature:text0")


def test_answers_that_take_longer_are_told() -> None:
    every = dict.fromkeys(range(10, 1_000, 10), 10)
    (told,) = watched(every, every, [], latency=30.0)
    assert told.fault == ("slower", "")
    assert watched(every, every, [], latency=12.0) == []


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(1, 60).map(lambda n: 10 * n), st.integers(1, 80)),
    st.dictionaries(st.integers(1, 60).map(lambda n: 10 * n), st.integers(1, 80)),
    st.lists(st.integers(0, 620), max_size=8).map(sorted),
    st.integers(0, 1),
)
def test_how_the_panes_are_released_does_not_show(
    champion: dict[int, int], shadow: dict[int, int], cuts: list[int], features: int
) -> None:
    champion, shadow = (dict(sorted(one.items())) for one in (champion, shadow))
    whole = watched(champion, shadow, [], features=features)
    assert watched(champion, shadow, cuts, features=features) == whole


def test_of_all_time_only_the_answers_are_kept_not_each_feature_there_ever_was() -> None:
    watch = ShadowWatch("m", 0)
    for n in range(20):
        part = panes({1_000 * n + 1_000: 200}, features=1 + n)
        assert part is not None
        list(watch.update([part], part, lambda _: RULES))
    rows, numbers, texts, latency = watch.to_plain()["tallies"][4]
    assert rows > 3_000
    assert (numbers, texts) == ({}, {})
    assert sum(latency.values()) == rows
