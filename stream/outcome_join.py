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

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.log_buckets import duration_edge_ms
from detectors.ordered import distinct
from stream import native_meetings
from stream.class_judgement import class_measures
from stream.columns import Group, Rows
from stream.further_ages import FurtherAges
from stream.grouped_rows import GroupedRows
from stream.judgement import measures
from stream.pairs import Pairs
from stream.pane_kinds import PaneKind, cohort_at
from stream.pending import HELD, NEVER_MS, Pending
from stream.rules import Rules
from stream.run import AnyColumns, Columns
from stream.snapshot import Part
from stream.sorted_runs import Found
from stream.subjects import no_subjects, trial_of, with_subjects
from stream.waiting_outcomes import CANDIDATE, COUNTED, WAITING, WaitingOutcomes
from stream.watermark import BEFORE_ALL_MS, pane_end_ms

_FORGOTTEN: Group = ("", "", "", "")


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
        self._held = Pending(rules)
        self._further = FurtherAges(rules)
        self._outcomes = WaitingOutcomes(rules)
        self._pairs = Pairs()
        self._delays_until_ms = BEFORE_ALL_MS  # outcome panes whose delays have left
        self.matured = {"matured_labelled": 0, "matured_unlabelled": 0, "unjoined": 0}

    @property
    def held(self) -> Pending:
        return self._held

    @property
    def outcomes(self) -> WaitingOutcomes:
        return self._outcomes

    # -- arrivals

    def code_of(self, group: Group) -> int:
        return self._held.code_of(group)

    def hold(self, predictions: Columns, has_room: NDArray[np.bool_]) -> None:
        """Applied predictions (the columns of `HELD`, without `subject` where there are none).
        `has_room`: which of them may be held."""
        ages_ms = self._held.ages_of(predictions["time"], predictions["group"], 0)
        unjoined = ~has_room | (ages_ms == BEFORE_ALL_MS)
        self.matured["unjoined"] += int(unjoined.sum())
        if unjoined.any():
            predictions = {n: of[~unjoined] for n, of in predictions.items()}
        kept = {n: of.astype(HELD[n].dtype, copy=False) for n, of in predictions.items()}
        if "subject" not in kept:
            kept["subject"] = no_subjects(len(kept["key"]))
        self._held.hold(kept)

    def add_outcomes(self, outcomes: Columns) -> None:
        """Applied outcomes (the columns of `WAITING`)."""
        self._outcomes.add(outcomes)

    # -- maturity

    def use(self, rules: Rules) -> None:
        """Rules that know more models, and say the same of those known already."""
        self._rules = rules
        self._held.use(rules)
        self._further.use(rules)

    def knows(self, model_id: str, *, early: bool = False) -> bool:
        """Whether the model's maturity was learned, or, early, the age of its first cohorts."""
        is_known = model_id in self._held.maturity_ms
        return is_known or (early and model_id in self._held.early)

    def learn(self, model_id: str, maturity_ms: int | None, until_ms: int | None = None) -> None:
        """`until_ms`: of an early one, the last pane end that it is for. `mature` must follow."""
        self.matured["unjoined"] += self._held.learn(model_id, maturity_ms, until_ms)
        self._further.learn(model_id)

    def mature(self, reached_ms: int) -> Iterator[tuple[PaneKind, GroupedRows]]:
        """The cohorts whose age both watermarks have passed, no group twice of a kind: those of
        further ages first, which stay held."""
        for age_ms, young in self._further.due(self._held, reached_ms):
            met = self._met(young, np.full(len(young["key"]), age_ms), is_mature=False)
            for judged in self._judged(young, *met, None):
                yield cohort_at(age_ms), judged
        rows = self._held.take_due(reached_ms)
        if rows is None:
            return
        ages_ms = self._held.ages_of(rows["time"], rows["group"], 0)
        labelled, outcomes = self._met(rows, ages_ms, is_mature=True)
        self.matured["matured_labelled"] += int(labelled.sum())
        self.matured["matured_unlabelled"] += int((~labelled).sum())
        for judged in self._judged(rows, labelled, outcomes, ages_ms):
            cohort, trial = trial_of(judged)
            yield "cohort", cohort
            if trial is not None:
                yield "trial", trial

    def _met(
        self, rows: Columns, age_ms: NDArray[np.int64], *, is_mature: bool
    ) -> tuple[NDArray[np.bool_], Columns]:
        """(labelled, outcome columns) of predictions at these ages. What mature ones meet is
        marked."""
        runs = self._outcomes.runs.runs
        made = native_meetings.met(rows, age_ms, self._rules.grace_ms, runs)
        if made is None:
            candidates, counted = self._candidates(rows, age_ms)
            if is_mature:
                self._outcomes.mark(candidates, counted)
            return _labels(len(rows["key"]), counted)
        labelled, outcomes, marks = made
        if is_mature:
            self._outcomes.mark_met(marks)
        return labelled, outcomes

    def _judged(
        self,
        rows: Columns,
        labelled: NDArray[np.bool_],
        outcomes: Columns,
        mature_ms: NDArray[np.int64] | None,
    ) -> Iterator[GroupedRows]:
        """Predictions with what is known of them; a group with measures of its own by itself.
        `mature_ms`: their ages, where they do not stay held."""
        judged = measures(rows, outcomes, labelled)
        if mature_ms is not None:
            judged = with_subjects(judged, rows["subject"])
        end, hashes = pane_end_ms(rows["time"], self._rules.pane_ms), self._held.hashes(rows)
        made = GroupedRows(
            Rows(end, hashes, judged, {}),
            rows["group"].astype(np.int64),
            [group or _FORGOTTEN for group in self._held.groups],
        )
        if mature_ms is not None and (self._held.has_shadows or self._pairs.is_carrying):
            held = self._held.shadows()
            ages = mature_ms, self._held.borders_ms(rows["group"])
            self._pairs.carry(made, rows, ages, self._rules, held)
        of_models = [self._rules.model(group[0]) for group in made.groups]
        is_own = np.array([bool(of.classes or of.costs) for of in of_models], np.bool_)
        has_own = is_own[made.code]
        plain = made.take(np.flatnonzero(~has_own)) if has_own.any() else made
        if len(plain):
            yield replace(plain, rows=_without_absent(plain.rows))
        for code in distinct(made.code[has_own]).tolist():
            of_group = np.flatnonzero(made.code == code)
            of_group = of_group[np.lexsort((hashes[of_group], end[of_group]))]
            said, truth = (
                {name: column[of_group] for name, column in side.items()}
                for side in (rows, outcomes)
            )
            own = class_measures(of_models[code], said, truth, labelled[of_group])
            cells = made.rows.take(of_group)
            whole = replace(cells, columns=cells.columns | own)
            none = np.zeros(len(whole), np.int64)
            yield GroupedRows(_without_absent(whole), none, [made.groups[code]])

    def pairs(self, reached_ms: int) -> Iterator[tuple[Group, Rows]]:
        """Of a shadow's and a champion's predictions under one id, the panes that are complete when
        both watermarks have come so far; after `mature`."""
        if self._pairs.is_carrying:
            for group, rows in self._pairs.take(reached_ms):
                yield group, _without_absent(rows)

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
        if np.bincount(found.index, minlength=1).max() == 1:
            return found, found
        order = np.lexsort((found.rows["revision"], found.index))
        last = np.ones(len(order), np.bool_)
        last[:-1] = found.index[order][1:] != found.index[order][:-1]
        counts = np.zeros(len(order), np.bool_)
        counts[order[last]] = True
        return found, found.where(counts)

    # -- what stage 2 needs to decide a maturity

    def delays(self, reached_ms: int, settled_ms: int) -> Iterator[tuple[str, Delays]]:
        """Delays of the outcome panes settled since the last call, of models without maturity."""
        pane_ms = self._rules.pane_ms
        until_ms = (reached_ms - settled_ms) // pane_ms * pane_ms  # pane ends up to here settled
        since_ms, self._delays_until_ms = (
            self._delays_until_ms,
            max(self._delays_until_ms, until_ms),
        )
        undecided = self._held.ages(NEVER_MS) == NEVER_MS
        if until_ms <= since_ms or not undecided.any():
            return
        met = self._held.find(self._outcomes.keys_in_panes(since_ms, until_ms))
        waiting = met.where(undecided[met.rows["group"]]).rows
        first_ms = self._first_effective(waiting)
        end = pane_end_ms(first_ms, pane_ms)
        due = (end > since_ms) & (end <= until_ms)
        yield from self._delays_by_model({n: v[due] for n, v in waiting.items()}, first_ms[due])

    def _first_effective(self, predictions: AnyColumns) -> NDArray[np.int64]:
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
        models = ["" if group is None else group[0] for group in self._held.groups]
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

    def terms_at_hand(self) -> dict[str, int]:
        """As `WaitingOutcomes.terms_at_hand`: O(1)."""
        return self._outcomes.terms_at_hand()

    def outcome_terms(self, predictions_ms: int) -> Generator[None, None, dict[str, int]]:
        """How many applied outcomes are in each term now: O(n log n) in what is held, and a byte
        a waiting outcome. In steps, between which nothing may change."""
        marks = np.zeros(len(self._outcomes.runs), np.uint8)
        for rows in self._held.chunks():
            ages = self._held.ages_of(rows["time"], rows["group"], self._rules.horizon_ms)
            candidates, counted = self._candidates(rows, ages)
            marks[self._outcomes.places(candidates)] |= CANDIDATE
            marks[self._outcomes.places(counted)] |= COUNTED
            yield
        return self._outcomes.terms(predictions_ms, marks)

    def purge(self, predictions_ms: int) -> None:
        """Count and drop outcomes that no prediction, held or to come, can need."""

        def is_held(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
            held = np.zeros(len(keys), np.bool_)
            held[self._held.find(keys).index] = True
            return held

        self._outcomes.purge(min(predictions_ms, self._delays_until_ms), is_held)

    # -- state

    def parts(self) -> list[Part]:
        return [*self._held.parts(), *self._outcomes.parts(), *self._pairs.parts()]

    def snapshot(self) -> dict[str, Any]:
        return {
            "held": self._held.snapshot(),
            "outcomes": self._outcomes.snapshot(),
            "delays_until_ms": self._delays_until_ms,
            "matured": self.matured,
            **({"pairs": self._pairs.snapshot()} if self._pairs.is_carrying else {}),
        }

    @classmethod
    def restore(
        cls, rules: Rules, plain: Mapping[str, Any], state: Mapping[str, bytes]
    ) -> OutcomeJoin:
        """Raises ChangedRulesError."""
        made: OutcomeJoin = cls(rules)
        made._held.restore(plain["held"], state)
        made._outcomes.restore(plain["outcomes"], state)
        made._delays_until_ms = plain["delays_until_ms"]
        made.matured = plain["matured"]
        if "pairs" in plain:
            made._pairs.restore(plain["pairs"], state)
        return made

    @classmethod
    def restore_whole(cls, rules: Rules, plain: Mapping[str, Any]) -> OutcomeJoin:
        """From state of version 1. Raises ChangedRulesError."""
        made: OutcomeJoin = cls(rules)
        made._held.restore_whole(plain)
        made._outcomes.restore_whole(plain["outcomes"], plain["finished"])
        made._delays_until_ms = plain["delays_until_ms"]
        made.matured = plain["matured"]
        return made


def _without_absent(rows: Rows) -> Rows:
    """Without measures that no row has: models have no use for some."""
    columns = {name: cells for name, cells in rows.columns.items() if cells.kind.any()}
    return replace(rows, columns=columns)


def _labels(count: int, counted: Found) -> tuple[NDArray[np.bool_], Columns]:
    """(labelled, outcome columns): parallel to the predictions that outcomes were looked up for."""
    chosen = counted.where(~counted.rows["retracted"])
    labelled = np.zeros(count, np.bool_)
    labelled[chosen.index] = True
    outcomes = {}
    for name in ("effective", "has", "label", "value"):
        outcomes[name] = np.zeros(count, WAITING[name].dtype)
        outcomes[name][chosen.index] = chosen.rows[name]
    return labelled, outcomes
