"""`maturity: auto`: the age at which a model's predictions are judged, decided from its delays.

Decided once per model, in event time, from the first outcomes of the reference predictions: the
first of the delay by which 90 % of all of them are labelled, and that by which 90 % are of those
labelled by the time that each has had four times as long, where these are three in four of all; if
neither comes, at the horizon the 90 % quantile of those labelled; none labelled: never. A delay d
is only believed once every reference prediction has had the time d (or 4 d), so the decision does
not depend on when it is looked at.

Where about one in ten is never labelled, 90 % of all would be a matter of luck: the last label
there is, or the horizon.

That takes as long as the reference. The predictions of its span may have an age before
(`early_maturity`): borne out, it is the maturity; refuted, the reference is the one behind the
span.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.early_maturity import Early, EarlyAge, may_be_early
from stream.label_delays import Counted, Table, edge_of, spoken
from stream.outcome_join import Delays
from stream.panes import Ints
from stream.rules import ReferenceRule, Rules


@dataclass(frozen=True, slots=True)
class Decision:
    maturity_ms: int | None
    decided_at_ms: int


class MaturityRule:
    """One model. `count_predictions` and `add` in any order; `decide` as time goes on."""

    def __init__(self, rule: ReferenceRule, rules: Rules, *, has_early: bool = False) -> None:
        """`has_early`: whether its first predictions may have an age before."""
        self._rule = rule
        self._rules = rules
        self._reference: Counted | None = None
        self._span = EarlyAge(rule, rules) if has_early and may_be_early(rule) else None
        self._table: Table = np.zeros((0, 4), np.int64)
        self.early: Early | None = None
        self.decision: Decision | None = None

    @property
    def has_begun(self) -> bool:
        """Whether predictions of the model were counted."""
        return self._reference is not None

    @property
    def judged_ms(self) -> int | None:
        """The ready time at which all predictions of an early age are judged; None: there are
        none, or they are."""
        return None if self._span is None or self.early is None else self._span.judged_ms

    def count_predictions(self, pane_end: Ints, rows: Ints) -> None:
        """Merged prediction panes of the model, all groups together, ends ascending."""
        if not len(pane_end):
            return
        if self._reference is None:
            self._reference = Counted(int(pane_end[0]) - self._rules.pane_ms)
        self._reference.add(pane_end, rows, self._rule)
        if self._span is not None:
            self._span.count(self._reference.start_ms, pane_end, rows)

    def add(self, delays: Delays) -> None:
        if self.decision is not None:
            return
        new = [delays.outcome_pane_end, delays.prediction_pane_end, delays.edge_ms, delays.count]
        self._table = np.concatenate([self._table, np.stack(new, axis=1)])
        if self.early is not None:  # what the others have is known as far as they were held
            self._table = self._table[self._table[:, 1] > self.early.until_ms]

    def decide(self, reached_ms: int) -> Decision | Early | None:
        """The decision, when it falls at or before `reached_ms`, or an early one before. O(n log n)
        in the delays of the reference predictions."""
        if self.decision is not None or self._reference is None:
            return None
        if self._span is not None:
            if self.early is not None:
                return None  # until its predictions are judged
            word = self._span.decide(self._table, reached_ms)
            if word is not None:
                self.early = Early(word.age_ms, word.at_ms, self._span.behind.start_ms)
                self._table = self._table[self._table[:, 1] > self.early.until_ms]
                return self.early
            if not self._span.is_past(reached_ms):
                return None
            self._span = None
        return self._of_reference(self._reference, reached_ms)

    def judge(self, rows: int, labelled: int) -> None:
        """Predictions of a cohort of the early age."""
        if self._span is not None:
            self._span.judge(rows, labelled)

    def settle_early(self) -> Decision | None:
        """All of the early age are judged: the maturity, if they bear it out."""
        span, early = self._span, self.early
        assert span is not None
        assert early is not None
        self._span, at_ms = None, span.judged_ms
        if span.is_borne_out:
            return self._settle(early.maturity_ms, at_ms)
        self._reference = span.behind
        return None

    def _of_reference(self, reference: Counted, reached_ms: int) -> Decision | None:
        end_ms = reference.end_ms
        if end_ms is None:
            return None
        of_reference = (self._table[:, 1] > reference.start_ms) & (self._table[:, 1] <= end_ms)
        self._table = self._table[of_reference]
        settled_ms, horizon_ms = self._rules.settled_ms, self._rules.horizon_ms
        last_ms, count = end_ms + horizon_ms + settled_ms, reference.count
        found = spoken(self._table, count, end_ms, min(reached_ms, last_ms), self._rules)
        if found is not None:
            return self._settle(*found)
        if reached_ms < last_ms:
            return None
        ready_ms, delay_ms = self._table[:, 0] + settled_ms, self._table[:, 2]
        within = self._table[(delay_ms <= horizon_ms) & (ready_ms <= last_ms)]
        labelled = int(within[:, 3].sum())
        return self._settle(edge_of(within, labelled) if labelled else None, last_ms)

    def _settle(self, maturity_ms: int | None, decided_at_ms: int) -> Decision:
        if maturity_ms is not None and self.early is not None:  # what is older matures sooner
            maturity_ms = max(maturity_ms, self.early.maturity_ms)
        self.decision = Decision(maturity_ms, decided_at_ms)
        self._table = self._table[:0]
        return self.decision

    def snapshot(self) -> dict[str, Any]:
        of, d, early = self._reference, self.decision, self.early
        return {
            "count": 0 if of is None else of.count,
            "start_ms": None if of is None else of.start_ms,
            "end_ms": None if of is None else of.end_ms,
            "table": np.ascontiguousarray(self._table).reshape(-1),
            "decision": None if d is None else [d.maturity_ms, d.decided_at_ms],
            **({} if self._span is None else {"span": self._span.snapshot()}),
            **(
                {}
                if early is None
                else {"early": [early.maturity_ms, early.decided_at_ms, early.until_ms]}
            ),
        }

    def restore(self, plain: dict[str, Any]) -> None:
        """Of a state from before there were any, no early age is decided any more."""
        if plain["start_ms"] is not None:
            self._reference = Counted(plain["start_ms"], plain["count"], plain["end_ms"])
        self._table = plain["table"].reshape(-1, 4)
        decision = plain["decision"]
        self.decision = None if decision is None else Decision(*decision)
        self.early = Early(*plain["early"]) if "early" in plain else None
        if "span" in plain and self._span is not None:
            self._span.restore(plain["span"])
        elif self.has_begun:
            self._span = None
