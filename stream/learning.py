"""What has been usual of late: old panes join the reference that is compared with.

    open --5,000 rows, 6 h--> young --20,000 rows, 1 day of younger ones--> learned or dropped

A sealed reference is small, and its own error decides how small a change can be told from it. So
the bank compares with the sealed panes and all later ones behind which nothing has happened, while
people are told the difference to the sealed reference. What a unit did while it fired, or before it
crossed, is never learned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.pane_evidence import Evidence
from stream.panes import Ints, PaneTable
from stream.rules import DAY_MS
from stream.unit_columns import UnitColumns, columns_of
from stream.unit_sums import UnitSums

CHUNK_ROWS, CHUNK_MS = 5_000, DAY_MS // 4
YOUNG_ROWS, YOUNG_MS = 20_000, DAY_MS


@dataclass(slots=True)
class Chunk:
    """Panes of some time: their rows, and sums of each column."""

    rows: int = 0
    start_ms: int = 0
    end_ms: int = 0
    sums: UnitSums = field(default_factory=lambda: UnitSums(columns_of()))

    def snapshot(self) -> list[Any]:
        return [self.rows, self.start_ms, self.end_ms, self.sums.whole().flatten()]

    @classmethod
    def restore(cls, columns: UnitColumns, plain: list[Any]) -> Chunk:
        rows, start_ms, end_ms, sums = plain
        whole = np.array(sums).reshape(3, -1)
        return cls(rows, start_ms, end_ms, UnitSums.of(columns, whole))


class Learning:
    def __init__(self) -> None:
        self._columns = columns_of()
        self._open = Chunk()
        self._young: list[Chunk] = []

    def closings(self, table: PaneTable, pane_ms: int) -> list[int]:
        """Indexes of the panes with which a chunk is complete."""
        found: list[int] = []
        total, end_ms = np.cumsum(table.rows), table.pane_end
        before, start_ms = -self._open.rows, self._open.start_ms
        if not self._open.rows:
            start_ms = self._begin_ms(table, pane_ms)
        while True:
            done = (total - before >= CHUNK_ROWS) & (end_ms - start_ms >= CHUNK_MS)
            if not done.any():
                return found
            found.append(int(done.argmax()))
            before, start_ms = int(total[found[-1]]), int(end_ms[found[-1]])

    def _begin_ms(self, table: PaneTable, pane_ms: int) -> int:
        """Of a chunk: the end of the one before it."""
        return self._young[-1].end_ms if self._young else table.first_end_ms - pane_ms

    def arrange(self, columns: UnitColumns, kept: Iterable[tuple[Ints, Ints]]) -> None:
        """Other columns from now on; `kept`: where some were, and where they are."""
        moves = list(kept)
        self._columns = columns
        for chunk in (*self._young, self._open):
            before, sums = chunk.sums.whole(), np.zeros((3, len(columns.every)), np.int64)
            for was, now in moves:
                sums[:, now] = before[:, was]
            chunk.sums = UnitSums.of(columns, sums)

    def count(self, table: PaneTable, pane_ms: int) -> None:
        """Rows and time of panes that are watched."""
        if not self._open.rows:
            self._open.start_ms = self._begin_ms(table, pane_ms)
        self._open.rows += int(table.rows.sum())
        self._open.end_ms = table.last_end_ms

    def add(self, evidence: Evidence) -> None:
        self._open.sums.add(evidence)

    def forget(self, columns: Ints) -> None:
        """What these columns did until now is not usual."""
        for chunk in (*self._young, self._open):
            sums = chunk.sums.whole()
            sums[:, columns] = 0
            chunk.sums = UnitSums.of(self._columns, sums)

    def close(self) -> NDArray[np.int64] | None:
        """The open chunk is complete. Sums (3, columns) of the one that is old enough now."""
        self._young.append(self._open)
        self._open = Chunk(sums=UnitSums(self._columns))
        younger = self._young[1:]
        if sum(chunk.rows for chunk in younger) < YOUNG_ROWS:
            return None
        if younger[-1].end_ms - younger[0].start_ms < YOUNG_MS:
            return None
        return self._young.pop(0).sums.whole()

    def traffic(self) -> float | None:
        """Rows a millisecond of late."""
        chunks = [chunk for chunk in (*self._young, self._open) if chunk.rows]
        if not chunks or chunks[-1].end_ms <= chunks[0].start_ms:
            return None
        span_ms = chunks[-1].end_ms - chunks[0].start_ms
        return sum(chunk.rows for chunk in chunks) / span_ms

    def snapshot(self) -> list[Any]:
        return [self._open.snapshot(), [chunk.snapshot() for chunk in self._young]]

    @classmethod
    def restore(cls, columns: UnitColumns, plain: list[Any]) -> Learning:
        learning = cls()
        learning._columns = columns
        learning._open = Chunk.restore(columns, plain[0])
        learning._young = [Chunk.restore(columns, chunk) for chunk in plain[1]]
        return learning
