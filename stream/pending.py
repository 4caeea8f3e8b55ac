"""Predictions held until their maturity: one source partition.

A row dies at its *due* time, pane end + grace + age, once both watermarks of the partition have
passed it; with an age not known yet it never dies. So a run of rows need not be written anew when
some of them have matured: which they are follows from the watermark reached and the ages, in every
restored copy alike. Only runs in which something is due are touched, and those in order of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream import native
from stream.columns import Group
from stream.identity import MODEL, hash_id
from stream.rules import SHADOW, Rules
from stream.run import Columns, Keys, Mask, Portion, Run, alike, gathered_rows
from stream.snapshot import Part, must_be_the_same
from stream.sorted_runs import Found, SortedRuns
from stream.watermark import BEFORE_ALL_MS, pane_end_ms

NEVER_MS = -BEFORE_ALL_MS  # due then: held for ever
HELD: Columns = {
    "key": np.zeros(0, np.uint64),  # of (model_id, prediction_id), with `check` its 128-bit hash
    "check": np.zeros(0, np.uint64),
    "group": np.zeros(0, np.int32),
    "time": np.zeros(0, np.int64),
    "has": np.zeros(0, np.uint8),
    "label": np.zeros(0, np.uint64),
    "score": np.zeros(0, np.float64),
    "value": np.zeros(0, np.float64),
    "subject": np.zeros(0, np.uint64),  # 0: of nobody; since 0.2
}
_FORGET_AT_LEAST = 1_000  # groups
UNKNOWN = -1  # an age that is not decided yet
_CHUNK_ROWS = 1 << 17
_FEW_PANES = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The groups of a run's rows, and the first time of each."""

    codes: NDArray[np.int64]
    first_ms: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class _Queue:
    """Rows of a run in the order in which they are due."""

    rows: NDArray[np.int32]
    due_ms: NDArray[np.int64]


class Pending:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._held: SortedRuns[Groups] = SortedRuns(
            "held", HELD, dead=self._has_left, facts=_groups_of
        )
        self._left: dict[int, int] = {}  # by number of run: how many of its rows have left
        self._queues: dict[int, _Queue] = {}  # of runs in which something was due
        self._first_due_ms: dict[int, int] = {}
        self._count = 0
        self._ages: NDArray[np.int64] | None = None
        self._reached_ms = BEFORE_ALL_MS
        self.maturity_ms: dict[str, int | None] = {}  # learned; as many as there are decisions
        self.early: dict[str, tuple[int, int]] = {}  # the age of panes that end by then
        self._early_of: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self.groups: list[Group | None] = []  # the code of a group is its position
        self._codes: dict[Group, int] = {}
        self._free: list[int] = []  # codes, descending
        self.has_shadows = False  # whether any of the groups is one
        self._forget_at = _FORGET_AT_LEAST

    def __len__(self) -> int:
        return self._count

    def use(self, rules: Rules) -> None:
        """Rules that know more models, and say the same of those known already."""
        self._rules = rules
        self._ages = None

    @property
    def reached_ms(self) -> int:
        """How far `take_due` has come."""
        return self._reached_ms

    @property
    def runs(self) -> SortedRuns[Groups]:
        return self._held

    # -- groups and their ages

    def known_maturity(self, group: Group | None) -> int | str | None:
        """Milliseconds; None: never joined; "auto": not decided yet."""
        if group is None:
            return None
        configured = self._rules.maturity_of(group[0])
        return self.maturity_ms.get(group[0], "auto") if configured == "auto" else configured

    def code_of(self, group: Group) -> int:
        code = self._codes.get(group)
        if code is None:
            if self._free:
                code = self._free.pop()
                self.groups[code] = group
            else:
                code = len(self.groups)
                self.groups.append(group)
            self._codes[group] = code
            self._ages = None
            self.has_shadows = self.has_shadows or group[2] == SHADOW
        return code

    def _look_for_shadows(self) -> None:
        self.has_shadows = any(group[2] == SHADOW for group in self._codes)

    def shadows(self) -> list[Group]:
        """Those of which there are rows, living or dead."""
        if not self.has_shadows:
            return []
        used = set().union(*(run.facts.codes.tolist() for run in self._held.runs))
        return [g for g in map(self.groups.__getitem__, used) if g is not None and g[2] == SHADOW]

    def _forget_groups(self) -> None:
        """A code is free again when no run has a row of it, living or dead."""
        if len(self._codes) < self._forget_at:
            return
        used = set().union(*(run.facts.codes.tolist() for run in self._held.runs))
        for group, code in list(self._codes.items()):
            if code not in used:
                del self._codes[group]
                self.groups[code] = None
        self._free = [code for code, g in enumerate(self.groups) if g is None][::-1]
        self._look_for_shadows()
        self._forget_at = max(_FORGET_AT_LEAST, 2 * len(self._codes))

    def ages(self, unknown_ms: int) -> NDArray[np.int64]:
        """By code; of groups that are never joined BEFORE_ALL_MS."""
        known = self.known_ages()
        return np.where(known == UNKNOWN, unknown_ms, known)

    def known_ages(self) -> NDArray[np.int64]:
        """The same with `UNKNOWN`; the same array as long as nothing changes."""
        if self._ages is None:
            ages: list[int] = []
            for group in self.groups:
                age = self.known_maturity(group)
                known_ms = age if isinstance(age, int) else UNKNOWN
                ages.append(BEFORE_ALL_MS if age is None else known_ms)
            self._ages = np.array(ages, np.int64)
        return self._ages

    def ages_of(
        self, times: NDArray[np.int64], codes: NDArray[Any], unknown_ms: int
    ) -> NDArray[np.int64]:
        """Of predictions. An age that holds early is never more than the later one, so that what is
        older is due sooner."""
        by_code = self.ages(unknown_ms)
        if codes.strides == (0,) and len(codes) and not self.early:
            return alike(by_code[codes[0]], len(codes))
        ages: NDArray[np.int64] = by_code[codes]
        if not self.early:
            return ages
        is_early = pane_end_ms(times, self._rules.pane_ms) <= self.borders_ms(codes)
        return np.where(is_early, self._of_early()[0][codes], ages)

    def borders_ms(self, codes: NDArray[Any]) -> NDArray[np.int64]:
        """Of predictions the last pane end of an early age of their model."""
        borders: NDArray[np.int64] = self._of_early()[1][codes]
        return borders

    def _of_early(self) -> NDArray[np.int64]:
        """Ages and borders by code; the same array as long as nothing changes."""
        known = self.known_ages()
        if self._early_of is None or self._early_of[0] is not known:
            none = 0, BEFORE_ALL_MS
            found = [none if g is None else self.early.get(g[0], none) for g in self.groups]
            self._early_of = known, np.array(found, np.int64).reshape(-1, 2).T
        return self._early_of[1]

    def _due_ms(self, times: NDArray[np.int64], codes: NDArray[Any]) -> NDArray[np.int64]:
        ages = self.ages_of(times, codes, NEVER_MS)
        due = pane_end_ms(times, self._rules.pane_ms) + self._rules.grace_ms + ages
        return np.where(ages == BEFORE_ALL_MS, BEFORE_ALL_MS, np.minimum(due, NEVER_MS))

    # -- arrivals

    def hold(self, predictions: Columns) -> None:
        self._held.append(predictions)
        self._count += len(predictions["key"])
        self._runs_changed()
        self._forget_groups()

    # -- departures

    def learn(self, model_id: str, maturity_ms: int | None, until_ms: int | None = None) -> int:
        """Of what age the model's cohorts are from now on, or those of the panes that end by
        `until_ms`; how many rows left, where never.

        `take_due` must follow before anything is held.
        """
        codes = [code for code, g in enumerate(self.groups) if g is not None and g[0] == model_id]
        runs = [run for run in self._held.runs if np.isin(run.facts.codes, codes).any()]
        gone = {run.number: self._rows_left(run) for run in runs}  # by the ages so far
        if until_ms is None:
            self.maturity_ms[model_id] = maturity_ms
        elif maturity_ms is not None:
            self.early[model_id] = maturity_ms, until_ms
        self._ages = None
        before = self._count
        for run in runs:
            self._first_due_ms.pop(run.number, None)
            self._queues.pop(run.number, None)
            if maturity_ms is None:
                queue = self._sorted_by_due(run, gone[run.number])
                self._leave(run, int(np.searchsorted(queue.due_ms, BEFORE_ALL_MS, "right")))
            elif len(gone[run.number]):
                self._queues[run.number] = self._sorted_by_due(run, gone[run.number])
        return before - self._count

    def take_due(self, reached_ms: int) -> Columns | None:
        """The rows due by then leave. O(runs), and O(log n) a row that leaves."""
        self._reached_ms = max(self._reached_ms, reached_ms)
        taken: list[Portion] = []
        for run in list(self._held.runs):
            if self._first_due(run) <= self._reached_ms:
                left = self._left.get(run.number, 0)
                queue = self._queue_of(run)
                upto = int(np.searchsorted(queue.due_ms, self._reached_ms, "right"))
                if upto > left:
                    rows = queue.rows[left:upto].astype(np.int64)
                    taken.append(Portion(run.columns, rows))
                    self._leave(run, upto)
        return gathered_rows(taken) if taken else None

    def _first_due(self, run: Run[Groups]) -> int:
        first_ms = self._first_due_ms.get(run.number)
        if first_ms is None:
            first_ms = int(self._due_ms(run.facts.first_ms, run.facts.codes).min())
            self._first_due_ms[run.number] = first_ms
        return first_ms

    def _queue_of(self, run: Run[Groups]) -> _Queue:
        queue = self._queues.get(run.number)
        if queue is None:
            queue = self._queues[run.number] = self._sorted_by_due(run, np.zeros(0, np.int32))
        return queue

    def _sorted_by_due(self, run: Run[Groups], gone: NDArray[np.int32]) -> _Queue:
        """Those that are gone come first."""
        due = self._due_ms(run.columns["time"], run.columns["group"])
        due[gone] = BEFORE_ALL_MS
        if native.IN_USE:
            made = native.EXTENSION.by_due(due, self._rules.pane_ms)
            if made is not None:
                return _Queue(np.frombuffer(made[0], np.int32), np.frombuffer(made[1], np.int64))
        order = _order_of_times(due, self._rules.pane_ms).astype(np.int32)
        return _Queue(order, due[order])

    def _rows_left(self, run: Run[Groups]) -> NDArray[np.int32]:
        left = self._left.get(run.number, 0)
        return self._queue_of(run).rows[:left] if left else np.zeros(0, np.int32)

    def _leave(self, run: Run[Groups], upto: int) -> None:
        self._count -= upto - self._left.get(run.number, 0)
        self._left[run.number] = upto
        if 2 * upto > len(run):
            self._held.rewrite(run)
            self._runs_changed()

    def _runs_changed(self) -> None:
        numbers = {run.number for run in self._held.runs}
        self._left = {n: left for n, left in self._left.items() if n in numbers}
        self._queues = {n: queue for n, queue in self._queues.items() if n in numbers}
        self._first_due_ms = {n: ms for n, ms in self._first_due_ms.items() if n in numbers}

    def _has_left(self, run: Run[Groups]) -> Mask | None:
        if not self._left.get(run.number):
            return None
        left = np.zeros(len(run), np.bool_)
        left[self._rows_left(run)] = True
        return left

    # -- reading

    def find(self, keys: Keys) -> Found:
        found = self._held.find(keys)
        due = self._due_ms(found.rows["time"], found.rows["group"])
        return found.where(due > self._reached_ms)

    def chunks(self) -> Iterator[Columns]:
        """What is held, some rows at a time."""
        for run in self._held.runs:
            left = self._has_left(run)
            rows = np.arange(len(run)) if left is None else np.flatnonzero(~left)
            for start in range(0, len(rows), _CHUNK_ROWS):
                yield run.take(rows[start : start + _CHUNK_ROWS])

    def hashes(self, rows: Columns) -> NDArray[np.uint64]:
        """Of the prediction ids: the key of the join without the model's part."""
        of_model = [0 if g is None else int(hash_id(g[0], MODEL)[0]) for g in self.groups]
        hashes: NDArray[np.uint64] = rows["key"] ^ np.array(of_model, np.uint64)[rows["group"]]
        return hashes

    # -- state

    def parts(self) -> list[Part]:
        return self._held.parts()

    def snapshot(self) -> dict[str, Any]:
        early = {model: list(of) for model, of in self.early.items()}
        present = [group for group in self.groups if group is not None]
        return {
            "runs": self._held.snapshot(),
            "reached_ms": self._reached_ms,
            "maturity_ms": self.maturity_ms,
            **({"early": early} if early else {}),
            "groups": [None if group is None else list(group) for group in self.groups],
            "rules": {group[0]: self._rules.of_state(group[0]) for group in present},
        }

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        """Raises ChangedRulesError."""
        self._restore_groups(plain)
        self._held.restore(plain["runs"], state)
        self._reached_ms = plain["reached_ms"]
        self._count = len(self._held)
        is_over = self.known_ages() == BEFORE_ALL_MS  # behind an early age, which may not be due
        for run in self._held.runs:
            if is_over[run.facts.codes].any() or self._first_due(run) <= self._reached_ms:
                due = self._due_ms(run.columns["time"], run.columns["group"])
                self._leave(run, int((due <= self._reached_ms).sum()))

    def restore_whole(self, plain: Mapping[str, Any]) -> None:
        """From state of version 1, of which nothing had left. Raises ChangedRulesError."""
        self._restore_groups(plain)
        rows = {n: of.astype(HELD[n].dtype) for n, of in plain["held"].items() if n in HELD}
        rows["subject"] = np.zeros(len(rows["key"]), np.uint64)
        self._held.restore_whole(rows)
        self._count = len(self._held)

    def _restore_groups(self, plain: Mapping[str, Any]) -> None:
        for model_id, rule in plain["rules"].items():
            must_be_the_same(model_id, rule, self._rules.of_state(model_id))
        self.maturity_ms = plain["maturity_ms"]
        self.early = {model: (of[0], of[1]) for model, of in plain.get("early", {}).items()}
        groups: Sequence[list[str] | None] = plain["groups"]
        self.groups = [None if g is None else (g[0], g[1], g[2], g[3]) for g in groups]
        self._codes = {group: code for code, group in enumerate(self.groups) if group is not None}
        self._free = [code for code, g in enumerate(self.groups) if g is None][::-1]
        self._look_for_shadows()


def _groups_of(rows: Columns) -> Groups:
    group, times = rows["group"], rows["time"]
    if (group == group[0]).all():
        return Groups(group[:1].astype(np.int64), times.min(keepdims=True))
    codes, place = np.unique(group, return_inverse=True)
    first_ms = np.full(len(codes), NEVER_MS)
    np.minimum.at(first_ms, place, times)
    return Groups(codes.astype(np.int64), first_ms)


def _order_of_times(time_ms: NDArray[np.int64], pane_ms: int) -> NDArray[np.intp]:
    """The stable order of times; O(n) where they are whole panes apart, and few, as most are."""
    if len(time_ms):
        panes = (time_ms - time_ms.min()) // pane_ms
        last = int(panes.max())
        if last < _FEW_PANES and (panes * pane_ms + time_ms.min() == time_ms).all():
            return np.argsort(panes.astype(np.uint16), kind="stable")
    return np.argsort(time_ms, kind="stable")
