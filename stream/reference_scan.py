"""Looks for a change inside a reference before it is sealed.

What has been gathered is summed in at most 256 chunks of equally many rows, in the terms of the
first provisional reference: ranks are ranks in whatever order they were learned. Chunks merge two
by two as there are more rows, so the batching of the panes does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.dependence import scan_reference
from stream.pane_evidence import PaneReader
from stream.panes import PaneTable
from stream.profile import Profile
from stream.reference import ChangeWithin
from stream.unit_reading import Together
from stream.units import Unit, is_fault

_CHUNKS = 128
_LEVEL = 1e-3  # chance of refusing a reference in which nothing has changed, all series together


class ReferenceScan:
    def __init__(self) -> None:
        self.frame: Profile | None = None  # None: there is nothing to read panes by yet
        self._units: list[tuple[Unit, bool]] = []
        self._together = Together([])
        self._size, self._rows = 1, 0
        self._since: list[int] = []  # start of the first pane of each chunk
        self._sums: list[NDArray[np.int64]] = []  # x, n, xx: (3, columns)

    def begin(self, frame: Profile, units: Sequence[tuple[Unit, bool]]) -> None:
        """`units`: each with whether its feature is numeric. Bins of numbers follow their ranks."""
        self.frame = frame
        self._units = [
            (unit, numeric)
            for unit, numeric in units
            if not (unit.measure == "shape" and numeric)
            if not is_fault(unit.measure) or unit.measure in {"null", "absent"}
        ]
        self._lay_out(frame)

    def _lay_out(self, frame: Profile) -> None:
        self._together = Together([(unit, frame, numeric) for unit, numeric in self._units])

    def add(self, run: PaneTable, pane_ms: int, max_categories: int) -> None:
        """Panes and their rows; a pane belongs to the chunk in which it begins."""
        if self.frame is None or not self._units:
            return
        total = self._rows + int(run.rows.sum())
        while total >= 2 * _CHUNKS * self._size:
            self._fold()
        place = (self._rows + np.cumsum(run.rows) - run.rows) // self._size
        self._rows = total
        read = PaneReader(run, max_categories).read(self._together)
        starts = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
        sums = np.add.reduceat(np.stack([read.x, read.n, read.xx]), starts, axis=1)
        begins = (run.pane_end[starts] - pane_ms).tolist()
        for at, since_ms, one in zip(
            place[starts].tolist(), begins, sums.swapaxes(0, 1), strict=True
        ):
            while len(self._sums) <= at:
                self._since.append(since_ms)
                self._sums.append(np.zeros_like(one))
            self._sums[at] = self._sums[at] + one

    def _fold(self) -> None:
        """Chunks of twice as many rows."""
        self._size *= 2
        pairs = [self._sums[i : i + 2] for i in range(0, len(self._sums), 2)]
        self._sums = [np.sum(pair, axis=0) for pair in pairs]
        self._since = self._since[::2]

    def find(self) -> ChangeWithin | None:
        """The clearest change, if there is one."""
        if not self._sums:
            return None
        x, n, xx = np.stack(self._sums).swapaxes(0, 1)
        level, columns = _LEVEL / x.shape[1], self._columns()
        scans = [
            scan_reference(n[:, c], x[:, c], xx[:, c], level=level) for c in range(len(columns))
        ]
        at = max(range(len(columns)), key=lambda c: (scans[c].found, scans[c].statistic, -c))
        if not scans[at].found:
            return None
        return ChangeWithin(columns[at].name, columns[at].measure, self._since[scans[at].row])

    def _columns(self) -> list[Unit]:
        return [unit for unit, _ in self._units for _ in range(unit.columns)]

    # -- state

    def snapshot(self) -> list[Any] | None:
        if self.frame is None:
            return None
        units = [[u.name, u.measure, u.columns, u.scale, numeric] for u, numeric in self._units]
        sums = [one.flatten() for one in self._sums]
        return [self.frame.reference.id, units, self._size, self._rows, list(self._since), sums]

    def restore(self, frame: Profile, plain: list[Any]) -> None:
        _, units, self._size, self._rows, since, sums = plain
        self.frame = frame
        self._units = [(Unit(*unit), numeric) for *unit, numeric in units]
        self._lay_out(frame)
        self._since = list(since)
        self._sums = [np.array(one).reshape(3, -1) for one in sums]
