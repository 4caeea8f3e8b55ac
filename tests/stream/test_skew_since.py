"""What is skew was so before the onset that was found; what is drift was not."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from stream.columns import Rows, number_column
from stream.frozen_table import FrozenTable
from stream.panes import collapse, summarise
from stream.reference import Reference
from stream.skew_since import was_so

NAME, SINCE_MS = "feature:x", 1_000


def rows(mean: float, seed: int, *ends: int) -> Rows:
    """Five hundred values in all."""
    random = Random(seed)
    values = np.array([random.gauss(mean, 1.0) for _ in range(500)])
    numbers = np.arange(500, dtype=np.uint64) + np.uint64(seed)
    return Rows(np.sort(np.resize(np.array(ends), 500)), numbers, {NAME: number_column(values)}, {})


def reference(of: Rows) -> Reference:
    table = collapse([summarise(of, 500, 4)], int(of.pane_end.max()), 500, 4)
    group, ends = ("m", "1", "champion", ""), of.pane_end
    return Reference(group, "prediction", 0, int(ends.max()), FrozenTable(table))


LAW, WINDOW = reference(rows(0.0, 1, 10)), rows(0.5, 2, 1_010, 1_020)


def live(mean: float) -> Reference:
    return reference(rows(mean, 3, 500, SINCE_MS))


def test_what_had_moved_before_is_skew() -> None:
    for mean in (0.4, 0.5, 1.0):
        assert was_so(NAME, SINCE_MS, LAW, live(mean), WINDOW)


@pytest.mark.parametrize("mean", [0.0, 0.1, -0.5], ids=["not at all", "by too little", "opposite"])
def test_what_had_not_is_drift(mean: float) -> None:
    assert not was_so(NAME, SINCE_MS, LAW, live(mean), WINDOW)


def test_where_there_is_nothing_to_look_at_nothing_was() -> None:
    assert not was_so(NAME, SINCE_MS, LAW, live(0.5), None)
    assert not was_so("feature:y", SINCE_MS, LAW, live(0.5), WINDOW)
    assert not was_so(NAME, 900, LAW, live(0.5), WINDOW), "not all of it is from before"
