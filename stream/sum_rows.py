"""Rows of sums that grow, packed as they are complete.

An array for each row would be thousands of small ones, made while much else comes and goes: what
lies between them when they are gone is of no use to anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cramjam
import numpy as np

from stream.packed_rows import restored, shuffled
from stream.panes import Ints

_OPEN = 8  # rows, that may still grow or wait to be packed
_LEVEL = 1  # of zstd


class SumRows:
    """Of several kinds of sums, each of parallel columns. Rows are 0 until something is added."""

    def __init__(self, kinds: int) -> None:
        self._packed: list[bytes] = []  # so many rows each
        self._open: Ints = np.zeros((kinds, _OPEN, 0), np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def kinds(self) -> int:
        return len(self._open)

    @property
    def columns(self) -> int:
        columns: int = self._open.shape[2]
        return columns

    def add(self, at: Ints, sums: Ints) -> None:
        """To these rows, ascending, none before the last one there is; (kinds, rows, columns), of
        which there may be more than before."""
        self._count = max(self._count, int(at[-1]) + 1)
        if sums.shape[2] > self.columns:
            self._open = _padded(self._open, sums.shape[2])
        place, first = at - _OPEN * len(self._packed), 0
        while place[-1] >= _OPEN:
            upto = int(np.searchsorted(place, _OPEN))
            self._open[:, place[first:upto]] += sums[:, first:upto]
            if self._open.any():
                self._packed.append(_packed(self._open))
                self._open[:] = 0
            else:  # most are, where panes have many rows
                self._packed.append(_packed_zeros(self.kinds, self.columns))
            place, first = place - _OPEN, upto
        self._open[:, place[first:]] += sums[:, first:]

    def fold(self) -> None:
        """Two rows and two become one."""
        if not self._count:
            return
        sums, kinds, pairs = self.sums(self.columns), self.kinds, np.arange(0, self._count, 2)
        self._packed, self._open = [], np.zeros((kinds, _OPEN, 0), np.int64)
        self._count = 0
        if len(pairs):
            self.add(np.arange(len(pairs)), np.add.reduceat(sums, pairs, axis=1))

    def sums(self, columns: int) -> Ints:
        """(kinds, rows, columns); at least so many columns as there are."""
        known = {
            one: restored(bytes(cramjam.zstd.decompress(one)), np.int64)
            for one in dict.fromkeys(self._packed)
        }
        parts = [known[one].reshape(self.kinds, _OPEN, -1) for one in self._packed]
        whole = [_padded(part, columns) for part in (*parts, self._open)]
        return np.concatenate(whole, axis=1)[:, : self._count]

    def of(self, columns: slice) -> SumRows:
        """A copy that knows these columns only."""
        copy = SumRows(self.kinds)
        if self._count:
            sums = self.sums(max(columns.stop, self.columns))
            copy.add(np.arange(self._count), sums[:, :, columns])
        return copy

    # -- state

    def snapshot(self) -> list[Ints]:
        """(kinds x columns) of each row."""
        return [one.flatten() for one in self.sums(self.columns).swapaxes(0, 1)]

    @classmethod
    def restore(cls, kinds: int, plain: Sequence[Any]) -> SumRows:
        """Rows may have fewer columns than the ones behind them."""
        rows = cls(kinds)
        for place, one in enumerate(plain):
            rows.add(np.array([place]), np.array(one).reshape(kinds, 1, -1))
        return rows


def _packed(sums: Ints) -> bytes:
    return bytes(cramjam.zstd.compress(shuffled(sums), _LEVEL))


@lru_cache(maxsize=64)
def _packed_zeros(kinds: int, columns: int) -> bytes:
    return _packed(np.zeros((kinds, _OPEN, columns), np.int64))


def _padded(sums: Ints, columns: int) -> Ints:
    if sums.shape[2] == columns:
        return sums
    made: Ints = np.zeros((*sums.shape[:2], columns), np.int64)
    made[:, :, : sums.shape[2]] = sums
    return made
