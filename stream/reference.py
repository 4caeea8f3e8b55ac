"""The frozen, versioned profile that a series is compared with: merged panes, sealed by a hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from stream.columns import Group
from stream.panes import FeatureTable, PaneTable
from stream.snapshot import pack, unpack
from stream.times import iso
from stream.wire import PaneKind, table_from_plain, table_to_plain

VERSION = 1


class ChangeWithin(NamedTuple):
    """Found while a reference was gathered: what is from before it was not sealed, or, where it
    lies within the reference, was (`stream.gathering`)."""

    series: str
    measure: str
    since_ms: int


@dataclass(frozen=True, eq=False)
class Reference:
    """One merged pane over [start, end) of one group and kind; no raw row beyond the sample."""

    group: Group
    kind: PaneKind
    start_ms: int
    end_ms: int
    table: PaneTable
    changes: tuple[ChangeWithin, ...] = ()

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
        plain = {
            "group": list(self.group),
            "kind": self.kind,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "table": table_to_plain(self.table),
        }
        return plain | ({"changes": [list(c) for c in self.changes]} if self.changes else {})

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
            "changes": [
                {"series": c.series, "measure": c.measure, "since": iso(c.since_ms)}
                | {"within": c.since_ms >= self.start_ms}
                for c in self.changes
            ],
            "features": {name: _shown(f) for name, f in summary["features"].items()},
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Reference:
        table = table_from_plain(plain["table"])
        group = tuple(plain["group"])
        changes = tuple(ChangeWithin(*change) for change in plain.get("changes", ()))
        return cls(group, plain["kind"], plain["start_ms"], plain["end_ms"], table, changes)

    @classmethod
    def decode(cls, data: bytes) -> Reference:
        return cls.from_plain(unpack(b"R", VERSION, data))


def _shown(feature: dict[str, Any]) -> dict[str, Any]:
    counts = {kind: feature[kind] for kind in ("number", "text", "null", "other")}
    if feature["number"]:
        mean = float(feature["sum"] / feature["number"])
        counts |= {"mean": mean, "min": feature["min"], "max": feature["max"]}
    return counts | ({"categories": feature["categories"]} if feature["text"] else {})
