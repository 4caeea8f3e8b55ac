"""Moments and grids in C are Python's, to the last bit."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import native, rank_scores, tilts

pytestmark = pytest.mark.skipif(
    not native.IS_BUILT and os.environ.get("CI") != "true", reason="no compiler"
)
SIZES = st.floats(1e-6, 50.0)
SUMMANDS = st.floats(-1e150, 1e150) | st.floats(-1.0, 1.0) | st.sampled_from([1e16, -1e16, 1.0])


def by_both(patch: pytest.MonkeyPatch, work: Any) -> tuple[bytes, bytes]:
    found = []
    for in_c in (False, True):
        patch.setattr(native, "IN_USE", in_c)
        found.append(work().tobytes())
    return found[0], found[1]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(scores=st.lists(SUMMANDS, min_size=1, max_size=60), seed=st.integers(0, 10**6))
def test_moments_are_rounded_once(scores: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = np.array([*scores, *rng.standard_normal(40), *-np.array(scores)])
    share = rng.random(len(at))
    cuts = np.array([0, len(scores), len(scores) + 1, len(at)])
    with pytest.MonkeyPatch.context() as patch:
        one, other = by_both(patch, lambda: rank_scores._all_moments(share, at, cuts))
    assert one == other


@settings(max_examples=300, deadline=None, derandomize=True)
@given(pairs=st.lists(st.tuples(SIZES, SIZES | st.just(-1.0)), max_size=30))
def test_grids_are_the_same(pairs: list[tuple[float, float]]) -> None:
    least, largest = np.array(pairs).reshape(-1, 2).T
    with pytest.MonkeyPatch.context() as patch:
        one, other = by_both(patch, lambda: tilts.grids(least, largest))
    assert one == other


def test_columns_that_do_not_fit_are_refused() -> None:
    two, cuts, out = np.ones(2), np.array([0, 1, 2]), np.zeros((2, 2))
    moments, grids = native.EXTENSION.moments, native.EXTENSION.grids
    assert moments(two, two, cuts, out) is None
    for bad in (
        (two[:1], two, cuts, out),
        (two, two, cuts[:2], out),
        (two, two, cuts + 1, out),
        (two, two, cuts - 1, out),
        (two, two, cuts[[0, 2, 1]], out),
        (two, two, cuts[:0], out),
        (two, two, cuts.astype(np.int32), out),
    ):
        with pytest.raises(ValueError, match=r"column|cuts"):
            moments(*bad)
    assert grids(1.0, (two, two, out)) is None
    for other in ((two[:1], two, out), (two, two, out[:1, :1]), (two, two, np.zeros((2, 2), "i4"))):
        with pytest.raises(ValueError, match="column"):
            grids(1.0, other)
