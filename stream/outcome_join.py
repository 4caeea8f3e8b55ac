"""Predictions held until their maturity, and the outcomes that meet them: one source partition.

    prediction  held -> matured labelled | matured unlabelled            (or never held: unjoined)
    outcome     waiting | joined | superseded | retracted | expired      (an orphan waits, then
                                                                          expires)

Both sides are columns in sorted runs. Nothing is joined when it arrives: the join is made once,
when a whole cohort has reached its maturity by both watermarks of the partition, from every
revision with its effective time. So neither the interleaving of the two topics nor the moment at
which this partition learns a maturity can change what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.log_buckets import duration_edge_ms
from stream.columns import Column, Group, Rows
from stream.judgement import measures
from stream.rules import Rules
from stream.snapshot import must_be_the_same
from stream.sorted_runs import Columns, Found, SortedRuns
from stream.watermark import BEFORE_ALL_MS, pane_end_ms

CANDIDATE, COUNTED = 1, 2  # marks of an outcome

_U64, _I64, _F64, _U8 = (np.zeros(0, t) for t in (np.uint64, np.int64, np.float64, np.uint8))
_PREDICTIONS: Columns = {
    "key": _U64,  # of (model_id, prediction_id), with `check` its 128-bit hash
    "check": _U64,
    "hash": _U64,  # of prediction_id: orders the row sample
    "group": _I64,
    "time": _I64,
    "has": _U8,
    "label": _U64,
    "score": _F64,
    "value": _F64,
}
_OUTCOMES: Columns = {
    "key": _U64,
    "check": _U64,
    "effective": _I64,
    "revision": _I64,
    "marks": _U8,
    "retracted": np.zeros(0, np.bool_),
    "has": _U8,
    "label": _U64,
    "value": _F64,
}
_PURGE_AT_LEAST = 10_000
OUTCOME_TERMS = ("joined", "superseded", "retracted", "orphan_waiting", "orphan_expired")


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays of first outcomes of one model, by pane of the outcome and of the prediction."""

    outcome_pane_end: NDArray[np.int64]
    prediction_pane_end: NDArray[np.int64]
    edge_ms: NDArray[np.int64]
    count: NDArray[np.int64]

    def after(self, end_ms: int) -> Delays:
        """Those of outcome panes that end later."""
        later = self.outcome_pane_end > end_ms
        return Delays(
            self.outcome_pane_end[later],
            self.prediction_pane_end[later],
            self.edge_ms[later],
            self.count[later],
        )


class OutcomeJoin:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._held = SortedRuns(_PREDICTIONS)
        self._outcomes = SortedRuns(_OUTCOMES)
        self._purge_at = _PURGE_AT_LEAST
        self._earliest_ms = -BEFORE_ALL_MS  # no held prediction is older
        self._delays_until_ms = BEFORE_ALL_MS  # outcome panes whose delays have left
        self.maturity_ms: dict[str, int | None] = {}  # learned
        self.groups: list[Group] = []  # the code of a group is its position
        self._codes: dict[Group, int] = {}
        self.matured = {"matured_labelled": 0, "matured_unlabelled": 0, "unjoined": 0}
        self._finished = dict.fromkeys(OUTCOME_TERMS, 0)

    # -- arrivals

    def code_of(self, group: Group) -> int:
        code = self._codes.get(group)
        if code is None:
            code = self._codes[group] = len(self.groups)
            self.groups.append(group)
        return code

    def hold(self, predictions: Columns) -> None:
        """Applied predictions (the columns of `_PREDICTIONS`)."""
        never = np.array([self._known_maturity(g) is None for g in self.groups], np.bool_)
        unjoined = never[predictions["group"]]
        room = self._rules.max_pending - len(self._held)
        unjoined |= np.cumsum(~unjoined) > room
        self.matured["unjoined"] += int(unjoined.sum())
        held = {name: values[~unjoined] for name, values in predictions.items()}
        if len(held["key"]):
            self._held.append(held)
            self._earliest_ms = min(self._earliest_ms, int(held["time"].min()))

    def add_outcomes(self, outcomes: Columns) -> None:
        """Applied outcomes (the columns of `_OUTCOMES` but the marks)."""
        self._outcomes.append({**outcomes, "marks": np.zeros(len(outcomes["key"]), np.uint8)})

    # -- maturity

    def _known_maturity(self, group: Group) -> int | str | None:
        """Milliseconds; None: never joined; "auto": not decided yet."""
        configured = self._rules.maturity_of(group[0])
        return self.maturity_ms.get(group[0], "auto") if configured == "auto" else configured

    def learn(self, model_id: str, maturity_ms: int | None) -> None:
        self.maturity_ms[model_id] = maturity_ms
        if maturity_ms is None:
            codes = [code for code, group in enumerate(self.groups) if group[0] == model_id]
            dropped = self._held.remove(lambda rows: np.isin(rows["group"], codes))
            self.matured["unjoined"] += len(dropped["key"])
        self._earliest_ms = BEFORE_ALL_MS  # of any age may be mature now

    def mature(self, reached_ms: int) -> Iterator[tuple[Group, Rows]]:
        """The cohorts whose age both watermarks have passed, a group at a time, by pane end."""
        ages = [self._known_maturity(group) for group in self.groups]
        known = [age for age in ages if isinstance(age, int)]
        grace_ms, pane_ms = self._rules.grace_ms, self._rules.pane_ms
        if not known or self._earliest_ms + min(known) + grace_ms > reached_ms:
            return
        age_ms = np.array([a if isinstance(a, int) else -BEFORE_ALL_MS for a in ages], np.int64)
        rows = self._held.remove(
            lambda held: (
                pane_end_ms(held["time"], pane_ms) + grace_ms + age_ms[held["group"]] <= reached_ms
            )
        )
        held = self._held.all()["time"]
        self._earliest_ms = int(held.min()) if len(held) else -BEFORE_ALL_MS
        if not len(rows["key"]):
            return
        labelled, outcomes = self._judge(rows, age_ms[rows["group"]])
        self.matured["matured_labelled"] += int(labelled.sum())
        self.matured["matured_unlabelled"] += int((~labelled).sum())
        judged = measures(rows, outcomes, labelled)
        end = pane_end_ms(rows["time"], pane_ms)
        for code in np.unique(rows["group"]).tolist():
            of_group = np.flatnonzero(rows["group"] == code)
            of_group = of_group[np.lexsort((rows["hash"][of_group], end[of_group]))]
            columns: dict[str, Column] = {n: c.take(of_group) for n, c in judged.items()}
            yield self.groups[code], Rows(end[of_group], rows["hash"][of_group], columns, {})

    def _candidates(self, rows: Columns, age_ms: NDArray[np.int64]) -> tuple[Found, Found]:
        """(all candidates, those that count: the highest revision of each prediction)."""
        found = self._outcomes.find(rows["key"])
        made = rows["time"][found.index]
        effective = found.rows["effective"]
        fits = (
            (found.rows["check"] == rows["check"][found.index])
            & (made <= effective + self._rules.grace_ms)
            & (effective < made + age_ms[found.index])
        )
        found = found.where(fits)
        order = np.lexsort((found.rows["revision"], found.index))
        last = np.ones(len(order), np.bool_)
        last[:-1] = found.index[order][1:] != found.index[order][:-1]
        counts = np.zeros(len(order), np.bool_)
        counts[order[last]] = True
        return found, found.where(counts)

    def _judge(self, rows: Columns, age_ms: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Columns]:
        """(labelled, outcome columns): parallel to `rows`; marks the outcomes used."""
        candidates, counted = self._candidates(rows, age_ms)
        self._outcomes.set_bits(candidates.place, "marks", CANDIDATE)
        self._outcomes.set_bits(counted.place, "marks", COUNTED)
        chosen = counted.where(~counted.rows["retracted"])
        labelled = np.zeros(len(rows["key"]), np.bool_)
        labelled[chosen.index] = True
        outcomes = {}
        for name in ("effective", "has", "label", "value"):
            outcomes[name] = np.zeros(len(labelled), _OUTCOMES[name].dtype)
            outcomes[name][chosen.index] = chosen.rows[name]
        return labelled, outcomes

    # -- what stage 2 needs to decide a maturity

    def delays(self, reached_ms: int, settled_ms: int) -> Iterator[tuple[str, Delays]]:
        """Delays of the outcome panes settled since the last call, of models without maturity."""
        pane_ms = self._rules.pane_ms
        until_ms = (reached_ms - settled_ms) // pane_ms * pane_ms  # pane ends up to here settled
        since_ms, self._delays_until_ms = (
            self._delays_until_ms,
            max(self._delays_until_ms, until_ms),
        )
        undecided = np.array([self._known_maturity(g) == "auto" for g in self.groups], np.bool_)
        if until_ms <= since_ms or not undecided.any():
            return
        rows = self._outcomes.all()
        end = pane_end_ms(rows["effective"], pane_ms)
        keys = np.unique(rows["key"][~rows["retracted"] & (end > since_ms) & (end <= until_ms)])
        met = self._held.find(keys)
        waiting = met.where(undecided[met.rows["group"]]).rows
        first_ms = self._first_effective(waiting)
        end = pane_end_ms(first_ms, pane_ms)
        due = (end > since_ms) & (end <= until_ms)
        yield from self._delays_by_model({n: v[due] for n, v in waiting.items()}, first_ms[due])

    def _first_effective(self, predictions: Columns) -> NDArray[np.int64]:
        """Effective time of the first outcome, not retracted, that can belong to each prediction;
        the end of time where there is none."""
        found = self._outcomes.find(predictions["key"])
        fits = (
            (found.rows["check"] == predictions["check"][found.index])
            & ~found.rows["retracted"]
            & (predictions["time"][found.index] <= found.rows["effective"] + self._rules.grace_ms)
        )
        first_ms = np.full(len(predictions["key"]), -BEFORE_ALL_MS)
        np.minimum.at(first_ms, found.index[fits], found.rows["effective"][fits])
        return first_ms

    def _delays_by_model(
        self, predictions: Columns, first_ms: NDArray[np.int64]
    ) -> Iterator[tuple[str, Delays]]:
        made, pane_ms = predictions["time"], self._rules.pane_ms
        ends = [pane_end_ms(first_ms, pane_ms), pane_end_ms(made, pane_ms)]
        table = np.stack([*ends, duration_edge_ms(first_ms - made)], axis=1)
        models = [group[0] for group in self.groups]
        codes = {model: code for code, model in enumerate(sorted(set(models)))}
        model_of = np.array([codes[model] for model in models], np.int64)[predictions["group"]]
        for model_id, code in codes.items():
            mine = table[model_of == code]
            if len(mine):
                cells, count = np.unique(mine, axis=0, return_counts=True)
                columns = [np.ascontiguousarray(cells[:, i]) for i in range(3)]
                yield model_id, Delays(columns[0], columns[1], columns[2], count)

    # -- the ledger

    def pending(self) -> int:
        return len(self._held)

    def outcome_terms(self, predictions_ms: int) -> dict[str, int]:
        """How many applied outcomes are in each term now: O(n log n) in what is held."""
        held = self._held.all()
        ages = [self._known_maturity(group) for group in self.groups]
        horizon_ms = self._rules.horizon_ms
        age_ms = np.array([a if isinstance(a, int) else horizon_ms for a in ages], np.int64)
        rows = self._outcomes.snapshot()
        now = SortedRuns(_OUTCOMES)
        now.restore(rows)
        copy = OutcomeJoin(self._rules)
        copy._outcomes = now
        if len(held["key"]):
            copy._judge(held, age_ms[held["group"]])
        counts = self._count(now.all(), predictions_ms)
        return {term: self._finished[term] + counts[term] for term in OUTCOME_TERMS}

    def _count(self, rows: Columns, predictions_ms: int) -> dict[str, int]:
        counted = (rows["marks"] & COUNTED) != 0
        candidate = (rows["marks"] & CANDIDATE) != 0
        orphan = ~counted & ~candidate
        waiting = orphan & ~self._beyond_meeting(rows, predictions_ms)
        return {
            "joined": int((counted & ~rows["retracted"]).sum()),
            "retracted": int((counted & rows["retracted"]).sum()),
            "superseded": int((candidate & ~counted).sum()),
            "orphan_waiting": int(waiting.sum()),
            "orphan_expired": int((orphan & ~waiting).sum()),
        }

    def _beyond_meeting(self, rows: Columns, predictions_ms: int) -> NDArray[np.bool_]:
        """No prediction that is still to come can belong to these outcomes."""
        end = pane_end_ms(rows["effective"], self._rules.pane_ms)
        return end + self._rules.settled_ms <= predictions_ms

    def purge(self, predictions_ms: int) -> None:
        """Count and drop outcomes that no prediction, held or to come, can need."""
        if len(self._outcomes) < self._purge_at:
            return
        pending = self._held.all()["key"]
        done = self._outcomes.remove(
            lambda rows: (
                self._beyond_meeting(rows, min(predictions_ms, self._delays_until_ms))
                & ~np.isin(rows["key"], pending)
            )
        )
        for term, count in self._count(done, predictions_ms).items():
            self._finished[term] += count
        self._purge_at = max(_PURGE_AT_LEAST, 2 * len(self._outcomes))

    # -- state

    def snapshot(self) -> dict[str, Any]:
        return {
            "held": self._held.snapshot(),
            "outcomes": self._outcomes.snapshot(),
            "delays_until_ms": self._delays_until_ms,
            "maturity_ms": self.maturity_ms,
            "groups": [list(group) for group in self.groups],
            "rules": {group[0]: self._rules.of_state(group[0]) for group in self.groups},
            "matured": self.matured,
            "finished": self._finished,
        }

    @classmethod
    def restore(cls, rules: Rules, state: dict[str, Any]) -> OutcomeJoin:
        """Raises ChangedRulesError."""
        made: OutcomeJoin = cls(rules)
        for model_id, rule in state["rules"].items():
            must_be_the_same(model_id, rule, rules.of_state(model_id))
        made._held.restore(state["held"])
        made._outcomes.restore(state["outcomes"])
        made._delays_until_ms = state["delays_until_ms"]
        made.maturity_ms = state["maturity_ms"]
        for group in state["groups"]:
            made.code_of(tuple(group))
        made.matured = state["matured"]
        made._finished = state["finished"]
        made._earliest_ms = BEFORE_ALL_MS
        return made
