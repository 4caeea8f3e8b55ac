"""What is gathered of one feature that came when the others had their reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stream.columns import Group
from stream.own_pages import pages_from_plain
from stream.pane_kinds import PaneKind
from stream.panes import PaneTable
from stream.plain_panes import table_from_plain, table_to_plain
from stream.profile import Profile
from stream.reference import ChangeWithin, Reference
from stream.reference_builder import Building, ReferenceBuilder
from stream.rules import ReferenceRule, Rules
from stream.screening import Screening, Taus

ANEW = 2  # times that a reference with a change inside is begun anew; the next is sealed
_LONGER = 5  # times that one with too few values is begun anew, each time for twice as long


@dataclass(frozen=True, slots=True)
class Gathered:
    feature: str | None  # None: of all there are
    reference: Reference
    is_sealed: bool
    taus: Taus = field(default_factory=dict)  # as they are in all of it, where that was measured
    is_spare: bool = False  # for what nothing else has measured


class LateGathering:
    def __init__(self, name: str, model_id: str, rule: ReferenceRule, rules: Rules) -> None:
        self._name, self._model_id, self._rule, self._rules = name, model_id, rule, rules
        self._changes: list[ChangeWithin] = []
        self._longer = 0
        self._begin()

    def _begin(self) -> None:
        times = 2**self._longer
        rule = ReferenceRule(self._rule.predictions * times, self._rule.span_ms * times)
        self.builder = ReferenceBuilder(rule, self._rules)
        self.screening = Screening(self._rules, self._model_id, is_late=True)

    def use(self, rules: Rules) -> None:
        self._rules = rules

    def add(self, run: PaneTable, first: int, place: tuple[Group, PaneKind]) -> Gathered | None:
        """Panes of this feature alone, up to the next stop at most."""
        self.screening.add(run, self._rules)
        progress = self.builder.add(run, first)
        if progress == "milestone":
            return Gathered(self._name, self.builder.so_far(*place), is_sealed=False)
        if progress is None:
            return None
        whole = self.builder.seal(*place)
        if whole.valued(self._name) < first and self._longer < _LONGER:
            self._longer += 1
            self._begin()
            return None
        found = self.screening.finish(whole, self._rules)
        self._changes += found.changes[:1]
        if found.changes and len(self._changes) <= ANEW:
            self._begin()
            return None
        sealed = replace(found.reference, changes=tuple(self._changes))
        return Gathered(self._name, sealed, is_sealed=True, taus=found.taus)

    # -- state

    def snapshot(self) -> list[Any]:
        building = self.builder.snapshot()
        settled = None if building.settled is None else building.settled.open()
        scan, season = self.screening.snapshot()
        return [
            building.start_ms,
            building.count,
            *(
                None if table is None else table_to_plain(table)
                for table in (settled, building.fresh)
            ),
            scan,
            [list(change) for change in self._changes],
            season,
            self._longer,
        ]

    def restore(self, plain: Sequence[Any], profiles: Mapping[str, Profile]) -> None:
        """Also of when it was not scanned."""
        start_ms, count, settled, fresh, *scanned = plain
        self._longer = scanned[3] if len(scanned) > 3 else 0
        self._begin()
        self.builder.restore(Building(start_ms, count, pages_from_plain(settled), _table(fresh)))
        if scanned:
            scan, changes, *season = scanned[:3]
            self._changes = [ChangeWithin(*change) for change in changes]
            self.screening.restore(profiles, scan, season[0] if season else None)


def _table(plain: dict[str, Any] | None) -> PaneTable | None:
    return None if plain is None else table_from_plain(plain)
