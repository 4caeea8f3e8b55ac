"""Whether judged predictions keep within what their owner declared acceptable, from the first on.

An objective allows so many errors, false positives or costs a prediction over a stretch of time. It
needs no reference: a model that never kept to it is told too. Cohorts are taken in blocks of about
`BLOCK` judged predictions. All objectives of a version are one alert, which fires while any is
missed (`limit_account`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from detectors.limit_detector import sure_values
from stream.bounded_mean import STEPS
from stream.budget import false_alerts_per_prediction
from stream.columns import Group
from stream.limit_account import (
    GRAVER,
    ODDS,
    Account,
    Missed,
    declared,
    largest_of,
    objective_share,
    watched,
)
from stream.objectives import series_of, sums_of
from stream.panes import PaneTable
from stream.power import Lines, Power
from stream.rules import DAY_MS, ModelRule, ObjectiveRule, Rules

SERIES, MEASURE = "outcome:objective", "limit"
BLOCK = 50
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class LimitTold:
    row: int  # of the pane with which it is told
    verdict: Literal["drift", "quiet", "lasting"]
    missed: tuple[Missed, ...] = ()  # the worst first
    threshold: float = 0.0


class LimitWatch:
    """Of one group."""

    def __init__(self) -> None:
        self._accounts: dict[ObjectiveRule, Account] = {}
        self._first_ms: int | None = None  # start of its first cohort
        self._judged = 0  # cohorts' predictions so far
        self._open: tuple[int, int, dict[str, tuple[float, int]]] | None = None
        self._ask_ms = _NEVER

    @property
    def is_firing(self) -> bool:
        return any(of.missed is not None for of in self._accounts.values())

    def use(self, rule: ModelRule) -> bool:
        """Under these objectives from the next pane on; whether that ends what fires."""
        was_firing, known = self.is_firing, watched(rule)
        self._accounts = {of: account for of, account in self._accounts.items() if of in known}
        return was_firing and not self.is_firing

    def run(
        self, run: PaneTable, rules: Rules, group: Group, *, taus: Mapping[str, float],
        undecided: NDArray[np.bool_] | None, is_known: bool,
    ) -> list[LimitTold]:  # fmt: skip
        """`taus`: how much values depend, by series; `undecided`: panes that are no evidence;
        `is_known`: a reference was sealed, so that what is usual has been seen."""
        rule = declared(rules, group)
        known = watched(rule)
        if self._first_ms is None:
            self._first_ms = run.first_end_ms - rules.pane_ms
        for objective in known:
            limit = objective.at_most / largest_of(objective, rule)
            account = self._accounts.setdefault(objective, Account(limit))
            account.weigh(1.0 / taus.get(series_of(objective), 1.0))
        sums = {series_of(of): _so_far(of, run, rule, undecided) for of in known}
        judged = np.cumsum(run.rows)
        told: list[LimitTold] = []
        begun = 0
        while begun < len(run):
            before = int(judged[begun - 1]) if begun else 0
            start_ms, held, parts = self._open or (
                int(run.pane_end[begun]) - rules.pane_ms, 0, {},
            )  # fmt: skip
            stop = int(np.searchsorted(judged, before + BLOCK - held))
            last = min(stop, len(run) - 1)
            parts = {name: _added(parts.get(name), of, begun, last) for name, of in sums.items()}
            count = held + int(judged[last]) - before
            self._judged += count - held
            begun = last + 1
            if stop > last:
                self._open = start_ms, count, parts
                break
            self._open = None
            block = start_ms, int(run.pane_end[last])
            told += self._close(
                known, parts, block, row=last, rules=rules, group=group, is_known=is_known
            )
        return told

    def _close(
        self,
        known: Sequence[ObjectiveRule],
        parts: Mapping[str, tuple[float, int]],
        block: tuple[int, int],
        *,
        row: int,
        rules: Rules,
        group: Group,
        is_known: bool,
    ) -> Iterator[LimitTold]:
        """A block is full."""
        assert self._first_ms is not None
        end_ms, was_firing, rule = block[1], self.is_firing, declared(rules, group)
        span_ms = end_ms - self._first_ms
        rate = false_alerts_per_prediction(rules.budget_of(group[0]), self._judged, span_ms)
        threshold = -math.log(rate * objective_share(rules, rule))
        is_news = False
        for objective in known:
            total, count = parts[series_of(objective)]
            if not count:
                continue
            may_tell = is_known or span_ms >= min(objective.over_ms, DAY_MS)
            account = self._accounts[objective]
            said = account.add(objective, total, count, block, threshold if may_tell else math.inf)
            is_news |= said and account.missed is not None
        found = [of.missed for of in self._accounts.values() if of.missed is not None]
        worst = sorted(found, key=lambda of: -of.value * _per(of, rule))
        if found and is_news:
            self._ask_ms = end_ms + rules.ask_after_ms if not was_firing else self._ask_ms
            yield LimitTold(row, "drift", tuple(worst), threshold)
        elif was_firing and not found:
            self._ask_ms = _NEVER
            yield LimitTold(row, "quiet")
        elif found and end_ms >= self._ask_ms:
            self._ask_ms = _NEVER
            yield LimitTold(row, "lasting", tuple(worst), threshold)

    # -- reading

    def powers(
        self, lines: Lines, rules: Rules, group: Group, rate: float, taus: Mapping[str, float]
    ) -> Iterator[dict[str, Any]]:
        """How soon half as much again as is acceptable would be told."""
        rule = declared(rules, group)
        for objective, account in self._accounts.items():
            name = series_of(objective)
            tau = taus.get(name, 1.0)
            delay = sure_delay(rules, rule, objective, rate, tau)
            yield lines.line(
                name, MEASURE, Power((GRAVER - 1.0) * objective.at_most, delay, 1.0),
                reference=None, values=account.seen, tau=tau,
                budget_share=objective_share(rules, rule), floor=objective.at_most,
                predictions=delay * self._judged / max(account.seen, 1), note=None,
            )  # fmt: skip

    # -- state

    def snapshot(self) -> list[Any] | None:
        if self._first_ms is None:
            return None
        accounts = [[asdict(of), account.to_plain()] for of, account in self._accounts.items()]
        opened = None
        if self._open is not None:
            start_ms, count, parts = self._open
            opened = [start_ms, count, {name: list(of) for name, of in parts.items()}]
        return [accounts, self._first_ms, self._judged, opened, self._ask_ms]

    @classmethod
    def restore(cls, plain: Sequence[Any] | None) -> Self:
        made = cls()
        if plain is None:
            return made
        accounts, made._first_ms, made._judged, opened, made._ask_ms = plain
        for of, account in accounts:
            objective = ObjectiveRule(**of)
            made._accounts[objective] = Account.from_plain(objective, account)
        if opened is not None:
            start_ms, count, parts = opened
            made._open = start_ms, count, {name: (x, n) for name, (x, n) in parts.items()}
        return made


def sure_delay(
    rules: Rules, rule: ModelRule, objective: ObjectiveRule, rate: float, tau: float = 1.0
) -> float:
    """Values within which half as much again as is acceptable is told, 19 times in 20. `rate`:
    false alerts a prediction."""
    limit = objective.at_most / largest_of(objective, rule)
    threshold = -math.log(rate * objective_share(rules, rule))
    return sure_values(limit, min(GRAVER * limit, 1.0), threshold * tau, ODDS) + BLOCK


Sums = tuple[NDArray[np.float64], NDArray[np.int64]]
"""So far, by pane: of values, and how many."""


def _so_far(
    objective: ObjectiveRule, run: PaneTable, rule: ModelRule, undecided: NDArray[np.bool_] | None
) -> Sums:
    found = sums_of(objective, run, rule)
    if found is None:
        return np.zeros(len(run)), np.zeros(len(run), np.int64)
    sums, counts = found
    if undecided is not None:
        sums, counts = np.where(undecided, 0, sums), np.where(undecided, 0, counts)
    steps = STEPS if objective.metric == "cost" else 1
    return np.cumsum(sums) / steps, np.cumsum(counts)


def _added(part: tuple[float, int] | None, of: Sums, begun: int, last: int) -> tuple[float, int]:
    """With panes `begun` to `last`. Exact: sums are multiples of a step."""
    total, count = part or (0.0, 0)
    before = (float(of[0][begun - 1]), int(of[1][begun - 1])) if begun else (0.0, 0)
    return total + float(of[0][last]) - before[0], count + int(of[1][last]) - before[1]


def _per(of: Missed, rule: ModelRule) -> float:
    """The inverse of what is acceptable of it, as a share of the largest."""
    return largest_of(of.objective, rule) / of.objective.at_most
