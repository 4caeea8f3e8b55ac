"""Before a reference is sealed a few jumps are told; what moves or comes and goes is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detectors.jump import Course
from stream.model_parts import encode
from stream.monitor_told import MonitorFinding
from stream.power import MUTE
from stream.rules import ReferenceRule
from stream.unsettled import Span, Unsettled
from stream.watched import Key
from tests.stream.monitors import lived
from tests.stream.test_reference_life import CALM, panes
from tests.stream.test_watch import PANE_MS

NEVER_SEALED = replace(CALM, reference=ReferenceRule(1_000_000, 0), minimum_values=200)
SIZE = 4_000


def told(values: dict[str, Any], cuts: list[int] | None = None) -> list[MonitorFinding]:
    return lived(panes(values, rows=2), NEVER_SEALED, cuts or []).findings


def noise(seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal(SIZE)


def drifts(found: list[MonitorFinding]) -> list[str]:
    return [f.alertname for f in found if f.verdict == "drift"]


@pytest.mark.parametrize("seed", range(3))
def test_each_jump_is_told_as_information(seed: int) -> None:
    x = noise(seed)
    x[1_000:] += 1.0
    x[2_500:] += 1.0
    beside = {name: noise(10 + n) for n, name in enumerate("uvwyz")}
    found = [f for f in told({"x": x} | beside) if f.verdict == "drift"]
    found = [f for f in found if f.alertname != "OutOfRange"]
    assert {f.series for f in found} == {"feature:x"}
    assert 2 <= len(found) <= 5
    for one in found:
        assert one.alertname in {"FeatureDrift", "FeatureShapeDrift"}
        assert one.detail is not None
        assert one.detail["severity"] == "info"
        assert one.detail["summary"].endswith("what is usual is not known yet")
    first, *_, last = found
    assert first.pane_end_ms < 1_100 * PANE_MS / 2
    assert last.pane_end_ms > 2_500 * PANE_MS / 2


@pytest.mark.parametrize("seed", range(8))
def test_what_is_counted_was_told(seed: int) -> None:
    """Not the way back to what is usual."""
    x, beside = noise(seed), {name: noise(10 + n) for n, name in enumerate("uvwyz")}
    x[1_000:1_800] += 2.0
    x[3_000:3_400] += 2.0
    lives = lived(panes({"x": x} | beside, rows=2), NEVER_SEALED)
    unsettled = lives.monitor._detection.standards.unsettled.snapshot()
    counted = {f"{name}:{measure}": times for name, measure, times, _ in unsettled["told"]}
    of_shift = [f for f in lives.findings if f.alertname == "FeatureDrift" and f.verdict == "drift"]
    assert counted["feature:x:shift"] == len(of_shift)


@pytest.mark.parametrize("seed", range(4))
def test_a_cycle_of_which_there_is_only_a_part_is_hardly_told(seed: int) -> None:
    x = noise(seed) + 2 * np.sin(np.arange(SIZE) / 17_280 * 2 * np.pi + seed)
    assert len(drifts(told({"x": x}))) <= 2


def test_what_steps_by_the_hour_is_told_a_few_times_at_most() -> None:
    hour = np.arange(SIZE) // 150.0
    found = [name for name in drifts(told({"hour": hour, "x": noise(1)})) if name != "OutOfRange"]
    assert len(found) <= 8


def test_the_status_says_so_where_nothing_is_told() -> None:
    monitor = lived(panes({"x": noise(1), "y": noise(2)}, rows=2), NEVER_SEALED).monitor
    monitor._detection.standards.unsettled.add_restless([("feature:x", "shape")])
    notes = {(line["series"], line["measure"]): line["note"] for line in monitor.powers()}
    assert notes["feature:x", "shift"] == MUTE
    assert notes["feature:x", "null"] != MUTE
    assert notes["feature:y", "shift"] != MUTE


def test_nulls_are_told_whatever_the_values_do() -> None:
    x = noise(1) + np.arange(SIZE) / 500
    for begin in (1_000, 3_000):
        x[begin : begin + 40] = np.nan  # absent
    found = drifts(told({"x": x, "y": noise(2)}))
    assert found.count("AbsentFeature") >= 1


@pytest.mark.parametrize("cuts", [[300, 700, 1_500], [*range(97, SIZE // 2, 97)]])
def test_it_is_the_same_however_the_panes_are_cut_and_restored(cuts: list[int]) -> None:
    x, y = noise(3), noise(4)
    x[900:] += 1.0
    y += np.arange(SIZE) / 800
    z = np.floor(np.arange(SIZE) / 400)
    values = {"x": x, "y": y, "z": z}
    whole, cut = (lived(panes(values, rows=2), NEVER_SEALED, at) for at in ([], cuts))
    assert whole.findings == cut.findings
    assert whole.findings
    states = [one.monitor.snapshot().to_plain() for one in (whole, cut)]
    for name in ("unsettled", "gathering"):
        assert encode(states[0][name]) == encode(states[1][name])
    assert states[0]["unsettled"]["told"]


SHIFT: Key = ("feature:x", "shift")
SHAPE: Key = ("feature:x", "shape")
BEYOND: Key = ("feature:x", "out_of_range")
NULL: Key = ("feature:x", "null")


def asked(of: Unsettled, key: Key, course: Course | None, since_ms: int = 0) -> bool:
    """Found ten later."""
    return of.may_tell(key, Span(since_ms, since_ms + 10), lambda _: course)


def test_a_unit_tells_three_jumps_or_a_fault_each_change_once() -> None:
    of = Unsettled()
    assert not asked(of, SHIFT, "on its way", 100)
    assert asked(of, SHIFT, "jumped", 100)
    assert not asked(of, SHIFT, "jumped", 105), "it is the same change"
    assert asked(of, SHAPE, "jumped", 100)
    assert asked(of, BEYOND, "jumped", 120)
    assert not asked(of, BEYOND, "jumped", 130)
    assert [asked(of, SHIFT, "jumped", at) for at in (110, 120, 130)] == [True, True, False]
    assert asked(of, ("feature:y", "shape"), None), "it is not looked at"
    assert asked(of, NULL, "restless")


def test_a_jump_is_looked_at_from_the_one_before_on() -> None:
    of, froms = Unsettled(), []
    for since_ms in (100, 200):
        assert of.may_tell(SHIFT, Span(since_ms, since_ms + 10), froms.append)
    assert froms == [0, 110]


def test_what_is_restless_stays_so_until_there_is_a_sealed_reference() -> None:
    of = Unsettled()
    assert not asked(of, SHAPE, "restless")
    of.add_restless([("feature:y", "shift"), ("feature:z", "null")])
    again = Unsettled()
    again.restore(of.snapshot())
    assert not asked(again, SHAPE, "jumped")
    assert asked(again, BEYOND, "jumped")
    assert not asked(again, ("feature:y", "shape"), "jumped")
    assert asked(again, ("feature:z", "shift"), "jumped")
    again.clear()
    assert asked(again, SHIFT, "jumped")
    assert Unsettled().snapshot() == {}
