"""What is being gathered to compare with: a group's own reference, and those of late features.

    gathering --200, 400, ... predictions--> provisional
              --enough--> scanned --no change inside--> sealed
                                  --a change inside, twice at most--> gathered anew

A feature that comes when the reference is sealed gets one of its own: from its first value on, by
the same rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from stream.columns import Group
from stream.late_gathering import ANEW, Gathered, LateGathering
from stream.pane_kinds import PaneKind
from stream.panes import PaneTable
from stream.profile import Profile
from stream.reference import ChangeWithin, Reference
from stream.reference_builder import Building, ReferenceBuilder
from stream.reference_scan import ReferenceScan
from stream.rules import SEASON_HOURS, ReferenceRule, Rules
from stream.season import SeasonGathering
from stream.units import Unit

_LATE = 64  # features gathered for by themselves, at a time


class Gathering:
    def __init__(self, rule: ReferenceRule, rules: Rules, group: Group, kind: PaneKind) -> None:
        """`rules`: for what is the same in all that may come into force."""
        self._rule, self._rules = rule, rules
        self._place = (group, kind)
        self._own = ReferenceBuilder(rule, rules)
        self.is_done = False  # the own reference is sealed
        self._late: dict[str, LateGathering] = {}
        self._changes: list[ChangeWithin] = []
        self.scan = ReferenceScan()
        hours = SEASON_HOURS[rules.season_of(group[0])]
        self._season = SeasonGathering(hours) if hours else None

    def begin_late(self, name: str) -> None:
        """Of this feature alone, from the next pane on, unless all are gathered anyway, or there
        is no room."""
        if self.is_done and len(self._late) < _LATE:
            self._late.setdefault(name, LateGathering(name, self._rule, self._rules))

    def next_stop(self, table: PaneTable, start: int, first: int) -> int | None:
        """Index of the first pane from `start` on with which something is gathered; see `add`."""
        late = [of.builder for of in self._late.values()]
        builders = [*([] if self.is_done else [self._own]), *late]
        if not builders:
            return None
        rows, ends = table.rows[start:], table.pane_end[start:]
        stops = [builder.next_stop(rows, ends, first) for builder in builders]
        return min((start + stop for stop in stops if stop is not None), default=None)

    def add(self, run: PaneTable, first: int) -> list[Gathered]:
        """Panes up to the next stop at most: provisional references of `first` predictions, of
        twice as many and so on, and those that are complete."""
        found: list[Gathered] = []
        if not self.is_done:
            self.scan.add(run, self._rules.pane_ms, self._rules.max_categories)
            if self._season is not None:
                self._season.add(run)
            progress = self._own.add(run, first)
            if progress == "complete":
                found += self._complete()
            elif progress == "milestone":
                found.append(Gathered(None, self._own.so_far(*self._place), is_sealed=False))
        for name, late in list(self._late.items()):
            gathered = late.add(run.only(name), first, self._place)
            if gathered is None:
                continue
            found.append(gathered)
            if gathered.is_sealed:
                del self._late[name]
        return found

    def _complete(self) -> list[Gathered]:
        found = self.scan.find()
        changes = [] if found is None else [found]
        reference = self._own.seal(*self._place)
        if self._season is not None:
            rules = self._rules
            profile = Profile(reference, rules.minimum_values, rules.max_categories)
            seasons, of_seasons = self._season.seasons(profile)
            reference, changes = replace(reference, seasons=seasons), changes + of_seasons
            self._season = SeasonGathering(SEASON_HOURS[rules.season_of(self._place[0][0])])
        self.scan = ReferenceScan()
        self._changes += changes[:1]
        if changes and len(self._changes) <= ANEW:
            self._own = ReferenceBuilder(self._rule, self._rules)
            return []
        self.is_done, self._season = True, None
        return [Gathered(None, replace(reference, changes=tuple(self._changes)), is_sealed=True)]

    def frame(self, profile: Profile, units: Iterable[tuple[Unit, bool]]) -> None:
        """Scan by these units too, where there is nothing to scan a feature by yet."""
        if not self.is_done:
            of_season = {"shift", "shape"} if self._season is not None else set[str]()
            self.scan.begin(profile, [one for one in units if one[0].measure not in of_season])

    def frame_late(self, name: str, profile: Profile, units: Iterable[tuple[Unit, bool]]) -> None:
        """The same of a late feature's own."""
        late = self._late.get(name)
        if late is not None:
            late.scan.begin(profile, list(units))

    def use(self) -> None:
        """Other rules: what the scan reads panes by may be too little under them."""
        self.scan = ReferenceScan()
        for late in self._late.values():
            late.scan = ReferenceScan()

    # -- state

    @property
    def bases(self) -> list[Reference]:
        scans = [self.scan, *(late.scan for late in self._late.values())]
        return list({frame.id: frame for scan in scans for frame in scan.frames}.values())

    def building(self) -> Building:
        return self._own.snapshot()

    def snapshot(self) -> dict[str, Any]:
        return {
            "late": [[name, *late.snapshot()] for name, late in self._late.items()],
            "changes": [list(change) for change in self._changes],
            "scan": self.scan.snapshot(),
            "season": None if self._season is None else self._season.snapshot(),
        }

    def restore(
        self,
        building: Building,
        plain: dict[str, Any],
        profiles: Mapping[str, Profile],
        *,
        is_done: bool,
    ) -> None:
        """`plain`: empty, of a state from before there was any of it."""
        self._own.restore(building)
        self.is_done = is_done
        for name, *late in plain.get("late", ()):
            self.begin_late(name)
            self._late[name].restore(late, profiles)
        self._changes = [ChangeWithin(*change) for change in plain.get("changes", ())]
        season = plain.get("season")
        if is_done:
            self._season = None
        elif self._season is not None and season is not None:
            self._season.restore(season)
        scan = plain.get("scan")
        if scan is not None:
            self.scan.restore(profiles, scan)
