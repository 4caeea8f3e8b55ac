"""A feature that comes while the reference is still gathered."""

from __future__ import annotations

import numpy as np
import pytest

from stream.columns import ABSENT, NUMBER, Rows, number_column
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.rules import Rules
from tests.stream.monitors import lived

RULES = Rules(maturity=None)
EVERY_MS = 5_000  # 17,280 rows a day
BORN = 10_000  # behind the provisional reference of 6,400


def stream(seed: int, rows: int, moved_from: int | None = None) -> PaneTable:
    """One number that is there from the beginning, and one that comes later."""
    rng = np.random.default_rng(seed)
    kind = np.full(rows, NUMBER, np.uint8)
    kind[:BORN] = ABSENT
    late = rng.standard_normal(rows)
    late[slice(moved_from or rows, None)] += 2.0
    columns = {
        "feature:a": number_column(rng.standard_normal(rows)),
        "feature:late": number_column(np.where(kind == ABSENT, 0.0, late), kind),
    }
    ends = np.arange(rows) * EVERY_MS // 10_000 * 10_000 + 10_000
    hashes = rng.integers(0, 2**63, rows).astype(np.uint64)
    return summarise(Rows(ends, hashes, columns, {}), 256, 64)


def told(findings: list[MonitorFinding]) -> list[tuple[str, int]]:
    """(series, rows since it came) of what was told of values."""
    of_values = {"FeatureDrift", "FeatureShapeDrift"}
    drifts = [one for one in findings if one.verdict == "drift" and one.alertname in of_values]
    return [(one.series, one.pane_end_ms // EVERY_MS - BORN) for one in drifts]


@pytest.mark.parametrize("after", [300, 1_000, 2_500, 3_000])
@pytest.mark.parametrize("seed", range(2))
def test_what_it_does_before_the_next_reference_is_told_soon(after: int, seed: int) -> None:
    found = told(lived(stream(seed, BORN + 4_000, BORN + after), RULES).findings)
    assert {series for series, _ in found} == {"feature:late"}
    assert found[0][1] - after <= 60


@pytest.mark.parametrize("seed", range(4))
def test_one_that_stays_as_it_is_is_quiet(seed: int) -> None:
    assert told(lived(stream(seed, BORN + 8_000), RULES).findings) == []


def test_restoring_at_any_pane_changes_nothing() -> None:
    table = stream(1, BORN + 8_000, BORN + 1_000)
    whole = lived(table, RULES)
    first = BORN * EVERY_MS // 10_000
    for cuts in ([first + 50, first + 150], [*range(first - 40, len(table), 173)]):
        again = lived(table, RULES, cuts)
        assert again.findings == whole.findings
        assert [one.id for one in again.references] == [one.id for one in whole.references]
