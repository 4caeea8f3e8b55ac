"""What a model says of its shared features, hour by hour, is the same however its panes come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.rank_scores import SCORE_UNIT
from stream.columns import Rows, column
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable, summarise
from stream.rules import HOUR_MS, BudgetRule, ReferenceRule, Rules
from tests.stream.monitors import lived
from tests.stream.test_watch import RULES

PANE_MS = 60_000
SHARED = replace(
    RULES,
    pane_ms=PANE_MS,
    budget=BudgetRule(),
    reference=ReferenceRule(predictions=1_200, span_ms=HOUR_MS),
    shared=(("x", ("m", "other")), ("z", ("other", "another"))),
)
HOURS, A_PANE = 14, 5


def table(jump: float = 0.0) -> PaneTable:
    """Five values a minute for 14 hours, but for the ninth; x is higher in the last two."""
    random, size = np.random.default_rng(1), HOURS * 60 * A_PANE
    ends = (np.arange(size) // A_PANE + 1) * PANE_MS
    x = random.standard_normal(size) + jump * (ends > (HOURS - 2) * HOUR_MS)
    kept = (ends <= 8 * HOUR_MS) | (ends > 9 * HOUR_MS)
    texts: dict[int, str] = {}
    hashes = random.integers(0, 2**63, size).astype(np.uint64)
    columns = {
        "feature:x": column(x.tolist(), texts),
        "feature:y": column(random.standard_normal(size).tolist(), texts),
    }
    rows = Rows(ends, hashes, columns, texts).take(np.flatnonzero(kept))
    return summarise(rows, SHARED.pane_rows, SHARED.max_categories)


PANES = table()


def pooled(table: PaneTable, rules: Rules = SHARED, **given: Any) -> list[MonitorFinding]:
    found = lived(table, rules, **given).findings
    return [one for one in found if one.verdict == "pooled"]


def test_each_hour_behind_the_reference_is_said_once_it_is_whole() -> None:
    found = pooled(PANES)
    hours = [(one.detail or {})["hour_ms"] // HOUR_MS for one in found]
    assert hours == [4, 5, 6, 7, 9, 10, 11, 12]  # sealed in the fifth; the last is not whole
    assert {one.series for one in found} == {"shared:x"}
    ends = [one.pane_end_ms for one in found]
    behind = [hour + 1 for hour in hours]
    behind[3] = 9  # with the first pane that comes
    assert ends == [hour * HOUR_MS + PANE_MS for hour in behind]
    full = [one.detail or {} for one in found[1:]]
    assert {one["n"] for one in full} == {60 * A_PANE}
    assert all(abs(one["x"]) / SCORE_UNIT / one["n"] < 0.3 for one in full)
    assert all(0.7 < one["xx"] / SCORE_UNIT**2 / one["n"] < 1.3 for one in full)
    assert {one["fires"] for one in full} == {False}


CUTS = st.lists(st.integers(1, len(PANES) - 1), max_size=6, unique=True).map(sorted)


@settings(max_examples=12, deadline=None)
@given(CUTS)
def test_cuts_and_restores_do_not_show(cuts: list[int]) -> None:
    assert pooled(PANES, cuts=cuts) == pooled(PANES)


def test_a_model_that_tells_of_the_feature_by_itself_says_so() -> None:
    moved = table(jump=2.0)
    found = [one.detail or {} for one in pooled(moved)]
    assert [one["fires"] for one in found[-2:]] == [False, True]
    assert pooled(moved, cuts=[700, 750, 779]) == pooled(moved)


@pytest.mark.parametrize("shared", [(), (("x", ("other", "another")),)])
def test_where_nothing_is_shared_nothing_is_said_or_held(shared: Any) -> None:
    lonely = lived(PANES, replace(SHARED, shared=shared))
    assert not [one for one in lonely.findings if one.verdict == "pooled"]
    assert "shared" not in lonely.monitor.snapshot().plain["watch"]


def test_what_is_watched_across_models_is_one_item_more_of_the_features() -> None:
    (told, *_) = [one.detail or {} for one in pooled(PANES)]
    alone, shared = (
        lived(PANES, replace(SHARED, shared=s)).monitor.snapshot().plain["watch"]["units"]
        for s in ((), SHARED.shared)
    )

    def share(units: Any, measure: str) -> float:
        (found,) = {one[6] for one in units if one[1] == measure}
        return float(found)

    for measure in ("shift", "shape"):
        assert share(shared, measure) == pytest.approx(share(alone, measure) * 2 / 3)
    assert told["share"] == share(shared, "shift")  # of the third part no more
