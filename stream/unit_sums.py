"""Sums of the columns of units, in half the room: these are held by each group all of the time.

Of a distribution all columns have the same values; squares are of use for ranks alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.pane_evidence import Evidence
from stream.panes import Ints
from stream.unit_columns import UnitColumns

_LARGEST = 2**31 - 1


class UnitSums:
    """x, n and xx; of other units than shifts xx is 0."""

    __slots__ = ("_columns", "_packed")

    def __init__(self, columns: UnitColumns) -> None:
        self._columns = columns
        size = len(columns.every) + len(columns.counted) + 2 * len(columns.ranked)
        # x, n and the halves of xx, in four bytes each; or x, n and xx, in eight
        self._packed: NDArray[Any] = np.zeros(size, np.int32)

    @classmethod
    def of(cls, columns: UnitColumns, whole: Ints) -> UnitSums:
        """From (3, columns)."""
        sums = cls(columns)
        x, n, xx = whole
        sums._put(x, n[columns.counted], xx[columns.ranked])
        return sums

    def _put(self, x: Ints, n: Ints, xx: Ints) -> None:
        is_short = all(not len(of) or int(np.abs(of).max()) <= _LARGEST for of in (x, n))
        parts = [x.astype(np.int32), n.astype(np.int32), xx.view(np.int32)]
        packed = np.concatenate(parts if is_short else [x, n, xx])
        if packed.dtype == self._packed.dtype:
            self._packed[:] = packed  # where it is: it stays there while much else comes and goes
        else:
            self._packed = packed

    def _parts(self) -> tuple[NDArray[Any], NDArray[Any], Ints]:
        packed, behind_x = self._packed, len(self._columns.every)
        behind_n = behind_x + len(self._columns.counted)
        xx = packed[behind_n:].copy().view(np.int64)
        return packed[:behind_x], packed[behind_x:behind_n], xx

    def add(self, evidence: Evidence) -> None:
        """All panes of it."""
        (x, n, xx), of = self._parts(), self._columns
        self._put(
            x + evidence.x.sum(axis=0),
            n + evidence.n[:, of.counted].sum(axis=0),
            xx + evidence.xx[:, of.ranked].sum(axis=0),
        )

    def whole(self) -> Ints:
        """(3, columns)."""
        (x, n, xx), of = self._parts(), self._columns
        whole: Ints = np.zeros((3, len(of.every)), np.int64)
        whole[0], whole[1] = x, n[of.counts]
        whole[2, of.ranked] = xx
        return whole
