"""The frozen, versioned profile that a series is compared with: merged panes, sealed by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.log_buckets import bucket_of
from detectors.ordered import distinct
from stream.columns import Group
from stream.frozen_table import FrozenTable
from stream.pane_features import PaneFeatures
from stream.pane_kinds import PaneKind
from stream.panes import FeatureTable, PaneTable
from stream.plain_panes import table_from_plain, table_to_plain
from stream.snapshot import pack, unpack
from stream.times import iso

VERSION = 1


_FINE = 0.05  # share of the values up to which a bucket tells where in the distribution one is


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Distinct values of a sample, ascending, and how often each occurs."""

    distinct: NDArray[np.float64]
    counts: NDArray[np.int64]


def coarse_values(table: PaneTable, name: str) -> Values | None:
    """Those of the row sample, if a bucket of this feature holds more than a few of all values,
    of more than one size."""
    feature, column = table.features[name], table.sample.columns.get(name)
    count = feature.buckets.count
    heavy = feature.buckets.key[count > _FINE * count.sum()]
    if column is None or not len(heavy):
        return None
    distinct, counts = np.unique(column.numbers()[1], return_counts=True)
    mine, sizes = np.unique(bucket_of(distinct), return_counts=True)
    is_coarse = np.isin(heavy, mine[sizes > 1]).any()
    return Values(distinct, counts.astype(np.int64)) if is_coarse else None


def all_coarse_values(table: PaneTable) -> dict[str, Values]:
    """The same of all features of one pane that have some."""
    features = PaneFeatures.of(table.features, len(table))
    cells = features.whole.buckets
    values = np.bincount(cells.pane, cells.count, minlength=len(features)).astype(np.int64)
    is_heavy = cells.count > _FINE * values[cells.pane]
    heavy = distinct(cells.pane[is_heavy]).tolist()
    found = {name: coarse_values(table, name) for name in (features.names[i] for i in heavy)}
    return {name: of for name, of in found.items() if of is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """What is usual of a numeric feature at each hour of the day or week: see `stream.season`."""

    mean: NDArray[np.int64]  # (hours,) of the scores, which are integers; 0 where it is not known
    x: int  # of all scores, each less the mean of its hour; and of their squares
    xx: int
    tau: float  # how much what is left depends
    unknown: int  # hours of which there are too few values


class Runs(NamedTuple):
    """Of one value, of a feature: see `stream.usual_runs`."""

    seen: int
    values: int  # of the longest
    ms: int


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
    frozen: FrozenTable
    values: Mapping[str, Values] = field(default_factory=dict)
    """By feature, as `values_of` says, of more rows than the sample of the table has."""
    changes: tuple[ChangeWithin, ...] = ()
    seasons: Mapping[str, Season] = field(default_factory=dict)
    source: str = ""  # what it was made of, where it was deployed: training data, say
    runs: Mapping[str, Runs] = field(default_factory=dict)  # of features that come in some

    @property
    def table(self) -> PaneTable:
        return self.frozen.open()

    @property
    def count(self) -> int:
        return self.frozen.count

    def knows(self, name: str) -> bool:
        return name in self.frozen.names

    @cached_property
    def id(self) -> str:
        return "ref-" + hashlib.sha256(self.encode()).hexdigest()[:16]

    def feature(self, name: str) -> FeatureTable | None:
        return self.table.features.get(name) if self.knows(name) else None

    def valued(self, name: str) -> int:
        """Values of a feature: numbers and texts."""
        of = self.feature(name)
        return 0 if of is None else int(of.number[0] + of.text[0])

    def values_of(self, name: str) -> Values | None:
        """Of a numeric feature whose buckets say too little of where a value lies."""
        found = self.values.get(name)
        return coarse_values(self.table, name) if found is None else found

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
        values = {name: [of.distinct, of.counts] for name, of in self.values.items()}
        plain |= {"values": values} if values else {}
        if self.seasons:
            plain["seasons"] = {
                name: [of.mean, of.x, of.xx, of.tau, of.unknown]
                for name, of in self.seasons.items()
            }
        if self.source:
            plain["source"] = self.source
        if self.runs:
            plain["runs"] = {name: list(of) for name, of in self.runs.items()}
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
            **({"source": self.source} if self.source else {}),
            "changes": [
                {"series": c.series, "measure": c.measure, "since": iso(c.since_ms)}
                | {"within": c.since_ms >= self.start_ms}
                for c in self.changes
            ],
            "features": {name: _shown(f) for name, f in summary["features"].items()},
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Reference:
        frozen = FrozenTable(table_from_plain(plain["table"]))
        group = tuple(plain["group"])
        values = {name: Values(*of) for name, of in plain.get("values", {}).items()}
        changes = tuple(ChangeWithin(*change) for change in plain.get("changes", ()))
        place = (group, plain["kind"], plain["start_ms"], plain["end_ms"])
        seasons = {name: Season(*of) for name, of in plain.get("seasons", {}).items()}
        runs = {name: Runs(*of) for name, of in plain.get("runs", {}).items()}
        return cls(*place, frozen, values, changes, seasons, plain.get("source", ""), runs)

    @classmethod
    def decode(cls, data: bytes) -> Reference:
        return cls.from_plain(unpack(b"R", VERSION, data))


def _shown(feature: dict[str, Any]) -> dict[str, Any]:
    counts = {kind: feature[kind] for kind in ("number", "text", "null", "other")}
    if feature["number"]:
        mean = float(feature["sum"] / feature["number"])
        counts |= {"mean": mean, "min": feature["min"], "max": feature["max"]}
    return counts | ({"categories": feature["categories"]} if feature["text"] else {})
