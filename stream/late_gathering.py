"""What is gathered of one feature that came when the others had their reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stream.columns import Group
from stream.pane_kinds import PaneKind
from stream.panes import PaneTable
from stream.plain_panes import table_from_plain, table_to_plain
from stream.profile import Profile
from stream.reference import ChangeWithin, Reference
from stream.reference_builder import Building, ReferenceBuilder
from stream.reference_scan import ReferenceScan
from stream.rules import ReferenceRule, Rules

ANEW = 2  # times that a reference with a change inside is begun anew; the next is sealed


@dataclass(frozen=True, slots=True)
class Gathered:
    feature: str | None  # None: of all there are
    reference: Reference
    is_sealed: bool


class LateGathering:
    def __init__(self, name: str, rule: ReferenceRule, rules: Rules) -> None:
        self._name, self._rule, self._rules = name, rule, rules
        self.builder = ReferenceBuilder(rule, rules)
        self.scan = ReferenceScan()
        self._changes: list[ChangeWithin] = []

    def add(self, run: PaneTable, first: int, place: tuple[Group, PaneKind]) -> Gathered | None:
        """Panes of this feature alone, up to the next stop at most."""
        self.scan.add(run, self._rules.pane_ms, self._rules.max_categories)
        progress = self.builder.add(run, first)
        if progress == "milestone":
            return Gathered(self._name, self.builder.so_far(*place), is_sealed=False)
        if progress is None:
            return None
        change = self.scan.find()
        reference = self.builder.seal(*place)
        self._changes += [] if change is None else [change]
        if change is not None and len(self._changes) <= ANEW:
            self.builder, self.scan = ReferenceBuilder(self._rule, self._rules), ReferenceScan()
            return None
        sealed = replace(reference, changes=tuple(self._changes))
        return Gathered(self._name, sealed, is_sealed=True)

    # -- state

    def snapshot(self) -> list[Any]:
        building = self.builder.snapshot()
        tables = (building.settled, building.fresh)
        return [
            building.start_ms,
            building.count,
            *(None if table is None else table_to_plain(table) for table in tables),
            self.scan.snapshot(),
            [list(change) for change in self._changes],
        ]

    def restore(self, plain: Sequence[Any], profiles: Mapping[str, Profile]) -> None:
        """Also of when it was not scanned."""
        start_ms, count, settled, fresh, *scanned = plain
        self.builder.restore(Building(start_ms, count, _table(settled), _table(fresh)))
        if scanned:
            scan, changes = scanned
            self._changes = [ChangeWithin(*change) for change in changes]
            if scan is not None:
                self.scan.restore(profiles, scan)


def _table(plain: dict[str, Any] | None) -> PaneTable | None:
    return None if plain is None else table_from_plain(plain)
