"""Alarms, times of change and the start of detectors: none of it shows how panes were batched."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from detectors.base import Change
from stream.alarm import Alarm, Times
from stream.rules import AdwinRule, FloorRule
from stream.value_series import ValuePanes, ValueSeries
from stream.verdicts import Context
from tests.streams import SMALL

RULES = replace(SMALL, adwin=AdwinRule(enabled=True, clock=4), floors=FloorRule())
PANE_MS = RULES.pane_ms
GROUP = ("m", "1", "champion", "")
Ints = np.ndarray[Any, np.dtype[np.int64]]


def change(index: int) -> Change:
    return Change(index, 2.0, 1.0, "up", 0.0, 50, 1.0, 3.0, 10, 1.0, 10)


def signals(changes: dict[int, int], panes: int, cuts: list[int], quiet: int) -> list[Any]:
    """`changes`: pane -> when it began, in panes; signals as (pane, told or quiet)."""
    alarm = Alarm(quiet)
    found = []
    for first, last in zip([0, *cuts], [*cuts, panes], strict=True):
        start_ms = np.arange(first, last, dtype=np.int64) * PANE_MS
        due = [(i - first, change(i - first), changes[i] * PANE_MS) for i in sorted(changes)]
        due = [c for c in due if 0 <= c[0] < last - first]
        told = alarm.fold(due, start_ms, PANE_MS)
        found += [(first + signal.pane, signal.change is not None) for signal in told]
        alarm = Alarm.restore(alarm.snapshot())
    return found


def test_the_first_change_tells_and_quiet_panes_end_it() -> None:
    assert signals({10: 8}, 40, [], 5) == [(10, True), (15, False)]


def test_a_change_while_firing_tells_nothing_and_starts_the_quiet_anew() -> None:
    assert signals({10: 8, 14: 9}, 40, [], 5) == [(10, True), (19, False)]


def test_echoes_of_a_shift_say_nothing_once_it_is_quiet() -> None:
    assert signals({10: 8, 20: 9}, 40, [], 5) == [(10, True), (15, False)]


def test_a_change_that_began_after_the_last_one_was_told_is_a_new_one() -> None:
    assert signals({10: 8, 20: 18}, 40, [], 5) == [
        (10, True),
        (15, False),
        (20, True),
        (25, False),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_signals_do_not_depend_on_the_batches(seed: int) -> None:
    random = Random(seed)
    panes = random.sample(range(60), 8)
    changes = {pane: max(0, pane - random.randint(0, 12)) for pane in panes}
    cuts = sorted(random.sample(range(1, 60), 5))
    assert signals(changes, 60, cuts, 4) == signals(changes, 60, [], 4)


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
        mine = means[first:last].astype(np.float64)
        panes = ValuePanes(
            np.arange(first, last, dtype=np.int64) * PANE_MS,
            np.full(last - first, 3, np.int64),
            mine,
            np.full(last - first, 0.25),
            mine - 1,
            mine + 1,
        )
        for name, signal in series.update(context("adwin"), panes):
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
