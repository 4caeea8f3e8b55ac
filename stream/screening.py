"""What is gathered is looked through before it is sealed: for a change inside, and for how much its
values depend; with a season, by the hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from detectors.jump import Course
from stream.panes import PaneTable
from stream.profile import Profile
from stream.recent_rows import RecentRows
from stream.reference import ChangeWithin, Reference
from stream.reference_scan import ReferenceScan
from stream.rules import SEASON_HOURS, Rules
from stream.season import SeasonGathering
from stream.units import Unit
from stream.watched import Key

Taus = Mapping[Key, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Screened:
    reference: Reference  # it knows the hours
    changes: list[ChangeWithin]  # the clearest first
    moved: list[Key]  # units that have one, by themselves
    taus: Taus  # of the columns of each unit, where nothing else measures them
    is_spare: bool = False  # where nothing else has


class Screening:
    def __init__(self, rules: Rules, model_id: str, *, is_late: bool) -> None:
        """`is_late`: of one feature, whose dependence nothing else measures. With a season it takes
        all cycles there are to measure any."""
        self._is_late = is_late
        self._scan = ReferenceScan()
        hours = SEASON_HOURS[rules.season_of(model_id)]
        self._season = SeasonGathering(hours, rules.max_categories) if hours else None

    def begin(self, profile: Profile, units: Iterable[tuple[Unit, bool]]) -> None:
        """Look at these units too, from the next pane on. `units`: each with whether its feature is
        numeric; what the season sees by the hours is left to it."""
        if self._season is not None:
            units = [one for one in units if not self._season.sees(profile, *one)]
        self._scan.begin(profile, list(units))

    def add(self, run: PaneTable, rules: Rules) -> None:
        self._scan.add(run, rules.pane_ms, rules.max_categories)
        if self._season is not None:
            self._season.add(run)

    def finish(self, reference: Reference, rules: Rules) -> Screened:
        """`reference`: of all that was added."""
        found = self._scan.find()
        moved, changes = list(found), list(found.values())
        if self._season is None:
            taus = self._scan.taus(whole=False) if self._is_late else {}
            if not self._is_late and self._scan.is_of_few:
                return Screened(reference, changes, moved, self._scan.taus(whole=True), True)
            return Screened(reference, changes, moved, taus)
        profile = Profile(reference, rules.minimum_values, rules.max_categories)
        by_hour = self._season.find(profile)
        changes += by_hour.changes
        reference = replace(reference, seasons=by_hour.seasons)
        taus = {**self._scan.taus(whole=True), **by_hour.taus}
        return Screened(reference, changes, moved, taus)

    def course(
        self, key: Key, run: PaneTable, recent: RecentRows, rules: Rules, from_ms: int
    ) -> Course | None:
        """What a change of this unit looks like, up to the end of this run, which is not added yet;
        None: it is not looked at."""
        return self._scan.course(key, run, recent, rules, from_ms)

    @property
    def frames(self) -> list[Reference]:
        """That the state must hold to go on."""
        return self._scan.frames

    # -- state

    def snapshot(self) -> tuple[Any, Any]:
        """(of the scan, of the season)."""
        return self._scan.snapshot(), None if self._season is None else self._season.snapshot()

    def restore(self, profiles: Mapping[str, Profile], scan: Any, season: Any) -> None:
        """None: there was nothing of it."""
        if scan is not None:
            self._scan.restore(profiles, scan)
        if season is not None and self._season is not None:
            self._season.restore(season)
