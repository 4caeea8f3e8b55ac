"""Counts of buckets and texts: against counting one by one, in places and by sorting."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.log_buckets import bucket_of
from stream import cell_counts
from stream.cell_counts import bucket_counts, text_counts
from stream.feature_table import Counts

numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.02, 5e-324, -5e-324, 2.0**-1022, 1e300, -1e-300])
cells = st.lists(st.tuples(st.integers(0, 3), numbers | st.floats(-9, 9)), max_size=40)
NEAR = [2**60 + i for i in range(3)]  # their first bits are the same
texts = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 7, *NEAR, 2**63, 2**64 - 1])), max_size=40
)


def plain(counts: Counts) -> list[tuple[tuple[int, int], int]]:
    assert (counts.pane.dtype, counts.count.dtype) == (np.int64, np.int64)
    pairs = zip(counts.pane.tolist(), counts.key.tolist(), strict=True)
    return list(zip(pairs, counts.count.tolist(), strict=True))


@pytest.mark.parametrize("places_per_cell", [0, 1 << 20])
@settings(max_examples=100, deadline=None, derandomize=True)
@given(cells)
def test_each_bucket_of_each_pane_is_counted(
    places_per_cell: int, cells: list[tuple[int, float]]
) -> None:
    cells = sorted(cells, key=lambda cell: cell[0])
    pane, values = np.array([p for p, _ in cells], np.int64), np.array([x for _, x in cells])
    expected = Counter(zip(pane.tolist(), bucket_of(values).tolist(), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_counts, "_PLACES_PER_CELL", places_per_cell)
        assert plain(bucket_counts(pane, values)) == sorted(expected.items())


@pytest.mark.parametrize("worth_slots", [0, 1 << 11])
@settings(max_examples=100, deadline=None, derandomize=True)
@given(texts)
def test_each_text_of_each_pane_is_counted(worth_slots: int, cells: list[tuple[int, int]]) -> None:
    cells = sorted(cells, key=lambda cell: cell[0])
    pane = np.array([p for p, _ in cells], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_counts, "_WORTH_SLOTS", worth_slots)
        counts = text_counts(pane, np.array([h for _, h in cells], np.uint64))
    assert counts.key.dtype == np.uint64
    assert plain(counts) == sorted(Counter(cells).items())
