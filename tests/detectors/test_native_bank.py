"""The bank in C is that of numpy, bit for bit."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import native
from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.cusum_bank import Crossings, CusumBank
from detectors.score_tilts import score_tilts
from detectors.tilts import NEVER, Tilts
from tests.detectors.test_cusum_bank import as_rows

pytestmark = pytest.mark.skipif(
    not native.IS_BUILT and os.environ.get("CI") != "true", reason="no compiler"
)


def tilts_of(seed: int, series: int) -> Tilts:
    """Rates, scores, and, now and then, what numbers of four bytes do not hold."""
    rng = np.random.default_rng(seed)
    count = rng.integers(100, 5000, series)
    rates = bernoulli_tilts(rng.integers(0, count), count, rate=1e-3)
    made = Tilts.concat([rates, score_tilts(rng.integers(200, 9000, series), rate=1e-2)])
    if seed % 3 == 0:
        made.gain[0, 0] = 2**40
    if seed % 5 == 0:
        made.threshold[:, 0] = np.where(made.threshold[:, 0] < NEVER, 12_345, NEVER)
    return made.take(rng.permutation(2 * series))


def updated(bank: CusumBank, panes: tuple[Any, ...], *, in_c: bool) -> Crossings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "IN_USE", in_c)
        patch.setattr(CusumBank, "_advance" if in_c else "_advanced", None)  # not by the other way
        return bank.update(*panes)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6), series=st.integers(1, 5), panes=st.integers(0, 40),
    shift=st.sampled_from([0, 3_000, 20_000]),
)  # fmt: skip
def test_any_panes_leave_the_same_bank_and_tell_the_same(
    seed: int, series: int, panes: int, shift: int
) -> None:
    rng, tilts = np.random.default_rng(seed), tilts_of(seed, series)
    by_numpy, in_c = CusumBank(tilts), CusumBank(tilts)
    for turn in range(4):
        some = np.flatnonzero(rng.random(2 * series) < 0.8)
        n = rng.integers(0, 6, (panes, len(some)))
        x = np.where(
            tilts.is_rate[some], rng.binomial(n, 0.3), rng.integers(-9_000, 16_000, n.shape) * n
        )
        x = x + np.where(tilts.is_rate[some], 0, shift * n)
        position = np.cumsum(rng.integers(1, 9, panes))
        asked = position, x, n, some
        expected = updated(by_numpy, asked, in_c=False)
        assert as_rows(updated(in_c, asked, in_c=True)) == as_rows(expected)
        for name, values in by_numpy.snapshot().items():
            np.testing.assert_array_equal(values, in_c.snapshot()[name])
        held = np.flatnonzero(by_numpy.held)[:1]
        if turn == 1 and len(held):
            for bank in (by_numpy, in_c):
                bank.restart(held, tilts.take(held))
                bank.rest()


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    one = np.ones(2, np.int64)
    state = [np.zeros(2, np.int64) for _ in range(4)]
    good = [
        np.array([0, 1], np.uint8), np.array([0, 1, 2], np.uint8), one, one, one, one[:1], one, one,
        np.arange(2), np.zeros(2, np.bool_), *state,
    ]  # fmt: skip
    bank = native.EXTENSION.bank
    assert bank(1, tuple(good)) is not None
    for place, other in (
        (0, one.astype(np.float64)[:1]), (0, np.array([1, 2], np.uint8)), (0, one[:1]),
        (1, np.array([0, 2, 1], np.uint8)), (1, np.array([1, 1, 2], np.uint8)),
        (1, np.array([0, 1, 1], np.uint8)), (1, np.zeros(0, np.uint8)), (2, one[:1]),
        (2, np.ones(2, np.int16)), (5, np.zeros(2, np.int64)), (6, one[:1]),
        (7, -one), (7, one << 31), (8, np.array([1, 0])), (8, np.array([0, 2])), (8, one - 2),
        (9, np.zeros(2, np.int64)), (9, np.zeros(1, np.bool_)), (10, np.zeros(3, np.int64)),
    ):  # fmt: skip
        bad = [*good]
        bad[place] = other
        with pytest.raises(ValueError, match=r"\w"):
            bank(1, tuple(bad))
    with pytest.raises(ValueError, match="number of columns"):
        bank(1, tuple(good[:-1]))
    frozen = [*good]
    frozen[10] = np.zeros(2, np.int64)
    frozen[10].setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        bank(1, tuple(frozen))
