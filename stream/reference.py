"""The frozen, versioned profile that a series is compared with: merged panes, sealed by a hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stream.columns import Group
from stream.panes import FeatureTable, PaneTable
from stream.plain_panes import table_from_plain, table_to_plain
from stream.snapshot import pack, unpack
from stream.times import iso
from stream.wire import PaneKind

VERSION = 1


@dataclass(frozen=True, eq=False)
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

    @cached_property
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
