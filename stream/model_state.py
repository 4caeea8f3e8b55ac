"""What stage 2 holds of one model: unmerged blocks, monitors, the maturity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stream.columns import Group
from stream.maturity import MaturityRule
from stream.monitor import Monitor
from stream.monitor_state import Held
from stream.panes import Ints
from stream.roster import Life
from stream.rules import Rules
from stream.snapshot import must_be_the_same
from stream.traffic import Traffic
from stream.waiting_panes import Taken, Waiting
from stream.watermark import BEFORE_ALL_MS
from stream.wire import Block, DelayBlock, PaneKind


class ModelState:
    """All groups of one model, and its maturity."""

    def __init__(self, model_id: str, rules: Rules) -> None:
        """`rules`: those that know this model; what state depends on is the same in all such."""
        self.model_id = model_id
        self._rules = rules
        self._rule = rules.of_state(model_id)
        self.reference = rules.reference_of(model_id)
        self.configured_maturity = rules.maturity_of(model_id)
        self.waiting: dict[tuple[PaneKind, Group], Waiting] = {}
        self.monitors: dict[tuple[PaneKind, Group], Monitor] = {}
        self.maturity = MaturityRule(self.reference, rules)
        self.traffic = Traffic.of(model_id)
        self.came: list[tuple[Group, Ints, Ints]] = []  # pane ends, predictions; for the traffic
        # source partitions that have learned the maturity -> the cohort watermark announced since;
        # None once that is as far as they had ever announced before
        self.learned: dict[int, int | None] = {}
        self.applied: dict[tuple[int, PaneKind, Group], int] = {}  # last pane end
        self.delays_applied: dict[int, int] = {}
        self.lives: dict[Group, list[Life]] = {}  # that are not over for both kinds, in order

    def announced(self, source: int, cohort_ms: int, furthest_ms: int) -> bool:
        """A source partition has announced its cohort watermark, the furthest ever being given;
        whether that changes anything."""
        before = self.learned.get(source)
        if before is None:
            return False
        cohort_ms = max(before, cohort_ms)
        self.learned[source] = None if cohort_ms >= furthest_ms else cohort_ms
        return self.learned[source] != before

    @property
    def decided(self) -> tuple[int | None, int]:
        """(maturity, decided at); decided at the end of time while it is not."""
        if not isinstance(self.configured_maturity, str):
            return self.configured_maturity, BEFORE_ALL_MS
        decision = self.maturity.decision
        if decision is None:
            return None, -BEFORE_ALL_MS
        return decision.maturity_ms, decision.decided_at_ms

    # -- arrivals

    def keep(self, block: Block, reached: tuple[int, int]) -> bool:
        """Whether there was anything new; `reached`: what its source was heard to have reached."""
        place = (block.source, block.kind, block.group)
        come_ms = self._come_ms(block.source, block.kind, reached)
        applied_ms = max(self.applied.get(place, BEFORE_ALL_MS), come_ms)
        last = -BEFORE_ALL_MS
        rows = None if block.rows is None else block.rows.between(applied_ms + 1, last)
        table = None if block.table is None else block.table.between(applied_ms + 1, last)
        ends = [int(p.pane_end.max()) for p in (rows, table) if p is not None and len(p)]
        if not ends:
            return False
        self.applied[place] = max(ends)
        self.waiting.setdefault((block.kind, block.group), Waiting()).add(rows, table)
        return True

    def keep_delays(self, block: DelayBlock) -> bool:
        """Whether there was anything new."""
        new = block.delays.after(self.delays_applied.get(block.source, BEFORE_ALL_MS))
        if not len(new.count):
            return False
        self.delays_applied[block.source] = int(new.outcome_pane_end.max())
        self.maturity.add(new)
        return True

    def _come_ms(self, source: int, kind: PaneKind, reached: tuple[int, int]) -> int:
        """Up to this end all panes have come from there: their ready time was announced behind
        them. A new owner of the source partition may send some again."""
        prediction_ms, cohort_ms = reached
        if kind == "prediction":
            return prediction_ms - self._rules.grace_ms
        maturity, decided_at_ms = self.decided
        if maturity is None:
            return BEFORE_ALL_MS
        if decided_at_ms != BEFORE_ALL_MS:  # announced since it was learned, that is
            since_ms = self.learned.get(source, BEFORE_ALL_MS)
            cohort_ms = cohort_ms if since_ms is None else since_ms
        return cohort_ms - self._rules.grace_ms - maturity

    def forget_applied(self, reached: Mapping[int, tuple[int, int]]) -> None:
        """What was applied says nothing new of panes that have all come."""
        self.applied = {
            (source, kind, group): end_ms
            for (source, kind, group), end_ms in self.applied.items()
            if end_ms > self._come_ms(source, kind, reached[source])
        }

    def take(self, kind: PaneKind, until_ms: int) -> list[tuple[Group, Taken]]:
        """The panes of this kind that end by then, group by group."""
        taken = [
            (group, panes)
            for (of_kind, group), waiting in self.waiting.items()
            if of_kind == kind and (panes := waiting.take(until_ms)) is not None
        ]
        if taken:
            self._forget_empty()
        return taken

    def arrivals(self) -> Callable[[], dict[str, Any]]:
        """What has arrived and is not merged, as of now; made plain when called."""
        waiting = [(*place, w.held()) for place, w in self.waiting.items() if w.rows or w.tables]
        plain = {
            "rule": self._rule,
            "maturity": self.maturity.snapshot(),
            "learned": dict(self.learned),
            "applied": [
                [s, kind, list(group), end] for (s, kind, group), end in self.applied.items()
            ],
            "delays_applied": dict(self.delays_applied),
            "traffic": self.traffic.snapshot(),
            "lives": [
                [list(group), [life.to_plain() for life in lives]]
                for group, lives in self.lives.items()
            ],
        }
        return lambda: (
            plain | {"waiting": [[kind, list(group), held()] for kind, group, held in waiting]}
        )

    def restore(
        self, plain: dict[str, Any], monitors: list[Held], by_hash: Mapping[str, Rules]
    ) -> None:
        """Raises ChangedRulesError."""
        must_be_the_same(self.model_id, plain["rule"], self._rule)
        for kind, group, waiting in plain["waiting"]:
            self.waiting[kind, tuple(group)] = Waiting.restore(waiting)
        for held in monitors:
            in_force = held.plain.get("rules")  # 0.1.0 knew one configuration
            rules = self._rules if in_force is None else by_hash[in_force]
            monitor = Monitor.restore(rules, self.reference, held)
            self.monitors[monitor.kind, monitor.group] = monitor
        if "lives" in plain:
            for group, lives in plain["lives"]:
                self.lives[tuple(group)] = [Life(*life) for life in lives]
        else:
            self._lives_of_version_1()
        self.maturity.restore(plain["maturity"])
        if "traffic" in plain:  # since 0.2
            self.traffic = Traffic.restore(self.model_id, plain["traffic"])
        self.learned = dict(plain["learned"])
        self.applied = {(s, kind, tuple(group)): end for s, kind, group, end in plain["applied"]}
        self.delays_applied = dict(plain["delays_applied"])

    def _lives_of_version_1(self) -> None:
        """0.1.0 forgot nothing: each group has lived since its first pane."""
        for (kind, group), monitor in self.monitors.items():
            if kind == "prediction" and monitor.first_end_ms is not None:
                self.lives[group] = [Life(monitor.first_end_ms, monitor.last_end_ms)]
        for (_, group), monitor in self.monitors.items():
            monitor.life_ms = self.lives[group][0].first_end_ms

    @property
    def is_unwatched(self) -> bool:
        """Whether none of its groups ever found room, so that nothing needs to be remembered."""
        has_arrived = any(waiting.rows or waiting.tables for waiting in self.waiting.values())
        return not (has_arrived or self.lives or self.learned or self.maturity.has_begun)

    def _forget_empty(self) -> None:
        self.waiting = {place: w for place, w in self.waiting.items() if w.rows or w.tables}
