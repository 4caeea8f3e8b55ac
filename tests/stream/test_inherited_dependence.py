"""A version that begins with its predecessor's reference knows how much the values depend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stream.columns import Rows, number_column
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.rules import Rules
from tests.stream.monitors import GROUP, restored
from tests.stream.test_sessions import stream, told

RULES = Rules(maturity=None)
NEXT = ("m", "2", "champion", "")
EVERY_MS = 8_640  # 10,000 rows a day


def walk(seed: int, rows: int, kept: float = 0.9, moved_from: int | None = None) -> PaneTable:
    """Values that keep so much of the one before, and some that keep nothing."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((rows, 2))
    noise[:, 0] *= (1.0 - kept**2) ** 0.5
    for i in range(1, rows):
        noise[i, 0] += kept * noise[i - 1, 0]
    noise[slice(moved_from or rows, None), 0] += 2.0
    columns = {f"feature:{name}": number_column(noise[:, i]) for i, name in enumerate("ab")}
    ends = np.arange(rows) * EVERY_MS // 10_000 * 10_000 + 10_000
    hashes = rng.integers(0, 2**63, rows).astype(np.uint64)
    return summarise(Rows(ends, hashes, columns, {}), 256, 64)


def successor(table: PaneTable) -> Monitor:
    """Of a version that had these panes."""
    older = Monitor(RULES, GROUP, "prediction", RULES.reference)
    older.update(table)
    (law,) = older.references
    taus = restored(older, RULES).taus_of(law)
    return Monitor(RULES, NEXT, "prediction", RULES.reference, law, taus=taus)


def succeeded(table: PaneTable, first: int, *, restores: bool = False) -> list[MonitorFinding]:
    """What the second version tells, which begins behind so many rows."""
    begin_ms = int(table.pane_end[int(np.searchsorted(np.cumsum(table.rows), first))])
    last_ms = int(table.pane_end[-1])
    newer = successor(table.between(0, begin_ms))
    half_ms = (begin_ms + last_ms) // 2
    findings, _ = newer.update(table.between(begin_ms + 1, half_ms))
    newer = restored(newer, RULES) if restores else newer
    return findings + newer.update(table.between(half_ms + 1, last_ms))[0]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("make", [walk, lambda seed, rows: stream(seed, rows, 20)])
def test_dependence_is_inherited_with_the_reference(
    make: Callable[[int, int], PaneTable], seed: int
) -> None:
    table = make(seed, 14_500)
    findings = succeeded(table, 10_500)
    assert told(findings) == []
    assert succeeded(table, 10_500, restores=True) == findings


def test_of_values_that_depend_what_is_large_is_still_told() -> None:
    moved = walk(1, 14_500, moved_from=12_000)
    found = told(succeeded(moved, 10_500))
    assert ("FeatureDrift", "feature:a") in found
    assert {series for _, series in found} == {"feature:a"}


def test_behind_its_own_reference_it_has_a_dependence_of_its_own() -> None:
    newer = successor(walk(1, 10_500))
    newer.update(walk(2, 12_000, kept=0.0))
    assert newer.reference is not None
    assert newer.reference.group == NEXT
    inherited, own = (newer.taus_of(of) for of in newer.references)
    assert max(inherited["feature:a", "shift"]) > 10.0
    assert ("feature:a", "shift") not in own
