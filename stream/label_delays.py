"""Delays of labels, and by which of them most predictions of a stretch have theirs.

A table of them is (outcome pane end, prediction pane end, edge of the delay, count), a row a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.panes import Ints
from stream.rules import ReferenceRule, Rules

NINE_IN_TEN = 9  # in integers: no rounding decides
_LONGER = 4  # times: labels that have not come by then are taken for never
Table = NDArray[np.int64]


@dataclass(slots=True)
class Counted:
    """Predictions from a moment on, until they are a reference."""

    start_ms: int
    count: int = 0
    end_ms: int | None = None  # of the reference, once complete

    def add(self, pane_end: Ints, rows: Ints, rule: ReferenceRule) -> None:
        """Panes behind the start, ends ascending."""
        if self.end_ms is not None or not len(pane_end):
            return
        count = self.count + np.cumsum(rows)
        enough = (count >= rule.predictions) & (pane_end - self.start_ms >= rule.span_ms)
        last = int(enough.argmax()) if enough.any() else len(rows) - 1
        self.count = int(count[last])
        if enough.any():
            self.end_ms = int(pane_end[last])


def spoken(
    table: Table, count: int, end_ms: int, reached_ms: int, rules: Rules
) -> tuple[int, int] | None:
    """(edge, moment): the first moment up to `reached_ms` at which one of both rules holds, of so
    many predictions, the last of which are in the pane that ends at `end_ms`. O(n log n)."""
    settled_ms = rules.settled_ms
    ready_ms, delay_ms = table[:, 0] + settled_ms, table[:, 2]
    # a delay speaks once it is in, and once every prediction has had as long
    speaks_ms = np.maximum(ready_ms, end_ms + delay_ms + settled_ms)
    order = np.argsort(speaks_ms, kind="stable")
    enough = np.cumsum(table[order, 3]) * 10 >= NINE_IN_TEN * count
    at_ms = int(speaks_ms[order][enough.argmax()]) if enough.any() else reached_ms + 1
    over = ended(table, count, end_ms, min(reached_ms, at_ms - 1), rules)
    if over is not None:
        return over
    if at_ms > reached_ms:
        return None
    edge = edge_of(table[ready_ms <= at_ms], count)
    assert edge is not None
    return edge, at_ms


def ended(
    table: Table, count: int, end_ms: int, reached_ms: int, rules: Rules
) -> tuple[int, int] | None:
    """The least delay edge behind which few labels had come when each prediction had had four
    times as long, and when that was, if it was by then. The first of them have had the span of
    the reference besides: what comes once a day is seen."""
    edges, place = np.unique(table[:, 2], return_inverse=True)
    known_ms = end_ms + _LONGER * edges + rules.pane_ms + rules.settled_ms
    by_then = np.cumsum(np.bincount(place, weights=table[:, 3])).astype(np.int64)
    order = np.argsort(table[:, 0], kind="stable")
    ready_ms = table[order, 0] + rules.settled_ms
    seen = np.concatenate([[0], np.cumsum(table[order, 3])])
    seen = seen[np.searchsorted(ready_ms, known_ms, side="right")]
    is_end = (by_then * 10 >= NINE_IN_TEN * seen) & (seen * 4 >= 3 * count)
    first = np.flatnonzero(is_end & (known_ms <= reached_ms))[:1]
    return (int(edges[first[0]]), int(known_ms[first[0]])) if len(first) else None


def edge_of(table: Table, of: int) -> int | None:
    """The least delay edge at or below which nine in ten of `of` lie; None if there is none."""
    if not len(table):
        return None
    edges, place = np.unique(table[:, 2], return_inverse=True)
    reached = np.cumsum(np.bincount(place, weights=table[:, 3])) * 10 >= NINE_IN_TEN * of
    return int(edges[reached.argmax()]) if reached.any() else None
