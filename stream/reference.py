"""The frozen, versioned profile that a series is compared with: merged panes, sealed by a hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.columns import Group
from stream.panes import FeatureTable, PaneTable, collapse
from stream.rules import ReferenceRule, Rules
from stream.snapshot import pack, unpack
from stream.times import iso
from stream.wire import PaneKind, table_from_plain, table_to_plain

VERSION = 1
_SAMPLE_BYTES = 500_000  # of the row sample, unless the features are very many


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """One merged pane over [start, end) of one group and kind; no raw row beyond the sample."""

    group: Group
    kind: PaneKind
    start_ms: int
    end_ms: int
    table: PaneTable

    @property
    def count(self) -> int:
        return int(self.table.rows[0])

    @property
    def id(self) -> str:
        return "ref-" + hashlib.sha256(self.encode()).hexdigest()[:16]

    def feature(self, name: str) -> FeatureTable | None:
        return self.table.features.get(name)

    def encode(self) -> bytes:
        return pack(b"R", VERSION, self.to_plain())

    def to_plain(self) -> dict[str, Any]:
        return {
            "group": list(self.group),
            "kind": self.kind,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "table": table_to_plain(self.table),
        }

    def describe(self) -> dict[str, Any]:
        """For people: what it is of, and the rates and moments of each feature."""
        summary = self.table.summary(0)
        return {
            "id": self.id,
            "model": {"id": self.group[0], "version": self.group[1], "role": self.group[2]},
            "kind": self.kind,
            "start": iso(self.start_ms),
            "end": iso(self.end_ms),
            "count": self.count,
            "features": {name: _shown(f) for name, f in summary["features"].items()},
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Reference:
        table = table_from_plain(plain["table"])
        group = tuple(plain["group"])
        return cls(group, plain["kind"], plain["start_ms"], plain["end_ms"], table)

    @classmethod
    def decode(cls, data: bytes) -> Reference:
        return cls.from_plain(unpack(b"R", VERSION, data))


def _shown(feature: dict[str, Any]) -> dict[str, Any]:
    counts = {kind: feature[kind] for kind in ("number", "text", "null", "other")}
    if feature["number"]:
        mean = float(feature["sum"] / feature["number"])
        counts |= {"mean": mean, "min": feature["min"], "max": feature["max"]}
    return counts | ({"categories": feature["categories"]} if feature["text"] else {})


class ReferenceBuilder:
    """Collects whole merged panes until there are enough predictions and enough time."""

    def __init__(self, rule: ReferenceRule, rules: Rules) -> None:
        self._rule = rule
        self._rules = rules
        self._start_ms: int | None = None
        self._count = 0
        self._table: PaneTable | None = None

    def sealing_pane(self, table: PaneTable) -> int | None:
        """Index of the pane that completes the reference; None: none of these does."""
        start_ms = self._start_ms
        if start_ms is None:
            start_ms = table.first_end_ms - self._rules.pane_ms
        enough = (self._count + np.cumsum(table.rows) >= self._rule.predictions) & (
            table.pane_end - start_ms >= self._rule.span_ms
        )
        return int(enough.argmax()) if enough.any() else None

    def add(self, table: PaneTable) -> None:
        if not len(table):
            return
        if self._start_ms is None:
            self._start_ms = int(table.pane_end[0]) - self._rules.pane_ms
        self._count += int(table.rows.sum())
        parts = [table] if self._table is None else [self._table, table]
        end_ms = int(table.pane_end[-1])
        rules = self._rules
        self._table = collapse(parts, end_ms, rules.window_rows, rules.max_categories)

    def seal(self, group: Group, kind: PaneKind) -> Reference:
        if self._table is None or self._start_ms is None:
            raise ValueError("a reference needs at least one pane")
        table, self._table = self._table.without_ghosts(), None
        rows = max(_SAMPLE_BYTES // (9 * max(len(table.features), 1)), self._rules.pane_rows)
        table = table.with_sample_of(min(rows, self._rules.window_rows))
        return Reference(group, kind, self._start_ms, table.last_end_ms, table)

    def snapshot(self) -> dict[str, Any]:
        table = None if self._table is None else table_to_plain(self._table)
        return {"start_ms": self._start_ms, "count": self._count, "table": table}

    def restore(self, plain: dict[str, Any]) -> None:
        self._start_ms, self._count = plain["start_ms"], plain["count"]
        table = plain["table"]
        self._table = None if table is None else table_from_plain(table)
