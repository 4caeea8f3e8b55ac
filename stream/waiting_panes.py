"""Panes that stage 2 has heard of and may not merge yet; those of many groups merge together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.columns import Rows, concatenate
from stream.panes import PaneTable, cut_at, merge_all, summarise_grouped
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
    summed = _summed([of.rows for of in taken], rules)
    whole = [
        of.tables if table is None else [*of.tables, table]
        for of, table in zip(taken, summed, strict=True)
    ]
    return merge_all(whole, rules.pane_rows, rules.max_categories)


def _summed(of: Sequence[Sequence[Rows]], rules: Rules) -> list[PaneTable | None]:
    """The rows of each group; those of groups with the same columns in one go."""
    found: list[PaneTable | None] = [None] * len(of)
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, parts in enumerate(of):
        names = {tuple(part.columns) for part in parts}
        if names:
            alike.setdefault(tuple(sorted(set().union(*names))), []).append(place)
    for places in alike.values():
        parts = [part for place in places for part in of[place]]
        code = np.repeat(np.arange(len(places)), [sum(map(len, of[place])) for place in places])
        texts = [_texts(of[place]) for place in places]
        rows = concatenate(parts)
        tables = summarise_grouped(rows, code, texts, rules.pane_rows, rules.max_categories)
        for place, table in zip(places, tables, strict=True):
            found[place] = table
    return found


def _texts(parts: Sequence[Rows]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for part in parts:
        texts.update(part.texts)
    return texts


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
