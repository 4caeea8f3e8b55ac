"""Before a reference is sealed a jump is told, once; what moves or comes and goes is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detectors.jump import Course
from stream.model_parts import encode
from stream.monitor_told import MonitorFinding
from stream.power import RESTLESS
from stream.rules import ReferenceRule
from stream.unsettled import Unsettled
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
def test_a_jump_is_told_once_and_as_information(seed: int) -> None:
    x = noise(seed)
    x[1_000:] += 1.0
    x[2_500:] += 1.0
    found = [f for f in told({"x": x}) if f.verdict == "drift" and f.alertname != "OutOfRange"]
    assert [f.alertname for f in found] in (["FeatureDrift"], ["FeatureShapeDrift"])
    assert found[0].detail is not None
    assert found[0].detail["severity"] == "info"
    assert found[0].detail["summary"].endswith("what is usual is not known yet")
    assert found[0].pane_end_ms < 1_100 * PANE_MS / 2


@pytest.mark.parametrize("seed", range(4))
def test_a_cycle_of_which_there_is_only_a_part_is_hardly_told(seed: int) -> None:
    x = noise(seed) + 2 * np.sin(np.arange(SIZE) / 17_280 * 2 * np.pi + seed)
    assert len(drifts(told({"x": x}))) <= 1


def test_what_steps_by_the_hour_is_told_once_at_most() -> None:
    hour = np.arange(SIZE) // 150.0
    assert len(drifts(told({"hour": hour, "x": noise(1)}))) <= 1


def test_the_status_says_so_where_nothing_is_told() -> None:
    monitor = lived(panes({"x": noise(1), "y": noise(2)}, rows=2), NEVER_SEALED).monitor
    monitor._detection.standards.unsettled.add_restless([("feature:x", "shape")])
    notes = {(line["series"], line["measure"]): line["note"] for line in monitor.powers()}
    assert notes["feature:x", "shift"] == RESTLESS
    assert notes["feature:x", "null"] != RESTLESS
    assert notes["feature:y", "shift"] != RESTLESS


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


def asked(of: Unsettled, key: Key, course: Course | None) -> bool:
    return of.may_tell(key, lambda: course)


def test_a_series_tells_its_values_once_and_a_fault_of_them_once_more() -> None:
    of = Unsettled()
    assert not asked(of, SHIFT, "on its way")
    assert asked(of, SHIFT, "jumped")
    assert not asked(of, SHAPE, "jumped")
    assert asked(of, BEYOND, "jumped")
    assert not asked(of, BEYOND, "jumped")
    assert asked(of, ("feature:y", "shape"), None), "it is not looked at"
    assert asked(of, NULL, "restless")


def test_what_is_restless_stays_so_until_there_is_a_sealed_reference() -> None:
    of = Unsettled()
    assert not asked(of, SHAPE, "restless")
    of.add_restless([("feature:y", "shift"), ("feature:z", "null")])
    again = Unsettled()
    again.restore(of.snapshot())
    assert not asked(again, BEYOND, "jumped")
    assert not asked(again, ("feature:y", "shape"), "jumped")
    assert asked(again, ("feature:z", "shift"), "jumped")
    again.clear()
    assert asked(again, SHIFT, "jumped")
    assert Unsettled().snapshot() == {}
