"""Alarms, times of change and the start of detectors: none of it shows how panes were batched."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from detectors.base import Change
from stream.alarm import Alarm, Times
from stream.firing import Patience
from stream.mean_levels import Ending, Level, ValuePanes
from stream.rules import AdwinRule, FloorRule
from stream.value_series import ValueSeries
from stream.verdicts import Context
from tests.streams import SMALL

RULES = replace(SMALL, adwin=AdwinRule(enabled=True, clock=4), floors=FloorRule())
PANE_MS = RULES.pane_ms
GROUP = ("m", "1", "champion", "")
Ints = np.ndarray[Any, np.dtype[np.int64]]


ASK_MS, LOOK = 90 * PANE_MS, 20
PATIENCE = Patience(10, LOOK, 0, ASK_MS)
SEALED = Level(0.0, 1.0, 10_000)


def ending(usual: Level | None = SEALED) -> Ending:
    return Ending(lambda: (usual, 1.0), lambda level: 0.5 * level.variance**0.5, PATIENCE)


def value_panes(means: Ints, first: int, last: int) -> ValuePanes:
    mine = means[first:last].astype(np.float64)
    return ValuePanes(
        np.arange(first, last, dtype=np.int64) * PANE_MS,
        np.full(last - first, 3, np.int64),
        mine,
        np.full(last - first, 0.25),
        mine - 1,
        mine + 1,
    )


def change(index: int, before: float, after: float) -> Change:
    direction: Any = "up" if after > before else "down"
    return Change(index, 2.0, 1.0, direction, before, 50, 1.0, after, 10, 1.0, 10)


def signals(
    changes: dict[int, tuple[int, float]],
    means: Ints,
    cuts: list[int],
    *,
    quiet: int = 5,
    usual: Level | None = SEALED,
) -> list[Any]:
    """`changes`: pane -> when it began, in panes, and the mean since; (pane, what it tells)."""
    alarm, panes = Alarm(quiet), len(means)
    found = []
    for first, last in zip([0, *cuts], [*cuts, panes], strict=True):
        due = [
            (i - first, change(i - first, means[max(began - 1, 0)], after), began * PANE_MS)
            for i, (began, after) in sorted(changes.items())
            if first <= i < last
        ]
        given = value_panes(means, first, last)
        for signal in alarm.fold(due, given, PANE_MS, ending(usual)):
            what = "told" if signal.change is not None else "asked" if signal.lasting else "well"
            found.append((first + signal.pane, what))
        alarm = Alarm.restore(alarm.snapshot())
    return found


def steps(panes: int, levels: dict[int, float]) -> Ints:
    means = np.zeros(panes)
    for pane, level in levels.items():
        means[pane:] = level
    return means


def test_a_shift_that_stays_is_never_well_and_its_owner_is_asked_once() -> None:
    assert signals({10: (8, 3.0)}, steps(400, {8: 3.0}), []) == [(10, "told"), (100, "asked")]


def test_it_is_well_once_the_values_surely_are_as_in_the_reference() -> None:
    """3 values a pane: 20 of them are known behind 7 panes, 40 behind 14, and so on."""
    told, *rest = signals({10: (8, 3.0)}, steps(120, {8: 3.0, 20: 0.0}), [])
    assert told == (10, "told")
    ((pane, what), *more) = rest
    assert (what, more) == ("well", [])
    assert 30 < pane < 90


def test_values_that_are_as_usual_do_not_end_it_before_it_was_quiet() -> None:
    means = steps(120, {8: 3.0, 20: 0.0})
    ((pane, _),) = signals({10: (8, 3.0)}, means, [])[1:]
    assert signals({10: (8, 3.0)}, means, [], quiet=200)[1:] == [(100, "asked")]
    echoes = {10: (8, 3.0), pane: (9, 3.0)}
    later = signals(echoes, means, [])[1:]
    assert later[0][0] > pane, "an echo of the shift"


def test_a_change_while_it_fires_is_told_as_the_same_unless_it_is_one_back() -> None:
    means = steps(100, {8: 3.0, 30: 6.0, 50: 0.0})
    changes = {10: (8, 3.0), 33: (30, 6.0), 53: (50, 0.1)}
    found = signals(changes, means, [])
    assert [what for _, what in found] == ["told", "told", "well"]


def test_a_return_that_is_found_when_it_is_well_already_is_none() -> None:
    means = steps(120, {8: 3.0, 20: 0.0})
    found = signals({10: (8, 3.0), 100: (20, 0.8)}, means, [])
    assert [what for _, what in found] == ["told", "well"]


def test_echoes_of_a_shift_say_nothing_once_it_is_well() -> None:
    means = steps(120, {8: 3.0, 20: 0.0})
    changes = {10: (8, 3.0), 90: (8, 3.0)}
    assert [what for _, what in signals(changes, means, [])] == ["told", "well"]
    changes = {10: (8, 3.0), 90: (85, 3.0)}
    assert [what for _, what in signals(changes, means, [])][:3] == ["told", "well", "told"]


def test_before_there_is_a_reference_what_the_detector_had_before_is_what_is_usual() -> None:
    means = steps(400, {8: 3.0, 20: 0.0})
    assert [what for _, what in signals({10: (8, 3.0)}, means, [], usual=None)][-1] == "well"


@pytest.mark.parametrize("seed", range(20))
def test_signals_do_not_depend_on_the_batches(seed: int) -> None:
    random = Random(seed)
    levels = {0: 0.0, 20: 3.0, 80: 0.0, 130: random.choice((0.0, 5.0))}
    means = steps(260, levels) + np.random.default_rng(seed).normal(0, 0.3, 260)
    panes = random.sample(range(260), 8)
    changes = {
        pane: (max(0, pane - random.randint(0, 12)), random.choice((0.1, 3.0))) for pane in panes
    }
    cuts = sorted(random.sample(range(1, 260), 25))
    assert signals(changes, means, cuts) == signals(changes, means, [])


@pytest.mark.parametrize("seed", range(10))
def test_times_are_found_to_a_16th_of_their_age_and_alike_in_any_batches(seed: int) -> None:
    random = Random(seed)
    size = 3_000
    weights = np.array([random.choice((1, 1, 5)) for _ in range(size)], np.int64)
    start_ms = np.arange(size, dtype=np.int64) * PANE_MS
    ends = np.cumsum(weights)
    whole, parts = Times(), Times()
    whole.add(start_ms, weights)
    asked = [(random.randint(0, size - 1), random.random()) for _ in range(60)]
    first = 0
    while first < size:
        last = min(size, first + random.choice((1, 40, 400)))
        parts.add(start_ms[first:last], weights[first:last])
        for index, share in asked:
            if first <= index < last:
                ago = max(1, int(share * ends[index]))
                found = parts.at(ago, index - first, last - first)
                assert found == whole.at(ago, index, size)
                holder = int(np.searchsorted(ends, ends[index] - ago, "right"))
                age = index - holder
                assert holder - age / 8 - 1 <= found / PANE_MS <= holder
        parts.thin()
        parts = Times.restore(parts.snapshot())
        first = last
    assert len(parts.snapshot()[2]) < 300  # of 3,000


def context(detector: str) -> Context:
    return Context(RULES, "prediction", GROUP, "feature:x", detector, 0.5)


def value_signals(means: Ints, cuts: list[int]) -> tuple[list[Any], Any]:
    series = ValueSeries(RULES, unit_range=False)
    found: list[Any] = []
    for first, last in zip([0, *cuts], [*cuts, len(means)], strict=True):
        panes = value_panes(means, first, last)
        for name, signal in series.update(context("adwin"), panes, ending()):
            found.append((name, first + signal.pane, signal.change_at_ms, signal.change is None))
        series = ValueSeries.restore(RULES, series.snapshot())
    return found, series.snapshot()


@pytest.mark.parametrize("seed", range(6))
def test_a_value_series_tells_the_same_in_any_batches_with_restores_between(seed: int) -> None:
    random = Random(seed)
    means = np.array([random.randint(0, 3) + (6 if i >= 150 else 0) for i in range(300)])
    whole, _ = value_signals(means, [])
    cuts = sorted(random.sample(range(1, 300), 30))
    assert value_signals(means, cuts)[0] == whole
    assert any(not quiet and 150 <= pane <= 170 for _, pane, _, quiet in whole)


def test_nothing_is_told_before_the_minimum_of_values() -> None:
    means = np.array([0] * 4 + [100] * 5)  # 27 values, 30 are needed
    assert value_signals(means, [])[0] == []


def test_a_constant_series_starts_and_tells_of_its_first_change() -> None:
    told, _ = value_signals(np.array([5] * 60 + [9] * 60), [])
    assert [pane >= 60 for _, pane, _, _ in told][:1] == [True]
