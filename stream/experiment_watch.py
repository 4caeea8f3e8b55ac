"""Variants of a model, compared by one metric of judged predictions, at equal age.

    (waiting for all variants) --> running --better or worse by the margin--> decided, each variant
                                           --end of its span--> undecided
                                           --not dealt as planned--> told; nothing is decided

Subjects count from the first pane on that lies behind the first one of every variant, and up to the
latest one that every variant has passed: one that has begun later, or ended, says nothing of how
subjects are dealt. A subject is of the variant that it met first. Intervals are made anew at looks,
each at half as many predictions again as the one before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from heapq import heapify, heapreplace
from typing import Any, Literal, Self

import numpy as np

from detectors.confidence_sequence import Between
from detectors.exact_sum import to_floats
from detectors.looks import Group, alpha_of_look, difference
from detectors.sample_ratio import log_e_value
from stream.panes import PaneTable
from stream.rules import DAY_MS, ExperimentRule

MISMATCH_ALPHA = 0.001  # of a sample-ratio mismatch that is none, ever
FIRST_LOOK = 200  # judged predictions of each variant
LOOK_AGAIN = 1.5  # times as many
SUBJECTS = 20_000  # of an experiment, those with the smallest hashes
ALONE_MS = DAY_MS  # so long what some variants have waits for the others

Decision = Literal["winner", "loser", "undecided", "mismatch"]
Pane = list[tuple[int, int, float, float, int]]
"""(variant, judged, their sum, sum of squares, subject; -1: of subjects of one prediction each)"""


@dataclass(frozen=True, slots=True)
class Decided:
    """Of one variant, against the first one."""

    decision: Decision
    variant: int
    end_ms: int  # of the pane that told
    since_ms: int
    between: Between | None  # None: it was never looked at
    look: int
    counts: tuple[int, ...]  # subjects by variant
    groups: tuple[Group, ...]
    statistic: float  # of how subjects are dealt


class ExperimentWatch:
    def __init__(self, rule: ExperimentRule, *, largest: float, has_subjects: bool) -> None:
        """`largest`: values of the metric lie between 0 and it; 0: they may be anything."""
        self.rule, self.has_subjects, self._largest = rule, has_subjects, largest
        variants = range(len(rule.variants))
        self._first_ms: list[int | None] = [None for _ in variants]
        self._latest_ms: list[int | None] = [None for _ in variants]
        self.versions = ["" for _ in variants]  # the first of each
        self._held: list[tuple[int, Pane, list[int]]] = []  # (end, judged, predictions by variant)
        self._counts = [0 for _ in variants]
        self._groups = [Group() for _ in variants]  # of subjects of one prediction each
        self._subjects: dict[int, list[float]] = {}  # variant, judged, their sum
        self._hashes: list[int] = []  # a heap of these, negated, once there is no more room
        self._crossed = 0  # predictions of subjects that had met another variant before
        self._judged = [0 for _ in variants]
        self._look, self._next_look = 0, 0.0
        self._between: list[Between | None] = [None for _ in variants]
        self._open = set(variants) - {0}
        self._decisions: dict[int, Decision] = {}
        self.is_mismatched, self.odd = False, 0  # the variant that is told of then
        self.is_over = False

    def update(self, arms: Sequence[Sequence[tuple[str, PaneTable]]]) -> Iterator[Decided]:
        """The panes of a release, by variant and version."""
        panes: dict[int, tuple[Pane, list[int]]] = {}
        for variant, tables in enumerate(arms):
            for _, table in tables:
                self._read(variant, table, panes)
            if tables and not self.versions[variant]:
                first = min((table.first_end_ms, version) for version, table in tables)
                self.versions[variant] = first[1]
        for end_ms in sorted(panes):
            if self.is_over:
                return
            judged, rows = panes[end_ms]
            for variant, count in enumerate(rows):
                if count:
                    self._latest_ms[variant] = end_ms
                    if self._first_ms[variant] is None:
                        self._first_ms[variant] = end_ms
            self._held.append((end_ms, judged, rows))
            yield from self._count(end_ms)

    def _read(
        self, variant: int, table: PaneTable, panes: dict[int, tuple[Pane, list[int]]]
    ) -> None:
        name = f"outcome:{self.rule.metric}"
        ends = table.pane_end.tolist()
        for end_ms, rows in zip(ends, table.rows.tolist(), strict=True):
            made = panes.setdefault(end_ms, ([], [0] * len(self.rule.variants)))
            made[1][variant] += rows
        if self.has_subjects:
            sample = table.sample
            column = sample.columns.get(name)
            known = np.zeros(len(sample), np.bool_)
            values = np.zeros(len(sample))
            if column is not None:
                places, numbers = column.numbers()
                known[places], values[places] = True, numbers
            order = np.lexsort((sample.hash, sample.pane_end))
            for row in order.tolist():
                value = float(values[row])
                panes[int(sample.pane_end[row])][0].append(
                    (variant, int(known[row]), value, value * value, int(sample.hash[row]))
                )
        elif name in table.features:
            of = table.features[name]
            sums, squares = (to_floats(one, len(table))[0] for one in (of.sums, of.squares))
            for at, end_ms in enumerate(ends):
                count = int(of.number[at])
                panes[end_ms][0].append((variant, count, float(sums[at]), float(squares[at]), -1))

    def _count(self, end_ms: int) -> Iterator[Decided]:
        """What is held of panes that every variant has passed."""
        self._held = [one for one in self._held if one[0] > end_ms - ALONE_MS]
        firsts, latests = self._first_ms, self._latest_ms
        since = [ms for ms in firsts if ms is not None]
        upto = [ms for ms in latests if ms is not None]
        if len(since) < len(firsts):
            return
        while self._held and self._held[0][0] < min(upto):
            at_ms, judged, rows = self._held.pop(0)
            if at_ms <= max(since):
                continue
            self._take(judged, rows)
            yield from self._judge(at_ms, end_ms, max(since))

    def _take(self, judged: Pane, rows: Sequence[int]) -> None:
        if not self.has_subjects:
            for variant, count in enumerate(rows):
                self._counts[variant] += count
        for variant, count, total, squares, subject in sorted(judged):
            self._judged[variant] += count
            if subject < 0:
                self._groups[variant].add_singles(count, total, squares)
                continue
            known = self._subjects.get(subject)
            if known is None:
                if not self._has_room(subject):
                    continue
                known = self._subjects[subject] = [variant, 0, 0.0]
                self._counts[variant] += 1
            if known[0] == variant:
                known[1] += count
                known[2] += total
            else:
                self._crossed += 1

    def _has_room(self, subject: int) -> bool:
        if len(self._subjects) < SUBJECTS:
            return True
        if not self._hashes:
            self._hashes = [-known for known in self._subjects]
            heapify(self._hashes)
        if subject > -self._hashes[0]:
            return False
        left = -heapreplace(self._hashes, -subject)
        self._counts[int(self._subjects.pop(left)[0])] -= 1
        return True

    # -- decisions

    @property
    def _statistic(self) -> float:
        return log_e_value(self._counts, self.rule.split)

    def _judge(self, at_ms: int, end_ms: int, since_ms: int) -> Iterator[Decided]:
        """At a pane that counts, told with the later one that has let it count."""
        if not self.is_mismatched and self._statistic >= -math.log(MISMATCH_ALPHA):
            self.is_mismatched = True
            self.odd = max(range(len(self._counts)), key=self._oddness)
            yield self._decided("mismatch", self.odd, end_ms, since_ms)
        is_last = at_ms >= since_ms + self.rule.span_ms
        total = sum(self._judged)
        if min(self._judged) >= FIRST_LOOK and (total >= self._next_look or is_last):
            self._next_look = LOOK_AGAIN * total
            self._look_at_it()
            if not self.is_mismatched:
                for variant in sorted(self._open):
                    decision = self._decision(variant)
                    if decision is not None:
                        self._decide(variant, decision)
                        yield self._decided(decision, variant, end_ms, since_ms)
        if is_last:
            for variant in sorted(self._open):
                self._decide(variant, "undecided")
                yield self._decided("undecided", variant, end_ms, since_ms)
        if not self._open:
            self.is_over = True
            self._held, self._subjects = [], {}

    def _decide(self, variant: int, decision: Decision) -> None:
        self._open.discard(variant)
        self._decisions[variant] = decision

    def _oddness(self, variant: int) -> tuple[float, int]:
        """How far from its share; of two alike the later."""
        total, share = sum(self._counts), self.rule.split[variant]
        spread = math.sqrt(max(total * share * (1.0 - share), 1.0))
        return round(abs(self._counts[variant] - total * share) / spread, 9), variant

    def _look_at_it(self) -> None:
        self._look += 1
        groups = self._summed()
        alpha = alpha_of_look(self.rule.alpha, self._look) / (len(groups) - 1)
        for variant in range(1, len(groups)):
            self._between[variant] = difference(
                groups[variant], groups[0], alpha=alpha, largest=self._largest
            )

    def _summed(self) -> tuple[Group, ...]:
        if not self.has_subjects:
            return tuple(Group(**asdict(group)) for group in self._groups)
        groups = tuple(Group() for _ in self._counts)
        for _, (variant, n, x) in sorted(self._subjects.items()):
            if n:
                groups[int(variant)].add(n, x)
        return groups

    def _decision(self, variant: int) -> Decision | None:
        between, margin = self._between[variant], self.rule.margin
        if between is None:
            return None
        if between.high < -margin:
            return "winner"
        return "loser" if between.low > margin else None

    def _decided(self, decision: Decision, variant: int, end_ms: int, since_ms: int) -> Decided:
        return Decided(
            decision, variant, end_ms, since_ms, self._between[variant], self._look,
            tuple(self._counts), self._summed(), self._statistic,
        )  # fmt: skip

    # -- reading

    def status(self) -> dict[str, Any]:
        arms = zip(self.rule.variants, self._counts, self._judged, strict=True)
        found: dict[str, Any] = {"experiment": self.rule.name, "metric": self.rule.metric}
        found["arms"] = [
            {"variant": name, "subjects": count, "judged": judged} for name, count, judged in arms
        ]
        found["crossed"], found["is_mismatched"] = self._crossed, self.is_mismatched
        found["is_over"] = self.is_over
        found["decisions"] = {self.rule.variants[n]: d for n, d in self._decisions.items()}
        found["differences"] = {
            self.rule.variants[n]: [between.estimate, between.low, between.high]
            for n, between in enumerate(self._between)
            if between is not None
        }
        return found

    # -- state

    def to_plain(self) -> dict[str, Any]:
        subjects = sorted(self._subjects)
        of = np.array([self._subjects[subject] for subject in subjects]).reshape(-1, 3)
        return {
            "rule": asdict(self.rule) | {"split": list(self.rule.split)},
            "versions": list(self.versions),
            "has_subjects": self.has_subjects,
            "largest": self._largest,
            "first_ms": list(self._first_ms),
            "latest_ms": list(self._latest_ms),
            "held": [[end, [list(one) for one in p], list(rows)] for end, p, rows in self._held],
            "counts": list(self._counts),
            "groups": [asdict(group) for group in self._groups],
            "subjects": np.array(subjects, np.uint64),
            "of_subjects": of.ravel(),
            "crossed": self._crossed,
            "judged": list(self._judged),
            "looks": [self._look, self._next_look],
            "between": [None if b is None else [b.estimate, b.low, b.high] for b in self._between],
            "open": sorted(self._open),
            "decisions": dict(self._decisions),
            "is_mismatched": self.is_mismatched,
            "odd": self.odd,
            "is_over": self.is_over,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        fields = dict(plain["rule"])
        fields |= {name: tuple(fields[name]) for name in ("variants", "split")}
        rule = ExperimentRule(**fields)
        made = cls(rule, largest=plain["largest"], has_subjects=plain["has_subjects"])
        made.versions = list(plain["versions"])
        made._first_ms, made._latest_ms = list(plain["first_ms"]), list(plain["latest_ms"])
        made._held = [
            (end, [(one[0], one[1], one[2], one[3], one[4]) for one in p], list(rows))
            for end, p, rows in plain["held"]
        ]
        made._counts, made._judged = list(plain["counts"]), list(plain["judged"])
        made._groups = [Group(**of) for of in plain["groups"]]
        of_subjects = plain["of_subjects"].reshape(-1, 3).tolist()
        made._subjects = dict(zip(plain["subjects"].tolist(), of_subjects, strict=True))
        made._crossed = plain["crossed"]
        made._look, made._next_look = plain["looks"]
        made._between = [None if b is None else Between(*b) for b in plain["between"]]
        made._open, made._decisions = set(plain["open"]), dict(plain["decisions"])
        made.odd = plain["odd"]
        made.is_mismatched, made.is_over = plain["is_mismatched"], plain["is_over"]
        return made
