"""Packed sums are the sums."""

from __future__ import annotations

import numpy as np
import pytest

from stream.pane_evidence import Evidence
from stream.unit_columns import UnitColumns
from stream.unit_sums import UnitSums
from stream.units import Unit

UNITS = [
    Unit("feature:a", "shift"), Unit("feature:a", "shape", 4), Unit("feature:a", "null"),
    Unit("outcome:calibration", "calibration", 3), Unit("feature:b", "shift"),
]  # fmt: skip
COLUMNS = UnitColumns(UNITS)
SHIFTS, OF_SHAPE = [0, 9], slice(1, 5)


def evidence(seed: int, largest: int) -> Evidence:
    """Of a distribution all columns have the same values."""
    random = np.random.default_rng(seed)
    x, n, xx = (random.integers(-largest * (i == 0), largest, (3, 10)) for i in range(3))
    n[:, OF_SHAPE] = n[:, 1:2]
    return Evidence(x, n, xx)


@pytest.mark.parametrize("largest", [10, 2**30, 2**31, 2**40])
@pytest.mark.parametrize("seed", range(3))
def test_they_are_the_sums_however_large(seed: int, largest: int) -> None:
    sums, whole = UnitSums(COLUMNS), np.zeros((3, 10), np.int64)
    for run in range(5):
        of = evidence(10 * seed + run, largest if run > 1 else 10)
        sums.add(of)
        whole += np.array([column.sum(axis=0) for column in (of.x, of.n, of.xx)])
        squares = np.zeros(10, np.int64)
        squares[SHIFTS] = whole[2, SHIFTS]
        assert sums.whole().tolist() == [*whole[:2].tolist(), squares.tolist()]
        assert UnitSums.of(COLUMNS, sums.whole()).whole().tolist() == sums.whole().tolist()


def test_no_units_have_no_sums() -> None:
    assert UnitSums(UnitColumns()).whole().shape == (3, 0)
