"""Panes that stage 2 has heard of and may not merge yet; those of many groups merge together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pane ends, rising, and the rows of each pane."""
        parts = [*(r.pane_end for r in self.rows), *(t.pane_end for t in self.tables)]
        rows = [*(np.ones(len(r)) for r in self.rows), *(t.rows for t in self.tables)]
        ends, place = np.unique(np.concatenate(parts), return_inverse=True)
        return ends, np.bincount(place, weights=np.concatenate(rows)).astype(np.int64)


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


class Young:
    """Panes of one group and kind that are due, and too few to be compared with anything."""

    def __init__(self, rows: Sequence[Rows] = ()) -> None:
        self.rows = list(rows)
        self.count = sum(map(len, self.rows))

    def add(self, rows: Sequence[Rows]) -> None:
        self.rows += rows
        self.count += sum(map(len, rows))

    def held(self) -> Callable[[], list[Any]]:
        rows = list(self.rows)
        return lambda: [rows_to_plain(r) for r in rows]

    @classmethod
    def restore(cls, plain: Sequence[Any]) -> Young:
        return cls([rows_from_plain(rows) for rows in plain])


class Waiting:
    """Blocks of one group and kind that are not merged yet."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self.tables: list[PaneTable] = []
        self.first_end_ms = -BEFORE_ALL_MS  # no pane here ends before

    def add(self, rows: Rows | None, table: PaneTable | None) -> None:
        if rows is not None and len(rows):
            self.rows.append(rows)
            self.first_end_ms = min(self.first_end_ms, rows.first_end_ms)
        if table is not None and len(table):
            self.tables.append(table)
            self.first_end_ms = min(self.first_end_ms, table.first_end_ms)

    def take(self, until_ms: int) -> Taken | None:
        """The panes that end by then; None if there are none."""
        if until_ms < self.first_end_ms:
            return None
        sparse, self.rows = cut_at(self.rows, until_ms)
        due, self.tables = cut_at(self.tables, until_ms)
        self.first_end_ms = until_ms + 1 if self.rows or self.tables else -BEFORE_ALL_MS
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
