"""When a series tells, when it goes quiet again, and since when it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Change
from stream.panes import Ints
from stream.watermark import BEFORE_ALL_MS

_PER_OCTAVE = 16  # of age in values: how finely the times of past values are kept


@dataclass(frozen=True, slots=True)
class Signal:
    """Something a series tells at a pane; `change` is None when it has gone quiet."""

    pane: int  # index into the panes given
    change: Change | None
    change_at_ms: int


class Alarm:
    """Folds the changes of a series: the first one tells, n quiet panes end it.

    A detector tells of one shift several times, while values from before it leave its window. So
    a change tells something new only if it began after the last change was told; the others keep
    a firing alarm from going quiet, and say nothing once it has.
    """

    def __init__(self, quiet_after: int) -> None:
        self._quiet_after = quiet_after
        self.firing = False
        self._quiet = 0  # panes since the last change
        self._last_ms = BEFORE_ALL_MS  # end of the pane of the last change

    def fold(
        self, changes: list[tuple[int, Change, int]], start_ms: Ints, pane_ms: int
    ) -> list[Signal]:
        """`changes`: (index of the pane, change, when it began), in order, over these panes."""
        told: list[Signal] = []
        at = 0
        for index, change, change_at_ms in changes:
            told += self._wait(at, index)
            if not self.firing and change_at_ms >= self._last_ms:
                told.append(Signal(index, change, change_at_ms))
                self.firing = True
            self._quiet = 0
            self._last_ms = int(start_ms[index]) + pane_ms
            at = index + 1
        return told + self._wait(at, len(start_ms))

    def use(self, quiet_after: int) -> None:
        """From the next pane on; what has been quiet for that long already ends there."""
        self._quiet_after = quiet_after
        self._quiet = min(self._quiet, quiet_after - 1)

    def _wait(self, start: int, end: int) -> list[Signal]:
        if not self.firing:
            return []
        left = self._quiet_after - self._quiet
        if end - start < left:
            self._quiet += end - start
            return []
        self.firing, self._quiet = False, 0
        return [Signal(start + left - 1, None, 0)]

    def snapshot(self) -> list[Any]:
        return [self._quiet_after, self.firing, self._quiet, self._last_ms]

    @classmethod
    def restore(cls, plain: list[Any]) -> Alarm:
        alarm = cls(plain[0])
        alarm.firing, alarm._quiet, alarm._last_ms = plain[1:]
        return alarm


class Times:
    """When past values came: (values before, pane start), thinned by age.

    Entry i is kept at age a (values since) only if i is a multiple of 2**floor(log2(a / 16)), so
    a time is found with a resolution of 1/16 of its age in O(16 log n) memory, and what is kept
    does not depend on how the panes were batched.
    """

    def __init__(self) -> None:
        self._seen = 0  # values
        self._entries = 0
        self._index: Ints = np.zeros(0, np.int64)
        self._before: Ints = np.zeros(0, np.int64)
        self._start_ms: Ints = np.zeros(0, np.int64)

    def add(self, start_ms: Ints, weights: Ints) -> None:
        before = self._seen + np.cumsum(weights) - weights
        self._index = np.concatenate([self._index, self._entries + np.arange(len(weights))])
        self._before = np.concatenate([self._before, before])
        self._start_ms = np.concatenate([self._start_ms, start_ms])
        self._seen += int(weights.sum())
        self._entries += len(weights)

    def at(self, values_ago: int, index: int, added: int) -> int:
        """Start of the pane that held the value `values_ago` before the end of the pane `index`
        of the `added` last ones."""
        last = len(self._before) - added + index
        end = self._before[last + 1] if last + 1 < len(self._before) else self._seen
        # only entries kept as of that pane, so that the batching does not show
        keep = self._kept(int(self._index[last]) + 1)[: last + 1]
        before, start_ms = self._before[: last + 1][keep], self._start_ms[: last + 1][keep]
        place = int(np.searchsorted(before, end - values_ago, "right")) - 1
        return int(start_ms[max(place, 0)])

    def _kept(self, entries: int) -> NDArray[np.bool_]:
        """Which of the entries are kept when there have been this many."""
        age = np.maximum((entries - self._index) // _PER_OCTAVE, 1)
        step = np.int64(1) << (np.frexp(age.astype(np.float64))[1].astype(np.int64) - 1)
        kept: NDArray[np.bool_] = self._index % step == 0
        return kept

    def thin(self) -> None:
        keep = self._kept(self._entries)
        self._index, self._before = self._index[keep], self._before[keep]
        self._start_ms = self._start_ms[keep]

    def snapshot(self) -> list[Any]:
        return [self._seen, self._entries, self._index, self._before, self._start_ms]

    @classmethod
    def restore(cls, plain: list[Any]) -> Times:
        times = cls()
        times._seen, times._entries = plain[0], plain[1]
        times._index, times._before, times._start_ms = plain[2:]
        return times


class SharedTimes:
    """Series that began together have seen the same panes: their times are stored once."""

    def __init__(self) -> None:
        self.all: list[Any] = []
        self._place: dict[tuple[Any, ...], int] = {}

    def of(self, series: dict[str, Any]) -> dict[str, Any]:
        """A series' snapshot, with the place of its times instead of them."""
        seen, entries, *arrays = series["times"]
        content = (seen, entries, *(array.tobytes() for array in arrays))
        place = self._place.setdefault(content, len(self.all))
        if place == len(self.all):
            self.all.append(series["times"])
        return series | {"times": place}


def with_times(series: dict[str, Any], times: list[Any]) -> dict[str, Any]:
    """Inverse of `SharedTimes.of`."""
    return series | {"times": times[series["times"]]}
