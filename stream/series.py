"""One monitored series: a detector, when it last changed, and when it went quiet again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detectors.adwin import Adwin
from detectors.base import Change
from detectors.page_hinkley import PageHinkley
from detectors.rate_cusum import RateCusum
from stream.panes import Ints
from stream.rules import Rules
from stream.verdicts import Context, worth_telling
from stream.watermark import BEFORE_ALL_MS

Floats = NDArray[np.float64]
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


@dataclass(frozen=True, slots=True)
class ValuePanes:
    """Panes of a numeric series that hold at least one value each, as parallel columns."""

    start_ms: Ints
    count: Ints
    mean: Floats
    variance: Floats
    low: Floats
    high: Floats


class ValueSeries:
    """A numeric series under ADWIN (and Page-Hinkley where configured).

    ADWIN's bound assumes a range of 1: centre and scale are frozen from the first values (their
    mean and range), unless the range is known, as of an error or a Brier score. Until then the
    panes wait, and what they would have told is not told.
    """

    def __init__(self, rules: Rules, *, unit_range: bool) -> None:
        self._rules = rules
        self._waiting: list[tuple[Floats, ...]] | None = []
        self._range = (np.inf, -np.inf)
        self._count = 0
        self.detectors: dict[str, Adwin | PageHinkley] = {}
        self.alarms = {
            name: Alarm(rules.resolve_after_panes)
            for name, rule in (("adwin", rules.adwin), ("page_hinkley", rules.page_hinkley))
            if rule.enabled
        }
        self._unit_range = unit_range
        self.times = Times()
        self.delta = rules.adwin.delta
        self.last: dict[str, Change] = {}

    def share(self, delta: float) -> None:
        """This series' part of δ from the next update on."""
        self.delta = delta
        adwin = self.detectors.get("adwin")
        if isinstance(adwin, Adwin):
            adwin.delta = delta

    def update(self, context: Context, panes: ValuePanes) -> list[tuple[str, Signal]]:
        """(detector, signal) in the order of the panes."""
        start_ms, count, mean, variance = panes.start_ms, panes.count, panes.mean, panes.variance
        self.times.add(start_ms, count)
        told: list[tuple[str, Signal]] = []
        first, n = 0, len(count)
        if self._waiting is not None:
            first = self._collect(panes)
        if first < n:
            for name, detector in self.detectors.items():
                changes = [
                    (first + c.index, c, self.times.at(c.weight_since_change, first + c.index, n))
                    for c in detector.update_many(mean[first:], count[first:], variance[first:])
                    if worth_telling(context, c)
                ]
                if changes:
                    self.last[name] = changes[-1][1]
                alarm = self.alarms[name]
                told += [(name, s) for s in alarm.fold(changes, start_ms, self._rules.pane_ms)]
        self.times.thin()
        return told

    def _collect(self, panes: ValuePanes) -> int:
        """Panes taken for the scale; on the last of them the detectors start."""
        assert self._waiting is not None
        count, mean, variance = panes.count, panes.mean, panes.variance
        total = self._count + np.cumsum(count)
        enough = total >= self._rules.minimum_values
        taken = int(enough.argmax()) + 1 if enough.any() else len(count)
        self._waiting.append((mean[:taken], count[:taken].astype(np.float64), variance[:taken]))
        self._count = int(total[taken - 1])
        self._range = (
            min(self._range[0], float(panes.low[:taken].min())),
            max(self._range[1], float(panes.high[:taken].max())),
        )
        if enough.any():
            self._start()
        return taken

    def _start(self) -> None:
        assert self._waiting is not None
        mean, weight, variance = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        count = weight.astype(np.int64)
        self._waiting = None
        low, high = self._range
        center, scale = (0.0, 1.0) if self._unit_range else ((low + high) / 2, high - low)
        scale = scale if scale > 0 else max(abs(center), 1.0)  # constant so far
        rules = self._rules
        if "adwin" in self.alarms:
            self.detectors["adwin"] = Adwin(
                delta=self.delta, clock=rules.adwin.clock, center=center, scale=scale
            )
        if "page_hinkley" in self.alarms:
            self.detectors["page_hinkley"] = PageHinkley(
                delta=rules.page_hinkley.delta,
                threshold=rules.page_hinkley.threshold,
                center=center,
                scale=scale,
            )
        for detector in self.detectors.values():
            detector.update_many(mean, count, variance)

    def snapshot(self) -> dict[str, Any]:
        waiting = self._waiting
        return {
            "waiting": None if waiting is None else [list(part) for part in waiting],
            "range": list(self._range),
            "count": self._count,
            "detectors": {name: d.snapshot() for name, d in self.detectors.items()},
            "alarms": {name: alarm.snapshot() for name, alarm in self.alarms.items()},
            "unit_range": self._unit_range,
            "times": self.times.snapshot(),
            "delta": self.delta,
        }

    @classmethod
    def restore(cls, rules: Rules, plain: dict[str, Any]) -> ValueSeries:
        series = cls(rules, unit_range=plain["unit_range"])
        waiting = plain["waiting"]
        series._waiting = None if waiting is None else [tuple(part) for part in waiting]
        series._range = (plain["range"][0], plain["range"][1])
        series._count, series.delta = plain["count"], plain["delta"]
        for name, state in plain["detectors"].items():
            kind = Adwin if name == "adwin" else PageHinkley
            series.detectors[name] = kind.restore(state)
        series.alarms = {name: Alarm.restore(state) for name, state in plain["alarms"].items()}
        series.times = Times.restore(plain["times"])
        return series


RateName = Literal["null", "absent", "type_error", "unseen"]


class RateSeries:
    """A rate of faults under a Bernoulli CUSUM against a reference rate.

    Without a sealed reference it starts from its own first values; sealing replaces the detector.
    """

    def __init__(self, rules: Rules, *, self_starting: bool) -> None:
        self._rules = rules
        self._first: list[int] | None = [0, 0] if self_starting else None  # events, weight
        self.detector: RateCusum | None = None
        self.alarm = Alarm(rules.resolve_after_panes)
        self.times = Times()
        self.series = 1
        self.last: Change | None = None

    def start(self, rate: float, count: int) -> None:
        rule = self._rules.rates
        self._first = None
        self.detector = RateCusum(
            reference_rate=rate,
            reference_count=count,
            min_rise=rule.min_rise,
            ratio=rule.ratio,
            series=self.series,
        )

    def update(self, context: Context, start_ms: Ints, events: Ints, weights: Ints) -> list[Signal]:
        self.times.add(start_ms, weights)
        first, n = self._collect(events, weights), len(events)
        told: list[Signal] = []
        if first < n and self.detector is not None:
            changes = [
                (first + c.index, c, self.times.at(c.weight_since_change, first + c.index, n))
                for c in self.detector.update_many(events[first:], weights[first:])
                if worth_telling(context, c)
            ]
            if changes:
                self.last = changes[-1][1]
            told = self.alarm.fold(changes, start_ms, self._rules.pane_ms)
        self.times.thin()
        return told

    def _collect(self, events: Ints, weights: Ints) -> int:
        if self._first is None:
            return 0
        total = self._first[1] + np.cumsum(weights)
        enough = total >= self._rules.minimum_values
        taken = int(enough.argmax()) + 1 if enough.any() else len(events)
        self._first = [self._first[0] + int(events[:taken].sum()), int(total[taken - 1])]
        if enough.any():
            self.start(self._first[0] / self._first[1], self._first[1])
        return taken

    def snapshot(self) -> dict[str, Any]:
        return {
            "first": self._first,
            "detector": None if self.detector is None else self.detector.snapshot(),
            "alarm": self.alarm.snapshot(),
            "times": self.times.snapshot(),
            "series": self.series,
        }

    @classmethod
    def restore(cls, rules: Rules, plain: dict[str, Any]) -> RateSeries:
        series = cls(rules, self_starting=False)
        series._first = plain["first"]
        state = plain["detector"]
        series.detector = None if state is None else RateCusum.restore(state)
        series.alarm = Alarm.restore(plain["alarm"])
        series.times = Times.restore(plain["times"])
        series.series = plain["series"]
        return series
