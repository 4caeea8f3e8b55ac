"""How many predictions of a model come in an hour: those of its reference, and of later calm ones.

An hour becomes usual a day after it is over, if nothing was told of it by then: what creeps must
not be learned before it is seen. Without a season the fewest and the most of the known hours are
usual, with one the mean of that hour of the day or week.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors.poisson_rate import dispersion, seasonal_dispersion
from stream.budget import TRAFFIC, false_alerts_per_prediction
from stream.rules import HOUR_MS, SEASON_HOURS, Rules

FEWEST_HOURS = 24  # of a reference, whatever its span
LAG_HOURS = 24  # younger hours are not usual yet
KEPT_HOURS = 168  # and four seasons
TESTS = 6 * 3  # an hour: at each sixth of it fewer, more, none
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


@dataclass(slots=True)
class UsualHours:
    model_id: str
    first: int = 0  # hours since 1970, of `counts`
    counts: list[int] = field(default_factory=list)  # predictions; negative: not usual
    known: int = 0  # of `counts`, from the first; none: the reference is not complete
    bounds: tuple[int, int] = (0, 0)  # fewest and most predictions of a known hour
    _told: tuple[Rules, float, Cells] | None = None  # what follows from these, made when asked for

    @property
    def next_end_ms(self) -> int:
        """When the next one is over."""
        return (self.first + len(self.counts) + 1) * HOUR_MS

    def begin(self, at_ms: int) -> None:
        """With the first whole hour from then on; nothing is known of the time before."""
        self.first, self.counts = (at_ms - 1) // HOUR_MS + 1, []
        self.known, self.bounds, self._told = 0, (0, 0), None

    def close(self, count: int, rules: Rules) -> None:
        """An hour is over; a negative count: nothing is to be learned from it."""
        self.counts.append(count)
        span = -(-rules.reference_of(self.model_id).span_ms // HOUR_MS)
        wanted = max(FEWEST_HOURS, span)
        if not self.known:
            calm = self._calm(len(self.counts))
            if len(calm) >= wanted and sum(calm) >= rules.minimum_values:
                self.known, self._told = len(self.counts), None
                self.bounds = min(calm), max(calm)
        elif len(self.counts) - LAG_HOURS > self.known:
            self._learn(max(KEPT_HOURS, wanted, 4 * SEASON_HOURS[rules.season_of(self.model_id)]))

    def _learn(self, kept: int) -> None:
        new, self._told = self.counts[self.known], None
        self.known += 1
        if new >= 0:
            self.bounds = min(self.bounds[0], new), max(self.bounds[1], new)
        gone = self.counts[: self.known - kept] if self.known > kept else []
        self.counts, self.first = self.counts[len(gone) :], self.first + len(gone)
        self.known -= len(gone)
        if any(count in self.bounds for count in gone):
            calm = self._calm(self.known)
            if calm:  # else it has been told of for as long: as it was before
                self.bounds = min(calm), max(calm)

    def unlearn(self, since_ms: int) -> None:
        """From this moment on things were not usual."""
        first = max(since_ms // HOUR_MS - self.first, self.known)
        self.counts[first:] = [-1] * max(len(self.counts) - first, 0)

    # -- reading

    def _calm(self, until: int) -> list[int]:
        return [count for count in self.counts[:until] if count >= 0]

    def usual(self, rules: Rules) -> Usual:
        known, calm = self.counts[: self.known], self._calm(self.known)
        cells = [of for of in self._cells(rules).values() if len(of) > 1]
        return Usual(
            sum(calm) / max(len(calm), 1),
            seasonal_dispersion(cells) if cells else dispersion(known),
            len(calm),
            sum(calm),
            (self.first + self.known) * HOUR_MS,
        )

    def expected(self, end_ms: int, rules: Rules) -> tuple[float, float]:
        """Fewest and most predictions of the 60 minutes that end then."""
        cells, hour, season = self._told_by(rules)[1], (end_ms - 1) // HOUR_MS, 0
        season = SEASON_HOURS[rules.season_of(self.model_id)]
        if not season:
            return self.bounds
        mine, before = cells.get(hour % season, []), cells.get((hour - 1) % season, [])
        if len(mine) < 2 or len(before) < 2:
            return self.bounds
        part = ((end_ms - 1) % HOUR_MS + 1) / HOUR_MS
        mean = part * sum(mine) / len(mine) + (1.0 - part) * sum(before) / len(before)
        return mean, mean

    def too_long_ms(self, rules: Rules) -> float:
        """Without a prediction, to be chance."""
        return self._told_by(rules)[0]

    def _told_by(self, rules: Rules) -> tuple[float, Cells]:
        if self._told is None or self._told[0] is not rules:
            usual = self.usual(rules)
            per_ms = max(usual.mean, 1e-9) / HOUR_MS
            wait_ms = usual.threshold(rules, self.model_id) * usual.dispersion / per_ms
            self._told = rules, wait_ms, self._cells(rules)
        return self._told[1:]

    def _cells(self, rules: Rules) -> Cells:
        season = SEASON_HOURS[rules.season_of(self.model_id)]
        cells: Cells = {}
        for place, count in enumerate(self.counts[: self.known] if season else ()):
            if count >= 0:
                cells.setdefault((self.first + place) % season, []).append(count)
        return cells

    # -- state

    def snapshot(self) -> list[Any]:
        return [self.first, np.array(self.counts, np.int64), self.known, list(self.bounds)]

    @classmethod
    def restore(cls, model_id: str, plain: Sequence[Any]) -> UsualHours:
        first, counts, known, (lowest, highest) = plain
        return cls(model_id, first, [int(n) for n in counts], known, (lowest, highest))
