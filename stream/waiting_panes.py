"""Panes that stage 2 has heard of and may not merge yet; those of many groups merge together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stream.columns import Rows, concatenate
from stream.panes import PaneTable, cut_at, merge_all, summarise_all
from stream.plain_panes import rows_from_plain, rows_to_plain, table_from_plain, table_to_plain
from stream.rules import Rules
from stream.watermark import BEFORE_ALL_MS


@dataclass(frozen=True, slots=True)
class Taken:
    """Panes of one group and kind that are due, as they came; never empty."""

    rows: list[Rows]
    tables: list[PaneTable]


def merged(taken: Sequence[Taken], rules: Rules) -> list[PaneTable]:
    """Of each its panes, merged. What is done for each group alone is little: at a release there
    are as many as there are models."""
    sparse = [concatenate(of.rows) for of in taken if of.rows]
    summed = iter(summarise_all(sparse, rules.pane_rows, rules.max_categories))
    whole = [[*of.tables, next(summed)] if of.rows else of.tables for of in taken]
    return merge_all(whole, rules.pane_rows, rules.max_categories)


class Waiting:
    """Blocks of one group and kind that are not merged yet."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self.tables: list[PaneTable] = []
        self._first_ms = -BEFORE_ALL_MS  # no pane here ends before

    def add(self, rows: Rows | None, table: PaneTable | None) -> None:
        if rows is not None and len(rows):
            self.rows.append(rows)
            self._first_ms = min(self._first_ms, rows.first_end_ms)
        if table is not None and len(table):
            self.tables.append(table)
            self._first_ms = min(self._first_ms, table.first_end_ms)

    def take(self, until_ms: int) -> Taken | None:
        """The panes that end by then; None if there are none."""
        if until_ms < self._first_ms:
            return None
        sparse, self.rows = cut_at(self.rows, until_ms)
        due, self.tables = cut_at(self.tables, until_ms)
        self._first_ms = until_ms + 1 if self.rows or self.tables else -BEFORE_ALL_MS
        return Taken(sparse, due) if sparse or due else None

    def held(self) -> Callable[[], list[Any]]:
        rows, tables = list(self.rows), list(self.tables)  # nobody changes what they hold
        return lambda: [[rows_to_plain(r) for r in rows], [table_to_plain(t) for t in tables]]

    @classmethod
    def restore(cls, plain: list[Any]) -> Waiting:
        waiting = cls()
        for rows in plain[0]:
            waiting.add(rows_from_plain(rows), None)
        for table in plain[1]:
            waiting.add(None, table_from_plain(table))
        return waiting
