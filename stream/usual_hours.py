"""How many predictions of a model come in an hour: those of its reference, and of later calm ones.

An hour becomes usual a day after it is over, if nothing was told of it by then: what creeps must
not be learned before it is seen. Without a season the fewest and the most of the known hours are
usual, with one the mean of that hour of the day or week.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from detectors.poisson_rate import dispersion, seasonal_dispersion
from stream.budget import TRAFFIC, false_alerts_per_prediction
from stream.rules import HOUR_MS, SEASON_HOURS, Rules

FEWEST_HOURS = 24  # of a reference, whatever its span
LAG_HOURS = 24  # younger hours are not usual yet
ROW_HOURS = 2  # of fewer for long, at least
KEPT_HOURS = 168  # and four seasons
TESTS = 6 * 4  # an hour: at each sixth of it fewer, more, none, and fewer for long
_LEAST_NATS = 8.0

Cells = dict[int, list[int]]
"""Known hours by the hour of the season."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Of an hour."""

    mean: float
    dispersion: float
    hours: int
    count: int  # of predictions in them
    end_ms: int

    def threshold(self, rules: Rules, model_id: str) -> float:
        """Nats, for the part of the budget that a test has."""
        budget = rules.budget_of(model_id)
        rate = false_alerts_per_prediction(budget, max(self.count, 1), self.hours * HOUR_MS or 1)
        chance = rate * TRAFFIC / rules.sources * max(self.mean, 1e-9) / TESTS
        return max(-math.log(chance), _LEAST_NATS)


Hour = tuple[int, int]
"""Hours since 1970, predictions."""


@dataclass(frozen=True, slots=True)
class _Told:
    rules: Rules
    usual: Usual
    threshold: float
    too_long_ms: float
    fewest: float  # an hour, of two in a row: one may have had few by chance
    cells: Cells


@dataclass(slots=True)
class UsualHours:
    model_id: str
    next: int = 0  # the hour that is over next
    known: list[Hour] = field(default_factory=list)  # none: the reference is not complete
    young: list[Hour] = field(default_factory=list)  # calm ones that are not known yet
    bounds: tuple[int, int] = (0, 0)  # fewest and most predictions of a known hour
    _told: _Told | None = None  # what follows from these, made when asked for

    @property
    def next_end_ms(self) -> int:
        return (self.next + 1) * HOUR_MS

    def begin(self, at_ms: int) -> None:
        """With the first whole hour from then on; nothing is known of the time before."""
        self.next = (at_ms - 1) // HOUR_MS + 1
        self.known, self.young, self.bounds, self._told = [], [], (0, 0), None

    def close(self, count: int | None, rules: Rules) -> None:
        """An hour is over; no count: nothing is to be learned from it."""
        if count is not None:
            self.young.append((self.next, count))
        self.next += 1
        span = -(-rules.reference_of(self.model_id).span_ms // HOUR_MS)
        wanted = max(FEWEST_HOURS, span)
        if self.known:
            kept = max(KEPT_HOURS, wanted, 4 * SEASON_HOURS[rules.season_of(self.model_id)])
            while self.young and self.young[0][0] < self.next - LAG_HOURS:
                self._learn(self.young.pop(0), kept)
        elif len(self.young) >= wanted and sum(n for _, n in self.young) >= rules.minimum_values:
            self.known, self.young = self.young, []
            self._measure()

    def _learn(self, hour: Hour, kept: int) -> None:
        self.known.append(hour)
        self.bounds, self._told = (min(self.bounds[0], hour[1]), max(self.bounds[1], hour[1])), None
        if len(self.known) > kept:
            gone = self.known.pop(0)
            if gone[1] in self.bounds:
                self._measure()

    def _measure(self) -> None:
        counts = [count for _, count in self.known]
        self.bounds, self._told = (min(counts), max(counts)), None

    def unlearn(self, since_ms: int) -> None:
        """From this moment on things were not usual."""
        self.young = [hour for hour in self.young if hour[0] < since_ms // HOUR_MS]

    # -- reading

    def usual(self, rules: Rules) -> Usual:
        return self._told_by(rules).usual

    def threshold(self, rules: Rules) -> float:
        return self._told_by(rules).threshold

    def _usual(self, cells: Cells) -> Usual:
        count = sum(n for _, n in self.known)
        means = [of for of in cells.values() if len(of) > 1]
        return Usual(
            count / max(len(self.known), 1),
            seasonal_dispersion(means) if means else dispersion(self._in_a_row()),
            len(self.known),
            count,
            (self.known[-1][0] + 1) * HOUR_MS if self.known else 0,
        )

    def _in_a_row(self) -> list[int]:
        """Of known hours; a negative one for a gap."""
        found: list[int] = []
        before = None
        for hour, count in self.known:
            if before is not None and hour > before + 1:
                found.append(-1)
            found.append(count)
            before = hour
        return found

    def expected(self, end_ms: int, rules: Rules) -> tuple[float, float]:
        """Fewest and most predictions of the 60 minutes that end then."""
        season = SEASON_HOURS[rules.season_of(self.model_id)]
        if not season:
            return self.bounds
        cells, hour = self._told_by(rules).cells, (end_ms - 1) // HOUR_MS
        mine, before = cells.get(hour % season, []), cells.get((hour - 1) % season, [])
        if len(mine) < 2 or len(before) < 2:
            return self.bounds
        part = ((end_ms - 1) % HOUR_MS + 1) / HOUR_MS
        mean = part * sum(mine) / len(mine) + (1.0 - part) * sum(before) / len(before)
        return mean, max(mean, 1.0 / len(mine))  # none so far is not that none may come

    def fewest(self, end_ms: int, rules: Rules) -> float:
        """Predictions an hour, of `ROW_HOURS` or more in a row that a slot ends in then."""
        told, season = self._told_by(rules), SEASON_HOURS[rules.season_of(self.model_id)]
        mine = told.cells.get((end_ms - 1) // HOUR_MS % season, ()) if season else ()
        return sum(mine) / len(mine) if len(mine) > 1 else told.fewest

    def too_long_ms(self, rules: Rules) -> float:
        """Without a prediction, to be chance."""
        return self._told_by(rules).too_long_ms

    def _told_by(self, rules: Rules) -> _Told:
        if self._told is None or self._told.rules is not rules:
            cells = self._cells(rules)
            usual = self._usual(cells)
            per_ms, threshold = (
                max(usual.mean, 1e-9) / HOUR_MS,
                usual.threshold(rules, self.model_id),
            )
            wait_ms = threshold * usual.dispersion / per_ms
            row = pairwise(self._in_a_row())
            fewest = min((a + b for a, b in row if a >= 0 and b >= 0), default=0) / ROW_HOURS
            self._told = _Told(rules, usual, threshold, wait_ms, fewest, cells)
        return self._told

    def _cells(self, rules: Rules) -> Cells:
        season = SEASON_HOURS[rules.season_of(self.model_id)]
        cells: Cells = {}
        for hour, count in self.known if season else ():
            cells.setdefault(hour % season, []).append(count)
        return cells

    # -- state

    def snapshot(self) -> list[Any]:
        hours = np.array([*self.known, *self.young], np.int64).reshape(-1)
        return [self.next, hours, len(self.known), list(self.bounds)]

    @classmethod
    def restore(cls, model_id: str, plain: Sequence[Any]) -> UsualHours:
        upcoming, flat, known, (lowest, highest) = plain
        hours = [(int(hour), int(count)) for hour, count in np.array(flat).reshape(-1, 2)]
        return cls(model_id, upcoming, hours[:known], hours[known:], (lowest, highest))
