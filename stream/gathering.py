"""What is being gathered to compare with: a group's own reference, and those of late features.

    gathering --200, 400, ... predictions--> provisional
              --enough--> scanned --no change inside--> sealed
                                  --a change inside, twice at most--> gathered anew

A feature that comes when the reference is sealed gets one of its own: from its first value on, by
the same rule. So does one that comes behind the first provisional one, until the next knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from detectors.jump import Course
from stream.columns import Group
from stream.late_gathering import ANEW, Gathered, LateGathering
from stream.pane_kinds import PaneKind
from stream.panes import PaneTable
from stream.profile import Profile
from stream.recent_rows import RecentRows
from stream.reference import ChangeWithin, Reference
from stream.reference_builder import Building, ReferenceBuilder
from stream.rules import ReferenceRule, Rules
from stream.screening import Screening
from stream.units import Unit
from stream.watched import Key

_LATE = 64  # features gathered for by themselves, at a time


class Gathering:
    def __init__(self, rule: ReferenceRule, rules: Rules, group: Group, kind: PaneKind) -> None:
        self._rule, self._rules = rule, rules
        self._place = (group, kind)
        self._own = ReferenceBuilder(rule, rules)
        self.is_done = False  # the own reference is sealed
        self.due_ms: int | None = None  # end of the pane whose provisional one nobody asked for yet
        self._late: dict[str, LateGathering] = {}
        self._changes: list[ChangeWithin] = []
        self._moved: list[Key] = []
        self._is_anew = False
        self._screening = Screening(rules, group[0], is_late=False)

    def begin_late(self, name: str) -> None:
        """Of this feature alone, from the next pane on, unless there is no room."""
        if len(self._late) < _LATE:
            made = LateGathering(name, self._place[0][0], self._rule, self._rules)
            self._late.setdefault(name, made)

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
        """Panes up to the next stop at most: references that are complete, and of late features the
        provisional ones too. The own one, of `first` predictions, of twice as many and so on, is
        due with them, until it is asked for or another pane comes."""
        found: list[Gathered] = []
        if not self.is_done:
            self._screening.add(run, self._rules)
            progress = self._own.add(run, first)
            if progress == "complete":
                found += self._complete()
            elif progress == "milestone":
                self.due_ms = run.last_end_ms
        for name, late in list(self._late.items()):
            gathered = late.add(run.only(name), first, self._place)
            if gathered is None:
                continue
            found.append(gathered)
            if gathered.is_sealed:
                del self._late[name]
        return found

    def so_far(self) -> Gathered:
        """The own reference that is due."""
        self.due_ms = None
        return Gathered(None, self._own.so_far(*self._place), is_sealed=False)

    def _complete(self) -> list[Gathered]:
        found = self._screening.finish(self._own.seal(*self._place), self._rules)
        self._screening = Screening(self._rules, self._place[0][0], is_late=False)
        self._changes += found.changes[:1]
        if found.changes and len(self._changes) <= ANEW:
            self._moved = found.moved
            self._own, self._is_anew = ReferenceBuilder(self._rule, self._rules), True
            return []
        self.is_done = True
        sealed = replace(found.reference, changes=tuple(self._changes))
        return [Gathered(None, sealed, True, found.taus, found.is_spare)]

    def gathers(self, name: str) -> bool:
        """Whether this feature alone is gathered."""
        return name in self._late

    def end_late(self, names: Iterable[str]) -> None:
        """What all are gathered in knows these too by now."""
        for name in names:
            self._late.pop(name, None)

    def begun_anew(self) -> bool:
        """Whether it has just been: what was seen so far is of no reference."""
        anew, self._is_anew = self._is_anew, False
        return anew

    def moved(self) -> list[Key]:
        """The units for which it has just been begun anew."""
        moved, self._moved = self._moved, []
        return moved

    def course(self, key: Key, run: PaneTable, recent: RecentRows, from_ms: int) -> Course | None:
        """What a change of a unit that is compared with a provisional reference looks like, up to
        the end of this run, which comes next; None: it is not looked at."""
        rules, late = self._rules, self._late.get(key[0])
        if late is None:
            return (
                None if self.is_done else self._screening.course(key, run, recent, rules, from_ms)
            )
        return late.screening.course(key, run.only(key[0]), recent, rules, from_ms)

    def frame(self, profile: Profile, units: Iterable[tuple[Unit, bool]]) -> None:
        """Look at these units too, where there is nothing to look at a feature by yet."""
        if not self.is_done:
            self._screening.begin(profile, units)

    def frame_late(self, name: str, profile: Profile, units: Iterable[tuple[Unit, bool]]) -> None:
        """The same of a late feature's own."""
        late = self._late.get(name)
        if late is not None:
            late.screening.begin(profile, units)

    def use(self, rules: Rules) -> None:
        """Other rules, from the next pane on. What has been looked at so far stays as it is."""
        self._rules = rules
        for late in self._late.values():
            late.use(rules)

    # -- state

    @property
    def bases(self) -> list[Reference]:
        screenings = [self._screening, *(late.screening for late in self._late.values())]
        return list({frame.id: frame for one in screenings for frame in one.frames}.values())

    def building(self) -> Building:
        return self._own.snapshot()

    def snapshot(self) -> dict[str, Any]:
        scan, season = self._screening.snapshot()
        return {
            "late": [[name, *late.snapshot()] for name, late in self._late.items()],
            "changes": [list(change) for change in self._changes],
            "scan": scan,
            "season": None if self.is_done else season,
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
        self._screening.restore(profiles, plain.get("scan"), plain.get("season"))
