"""One alert, updated and not repeated: what a monitor and stage 3 make of changes of any size.

At default settings, one prediction in two seconds, and each change in many forms at once: the
features of one model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.alert_stage import AlertStage
from stream.columns import Rows, column
from stream.events import Alert, ToAlerts
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.numbering import Speaker
from stream.panes import PaneTable, summarise
from stream.rules import DAY_MS, Rules
from stream.snapshot import packed
from stream.times import moment_ms
from stream.wire import Finding, Progress, encode_finding
from tests.stream.monitors import GROUP, restored

RULES = Rules()
PANE_MS, PER_PANE = RULES.pane_ms, 5
FIRST_MS = 1_763_800_000_000
MOST = 4  # records of one alert in five days behind a change that stays

Values = dict[str, Any]  # of each feature
Drawn = Callable[[np.random.Generator, Any], Values]
"""From the days at which the values are, since the beginning."""


def panes(drawn: Drawn, days: float, seed: int) -> list[PaneTable]:
    random, count = np.random.default_rng(seed), int(days * DAY_MS / PANE_MS)
    found: list[PaneTable] = []
    for first in range(0, count, 2_000):
        numbers = np.repeat(np.arange(first, min(first + 2_000, count)) + 1, PER_PANE)
        hashes = random.integers(0, 2**63, len(numbers)).astype(np.uint64)
        texts: dict[int, str] = {}
        values = drawn(random, numbers * PANE_MS / DAY_MS)
        columns = {f"feature:{n}": column(of.tolist(), texts) for n, of in values.items()}
        rows = Rows(FIRST_MS + numbers * PANE_MS, hashes, columns, texts)
        found.append(summarise(rows, RULES.pane_rows, RULES.max_categories))
    return found


def found_in(tables: list[PaneTable], restores: int = 0) -> list[MonitorFinding]:
    monitor = Monitor(RULES, GROUP, "prediction", RULES.reference)
    findings: list[MonitorFinding] = []
    for number, table in enumerate(tables):
        findings += monitor.update(table)[0]
        if restores and number % restores == 0:
            monitor = restored(monitor, RULES)
    return findings


def alerts(findings: list[MonitorFinding], *, restores: bool = False) -> list[Alert]:
    stage, speaker, told = AlertStage(RULES, 1), Speaker(0), list[Alert]()
    for found in findings:
        ready_ms, detail = found.pane_end_ms + RULES.grace_ms, found.detail or {}
        finding = Finding(
            0, 0, "prediction", ready_ms, found.pane_end_ms, GROUP, found.series, found.alertname,
            found.verdict, detail,
        )  # fmt: skip
        for said in (finding, Progress(0, 1, 0, ready_ms, ready_ms)):
            for effect in stage.handle(speaker.say(0, encode_finding(said))):
                if isinstance(effect, ToAlerts):
                    line = msgspec.json.encode(effect.alert)
                    told.append(msgspec.json.decode(line, type=Alert))  # as who reads it does
        if restores:
            stage = AlertStage.restore(RULES, 1, packed(stage.snapshot()))
    return told


def of(told: list[Alert], alertname: str, feature: str) -> list[Alert]:
    return [a for a in told if a.alertname == alertname and a.scope.feature == feature]


def day_of(alert: Alert) -> float:
    return float((moment_ms(alert.evaluated_at) - FIRST_MS) / DAY_MS)


def changed(floors: float, at_day: float) -> Drawn:
    """From that day on each feature differs by about so many floors, in its own way."""

    def drawn(random: np.random.Generator, days: Any) -> Values:
        size, late = len(days), days > at_day
        share, shift = 0.05 * floors, 0.1 * floors

        def zeros(more: float) -> Any:
            is_zero = random.random(size) < np.where(late, 0.3 + more, 0.3)
            return np.where(is_zero, 0.0, random.lognormal(3.0, 1.0, size))

        def flag(before: float, after: float) -> Any:
            return (random.random(size) < np.where(late, after, before)).astype(float)

        fifth = random.random(size) * 5 + np.where(late, 5 * share, 0.0)
        is_null = random.random(size) < np.where(late, 0.02 + 0.01 * floors, 0.02)
        sessions = np.repeat(random.normal(0.0, 1.0, size // 20 + 1), 20)[:size]
        return {
            "more_zeros": zeros(share),
            "fewer_zeros": zeros(-share),
            "skewed": np.exp(random.normal(np.where(late, shift, 0.0), 1.0)),
            "heavy": random.standard_t(2, size) + np.where(late, shift, 0.0),
            "frequent": flag(0.03, 0.03 + 0.17 * shift),
            "rarer": flag(0.08, 0.08 - 0.25 * shift),
            "wider": random.normal(0.0, np.where(late, 1.0 + 4 * shift, 1.0)),
            "narrower": random.normal(0.0, np.where(late, 1.0 / (1.0 + 2 * shift), 1.0)),
            "missing": np.where(is_null, None, random.normal(0.0, 1.0, size)),
            "category": np.array(list("ABCDE"))[np.minimum(fifth.astype(int), 4)],
            "sessions": sessions + np.where(late, 2 * shift, 0.0),
        }

    return drawn


@pytest.mark.parametrize("seed", range(5))
def test_a_change_of_any_size_that_stays_is_told_a_few_times_at_most(seed: int) -> None:
    floors = float(np.random.default_rng([7, seed]).uniform(0.0, 3.0))
    told = alerts(found_in(panes(changed(floors, 1.5), 6.5, seed)))
    records = Counter((a.alertname, a.scope.feature) for a in told if "incident" not in a.evidence)
    assert {of: n for of, n in records.items() if n > MOST} == {}, f"{floors:.2f} floors"


def steps(*levels: tuple[float, float]) -> Drawn:
    """From each day on the mean is this, in σ."""

    def drawn(random: np.random.Generator, days: Any) -> Values:
        mean = np.zeros(len(days))
        for day, level in levels:
            mean[days > day] = level
        return {"x": random.normal(mean, 1.0)}

    return drawn


def test_a_second_and_a_third_change_are_told_as_the_same_alert() -> None:
    told = of(
        alerts(found_in(panes(steps((1.5, 0.25), (2.5, 0.5), (3.5, 1.0)), 4.5, 1))),
        "FeatureDrift",
        "x",
    )
    assert len({a.starts_at for a in told}) == 1
    for day, level in ((1.5, 0.25), (2.5, 0.5), (3.5, 1.0)):
        last = [a for a in told if day < day_of(a) < day + 1.0][-1]
        assert day_of(last) < day + 0.25
        assert last.effect.low < level < last.effect.high
    assert len(told) <= 5


@pytest.mark.parametrize("after", [0.3, -0.3])
def test_what_was_resolved_and_comes_back_is_told_again(after: float) -> None:
    told = of(
        alerts(found_in(panes(steps((1.5, 0.3), (2.5, 0.0), (3.5, after)), 4.5, 2))),
        "FeatureDrift",
        "x",
    )
    assert [a.status for a in told] == ["firing", "resolved", "firing"]
    days = [day_of(alert) for alert in told]
    assert all(day < at < day + 0.25 for day, at in zip((1.5, 2.5, 3.5), days, strict=True))


def test_a_change_that_stays_is_told_however_often_it_has_come_and_gone() -> None:
    changes = [(1.5 + 0.18 * n, (1.0, 0.0)[k]) for n in range(6) for k in (0, 1)]
    changes = [(day + 0.06 * (level == 0.0), level) for day, level in changes]
    last_day = changes[-1][0] + 0.12
    found = found_in(panes(steps(*changes, (last_day, 1.0)), last_day + 0.2, 1))
    last = [f for f in found if f.alertname == "FeatureDrift" and f.verdict == "drift"][-1]
    assert (last.pane_end_ms - FIRST_MS) / DAY_MS < last_day + 0.05
    assert last.detail is not None
    began_ms = last.detail["change_at_ms"] - FIRST_MS
    assert abs(began_ms / DAY_MS - last_day) < 0.01


@pytest.mark.parametrize("seed", [0, 3])
def test_an_alert_that_was_told_often_and_came_back_tells_its_next_change(seed: int) -> None:
    levels = [(1.5, 0.25), (1.9, 0.6), (2.3, 1.0), (2.7, 1.5), (3.1, 0.0), (3.5, 0.3), (3.9, 0.7)]
    found = found_in(panes(steps(*levels), 4.5, seed))
    told = of(alerts(found), "FeatureDrift", "x")
    for day, level in levels:
        last = [a for a in told if day < day_of(a) < day + 0.35][-1]
        assert (last.status == "resolved") == (level == 0.0)
        assert level == 0.0 or abs(last.effect.estimate - level) < 0.3


def test_a_change_that_grows_is_told_step_by_step() -> None:
    def drawn(random: np.random.Generator, days: Any) -> Values:
        return {"x": random.normal(np.clip((days - 1.5) / 2.0, 0.0, 1.5), 1.0)}

    told = of(alerts(found_in(panes(drawn, 5.0, 3))), "FeatureDrift", "x")
    effects = [alert.effect.estimate for alert in told]
    assert effects == sorted(effects)
    assert 3 <= len(told) <= 12
    assert effects[-1] > 1.0
    assert all(after.effect.low > before.effect.high for before, after in pairwise(told[:3]))


def test_a_small_fault_that_is_over_is_resolved_as_soon_as_so_many_values_can_say() -> None:
    a_day, rates = PER_PANE * DAY_MS / PANE_MS, (0.03, 0.05, 0.1)
    over = 1.5 + 2_000 / a_day

    def drawn(random: np.random.Generator, days: Any) -> Values:
        is_ill = (days > 1.5) & (days <= over)
        return {
            f"{rate}, {i}": np.where(
                is_ill & (random.random(len(days)) < rate), None, random.normal(size=len(days))
            )
            for rate in rates
            for i in range(6)
        }

    tables = panes(drawn, 1.9, 1)
    found = found_in(tables)
    assert Counter(f.verdict for f in found) == {"drift": 18, "quiet": 18}  # each once
    last_ms = max(f.pane_end_ms for f in found) - FIRST_MS
    assert last_ms / DAY_MS < over + 2_000 / a_day
    assert found_in([part for table in tables for part in _halves(table)], restores=3) == found


def test_restores_do_not_show_while_an_alert_is_over() -> None:
    tables = panes(changed(0.8, 1.1), 2.2, 4)
    whole = found_in(tables)
    assert "quiet" in {found.verdict for found in whole}
    assert found_in(tables, restores=1) == whole
    halves = [part for table in tables for part in _halves(table)]
    assert found_in(halves, restores=3) == whole
    assert alerts(whole, restores=True) == alerts(whole)


def _halves(table: PaneTable) -> list[PaneTable]:
    first, middle, last = table.pane_end[[0, len(table) // 3, -1]].tolist()
    return [table.between(first, middle), table.between(middle + 1, last)]
