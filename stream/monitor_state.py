"""A monitor as of one moment, and its bytes: what is sealed or full is written once, apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from stream.alarm import Alarm
from stream.own_pages import OwnPages, pages_from_plain
from stream.panes import PaneTable
from stream.plain_panes import table_from_plain, table_to_plain
from stream.recent_rows import FullStretch, Stretch
from stream.reference import Reference
from stream.reference_builder import Building, settled_name
from stream.snapshot import Part, pack, unpack

_MAGIC, _VERSION = b"T", 1


@dataclass(frozen=True, slots=True)
class Held:
    """Everything of a monitor; nobody changes any of it, so it may be packed at leisure."""

    plain: dict[str, Any]
    references: list[Reference]
    bases: list[Reference]  # what is compared with as long as there is no better one
    building: Building
    stretches: list[FullStretch]  # of recent rows
    newest: Stretch | None

    def to_plain(self) -> dict[str, Any]:
        """Without what is a part of its own: references, settled panes, full stretches."""
        building = self.building
        return self.plain | {
            "references": [_name(reference) for reference in self.references],
            "bases": [_name(reference) for reference in self.bases],
            "building": [
                building.start_ms,
                building.count,
                None if building.settled is None else self._settled_name,
                None if building.fresh is None else table_to_plain(building.fresh),
            ],
            "stretches": [stretch.name for stretch in self.stretches],
            "newest": None if self.newest is None else self.newest.to_plain(),
        }

    @property
    def _settled_name(self) -> str:
        return settled_name(self.plain["group"], self.plain["kind"], self.building)

    def parts(self) -> list[Part]:
        """What never changes, each under a name that says what it is."""
        sealed = [*self.references, *self.bases]
        parts = [Part(_name(reference), 0, reference.encode) for reference in sealed]
        parts += [Part(stretch.name, 0, stretch.encode) for stretch in self.stretches]
        settled = self.building.settled
        if settled is not None:
            parts.append(Part(self._settled_name, 0, partial(_packed, settled)))
        return parts


def _packed(settled: OwnPages) -> bytes:
    return pack(_MAGIC, _VERSION, table_to_plain(settled.open()))


def _name(reference: Reference) -> str:
    return f"reference/{reference.id}"


def names_apart(plain: Mapping[str, Any]) -> list[str]:
    """Of the parts that a stored monitor refers to."""
    settled = plain["building"][2]
    names = [*plain["references"], *plain["bases"], *plain["stretches"]]
    return names if settled is None else [*names, settled]


class Sealed:
    """The parts that never change of a stored state; each reference is decoded once."""

    def __init__(self, state: Mapping[str, bytes]) -> None:
        self._state = state
        self._references: dict[str, Reference] = {}

    def held(self, plain: dict[str, Any]) -> Held:
        if "recent" in plain:
            return _of_version_1(plain)
        newest = plain["newest"]
        return Held(
            plain,
            [self._reference(name) for name in plain["references"]],
            [self._reference(name) for name in plain["bases"]],
            self._building(*plain["building"]),
            [FullStretch.decode(self._state[name]) for name in plain["stretches"]],
            None if newest is None else Stretch.from_plain(newest),
        )

    def _reference(self, name: str) -> Reference:
        if name not in self._references:
            self._references[name] = Reference.decode(self._state[name])
        return self._references[name]

    def _building(
        self, start_ms: int | None, count: int, settled: str | None, fresh: dict[str, Any] | None
    ) -> Building:
        plain = None if settled is None else unpack(_MAGIC, _VERSION, self._state[settled])
        return Building(start_ms, count, pages_from_plain(plain), _table(fresh))


def _table(plain: dict[str, Any] | None) -> PaneTable | None:
    return None if plain is None else table_from_plain(plain)


def _of_version_1(plain: dict[str, Any]) -> Held:
    """The whole state in one, as 0.1.0 wrote it."""
    builder, recent = plain["builder"], plain["recent"]
    return Held(
        plain,
        [Reference.from_plain(reference) for reference in plain["references"]],
        [],
        Building(builder["start_ms"], builder["count"], pages_from_plain(builder["table"]), None),
        [],
        None if recent[0] is None else Stretch.from_plain(recent),
    )


def fired_in_version_1(plain: dict[str, Any]) -> list[tuple[str, str]]:
    """(series, detector, as it is called now) of what fired under the detectors of 0.1.0."""
    fired = [
        (name, "shift" if detector == "adwin" else detector)
        for name, series in plain["values"].items()
        for detector, alarm in series["alarms"].items()
        if Alarm.restore(alarm).firing
    ]
    return fired + [(n, rate) for n, rate, s in plain["rates"] if Alarm.restore(s["alarm"]).firing]
