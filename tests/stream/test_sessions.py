"""Rows that are alike for a while: what is told of them before a reference is sealed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.columns import NULL, NUMBER, TEXT, Column, Rows, number_column, text_hash
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.rules import Rules
from tests.stream.monitors import lived

RULES = Rules(maturity=None)
EVERY_MS = 8_640  # 10,000 rows a day
TEXTS = {text_hash(text): text for text in "ABCDE"}
Floats = NDArray[np.float64]


def session_of(
    rng: np.random.Generator, rows: int, length: int, at_a_time: int
) -> NDArray[np.int_]:
    """Of each row: sessions of geometric length, so many of them going on."""
    own, ends = rng.integers(at_a_time, size=rows), rng.random(rows) < 1.0 / length
    current, newest, found = list(range(at_a_time)), at_a_time, []
    for slot, is_last in zip(own.tolist(), ends.tolist(), strict=True):
        found.append(current[slot])
        if is_last:
            current[slot], newest = newest, newest + 1
    return np.array(found)


def stream(
    seed: int, rows: int, length: int = 1, at_a_time: int = 1, nulls_from: int | None = None
) -> PaneTable:
    """Three numbers and a text that are of the session, and two numbers that are of the row."""
    rng = np.random.default_rng(seed)
    session = session_of(rng, rows, length, at_a_time)
    count = int(session.max()) + 1
    kind = np.full(rows, NUMBER, np.uint8)
    if nulls_from is not None:
        kind[(np.arange(rows) >= nulls_from) & (rng.random(rows) < 0.3)] = NULL
    codes = rng.choice(np.array([*TEXTS], np.uint64), size=count, p=[0.5, 0.25, 0.15, 0.07, 0.03])
    rare = np.where(rng.random(count) < 0.05, NULL, NUMBER).astype(np.uint8)[session]
    wide = np.where(rare == NULL, 0.0, rng.lognormal(0.0, 1.5, count)[session])
    own = np.where(kind == NULL, 0.0, rng.standard_normal(rows))
    columns = {
        "feature:a": number_column(rng.standard_normal(count)[session]),
        "feature:b": number_column(wide, rare),
        "feature:c": number_column(np.round(3.0 * rng.standard_normal(count))[session]),
        "feature:text": Column(np.full(rows, TEXT, np.uint8), codes[session]),
        "feature:own": number_column(own, kind),
        "prediction:score": number_column(rng.random(rows)),
    }
    ends = np.arange(rows) * EVERY_MS // 10_000 * 10_000 + 10_000
    hashes = rng.integers(0, 2**63, rows).astype(np.uint64)
    return summarise(Rows(ends, hashes, columns, TEXTS), 256, 64)


def told(findings: list[MonitorFinding]) -> list[tuple[str, str]]:
    return [(one.alertname, one.series) for one in findings if one.verdict == "drift"]


@pytest.mark.parametrize(("length", "at_a_time"), [(5, 1), (20, 1), (50, 1), (5, 5), (20, 5)])
def test_sessions_are_no_drift_from_the_first_prediction_on(length: int, at_a_time: int) -> None:
    for seed in (1, 2):
        table = stream(seed, 4_000, length, at_a_time)
        assert told(lived(table, RULES).findings) == []


@pytest.mark.parametrize("seed", range(3))
def test_nulls_of_independent_rows_are_told_as_soon_as_ever(seed: int) -> None:
    table = stream(seed, 1_200, nulls_from=500)
    findings = lived(table, RULES).findings
    first = next(one for one in findings if one.alertname == "NullRate")
    assert first.series == "feature:own"
    assert (first.pane_end_ms - 500 * EVERY_MS) / EVERY_MS <= 40


def test_what_is_known_of_sessions_is_in_the_state_and_comes_back() -> None:
    table = stream(3, 2_500, 20)
    whole = lived(table, RULES)
    known = whole.monitor._detection.watch.common_tau
    assert known > 10.0
    for cuts in ([200, 900, 1_500], [*range(100, len(table), 130)]):
        again = lived(table, RULES, cuts)
        assert again.findings == whole.findings
        assert again.monitor._detection.watch.common_tau == known
