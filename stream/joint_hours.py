"""What contrasts have been in whole cycles of a season, before they are watched.

The rows of a reference do not say of which hour they are. So with a season what goes together is
learned behind it: from rows less the mean of their hour, over two cycles in which all is calm. What
still comes and goes with the hours is dependence: τ of each contrast, from sums of each hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.dependence import variance_ratio
from stream.panes import Ints
from stream.rules import HOUR_MS

CYCLES = 2


class JointHours:
    def __init__(self, hours: int, contrasts: int) -> None:
        """`hours`: of the season."""
        self._span_ms = CYCLES * hours * HOUR_MS
        self._since_ms: int | None = None  # start of the first pane
        self._hours: list[int] = []  # since 1970, rising
        self._sums: list[NDArray[np.int64]] = []  # n, x, xx of each: (3, contrasts)
        self._none = np.zeros((3, contrasts), np.int64)

    def done_at(self, start_ms: Ints, rows: Ints, needed: int) -> int:
        """The first pane with which enough is known, if `rows` come in these; else their number."""
        if not len(start_ms):
            return 0
        since_ms = int(start_ms[0]) if self._since_ms is None else self._since_ms
        enough = (start_ms - since_ms >= self._span_ms) & (np.cumsum(rows) >= needed)
        return int(enough.argmax()) if enough.any() else len(enough)

    def add(self, start_ms: Ints, counts: Ints, scores: Sequence[Ints]) -> None:
        """Panes: `counts` (panes, contrasts) of their rows; sums of the scores and squares."""
        if not len(start_ms):
            return
        self._since_ms = int(start_ms[0]) if self._since_ms is None else self._since_ms
        sums = np.stack([counts, *scores])
        hours = start_ms // HOUR_MS
        first = np.flatnonzero(np.diff(hours, prepend=hours[0] - 1))
        of_hours = np.add.reduceat(sums, first, axis=1).swapaxes(0, 1)
        for hour, one in zip(hours[first].tolist(), of_hours, strict=True):
            if not self._hours or self._hours[-1] != hour:
                self._hours.append(hour)
                self._sums.append(self._none)
            self._sums[-1] = self._sums[-1] + one

    def taus(self) -> NDArray[np.float64]:
        """(contrasts,)"""
        n, x, xx = np.stack(self._sums or [self._none]).swapaxes(0, 1)
        # two cycles tell a weak swing from none hardly: so it is the upper bound, of all of them
        found = [variance_ratio(n[:, c], x[:, c], xx[:, c]).upper for c in range(x.shape[1])]
        return np.maximum(np.where(np.isfinite(found), found, 1.0), 1.0)

    # -- state

    def snapshot(self) -> list[Any]:
        return [self._since_ms, list(self._hours), [one.flatten() for one in self._sums]]

    def restore(self, plain: list[Any]) -> None:
        self._since_ms, hours, sums = plain
        self._hours = list(hours)
        self._sums = [np.array(one).reshape(3, -1) for one in sums]
