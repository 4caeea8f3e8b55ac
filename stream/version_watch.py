"""A version beside the one that the configuration would go back to: whether it is worse.

Where both answer at the same time, they are compared on the hours in which both do; else the new
one is compared with the sealed reference of the other. All are judged at the same age. Intervals
are made anew at looks, as those of experiments are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from detectors.confidence_sequence import Between
from detectors.exact_sum import to_floats
from detectors.looks import Group, alpha_of_look, difference
from stream.experiment_watch import FIRST_LOOK, LOOK_AGAIN
from stream.panes import PaneTable
from stream.reference import Reference
from stream.rules import HOUR_MS, RollbackRule

Sums = tuple[int, float, float]
"""Of judged predictions: how many, their sum, the sum of squares."""


@dataclass(frozen=True, slots=True)
class VersionTold:
    end_ms: int
    since_ms: int
    is_worse: bool
    between: Between
    own: Group
    other: Group
    reference_id: str  # empty: both answered at the time
    look: int


class VersionWatch:
    def __init__(self, target: str, rule: RollbackRule, first_ms: int, largest: float) -> None:
        self.target, self.rule, self.first_ms, self._largest = target, rule, first_ms, largest
        self.reference_id = ""
        self._reference = Group()  # the other's, sealed before
        self._own = Group()
        self._both = (Group(), Group())  # its own and the other's of hours in which both answered
        self._hour = -1
        self._hours: list[Sums] = [(0, 0.0, 0.0), (0, 0.0, 0.0)]  # of this hour, so far
        self._look, self._next_look = 0, float(FIRST_LOOK)
        self.is_worse = False

    def know(self, reference: Reference) -> None:
        """The other's sealed reference."""
        of = reference.table.features.get(f"outcome:{self.rule.metric}")
        if of is not None and int(of.number[0]):
            sums, squares = (float(to_floats(one, 1)[0][0]) for one in (of.sums, of.squares))
            self._reference.add_singles(int(of.number[0]), sums, squares)
            self.reference_id = reference.id

    def update(self, own: Sequence[PaneTable], other: Sequence[PaneTable]) -> Iterator[VersionTold]:
        """The panes of a release."""
        panes: dict[int, list[Sums]] = {}
        for side, tables in enumerate((own, other)):
            for table in tables:
                self._read(side, table, panes)
        for end_ms in sorted(panes):
            if end_ms < self.first_ms:
                continue
            hour = (end_ms - 1) // HOUR_MS
            if hour != self._hour:
                self._close_hour()
                self._hour = hour
            mine, its = panes[end_ms]
            self._hours = [_added(a, b) for a, b in zip(self._hours, (mine, its), strict=True)]
            self._own.add_singles(*mine)
            if mine[0] and self._own.n >= self._next_look:
                yield from self._look_at_it(end_ms)

    def _read(self, side: int, table: PaneTable, panes: dict[int, list[Sums]]) -> None:
        of = table.features.get(f"outcome:{self.rule.metric}")
        if of is None:
            return
        sums, squares = (to_floats(one, len(table))[0] for one in (of.sums, of.squares))
        for at in np.flatnonzero(of.number).tolist():
            made = panes.setdefault(int(table.pane_end[at]), [(0, 0.0, 0.0), (0, 0.0, 0.0)])
            made[side] = (int(of.number[at]), float(sums[at]), float(squares[at]))

    def _close_hour(self) -> None:
        if all(count for count, *_ in self._hours):
            for group, sums in zip(self._both, self._hours, strict=True):
                group.add_singles(*sums)
        self._hours = [(0, 0.0, 0.0), (0, 0.0, 0.0)]

    def _look_at_it(self, end_ms: int) -> Iterator[VersionTold]:
        at_once = min(group.n for group in self._both) >= FIRST_LOOK
        own, other = self._both if at_once else (self._own, self._reference)
        self._next_look = LOOK_AGAIN * self._own.n
        if other.n < FIRST_LOOK:
            return
        self._look += 1
        alpha = alpha_of_look(self.rule.alpha, self._look)
        between = difference(own, other, alpha=alpha, largest=self._largest)
        is_worse = between.low > self.rule.margin
        if is_worse == self.is_worse:
            return
        self.is_worse = is_worse
        yield VersionTold(
            end_ms,
            self.first_ms,
            is_worse,
            between,
            _copied(own),
            _copied(other),
            "" if at_once else self.reference_id,
            self._look,
        )

    # -- state

    def to_plain(self) -> dict[str, Any]:
        groups = (self._reference, self._own, *self._both)
        return {
            "target": self.target,
            "rule": asdict(self.rule),
            "first_ms": self.first_ms,
            "largest": self._largest,
            "reference_id": self.reference_id,
            "groups": [asdict(group) for group in groups],
            "hour": self._hour,
            "hours": [list(sums) for sums in self._hours],
            "looks": [self._look, self._next_look],
            "is_worse": self.is_worse,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        rule = RollbackRule(**plain["rule"])
        made = cls(plain["target"], rule, plain["first_ms"], plain["largest"])
        made.reference_id = plain["reference_id"]
        made._reference, made._own, *both = (Group(**of) for of in plain["groups"])
        made._both = (both[0], both[1])
        made._hour = plain["hour"]
        made._hours = [(sums[0], sums[1], sums[2]) for sums in plain["hours"]]
        made._look, made._next_look = plain["looks"]
        made.is_worse = plain["is_worse"]
        return made


def _added(one: Sums, other: Sums) -> Sums:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _copied(group: Group) -> Group:
    return Group(**asdict(group))
