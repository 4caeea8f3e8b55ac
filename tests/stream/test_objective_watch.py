"""Latency objectives: told when an hour misses one by more than chance, whatever the batching."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.log_buckets import bucket_of
from detectors.quantile_bound import quantile, surprise_of_share
from stream.columns import Rows, column
from stream.objective_watch import LATENCY, SLOT_MS, ObjectiveTold, ObjectiveWatch
from stream.panes import PaneTable, summarise
from stream.rules import LatencyRule
from stream.snapshot import pack, unpack

RULE = LatencyRule((("p50", 0.5, 20.0), ("p95", 0.95, 60.0)))
PANE_MS, ROWS, PANES = 60_000, 20, 360
TERMS = {"rate": 1e-9, "minimum": 200, "ask_after_ms": 10**12}


def panes(factor_since: int, factor: float, *, seed: int = 1, count: int = PANES) -> PaneTable:
    """Twenty answers a minute around 10 ms; slower from a minute on."""
    random = np.random.default_rng(seed)
    ends = np.repeat(np.arange(1, count + 1) * PANE_MS, ROWS)
    took = 10.0 * np.exp(0.5 * random.standard_normal(len(ends)))
    took[ends > factor_since * PANE_MS] *= factor
    texts: dict[int, str] = {}
    hashes = random.integers(0, 2**63, len(ends)).astype(np.uint64)
    columns = {LATENCY: column([float(value) for value in took], texts)}
    return summarise(Rows(ends, hashes, columns, texts), 64, 64)


def told(table: PaneTable, cuts: tuple[int, ...] = ()) -> list[tuple[int, ObjectiveTold]]:
    """With the ends of their panes; restored behind every cut."""
    watch, found = ObjectiveWatch(), list[tuple[int, ObjectiveTold]]()
    for first, last in pairwise(sorted({0, *cuts, PANES})):
        part = table.between(first * PANE_MS + 1, last * PANE_MS)
        for one in watch.run(part, RULE, **TERMS):  # type: ignore[arg-type]
            found.append((int(part.pane_end[one.row]), replace(one, row=0)))
        watch = ObjectiveWatch.restore(unpack(b"T", 1, pack(b"T", 1, watch.snapshot())))
    return found


def test_a_quantile_is_off_by_the_width_of_a_bucket_at_most() -> None:
    values = np.sort(np.random.default_rng(3).lognormal(3.0, 1.0, 5_000))
    keys, counts = np.unique(bucket_of(values), return_counts=True)
    for share in (0.5, 0.95, 0.99):
        exact = values[int(np.ceil(share * len(values))) - 1]
        assert quantile(keys, counts, share) == pytest.approx(exact, rel=0.017)


def test_chance_is_bounded() -> None:
    random = np.random.default_rng(4)
    events = random.binomial(300, 0.05, 20_000)
    for nats in (3.0, 5.0):
        beyond = np.mean([surprise_of_share(int(k), 300, 0.05) >= nats for k in events])
        assert beyond <= np.exp(-nats)


def test_answers_within_what_was_promised_tell_nothing() -> None:
    for seed in range(20):
        assert told(panes(0, 1.0, seed=seed)) == []


def test_an_objective_that_is_missed_is_told_with_the_quantiles_and_met_again_later() -> None:
    slow, well = panes(180, 5.0), panes(0, 1.0, seed=2, count=PANES)
    ((end_ms, one),) = told(slow)
    assert one.missed[0] == "p95"
    assert 180 * PANE_MS < end_ms <= 180 * PANE_MS + 4 * SLOT_MS
    assert abs(one.since_ms - 180 * PANE_MS) <= SLOT_MS
    assert one.took["p95"] > 60.0
    watch = ObjectiveWatch()
    watch.run(slow, RULE, **TERMS)  # type: ignore[arg-type]
    assert watch.is_firing
    later = well.between(1, 10**15)
    ends = list(watch.run(_later(later), RULE, **TERMS))  # type: ignore[arg-type]
    assert [bool(one.missed) for one in ends] == [False]
    assert not watch.is_firing


def _later(table: PaneTable) -> PaneTable:
    return replace(table, pane_end=table.pane_end + PANES * PANE_MS)


@given(st.lists(st.integers(1, PANES - 1), max_size=8), st.sampled_from([0.5, 3.0, 8.0]))
@settings(max_examples=25, deadline=None)
def test_what_is_told_does_not_hang_on_batches(cuts: list[int], factor: float) -> None:
    table = panes(100, factor)
    assert told(table, tuple(cuts)) == told(table)
