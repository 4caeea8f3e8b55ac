"""What stage 2 holds of one model: unmerged blocks, monitors, the maturity."""

from __future__ import annotations

from typing import Any

from stream.columns import Group, Rows, concatenate
from stream.maturity import MaturityRule
from stream.monitor import Monitor
from stream.panes import PaneTable, cut_at, merge, summarise
from stream.rules import Rules
from stream.snapshot import must_be_the_same
from stream.wire import PaneKind, rows_from_plain, rows_to_plain, table_from_plain, table_to_plain


class Waiting:
    """Blocks of one group and kind that are not merged yet."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self.tables: list[PaneTable] = []

    def add(self, rows: Rows | None, table: PaneTable | None) -> None:
        if rows is not None and len(rows):
            self.rows.append(rows)
        if table is not None and len(table):
            self.tables.append(table)

    def take(self, until_ms: int, rules: Rules) -> PaneTable | None:
        """The panes that end by then, merged; None if there are none."""
        sparse, self.rows = cut_at(self.rows, until_ms)
        due, self.tables = cut_at(self.tables, until_ms)
        if sparse:
            joined = concatenate(sparse)
            due.append(summarise(joined, rules.pane_rows, rules.max_categories))
        return merge(due, rules.pane_rows, rules.max_categories) if due else None

    def snapshot(self) -> list[Any]:
        return [[rows_to_plain(r) for r in self.rows], [table_to_plain(t) for t in self.tables]]

    @classmethod
    def restore(cls, plain: list[Any]) -> Waiting:
        waiting = cls()
        waiting.rows = [rows_from_plain(part) for part in plain[0]]
        waiting.tables = [table_from_plain(part) for part in plain[1]]
        return waiting


class ModelState:
    """All groups of one model, and its maturity."""

    def __init__(self, model_id: str, rules: Rules) -> None:
        self.model_id = model_id
        self._rules = rules
        self._rule = rules.of_state(model_id)
        self.waiting: dict[tuple[PaneKind, Group], Waiting] = {}
        self.monitors: dict[tuple[PaneKind, Group], Monitor] = {}
        self.maturity = MaturityRule(rules.reference_of(model_id), rules)
        # source partitions that have learned the maturity -> the cohort watermark announced since
        self.learned: dict[int, int] = {}

    def announced(self, source: int, cohort_ms: int) -> None:
        if source in self.learned:
            self.learned[source] = max(self.learned[source], cohort_ms)

    def snapshot(self) -> dict[str, Any]:
        return {
            "rule": self._rule,
            "waiting": [
                [kind, list(group), waiting.snapshot()]
                for (kind, group), waiting in self.waiting.items()
                if waiting.rows or waiting.tables
            ],
            "monitors": [monitor.snapshot() for monitor in self.monitors.values()],
            "maturity": self.maturity.snapshot(),
            "learned": self.learned,
        }

    def restore(self, plain: dict[str, Any]) -> None:
        """Raises ChangedRulesError."""
        must_be_the_same(self.model_id, plain["rule"], self._rule)
        for kind, (model_id, version, role, segment), waiting in plain["waiting"]:
            self.waiting[kind, (model_id, version, role, segment)] = Waiting.restore(waiting)
        for saved in plain["monitors"]:
            monitor = Monitor.restore(self._rules, saved)
            self.monitors[monitor.kind, monitor.group] = monitor
        self.maturity.restore(plain["maturity"])
        self.learned = dict(plain["learned"])
