"""Predictions of a champion and a shadow under one id, put together: one source partition.

    matured -> carried -> paired, with each shadow that answered the same  (or with none)

Both are carried from their maturity on, each pane of the champion's until every pane has matured
that a shadow's answer to it may lie in: so much apart are they at most, which no arrival order can
change. A pair belongs to the champion's pane, which is ready that much later than its cohort.
Models without a shadow carry nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.ordered import distinct
from stream.columns import ABSENT, LARGEST_NUMBER, NUMBER, Column, Group, Rows, number_column
from stream.grouped_rows import GroupedRows
from stream.judgement import HAS_LABEL, HAS_SCORE
from stream.rules import CHAMPION, SHADOW, Rules
from stream.run import AnyColumns, Columns, Mask, Run, gathered
from stream.snapshot import Part
from stream.sorted_runs import SortedRuns
from stream.watermark import BEFORE_ALL_MS

AGREES, DISTANCE = "pair:agrees", "pair:score_distance"
WORSE, WRONG = "pair:shadow_worse", "pair:wrong"
"""Whether labels are equal; how far scores are apart; whether the shadow's loss is the greater (1),
equal (0) or the lesser (-1); how many of both were wrong."""

_CARRIED: Columns = {
    "key": np.zeros(0, np.uint64),
    "check": np.zeros(0, np.uint64),
    "group": np.zeros(0, np.int32),
    "hash": np.zeros(0, np.uint64),
    "end": np.zeros(0, np.int64),
    "close": np.zeros(0, np.int64),  # reached then, no other prediction of its id is to come
    "until": np.zeros(0, np.int64),  # and then nobody looks for it any more
    "has": np.zeros(0, np.uint8),
    "label": np.zeros(0, np.uint64),
    "score": np.zeros(0, np.float64),
    "loss": np.zeros(0, np.float64),  # nan: not known
    "is_error": np.zeros(0, np.bool_),
}


_FORGET_AT_LEAST = 64  # groups
_FREE: Group = ("", "", "", "")


@dataclass(frozen=True, slots=True)
class _Facts:
    """Of a run."""

    until_ms: int  # the first
    codes: list[int]

    @classmethod
    def of(cls, rows: Columns) -> _Facts:
        return cls(int(rows["until"].min()), distinct(rows["group"]).tolist())


class Pairs:
    def __init__(self) -> None:
        self._rows: SortedRuns[_Facts] = SortedRuns(
            "pairs", _CARRIED, dead=self._dead, facts=_Facts.of
        )
        self._groups: list[Group | None] = []  # the code of a group is its position
        self._forget_at = _FORGET_AT_LEAST
        self._reached_ms = BEFORE_ALL_MS
        self._late: list[Columns] = []  # champions' that mature when all of their ids had come

    @property
    def is_carrying(self) -> bool:
        return bool(self._rows.runs or self._late)

    def _concerned(self, matured: GroupedRows, held: Iterable[Group]) -> Mask:
        """Of these groups those whose predictions may be one of a pair: all of its id that may come
        are held, matured now, or carried."""
        now = (matured.groups[code] for code in distinct(matured.code).tolist())
        carried = (self._groups[code] for code in self._used())
        known = (*held, *now, *carried)
        shadowed = {g[0] for g in known if g is not None and g[2] == SHADOW}
        roles = {(CHAMPION, ""), (SHADOW, "")}
        is_in = [g[0] in shadowed and g[2:] in roles for g in matured.groups]
        return np.array(is_in, np.bool_)

    def _used(self) -> set[int]:
        """Codes of which there are rows, living or dead."""
        late = (distinct(rows["group"]).tolist() for rows in self._late)
        return set().union(*(run.facts.codes for run in self._rows.runs), *late)

    def _codes(self, groups: Sequence[Group]) -> dict[Group, int]:
        """Of all groups, these among them. A code is free again when nothing is carried of it."""
        code = {group: n for n, group in enumerate(self._groups) if group is not None}
        is_new = any(group not in code for group in groups)
        if is_new and len(code) >= self._forget_at:
            used = self._used()
            code = {group: n for group, n in code.items() if n in used}
            self._groups = [g if n in used else None for n, g in enumerate(self._groups)]
            self._forget_at = max(_FORGET_AT_LEAST, 2 * len(code))
        free = [n for n, group in enumerate(self._groups) if group is None]
        for group in groups:
            if group not in code:
                code[group] = free.pop(0) if free else len(self._groups)
                self._groups[code[group] : code[group] + 1] = [group]
        return code

    def carry(
        self,
        matured: GroupedRows,
        said: Columns,
        ages_ms: tuple[NDArray[np.int64], NDArray[np.int64]],
        rules: Rules,
        held: Iterable[Group],
    ) -> None:
        """Of matured predictions, as judged and the same as they were held, those that may be one
        of a pair. `ages_ms`: of each, its maturity, and up to which pane end an early one held;
        `held`: shadows that wait."""
        chosen = np.flatnonzero(self._concerned(matured, held)[matured.code])
        if not len(chosen):
            return
        mine, of = matured.take(chosen), ages_ms[0][chosen]
        border_ms = ages_ms[1][chosen] // rules.pane_ms * rules.pane_ms  # the last pane end by then
        apart = {age: rules.apart_ms(age) for age in distinct(of).tolist()}
        apart_ms = np.array([apart[age] for age in of.tolist()], np.int64)
        due_ms = mine.rows.pane_end + rules.grace_ms + of
        # none are paired across the border: when those behind it mature is learned later
        end = mine.rows.pane_end
        near_ms = np.where(end <= border_ms, border_ms - end, end - border_ms - rules.pane_ms)
        both = apart_ms, np.minimum(apart_ms, near_ms)
        self._add(mine, {name: values[chosen] for name, values in said.items()}, due_ms, both)

    def _add(
        self,
        matured: GroupedRows,
        said: Columns,
        due_ms: NDArray[np.int64],
        apart_ms: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        """`due_ms`: when each was; `apart_ms`: how far apart two of its id may be, at most and of
        this one."""
        code = self._codes([matured.groups[n] for n in distinct(matured.code).tolist()])
        places = np.array([code.get(group, -1) for group in matured.groups], np.int32)
        loss, is_error = _loss(matured.rows.columns)
        of = {name: said[name] for name in ("key", "check", "has", "label", "score")}
        of |= {"group": places[matured.code], "hash": matured.rows.hash}
        of |= {"end": matured.rows.pane_end, "close": due_ms + apart_ms[0]}
        of |= {"loss": loss, "is_error": is_error}
        of["until"] = of["close"] + np.where(self._is_champion(of), 0, apart_ms[1])
        of = {name: of[name].astype(empty.dtype) for name, empty in _CARRIED.items()}
        late = self._is_champion(of) & (of["close"] <= self._reached_ms)
        if late.any():
            self._late.append({name: values[late] for name, values in of.items()})
        self._rows.append({name: values[~late] for name, values in of.items()})

    def _is_champion(self, rows: AnyColumns) -> Mask:
        champion = np.array([g is not None and g[2] == CHAMPION for g in self._groups], np.bool_)
        found: Mask = champion[rows["group"]]
        return found

    def take(self, reached_ms: int) -> Iterator[tuple[Group, Rows]]:
        """The pairs of the panes that are complete then, a shadow at a time, by pane end."""
        since_ms, self._reached_ms = self._reached_ms, max(self._reached_ms, reached_ms)
        due, self._late = self._late, []
        for run in self._rows.runs:
            if run.facts.until_ms <= self._reached_ms:
                close = run.columns["close"]
                now = (close > since_ms) & (close <= self._reached_ms)
                rows = np.flatnonzero(now & self._is_champion(run.columns))
                due += [run.take(rows)] if len(rows) else []
        if due:
            yield from self._pairs(gathered(due)).dealt(in_order=True)
        for run in list(self._rows.runs):
            is_due = run.facts.until_ms <= self._reached_ms
            if is_due and 2 * int(self._dead(run).sum()) >= len(run):
                self._rows.rewrite(run)

    def _dead(self, run: Run[_Facts]) -> Mask:
        dead: Mask = run.columns["until"] <= self._reached_ms
        return dead

    def _pairs(self, champions: Columns) -> GroupedRows:
        found = self._rows.find(champions["key"])
        found = found.where(
            (found.rows["check"] == champions["check"][found.index])
            & ~self._is_champion(found.rows)
            & (
                np.abs(found.rows["end"] - champions["end"][found.index])
                <= found.rows["until"] - found.rows["close"]
            )
        )
        of = {name: values[found.index] for name, values in champions.items()}
        rows = Rows(of["end"], of["hash"], _compared(of, found.rows), {})
        groups = [group or _FREE for group in self._groups]
        return GroupedRows(rows, found.rows["group"].astype(np.int64), groups)

    # -- state

    def parts(self) -> list[Part]:
        return self._rows.parts()

    def snapshot(self) -> dict[str, Any]:
        return {
            "runs": self._rows.snapshot(),
            "groups": [None if group is None else list(group) for group in self._groups],
            "reached_ms": self._reached_ms,
        }

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        groups: Sequence[list[str] | None] = plain["groups"]
        self._groups = [None if g is None else (g[0], g[1], g[2], g[3]) for g in groups]
        self._reached_ms = plain["reached_ms"]
        self._rows.restore(plain["runs"], state)


def _loss(judged: Mapping[str, Column]) -> tuple[NDArray[np.float64], Mask]:
    """Of each prediction its error, else its absolute error; whether it is the former."""
    (error, is_error), (absolute, is_absolute) = (
        (judged[name].bits.view(np.float64), judged[name].kind == NUMBER)
        for name in ("outcome:error", "outcome:absolute_error")
    )
    return np.where(is_error, error, np.where(is_absolute, absolute, np.nan)), is_error


def _compared(champion: AnyColumns, shadow: AnyColumns) -> dict[str, Column]:
    """One column a measure over parallel predictions."""
    both = champion["has"] & shadow["has"]
    labels, scores = (both & HAS_LABEL) != 0, (both & HAS_SCORE) != 0
    judged = ~np.isnan(champion["loss"]) & ~np.isnan(shadow["loss"])
    judged &= champion["is_error"] == shadow["is_error"]
    apart = np.where(scores, np.abs(shadow["score"] - champion["score"]), 0.0)
    worse = np.where(judged, np.sign(shadow["loss"] - champion["loss"]), 0.0)
    errors = judged & champion["is_error"]
    wrong = np.where(errors, shadow["loss"] + champion["loss"], 0.0)
    return {
        AGREES: _cells(shadow["label"] == champion["label"], labels),
        DISTANCE: _cells(np.minimum(apart, LARGEST_NUMBER), scores),
        WORSE: _cells(worse, judged),
        WRONG: _cells(wrong, errors),
    }


def _cells(values: NDArray[Any], applies: Mask) -> Column:
    kind = np.where(applies, NUMBER, ABSENT).astype(np.uint8)
    return number_column(np.where(applies, values, 0.0).astype(np.float64), kind)
