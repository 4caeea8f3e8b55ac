"""Panes that stage 2 has heard of and may not merge yet; those of many groups merge together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.grouped_rows import Piece, joined, texts_of
from stream.panes import PaneTable, cut_at, merge_all, summarise_grouped
from stream.plain_panes import rows_from_plain, rows_to_plain, table_from_plain, table_to_plain
from stream.rules import Rules
from stream.watermark import BEFORE_ALL_MS


@dataclass(frozen=True, slots=True)
class Taken:
    """Panes of one group and kind that are due, as they came; never empty."""

    rows: list[Piece]
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


def _summed(of: Sequence[Sequence[Piece]], rules: Rules) -> list[PaneTable | None]:
    """The rows of each group; those of groups with the same columns in one go."""
    found: list[PaneTable | None] = [None] * len(of)
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, parts in enumerate(of):
        names = {part.names for part in parts}
        if names:
            alike.setdefault(tuple(sorted(set().union(*names))), []).append(place)
    for places in alike.values():
        rows, code = joined([(i, part) for i, place in enumerate(places) for part in of[place]])
        texts = texts_of(rows, code, len(places))
        tables = summarise_grouped(rows, code, texts, rules.pane_rows, rules.max_categories)
        for place, table in zip(places, tables, strict=True):
            found[place] = table
    return found


class Young:
    """Panes of one group and kind that are due, and too few to be compared with anything."""

    def __init__(self) -> None:
        self.rows: list[Piece] = []
        self.count = 0

    def add(self, rows: Sequence[Piece]) -> None:
        self.rows += rows
        self.count += sum(map(len, rows))

    def held(self) -> Callable[[], list[Any]]:
        rows = list(self.rows)
        return lambda: [rows_to_plain(piece.rows()) for piece in rows]

    @classmethod
    def restore(cls, plain: Sequence[Any]) -> Young:
        young = cls()
        young.add([Piece.of(rows_from_plain(rows)) for rows in plain])
        return young


class Waiting:
    """Blocks of one group and kind that are not merged yet."""

    def __init__(self) -> None:
        self.rows: list[Piece] = []
        self.tables: list[PaneTable] = []
        self.first_end_ms = -BEFORE_ALL_MS  # no pane here ends before

    def add(self, rows: Piece | None, table: PaneTable | None) -> None:
        if rows is not None:
            self.rows.append(rows)
            self.first_end_ms = min(self.first_end_ms, rows.first_end_ms)
        if table is not None and len(table):
            self.tables.append(table)
            self.first_end_ms = min(self.first_end_ms, table.first_end_ms)

    def take(self, until_ms: int) -> Taken | None:
        """The panes that end by then; None if there are none."""
        if until_ms < self.first_end_ms:
            return None
        sparse = [p for r in self.rows if (p := r.between(BEFORE_ALL_MS, until_ms)) is not None]
        left = [r.between(until_ms + 1, -BEFORE_ALL_MS) for r in self.rows]
        self.rows = [piece for piece in left if piece is not None]
        due, self.tables = cut_at(self.tables, until_ms)
        self.first_end_ms = until_ms + 1 if self.rows or self.tables else -BEFORE_ALL_MS
        return Taken(sparse, due) if sparse or due else None

    def held(self) -> Callable[[], list[Any]]:
        rows, tables = list(self.rows), list(self.tables)  # nobody changes what they hold
        return lambda: [
            [rows_to_plain(piece.rows()) for piece in rows],
            [table_to_plain(t) for t in tables],
        ]

    @classmethod
    def restore(cls, plain: list[Any]) -> Waiting:
        waiting = cls()
        for rows in plain[0]:
            waiting.add(Piece.of(rows_from_plain(rows)), None)
        for table in plain[1]:
            waiting.add(None, table_from_plain(table))
        return waiting
