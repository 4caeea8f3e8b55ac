"""Predictions that reach a further age, before their maturity: one source partition.

They stay held, and nothing of the ledger moves. Which are due follows from how far the partition
has come and where it comes to, so no state says which were judged: one that is held now reached an
age by then, or has yet to. Where no ages are configured nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stream.pending import NEVER_MS, Groups, Pending
from stream.rules import Rules
from stream.run import Columns, Run, gathered
from stream.watermark import BEFORE_ALL_MS, pane_end_ms

_Queue = tuple[NDArray[np.intp], NDArray[np.int64]]
"""Rows of a run that have yet to reach an age, and when they are due, ascending."""


class FurtherAges:
    def __init__(self, rules: Rules) -> None:
        self.use(rules)
        self._learned: set[str] = set()  # models of which nothing was judged before
        self._known: NDArray[np.int64] | None = None  # maturities by code of a group, and
        self._counts: dict[int, NDArray[np.bool_]] = {}  # by age which of these are judged at it
        self._first_due_ms: dict[tuple[int, int], int] = {}  # by number of run and age
        self._queues: dict[tuple[int, int], _Queue] = {}

    def use(self, rules: Rules) -> None:
        """Rules that know more models, and say the same of those known already."""
        self._rules = rules
        ages = {*rules.ages, *(age for model in rules.models.values() for age in model.ages or ())}
        self._ages = sorted(ages)

    def learn(self, model_id: str) -> None:
        """Its maturity is known from now on: until then nothing of it was judged."""
        if self._ages:
            self._learned.add(model_id)
            self._first_due_ms, self._queues = {}, {}

    def due(self, held: Pending, reached_ms: int) -> Iterator[tuple[int, Columns]]:
        """(age, rows) of those that reach it between what `held` has taken and this, youngest age
        first; `held.take_due` must follow. O(runs) an age, and O(log n) a row."""
        if not self._ages:
            return
        self._look_at(held)
        for age_ms, counts in self._counts.items():
            taken = [
                run.take(rows)
                for run in held.runs.runs
                if counts[run.facts.codes].any()
                if len(rows := self._due_of(held, run, age_ms, reached_ms))
            ]
            if taken:
                yield age_ms, gathered(taken)
        self._learned = set()

    def _due_of(
        self, held: Pending, run: Run[Groups], age_ms: int, reached_ms: int
    ) -> NDArray[np.intp]:
        """Rows of a run; they are not due again."""
        place = run.number, age_ms
        first_ms = self._first_due_ms.get(place)
        if first_ms is None:
            of = self._counts[age_ms][run.facts.codes]
            first_ms = int(self._due_ms(run.facts.first_ms[of], age_ms).min())
            self._first_due_ms[place] = first_ms
        if first_ms > reached_ms:
            return np.zeros(0, np.intp)
        rows, due_ms = self._queues.get(place) or self._queue(held, run, age_ms)
        upto = int(np.searchsorted(due_ms, reached_ms, "right"))
        self._queues[place] = rows[upto:], due_ms[upto:]
        self._first_due_ms[place] = int(due_ms[upto]) if upto < len(rows) else NEVER_MS
        return rows[:upto]

    def _queue(self, held: Pending, run: Run[Groups], age_ms: int) -> _Queue:
        is_new = np.array([g is not None and g[0] in self._learned for g in held.groups])
        since = np.where(is_new, BEFORE_ALL_MS, held.reached_ms)
        codes = run.columns["group"]
        due_ms = self._due_ms(run.columns["time"], age_ms)
        rows = np.flatnonzero(self._counts[age_ms][codes] & (due_ms > since[codes]))
        rows = rows[np.argsort(due_ms[rows], kind="stable")]
        return rows, due_ms[rows]

    def _judged(self, held: Pending, age_ms: int) -> NDArray[np.bool_]:
        """By code of a group, whether its predictions are judged at this age."""
        found = np.zeros(len(held.groups), np.bool_)
        for code, group in enumerate(held.groups):
            maturity = held.known_maturity(group)
            if group is not None and isinstance(maturity, int):
                found[code] = age_ms in self._rules.ages_of(group[0], maturity)
        return found

    def _due_ms(self, times: NDArray[np.int64], age_ms: int) -> NDArray[np.int64]:
        rules = self._rules
        due_ms: NDArray[np.int64] = pane_end_ms(times, rules.pane_ms) + rules.grace_ms + age_ms
        return due_ms

    def _look_at(self, held: Pending) -> None:
        """Which groups there are; runs that are no more are forgotten."""
        maturities = held.known_ages()
        if maturities is not self._known:
            self._known, self._counts = (
                maturities,
                {age: self._judged(held, age) for age in self._ages},
            )
        numbers = {run.number for run in held.runs.runs}
        self._first_due_ms = {at: ms for at, ms in self._first_due_ms.items() if at[0] in numbers}
        self._queues = {at: queue for at, queue in self._queues.items() if at[0] in numbers}
