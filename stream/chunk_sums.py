"""Sums of what has been gathered, in a bounded number of chunks of equally many rows.

Chunks merge two by two as there are more rows, so the batching of the panes does not show.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.panes import Ints


class ChunkSums:
    """Of parallel columns, `most` to twice as many chunks of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size, self._rows = 1, 0
        self._since: list[int] = []  # start of the first pane of each chunk
        self._sums: list[NDArray[np.int64]] = []  # (kinds of sums, columns) of each chunk

    def add(self, rows: Ints, begins_ms: Ints, sums: NDArray[np.int64]) -> None:
        """Of panes; a pane belongs to the chunk in which it begins. `sums`: (kinds, panes,
        columns); there may be more columns than before."""
        total = self._rows + int(rows.sum())
        while total >= 2 * self._most * self._size:
            self._fold()
        place = (self._rows + np.cumsum(rows) - rows) // self._size
        self._rows = total
        starts = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
        of_chunks = np.add.reduceat(sums, starts, axis=1).swapaxes(0, 1)
        at = zip(place[starts].tolist(), begins_ms[starts].tolist(), of_chunks, strict=True)
        for chunk, since_ms, one in at:
            while len(self._sums) <= chunk:
                self._since.append(since_ms)
                self._sums.append(np.zeros_like(one))
            self._sums[chunk] = one + _padded(self._sums[chunk], one.shape[1])

    def _fold(self) -> None:
        """Chunks of twice as many rows."""
        self._size *= 2
        width = max((one.shape[1] for one in self._sums), default=0)
        pairs = [self._sums[i : i + 2] for i in range(0, len(self._sums), 2)]
        self._sums = [np.sum([_padded(one, width) for one in pair], axis=0) for pair in pairs]
        self._since = self._since[::2]

    def of(self, columns: slice) -> ChunkSums:
        """A copy that knows these columns only."""
        copy = ChunkSums(self._most)
        copy._size, copy._rows, copy._since = self._size, self._rows, list(self._since)
        copy._sums = [_padded(one, columns.stop)[:, columns] for one in self._sums]
        return copy

    def all(self, columns: int) -> NDArray[np.int64]:
        """(kinds, chunks, columns)."""
        return np.stack([_padded(one, columns) for one in self._sums]).swapaxes(0, 1)

    @property
    def rows(self) -> int:
        return self._rows

    def __len__(self) -> int:
        return len(self._sums)

    def since_ms(self, chunk: int) -> int:
        return self._since[chunk]

    # -- state

    def snapshot(self) -> list[Any]:
        sums = [one.flatten() for one in self._sums]
        return [self._size, self._rows, list(self._since), sums]

    def restore(self, kinds: int, plain: list[Any]) -> None:
        self._size, self._rows, since, sums = plain
        self._since = list(since)
        self._sums = [np.array(one).reshape(kinds, -1) for one in sums]


def _padded(sums: NDArray[np.int64], columns: int) -> NDArray[np.int64]:
    """With the columns that have come since."""
    more = columns - sums.shape[1]
    return np.pad(sums, ((0, 0), (0, more))) if more > 0 else sums
