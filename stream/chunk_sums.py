"""Sums of what has been gathered, in a bounded number of chunks of equally many rows.

Chunks merge two by two as there are more rows, so the batching of the panes does not show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.panes import Ints
from stream.sum_rows import SumRows


class ChunkSums:
    """Of parallel columns, `most` to twice as many chunks of them."""

    def __init__(self, most: int, kinds: int) -> None:
        self._most = most
        self._size, self._rows = 1, 0
        self._since: list[int] = []  # start of the first pane of each chunk
        self._sums = SumRows(kinds)

    def add(self, rows: Ints, begins_ms: Ints, sums: NDArray[np.int64]) -> None:
        """Of panes; a pane belongs to the chunk in which it begins. `sums`: (kinds, panes,
        columns); there may be more columns than before."""
        total = self._rows + int(rows.sum())
        while total >= 2 * self._most * self._size:
            self._fold()
        place = (self._rows + np.cumsum(rows) - rows) // self._size
        self._rows = total
        starts = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
        at = place[starts]
        for chunk, since_ms in zip(at.tolist(), begins_ms[starts].tolist(), strict=True):
            while len(self._since) <= chunk:
                self._since.append(since_ms)
        self._sums.add(at, np.add.reduceat(sums, starts, axis=1))

    def _fold(self) -> None:
        """Chunks of twice as many rows."""
        self._size *= 2
        self._sums.fold()
        self._since = self._since[::2]

    def of(self, columns: slice) -> ChunkSums:
        """A copy that knows these columns only."""
        copy = ChunkSums(self._most, self._sums.kinds)
        copy._size, copy._rows, copy._since = self._size, self._rows, list(self._since)
        copy._sums = self._sums.of(columns)
        return copy

    def all(self, columns: int) -> NDArray[np.int64]:
        """(kinds, chunks, columns)."""
        return self._sums.sums(columns)

    @property
    def rows(self) -> int:
        return self._rows

    def __len__(self) -> int:
        return len(self._sums)

    def since_ms(self, chunk: int) -> int:
        return self._since[chunk]

    # -- state

    def snapshot(self) -> list[Any]:
        return [self._size, self._rows, list(self._since), self._sums.snapshot()]

    def restore(self, kinds: int, plain: list[Any]) -> None:
        self._size, self._rows, since, sums = plain
        self._since = list(since)
        self._sums = SumRows.restore(kinds, sums)
