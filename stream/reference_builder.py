"""Collects whole merged panes until they are a reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream.columns import Group
from stream.frozen_table import FrozenTable
from stream.own_pages import OwnPages
from stream.pane_kinds import PaneKind
from stream.panes import Ints, PaneTable, collapse
from stream.reference import Reference, all_coarse_values
from stream.rules import ReferenceRule, Rules

Progress = Literal["milestone", "complete"]
_SAMPLE_BYTES = 500_000  # of the row sample, unless the features are very many
_FRESH = 4  # a fourth of the sample's rows: so many are merged into the settled part at once
_MOST_FRESH = 16  # tables, before they are made one


@dataclass(frozen=True, slots=True)
class Building:
    """A builder as of one moment; nobody changes the tables."""

    start_ms: int | None
    count: int  # of predictions, the fresh ones included
    settled: OwnPages | None
    fresh: PaneTable | None


class ReferenceBuilder:
    """Until there are enough predictions and enough time.

    Panes merge exactly, whatever the order, so the latest ones are kept apart from the settled
    ones: a checkpoint then need not write all of them again for each new pane.
    """

    def __init__(self, rule: ReferenceRule, rules: Rules) -> None:
        self._rule = rule
        self._rules = rules
        self._start_ms: int | None = None
        self._count = 0
        self._settled: OwnPages | None = None
        self._fresh: list[OwnPages] = []

    def next_stop(self, rows: Ints, pane_end: Ints, first: int) -> int | None:
        """Index of the first of these panes that completes the reference, or else `first`
        predictions, twice as many, and so on; None: none of them does."""
        total = self._count + np.cumsum(rows)
        milestone = int(np.searchsorted(total, self._next_milestone(first)))
        start_ms = self._start_ms
        if start_ms is None:
            start_ms = int(pane_end[0]) - self._rules.pane_ms
        enough = self._is_enough(total, pane_end - start_ms)
        stop = min(milestone, int(enough.argmax())) if enough.any() else milestone
        return stop if stop < len(rows) else None

    def _next_milestone(self, first: int) -> int:
        due = first
        while due <= self._count:
            due *= 2
        return due

    def _is_enough(self, count: Ints, span_ms: Ints) -> NDArray[np.bool_]:
        return (count >= self._rule.predictions) & (span_ms >= self._rule.span_ms)

    def so_far(self, group: Group, kind: PaneKind) -> Reference:
        """What there is, as a reference: to begin with before there is a better one."""
        return self._reference(self._settle(), group, kind)

    def add(self, table: PaneTable, first: int) -> Progress | None:
        """Panes up to the next stop at most; what they complete, if that is with the last one."""
        if not len(table):
            return None
        if self._start_ms is None:
            self._start_ms = int(table.pane_end[0]) - self._rules.pane_ms
        due = self._next_milestone(first)
        self._count += int(table.rows.sum())
        self._fresh.append(OwnPages(table))
        if sum(of.sampled for of in self._fresh) * _FRESH >= self._rules.window_rows:
            self._settle()
        elif len(self._fresh) >= _MOST_FRESH:
            self._gather()
        span_ms = np.array([table.last_end_ms - self._start_ms])
        if self._is_enough(np.array([self._count]), span_ms).all():
            return "complete"
        return "milestone" if self._count >= due else None

    def _gather(self) -> None:
        """Into one pane."""
        if sum(of.panes for of in self._fresh) > 1:
            fresh = self._merged(self._fresh)
            self._fresh = [] if fresh is None else [OwnPages(fresh)]

    def _settle(self) -> PaneTable | None:
        """All of it, merged."""
        whole = self._merged([self._settled, *self._fresh])
        self._settled, self._fresh = None if whole is None else OwnPages(whole), []
        return whole

    def _merged(self, pages: Sequence[OwnPages | None]) -> PaneTable | None:
        parts = [of.open() for of in pages if of is not None]
        if not parts:
            return None
        rules = self._rules
        return collapse(parts, parts[-1].last_end_ms, rules.window_rows, rules.max_categories)

    def seal(self, group: Group, kind: PaneKind) -> Reference:
        whole = self._merged([self._settled, *self._fresh])
        self._settled, self._fresh = None, []
        return self._reference(whole, group, kind)

    def _reference(self, whole: PaneTable | None, group: Group, kind: PaneKind) -> Reference:
        if whole is None or self._start_ms is None:
            raise ValueError("a reference needs at least one pane")
        table = whole.without_ghosts()
        rows = max(_SAMPLE_BYTES // (9 * max(len(table.features), 1)), self._rules.pane_rows)
        table = table.with_sample_of(min(rows, self._rules.window_rows))
        values = all_coarse_values(table)
        frozen = FrozenTable(table.with_sample_of(self._rules.kept_rows))
        return Reference(group, kind, self._start_ms, table.last_end_ms, frozen, values)

    def snapshot(self) -> Building:
        self._gather()
        fresh = self._fresh[0].open() if self._fresh else None
        return Building(self._start_ms, self._count, self._settled, fresh)

    def restore(self, building: Building) -> None:
        self._start_ms, self._count = building.start_ms, building.count
        self._settled, fresh = building.settled, building.fresh
        self._fresh = [] if fresh is None else [OwnPages(fresh)]


def settled_name(group: Group, kind: PaneKind, building: Building) -> str:
    """Of the settled part. How many predictions it holds, from when on, is what it is."""
    held = 0 if building.fresh is None else int(building.fresh.rows[0])
    place = "/".join([kind, *group, str(building.start_ms), str(building.count - held)])
    return f"building/{xxhash.xxh3_128_hexdigest(place.encode())}"
