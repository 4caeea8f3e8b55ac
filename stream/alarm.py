"""When a series under ADWIN or Page-Hinkley tells, when it is well again, and since when it has
changed.

    calm --a change beyond the floor--> firing --well again--> calm

It is well again when the interval of the difference to the sealed reference lies within the floor,
as `unit_walk` has it of units, and no change was found for `resolve_after` panes; never by silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.base import Change
from stream.firing import Firing
from stream.mean_levels import Ending, Level, ValuePanes, Window, standing
from stream.panes import Ints
from stream.watermark import BEFORE_ALL_MS

_PER_OCTAVE = 16  # of age in values: how finely the times of past values are kept


@dataclass(frozen=True, slots=True)
class Signal:
    """Something a series tells at a pane."""

    pane: int  # index into the panes given
    change: Change | None = None  # None: it is well again, or has not been so for long
    change_at_ms: int = 0
    lasting: bool = False


@dataclass(slots=True)
class _Since:
    """What an alert gathers from its beginning on."""

    before: Level  # of the detector's own older values: until a reference is sealed
    window: Window
    firing: Firing

    def look_anew(self) -> None:
        self.firing.look_anew()
        self.window.forget()

    def snapshot(self) -> list[Any]:
        before, window = self.before, self.window
        return [
            before.snapshot(),
            [window.centre, window.sum, window.squares],
            self.firing.snapshot(),
        ]

    @classmethod
    def restore(cls, plain: list[Any]) -> _Since:
        before, window, firing = plain
        return cls(Level(*before), Window(*window), Firing.restore(firing))


class Alarm:
    """Folds the changes of a series into one alert.

    A detector tells of one shift several times, while values from before it leave its window. So
    a change tells something new only if it began after the last change was told; of the others
    only comes that it is too early for the alert to end.
    """

    def __init__(self, quiet_after: int) -> None:
        self._quiet_after = quiet_after
        self.firing = False
        self._since: _Since | None = None
        self._quiet = 0  # panes since the last change
        self._last_ms = BEFORE_ALL_MS  # end of the pane of the last change
        self._well_ms = BEFORE_ALL_MS  # of that at which it was well again

    def fold(
        self,
        changes: list[tuple[int, Change, int]],
        panes: ValuePanes,
        pane_ms: int,
        ending: Ending,
    ) -> list[Signal]:
        """`changes`: (index of the pane, change, when it began), in order, over these panes."""
        told: list[Signal] = []
        at = 0
        for index, change, change_at_ms in changes:
            told += self._follow(panes, at, index, pane_ms, ending)
            at = max(at, index)
            if change_at_ms >= self._last_ms:
                at = index + 1  # what it holds is of before and after
                if self._is_news(int(panes.start_ms[index]), change, change_at_ms, ending):
                    told.append(Signal(index, change, change_at_ms))
            self._quiet = 0
            self._last_ms = int(panes.start_ms[index]) + pane_ms
        return told + self._follow(panes, at, len(panes.start_ms), pane_ms, ending)

    def use(self, quiet_after: int) -> None:
        """From the next pane on."""
        self._quiet_after = quiet_after

    def _is_news(self, start_ms: int, change: Change, change_at_ms: int, ending: Ending) -> bool:
        """A change back towards how things are in the reference is none while it fires: it may be
        well again. Nor is it where that was told before the change was found."""
        before = Level.before(change)
        since = self._since
        if since is None:
            firing = Firing(1, start_ms + ending.patience.ask_after_ms, ending.patience)
            since = _Since(before, Window(before.mean), firing)
        usual, _ = self._usual(since, ending)
        was, now = before.mean - usual.mean, change.after_mean - usual.mean
        is_back = abs(now) < abs(was) and (was * now >= 0.0 or abs(now) < ending.floor(usual))
        since.look_anew()
        if is_back and (self.firing or change_at_ms < self._well_ms):
            return False
        self.firing, self._since = True, since
        since.firing.told = min(since.firing.told, abs(now))
        return True

    @staticmethod
    def _usual(since: _Since, ending: Ending) -> tuple[Level, float]:
        sealed, tau = ending.usual()
        return sealed or since.before, tau

    def _follow(
        self, panes: ValuePanes, row: int, end: int, pane_ms: int, ending: Ending
    ) -> list[Signal]:
        """Through panes row to end, while it fires."""
        told: list[Signal] = []
        while self.firing and row < end:
            since = self._since
            assert since is not None
            n, firing = panes.count[row:end], since.firing
            looks, asks = firing.looks_at(n), firing.asks_at(panes.start_ms[row:end])
            last = min(looks, asks, len(n) - 1)
            n = n[: last + 1]
            firing.add(np.zeros((len(n), 1), np.int64), n[:, None], n, np.zeros_like(n))
            since.window.add(panes, row, row + last + 1)
            self._quiet += last + 1
            if last == looks and self._is_well(since, ending):
                self.firing, self._since = False, None
                self._well_ms = int(panes.start_ms[row + last]) + pane_ms
                told.append(Signal(row + last))
            elif last == asks:
                firing.asked()
                told.append(Signal(row + last, lasting=True))
            row += last + 1
        return told

    def _is_well(self, since: _Since, ending: Ending) -> bool:
        usual, tau = self._usual(since, ending)
        count, firing = since.firing.window.count, since.firing
        now, looks = since.window.level(count), float(firing.patience.look)
        found = standing(
            now, usual, tau=tau, floor=ending.floor(usual), looks=looks, told=firing.told
        )
        if found == "ill":
            since.look_anew()
            return False
        if found == "well" and self._quiet >= self._quiet_after:
            return True
        firing.look_on()
        return False

    def snapshot(self) -> list[Any]:
        since = None if self._since is None else self._since.snapshot()
        moments = [self._last_ms, self._well_ms]
        return [self._quiet_after, self.firing, self._quiet, *moments, since]

    @classmethod
    def restore(cls, plain: list[Any]) -> Alarm:
        alarm = cls(plain[0])
        alarm.firing, alarm._quiet, alarm._last_ms, *later = plain[1:]
        if later:  # since 0.2
            alarm._well_ms, since = later
            alarm._since = None if since is None else _Since.restore(since)
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
