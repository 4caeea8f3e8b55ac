"""A shadow beside its champion: whether it answers, in time, and is given the same features.

    (no pane) --first pane--> counting: blocks of about a hundred predictions of the champion
                                        --beyond a limit--> tells --500 within it--> quiet

The first pane of a shadow, and its latest one, do not count: it may have begun or ended within
them. What the champion answered while the shadow was silent counts once the shadow is back. So a
shadow that has ended has not failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from detectors.limit_detector import LimitDetector
from stream.budget import COMPARED, false_alerts_per_prediction
from stream.columns import FEATURE
from stream.panes import PaneTable
from stream.rules import Rules, ShadowRule
from stream.tally import Tally
from stream.watermark import BEFORE_ALL_MS

BLOCK = 100  # predictions of the champion, at least
USUAL = 100  # answers of the champion before it is known how long they take
SLOW_SHARE = 0.05  # of the champion's answers take longer than what is slow
FEWEST = 0.5  # of the champion's predictions have a feature, or it is none of both

What = Literal["missing", "slower", "absent", "type_error"]
Fault = tuple[What, str]
"""What is wrong, and with which feature, if any."""
RulesAt = Callable[[int], Rules]
"""In force for a pane that ends then."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Of n predictions x are not as the champion's, of whose n0 only x0 are so too."""

    x: int
    n: int
    x0: int
    n0: int


@dataclass(frozen=True, slots=True)
class ShadowTold:
    fault: Fault
    end_ms: int
    since_ms: int
    limit: float
    counted: Counted | None = None  # None: it is quiet
    statistic: float = 0.0
    threshold: float = 0.0
    share: float = 0.0
    slow_ms: float = 0.0  # what is slow
    rows: tuple[int, int] = (0, 0)  # predictions of the champion and its own, of all time


@dataclass(slots=True)
class _Account:
    """Of one fault."""

    detector: LimitDetector
    since_ms: int
    sums: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # since it began, or of late
    is_firing: bool = False

    def add(self, of: Counted) -> Counted:
        more = (of.x, of.n, of.x0, of.n0)
        self.sums = [a + b for a, b in zip(self.sums, more, strict=True)]
        return Counted(*self.sums)


class ShadowWatch:
    def __init__(self, model_id: str, life_ms: int) -> None:
        """`life_ms`: end of the first pane of its life."""
        self._model_id, self.life_ms = model_id, life_ms
        self._latest_ms: int | None = None  # end of its latest pane
        self._counted_ms = BEFORE_ALL_MS  # end of the last block
        self._open = (Tally(), Tally())  # champion's and its own, of the block
        self._held = (Tally(), Tally())  # of the latest pane, and of the champion's behind it
        self._champion = Tally()  # all blocks, without features
        self._own = 0  # predictions in all blocks
        self._accounts: dict[Fault, _Account] = {}

    def update(
        self, champions: Sequence[PaneTable], own: PaneTable | None, rules_at: RulesAt
    ) -> Iterator[ShadowTold]:
        """The panes of a release: of all champions, and of the shadow, if it had any."""
        start_ms = BEFORE_ALL_MS
        ends = [] if own is None else own.pane_end.tolist()
        owns = [] if own is None else [own]
        if self._latest_ms is None:
            if not ends:
                return
            self._latest_ms = self._counted_ms = ends.pop(0)
            start_ms = self._latest_ms + 1
        rows = np.concatenate([table.rows for table in champions] or [np.zeros(0, np.int64)])
        at_ms = np.concatenate([table.pane_end for table in champions] or [rows])
        for end_ms in ends:
            inside = (at_ms >= start_ms) & (at_ms < end_ms)
            count = self._open[0].rows + self._held[0].rows + int(rows[inside].sum())
            if count >= BLOCK:
                self._close(champions, owns, start_ms, end_ms)
                yield from self._judge(end_ms, rules_at(end_ms))
                start_ms = end_ms
        if ends:
            self._close(champions, owns, start_ms, ends[-1])
            start_ms = self._latest_ms = ends[-1]
        for held, tables in zip(self._held, (champions, owns), strict=True):
            held.add(Tally.of(tables, start_ms, -BEFORE_ALL_MS))

    def quiets(self, end_ms: int) -> Iterator[ShadowTold]:
        """The end of all that fires."""
        for fault, account in sorted(self._accounts.items()):
            if account.is_firing:
                yield _quiet(fault, account, end_ms)

    def _close(
        self, champions: Sequence[PaneTable], own: Sequence[PaneTable], start_ms: int, end_ms: int
    ) -> None:
        """What is of panes that end before belongs to the block."""
        for block, held, tables in zip(self._open, self._held, (champions, own), strict=True):
            block.add(held)
            block.add(Tally.of(tables, start_ms, end_ms - 1))
        self._held = (Tally(), Tally())

    def _judge(self, end_ms: int, rules: Rules) -> Iterator[ShadowTold]:
        champion, own = self._open
        since_ms, self._counted_ms, self._open = self._counted_ms, end_ms, (Tally(), Tally())
        self._champion.add(champion.answers())
        self._own += own.rows
        rule = rules.shadow_of(self._model_id)
        counts: dict[Fault, Counted] = {}
        missing = min(max(champion.rows - own.rows, 0), champion.rows)
        counts["missing", ""] = Counted(missing, champion.rows, 0, champion.rows)
        slow_ms, slow = self._slower(champion, own, rule)
        if slow is not None:
            counts["slower", ""] = slow
        if own.rows:
            counts |= _schema(champion, own, rule)
        rate = false_alerts_per_prediction(
            rules.budget_of(self._model_id), self._champion.rows, end_ms - self.life_ms
        )
        for fault, counted in sorted(counts.items()):
            if not counted.n:
                continue
            account = self._accounts.get(fault)
            if account is None:
                if not counted.x:
                    continue
                limit = rule.slower if fault[0] == "slower" else rule.missing
                account = _Account(LimitDetector(limit=limit), since_ms)
                self._accounts[fault] = account
            sums = account.add(counted)
            if account.is_firing:
                if sums.n >= rules.resolve_values:
                    account.sums = [0, 0, 0, 0]
                    if sums.x <= account.detector.limit * sums.n:
                        del self._accounts[fault]
                        yield _quiet(fault, account, end_ms)
                continue
            share = _share(fault, rules)
            statistic, threshold = (
                account.detector.update(counted.x, counted.n),
                -math.log(rate * share),
            )
            if account.detector.is_idle:
                del self._accounts[fault]  # it begins anew with the next of these
            elif statistic >= threshold:
                account.is_firing, account.sums = True, [0, 0, 0, 0]
                yield ShadowTold(
                    fault,
                    end_ms,
                    since_ms=account.since_ms,
                    counted=sums,
                    limit=account.detector.limit,
                    statistic=statistic,
                    threshold=threshold,
                    share=share,
                    slow_ms=slow_ms,
                    rows=(self._champion.rows, self._own),
                )

    def _slower(
        self, champion: Tally, own: Tally, rule: ShadowRule
    ) -> tuple[float, Counted | None]:
        known = self._champion.latency
        if known.total() - champion.latency.total() < USUAL or not own.latency:
            return 0.0, None
        slow_ms = rule.latency * self._champion.latency_ms(1.0 - SLOW_SHARE)
        n, n0 = own.latency.total(), champion.latency.total()
        return slow_ms, Counted(
            own.slower_than(slow_ms), n, champion.slower_than(slow_ms), max(n0, 1)
        )

    # -- state

    def to_plain(self) -> dict[str, Any]:
        return {
            "life_ms": self.life_ms,
            "latest_ms": self._latest_ms,
            "counted_ms": self._counted_ms,
            "tallies": [tally.to_plain() for tally in (*self._open, *self._held, self._champion)],
            "own": self._own,
            "accounts": [
                [*fault, a.detector.snapshot(), a.since_ms, list(a.sums), a.is_firing]
                for fault, a in self._accounts.items()
            ],
        }

    @classmethod
    def from_plain(cls, model_id: str, plain: dict[str, Any]) -> Self:
        made = cls(model_id, plain["life_ms"])
        made._latest_ms, made._counted_ms = plain["latest_ms"], plain["counted_ms"]
        tallies = [Tally.from_plain(one) for one in plain["tallies"]]
        made._open, made._held = (tallies[0], tallies[1]), (tallies[2], tallies[3])
        made._champion = tallies[4]
        made._own = plain["own"]
        for what, feature, detector, since_ms, sums, is_firing in plain["accounts"]:
            made._accounts[what, feature] = _Account(
                LimitDetector.restore(detector), since_ms, list(sums), is_firing
            )
        return made


def _schema(champion: Tally, own: Tally, rule: ShadowRule) -> dict[Fault, Counted]:
    """Of the features that the champion is given, but for those that the owner names."""
    found: dict[Fault, Counted] = {}
    without = {f"{FEATURE}{name}" for name in rule.without}
    for name in champion.numbers:
        there = champion.values(name)
        if there < FEWEST * champion.rows or name in without:
            continue
        found["absent", name] = _beyond(
            own.rows - own.values(name), own.rows, champion.rows - there, champion.rows
        )
        of_own, of_champion = own.texts[name], champion.texts[name]
        if 2 * of_champion > there:  # it is a text
            of_own, of_champion = own.numbers[name], champion.numbers[name]
        found["type_error", name] = _beyond(of_own, own.values(name), of_champion, there)
    return found


def _beyond(x: int, n: int, x0: int, n0: int) -> Counted:
    """Those that are more than the champion's share of them."""
    return Counted(max(x - -(-x0 * n // n0), 0), n, x0, n0)


def _share(fault: Fault, rules: Rules) -> float:
    """Of the budget, spent on one fault of a shadow."""
    part = 1 / 4 if not fault[1] else 1 / (4 * rules.max_features)
    return COMPARED * part


def _quiet(fault: Fault, account: _Account, end_ms: int) -> ShadowTold:
    return ShadowTold(fault, end_ms, account.since_ms, account.detector.limit)
