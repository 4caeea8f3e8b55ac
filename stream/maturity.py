"""`maturity: auto`: the age at which a model's predictions are judged, decided from its delays.

Decided once per model, in event time, from the first outcomes of the reference predictions: the
first of the delay by which 90 % of all of them are labelled, and that by which 90 % are of those
labelled by the time that each has had four times as long, where these are three in four of all; if
neither comes, at the horizon the 90 % quantile of those labelled; none labelled: never. A delay d
is only believed once every reference prediction has had the time d (or 4 d), so the decision does
not depend on when it is looked at.

Where about one in ten is never labelled, 90 % of all would be a matter of luck: the last label
there is, or the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.outcome_join import Delays
from stream.panes import Ints
from stream.rules import ReferenceRule, Rules

_NINE_IN_TEN = 9  # in integers: no rounding decides
_LONGER = 4  # times: labels that have not come by then are taken for never


@dataclass(frozen=True, slots=True)
class Decision:
    maturity_ms: int | None
    decided_at_ms: int


class MaturityRule:
    """One model. `count_predictions` and `add` in any order; `decide` as time goes on."""

    def __init__(self, rule: ReferenceRule, rules: Rules) -> None:
        self._rule = rule
        self._rules = rules
        self._count = 0
        self._start_ms: int | None = None
        self._end_ms: int | None = None  # of the reference, once complete
        self._table: NDArray[np.int64] = np.zeros((0, 4), np.int64)
        self.decision: Decision | None = None

    @property
    def has_begun(self) -> bool:
        """Whether predictions of the model were counted."""
        return self._start_ms is not None

    def count_predictions(self, pane_end: Ints, rows: Ints) -> None:
        """Merged prediction panes of the model, all groups together, ends ascending."""
        if self._end_ms is not None or not len(pane_end):
            return
        if self._start_ms is None:
            self._start_ms = int(pane_end[0]) - self._rules.pane_ms
        count = self._count + np.cumsum(rows)
        enough = (count >= self._rule.predictions) & (
            pane_end - self._start_ms >= self._rule.span_ms
        )
        last = int(enough.argmax()) if enough.any() else len(rows) - 1
        self._count = int(count[last])
        if enough.any():
            self._end_ms = int(pane_end[last])

    def add(self, delays: Delays) -> None:
        if self.decision is not None:
            return
        new = [delays.outcome_pane_end, delays.prediction_pane_end, delays.edge_ms, delays.count]
        self._table = np.concatenate([self._table, np.stack(new, axis=1)])

    def decide(self, reached_ms: int) -> Decision | None:
        """The decision, when it falls at or before `reached_ms`. O(n log n) in the delays of the
        reference predictions."""
        if self.decision is not None or self._end_ms is None:
            return None
        assert self._start_ms is not None
        of_reference = (self._table[:, 1] > self._start_ms) & (self._table[:, 1] <= self._end_ms)
        self._table = self._table[of_reference]
        settled_ms = self._rules.settled_ms
        last_ms = self._end_ms + self._rules.horizon_ms + settled_ms
        ready_ms, delay_ms, count = (self._table[:, i] for i in (0, 2, 3))
        ready_ms = ready_ms + settled_ms
        # a delay speaks once it is in, and once every reference prediction has had as long
        speaks_ms = np.maximum(ready_ms, self._end_ms + delay_ms + settled_ms)
        order = np.argsort(speaks_ms, kind="stable")
        enough = np.cumsum(count[order]) * 10 >= _NINE_IN_TEN * self._count
        at_ms = int(speaks_ms[order][enough.argmax()]) if enough.any() else last_ms + 1
        ended = self.ended(min(reached_ms, min(at_ms, last_ms) - 1))
        if ended is not None:
            return self._settle(*ended)
        if at_ms <= min(reached_ms, last_ms):
            return self._settle(self._edge(self._table[ready_ms <= at_ms], self._count), at_ms)
        if reached_ms < last_ms:
            return None
        within = self._table[(delay_ms <= self._rules.horizon_ms) & (ready_ms <= last_ms)]
        labelled = int(within[:, 3].sum())
        return self._settle(self._edge(within, labelled) if labelled else None, last_ms)

    def ended(self, reached_ms: int) -> tuple[int, int] | None:
        """The least delay edge behind which few labels had come when each prediction had had four
        times as long, and when that was, if it was by then. The first of them have had the span of
        the reference besides: what comes once a day is seen."""
        assert self._end_ms is not None
        edges, place = np.unique(self._table[:, 2], return_inverse=True)
        known_ms = self._end_ms + _LONGER * edges + self._rules.pane_ms + self._rules.settled_ms
        by_then = np.cumsum(np.bincount(place, weights=self._table[:, 3])).astype(np.int64)
        order = np.argsort(self._table[:, 0], kind="stable")
        ready_ms = self._table[order, 0] + self._rules.settled_ms
        seen = np.concatenate([[0], np.cumsum(self._table[order, 3])])
        seen = seen[np.searchsorted(ready_ms, known_ms, side="right")]
        is_end = (by_then * 10 >= _NINE_IN_TEN * seen) & (seen * 4 >= 3 * self._count)
        first = np.flatnonzero(is_end & (known_ms <= reached_ms))[:1]
        return (int(edges[first[0]]), int(known_ms[first[0]])) if len(first) else None

    @staticmethod
    def _edge(table: NDArray[np.int64], of: int) -> int | None:
        """The least delay edge at or below which nine in ten of `of` lie; None if there is none."""
        if not len(table):
            return None
        edges, place = np.unique(table[:, 2], return_inverse=True)
        reached = np.cumsum(np.bincount(place, weights=table[:, 3])) * 10 >= _NINE_IN_TEN * of
        return int(edges[reached.argmax()]) if reached.any() else None

    def _settle(self, maturity_ms: int | None, decided_at_ms: int) -> Decision:
        self.decision = Decision(maturity_ms, decided_at_ms)
        self._table = self._table[:0]
        return self.decision

    def snapshot(self) -> dict[str, Any]:
        d = self.decision
        return {
            "count": self._count,
            "start_ms": self._start_ms,
            "end_ms": self._end_ms,
            "table": np.ascontiguousarray(self._table).reshape(-1),
            "decision": None if d is None else [d.maturity_ms, d.decided_at_ms],
        }

    def restore(self, plain: dict[str, Any]) -> None:
        self._count, self._start_ms = plain["count"], plain["start_ms"]
        self._end_ms = plain["end_ms"]
        self._table = plain["table"].reshape(-1, 4)
        decision = plain["decision"]
        self.decision = None if decision is None else Decision(*decision)
