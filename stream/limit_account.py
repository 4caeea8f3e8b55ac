"""An objective, and whether it is missed: bets that more is spent than is acceptable.

within --surely beyond--> missed --surely half as much again--> missed, and graver
                                 --surely within, or within over a whole stretch--> within
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from detectors.limit_detector import LimitDetector
from stream.budget import DECLARED
from stream.columns import Group
from stream.judged_units import largest_cost
from stream.rules import ModelRule, ObjectiveRule, Rules

ODDS = (1.1, 1.3, 1.7, 2.5, 5.0)  # bet on, as multiples of those of what is acceptable
GRAVER = 1.5  # times as much as was told
WITHIN = math.log(10_000)  # nats for an objective to be met again


def declared(rules: Rules, group: Group) -> ModelRule:
    """With what holds of the segment, where the group is one."""
    return rules.model(group[0]).in_segment(group[3])


def watched(rule: ModelRule) -> list[ObjectiveRule]:
    """What may be missed: a share of one, or the largest cost, never is."""
    return [one for one in rule.objectives if one.at_most < largest_of(one, rule)]


def largest_of(objective: ObjectiveRule, rule: ModelRule) -> float:
    """Of one prediction."""
    return largest_cost(rule) if objective.metric == "cost" else 1.0


def objective_share(rules: Rules, rule: ModelRule) -> float:
    """Of the model's budget, for each objective of a group."""
    return DECLARED / max(len(watched(rule)), 1) / rules.sources


@dataclass(frozen=True, slots=True)
class Missed:
    """An objective, and what was judged since it began to be missed, as shares of the largest."""

    objective: ObjectiveRule
    since_ms: int
    total: float
    count: int
    statistic: float

    @property
    def value(self) -> float:
        return self.total / self.count


@dataclass(slots=True)
class Bets:
    """A detector, and since when each of its bets has something won."""

    detector: LimitDetector
    total: float = 0.0
    count: int = 0
    marks: list[tuple[int, float, int]] = field(default_factory=list)  # when, total and count then

    def add(self, total: float, count: int, start_ms: int, weight: float) -> float:
        if not self.marks:
            self.marks = [(start_ms, 0.0, 0)] * len(ODDS)
        idle = [rise <= 0.0 for rise in self.detector.rises]
        here = start_ms, self.total, self.count
        self.marks = [here if of else mark for of, mark in zip(idle, self.marks, strict=True)]
        self.total += total
        self.count += count
        return self.detector.update(total, count, weight)

    def best(self) -> tuple[int, float, int]:
        """Since when, and what there was since, as the bet has it that has won most."""
        rises = self.detector.rises
        since_ms, total, count = self.marks[rises.index(max(rises))]
        return since_ms, self.total - total, self.count - count

    def to_plain(self) -> list[Any]:
        return [self.detector.snapshot(), self.total, self.count, [list(of) for of in self.marks]]

    @classmethod
    def of(cls, limit: float) -> Self:
        return cls(LimitDetector(limit=limit, odds=ODDS))

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> Self:
        detector, total, count, marks = plain
        known = [(since_ms, before, n) for since_ms, before, n in marks]
        return cls(LimitDetector.restore(detector), total, count, known)


@dataclass(slots=True)
class Account:
    """Of one objective; `limit` is a share of the largest."""

    limit: float
    weight: float = 1.0
    bets: Bets | None = None
    missed: Missed | None = None
    graver: Bets | None = None
    within: LimitDetector | None = None
    stretch: tuple[int, float, int] = (0, 0.0, 0)  # until when; sums since it was told
    seen: int = 0  # values so far

    def weigh(self, weight: float) -> None:
        """What a value counts for; what was won before is taken to have counted for no more."""
        for detector in self._detectors() if weight < self.weight else ():
            detector.temper(weight / self.weight)
        self.weight = weight

    def _detectors(self) -> Iterator[LimitDetector]:
        yield from (bets.detector for bets in (self.bets, self.graver) if bets is not None)
        if self.within is not None:
            yield self.within

    def add(
        self, objective: ObjectiveRule, total: float, count: int,
        block: tuple[int, int], threshold: float,
    ) -> bool:  # fmt: skip
        """A block of values (its start, its end); whether there is something to tell."""
        start_ms, end_ms = block
        self.seen += count
        if self.missed is not None:
            return self._go_on(objective, total, count, block, threshold)
        if self.bets is None:
            self.bets = Bets.of(self.limit)
        statistic = self.bets.add(total, count, start_ms, self.weight)
        since_ms, so_far, values = self.bets.best()
        if statistic < threshold or so_far <= self.limit * values:
            return False
        self.missed = Missed(objective, since_ms, so_far, values, statistic)
        self.bets = None
        self.within = LimitDetector(limit=1.0 - self.limit, odds=ODDS)
        self.stretch = (end_ms + objective.over_ms, 0.0, 0)
        self._begin_graver(self.missed.value)
        return True

    def _begin_graver(self, value: float) -> None:
        self.graver = Bets.of(GRAVER * value) if GRAVER * value < 1.0 else None

    def _go_on(
        self, objective: ObjectiveRule, total: float, count: int,
        block: tuple[int, int], threshold: float,
    ) -> bool:  # fmt: skip
        assert self.within is not None
        assert self.missed is not None
        start_ms, end_ms = block
        so_far = self.missed
        self.missed = replace(so_far, total=so_far.total + total, count=so_far.count + count)
        until_ms, known, values = self.stretch
        self.stretch = until_ms, known + total, values + count
        is_within = self.within.update(count - total, count, self.weight) >= WITHIN
        if end_ms >= until_ms:
            is_within |= known + total <= self.limit * (values + count)
            self.stretch = (end_ms + objective.over_ms, 0.0, 0)
        if is_within:
            self.missed = self.graver = self.within = None
            return True
        if self.graver is None:
            return False
        statistic = self.graver.add(total, count, start_ms, self.weight)
        since_ms, spent, of = self.graver.best()
        if statistic < threshold or not of:
            return False
        self.missed = Missed(objective, since_ms, spent, of, statistic)
        self._begin_graver(self.missed.value)
        return True

    def to_plain(self) -> list[Any]:
        missed = None
        if self.missed is not None:
            of = self.missed
            missed = [of.since_ms, of.total, of.count, of.statistic]
        kept = [None if bets is None else bets.to_plain() for bets in (self.bets, self.graver)]
        within = None if self.within is None else self.within.snapshot()
        return [self.limit, self.weight, *kept, missed, within, list(self.stretch), self.seen]

    @classmethod
    def from_plain(cls, objective: ObjectiveRule, plain: Sequence[Any]) -> Self:
        limit, weight, *kept, missed, within, (until_ms, total, count), seen = plain
        bets, graver = (None if one is None else Bets.from_plain(one) for one in kept)
        return cls(
            limit, weight, bets,
            None if missed is None else Missed(objective, *missed),
            graver,
            None if within is None else LimitDetector.restore(within),
            (until_ms, total, count),
            seen,
        )  # fmt: skip
