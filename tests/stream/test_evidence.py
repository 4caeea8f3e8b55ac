"""The recent window: a uniform sample that does not show how its panes came."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import Rows
from stream.evidence import current_evidence, distances
from stream.identity import hash_ids
from stream.panes import PaneTable, summarise
from stream.recent_rows import RecentRows
from tests.cells import feature_columns

K, KEEP = 8, 60


def table_of(names: list[str], pane_of: list[int], values: list[Any]) -> PaneTable:
    texts: dict[int, str] = {}
    columns = feature_columns([{"x": value} for value in values], "", texts)
    ends = 1_000 * (1 + np.array(pane_of, np.int64))
    return summarise(Rows(ends, hash_ids(names)[:, 0].copy(), columns, texts), K, 16)


def drawn(seed: int, panes: int) -> PaneTable:
    random = Random(seed)
    pane_of = [pane for pane in range(panes) for _ in range(random.choice((1, 2, 5, 30)))]
    names = [f"p{seed}-{i}" for i in range(len(pane_of))]
    return table_of(names, pane_of, [float(i) for i in range(len(pane_of))])


@pytest.mark.parametrize("seed", range(10))
def test_windows_are_the_same_in_any_batches(seed: int) -> None:
    random, table = Random(seed), drawn(seed, 120)
    whole, parts = RecentRows(KEEP), RecentRows(KEEP)
    whole.add(table)
    first = 0
    compared = 0
    while first < 120:
        last = min(120, first + random.choice((1, 3, 25)))
        parts.add(table.between(1_000 * first + 1, 1_000 * last))
        for pane in range(first, last):
            since_ms = max(0, 1_000 * (pane - random.randint(0, 40)))
            found = parts.window(since_ms, 1_000 * (pane + 1))
            expected = whole.window(since_ms, 1_000 * (pane + 1))
            assert found is not None
            assert expected is not None
            assert found.hash.tolist() == expected.hash.tolist()
            assert current_evidence(found, "x", None) == current_evidence(expected, "x", None)
            compared += 1
        parts.trim()
        first = last
    assert compared == 120


def test_a_window_thins_all_panes_to_the_hash_limit_of_the_thinnest() -> None:
    table = drawn(3, 40)
    recent = RecentRows(KEEP)
    recent.add(table)
    window = recent.window(0, 40_000)
    assert window is not None
    inside = table.pane_end >= int(window.pane_end.min())
    assert (window.hash < table.limit[inside].min()).all()
    assert len(window) >= K


def test_distances_of_numbers_and_of_texts() -> None:
    numbers = [
        table_of([f"{s}{i}" for i in range(8)], list(range(8)), list(range(8))) for s in "ab"
    ]
    assert distances(numbers[0].sample.columns["x"], numbers[1].sample.columns["x"]) == {}  # few
    big = [float(i) for i in range(40)]
    sides = [
        table_of([f"{i}" for i in range(40)], list(range(40)), [v + add for v in big])
        for add in (0.0, 20.0)
    ]
    found = distances(sides[0].sample.columns["x"], sides[1].sample.columns["x"])
    assert found["ks"] == 0.5
    assert found["psi"] > 0.25
    assert found["jensen_shannon"] > 0.3
    assert found["wasserstein"] == pytest.approx(20 / np.std(big), rel=1e-5)
    texts = [
        table_of([f"{i}" for i in range(40)], list(range(40)), [side[i % 2] for i in range(40)])
        for side in ("ab", "ac")
    ]
    found = distances(texts[0].sample.columns["x"], texts[1].sample.columns["x"])
    assert set(found) == {"chi2", "jensen_shannon", "psi"}
    assert found["chi2"] < 1e-4
    assert found["psi"] > 0.25


def test_evidence_of_a_feature_nobody_sent_says_only_how_many_were_looked_at() -> None:
    recent = RecentRows(KEEP)
    recent.add(drawn(1, 5))
    window = recent.window(0, 5_000)
    assert window is not None
    assert current_evidence(window, "y", None) == {"sampled": len(window)}
    assert current_evidence(None, "y", None) == {"sampled": 0}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_quantiles_are_values_that_were_there(values: list[float]) -> None:
    rows = table_of([str(i) for i in range(len(values))], [0] * len(values), values).sample
    numbers = rows.columns["x"].numbers()[1]
    shown = current_evidence(rows, "x", None)
    for name, share in (("p05", 0.05), ("p50", 0.5), ("p95", 0.95)):
        value = float(np.quantile(numbers, share, method="inverted_cdf"))
        assert shown[name] == float(f"{value:.6g}")
