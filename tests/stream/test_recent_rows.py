"""A window of recent rows is the same however they lie in memory."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from stream import recent_rows
from stream.columns import Rows, number_column
from stream.panes import summarise
from stream.recent_rows import FullStretch, RecentRows

KEEP, A_PANE = 256, 100


def rows_of(pane: int) -> Rows:
    random = np.random.default_rng(pane)
    hashes = random.integers(0, 2**63, A_PANE).astype(np.uint64)
    columns = {"feature:x": number_column(random.normal(size=A_PANE).round(3))}
    return Rows(np.full(A_PANE, 1_000 * (pane + 1)), hashes, columns, {})


def recent_of(panes: int) -> RecentRows:
    recent = RecentRows(KEEP)
    for pane in range(panes):
        recent.add(summarise(rows_of(pane), KEEP, 16))
        recent.trim()
    return recent


def is_open(full: FullStretch) -> bool:
    return full._open is not None


def plain(rows: Rows | None) -> list[list[int]]:
    assert rows is not None
    cells = rows.columns["feature:x"].bits
    return [rows.pane_end.tolist(), rows.hash.tolist(), cells.tolist()]


def test_only_the_latest_stretch_is_open_and_none_of_a_monitor_that_slept() -> None:
    recent = recent_of(7)
    full, _ = recent.snapshot()
    assert [is_open(one) for one in full] == [False, False, True]
    said, window = [one.encode() for one in full], plain(recent.window(0, 10_000))
    woken: RecentRows = pickle.loads(pickle.dumps(recent))
    slept, _ = woken.snapshot()
    assert not any(map(is_open, slept))
    assert [one.name for one in slept] == [one.name for one in full]
    assert [one.encode() for one in slept] == said
    assert plain(woken.window(0, 10_000)) == plain(recent.window(0, 10_000)) == window
    assert [len(part) for part in window] == [3 * A_PANE] * 3


def test_a_stretch_of_very_many_features_is_packed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_rows, "_MOST_OPEN", A_PANE - 1)
    full, _ = recent_of(7).snapshot()
    assert [is_open(one) for one in full] == [False, False, False]


def test_what_is_restored_lies_packed_and_says_the_same() -> None:
    recent = recent_of(7)
    full, newest = recent.snapshot()
    restored = RecentRows(KEEP)
    decoded = [FullStretch.decode(one.encode()) for one in full]
    restored.restore(decoded, newest)
    assert not any(map(is_open, decoded))
    assert plain(restored.window(0, 10_000)) == plain(recent.window(0, 10_000))
