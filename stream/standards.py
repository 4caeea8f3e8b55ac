"""What a group is compared with: the reference in force, or what there is of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from detectors.jump import Course
from stream.batches import FEWEST, taus_of
from stream.columns import Rows
from stream.late_gathering import Gathered
from stream.pane_evidence import PaneReader
from stream.pane_kinds import PaneKind
from stream.panes import summarise
from stream.profile import Profile
from stream.reference import Reference
from stream.rules import Rules
from stream.unit_plan import Feature, plan, units_of
from stream.unit_reading import Together
from stream.units import Unit
from stream.watch import Watch
from stream.watched import Key, Watched

_WRONG_AT_ANY_HOUR = frozenset({"null", "absent", "type_error", "unlabelled"})


class Standards:
    """The law is a sealed reference. Until there is one, and for features that it does not know,
    what has been gathered so far is a provisional one, again at every doubling. A feature that
    came when the law was sealed has a standard of its own."""

    def __init__(self, kind: PaneKind, model_id: str, *, has_season: bool) -> None:
        self._kind, self._model_id, self.has_season = kind, model_id, has_season
        self.law: Profile | None = None
        self._provisional: Profile | None = None
        self._late: dict[str, Profile] = {}
        self._late_laws: set[str] = set()  # features whose own is sealed
        # until there is a sealed reference of them:
        self._restless: set[Key] = set()  # what came and went before something was found
        self._told: set[Key] = set()

    def seal(self, reference: Reference, rules: Rules) -> None:
        self.law, self._provisional = _profile(reference, rules), None
        self._restless.clear()
        self._told.clear()

    def take(self, gathered: Gathered, rules: Rules) -> bool:
        """Compare with this from now on; False: there is too little in it."""
        name, reference = gathered.feature, gathered.reference
        if name is None:
            if gathered.is_sealed:
                self.seal(reference, rules)
            else:
                self._provisional = _profile(reference, rules)
            return True
        if _values(reference, name) < rules.minimum_values:
            return False
        self._late[name] = _profile(reference, rules)
        if gathered.is_sealed:
            self._late_laws.add(name)
        return True

    def is_sealed(self, profile: Profile) -> bool:
        """Whether it is the law, or that of a late feature."""
        return profile is self.law or any(self._late[n] is profile for n in self._late_laws)

    def may_tell(self, one: Watched) -> bool:
        """Before a reference knows the hours, whatever comes and goes with them would be a change:
        with a season, only what is wrong whatever the value is told until it is sealed. Without one
        that holds of what is known to come and go."""
        if one.unit.measure in _WRONG_AT_ANY_HOUR:
            return True
        return self.knows_hours(one.profile) and not self.is_restless(one)

    def may_tell_now(self, one: Watched, course: Callable[[], Course | None]) -> bool:
        """The same of a change at this moment. A provisional reference cannot know what comes and
        goes more slowly than it has lasted: of a unit one jump is told, until it is sealed."""
        if not self.may_tell(one):
            return False
        if one.unit.measure in _WRONG_AT_ANY_HOUR or self.is_sealed(one.profile):
            return True
        if one.key in self._told:
            return False
        found = course()
        if found == "restless":
            self._restless.add(one.key)
        if found in {"restless", "on its way"}:
            return False
        self._told.add(one.key)
        return True

    def is_restless(self, one: Watched) -> bool:
        return one.key in self._restless and not self.is_sealed(one.profile)

    def expect_restless(self, keys: Iterable[Key]) -> None:
        """These changed while they were gathered."""
        self._restless.update(keys)

    def knows_hours(self, profile: Profile) -> bool:
        """If there are any."""
        return not self.has_season or self.is_sealed(profile)

    def lacks(self, name: str, rules: Rules) -> bool:
        """Whether the law is silent about this feature, or nearly."""
        return self.law is not None and _values(self.law.reference, name) < rules.minimum_values

    def use(self, rules: Rules) -> None:
        """What is known well enough is for the rules to say. `arrange` anew must follow."""
        if self.law is not None:
            self.law = _profile(self.law.reference, rules)
        if self._provisional is not None:
            self._provisional = _profile(self._provisional.reference, rules)
        self._late = {name: _profile(of.reference, rules) for name, of in self._late.items()}

    def arrange(
        self,
        watch: Watch,
        numeric: Mapping[str, bool],
        rules: Rules,
        *,
        recent: Rows | None,
        anew: bool,
    ) -> list[Key]:
        """Watch what can be compared, from the next pane on; the keys that fired and are watched
        no more. `numeric`: of all features, in order; `recent`: the latest rows; `anew`: the terms
        of all have changed."""
        firing = list(watch.firing)

        def keep(key: Key, feature: Feature) -> Watched | None:
            known = watch.watched.get(key)
            if known is None or anew or known.numeric != feature.numeric:
                return None
            if known.profile is feature.profile:
                return known
            # an alert and its beginnings are not disturbed by what is only provisional
            return None if self.is_sealed(feature.profile) or watch.is_calm(key) else known

        measured = watch.taus()
        panes = None
        if recent is not None and len(np.unique(recent.pane_end)) >= FEWEST:
            panes = summarise(recent, rules.pane_rows, rules.max_categories)
        first = None if panes is None else PaneReader(panes, rules.max_categories)

        def tau(feature: Feature, unit: Unit) -> tuple[float, ...]:
            # values out of range come together as the values do: there are none to tell it from
            of = Unit(unit.name, "shift") if unit.measure == "out_of_range" else unit
            season = feature.profile.season(of.name) if of.measure == "shift" else None
            if season is not None:
                return (season.tau,)
            found = measured.get((of.name, of.measure))
            if found is None:
                return _first_tau(feature, of, first)
            return found if len(found) == unit.columns else (max(found),)

        features = list(self._features(numeric))
        watch.arrange(plan(features, self._kind, rules, self._model_id, keep=keep, tau=tau))
        return [key for key in firing if key not in watch.firing]

    def _features(self, numeric: Mapping[str, bool]) -> Iterator[Feature]:
        places = self._places(numeric)
        for name, is_numeric in numeric.items():
            for profile in (self._late.get(name), self.law, self._provisional):
                if profile is not None and profile.reference.knows(name):
                    is_late = self.law is not None and profile is not self.law
                    yield Feature(name, is_numeric, profile, places[name] if is_late else None)
                    break

    def _places(self, names: Iterable[str]) -> dict[str, int]:
        """Of features that the law does not know, in the order in which they had a standard of
        their own, or else came: a place is never another one's as long as the law is in force."""
        if self.law is None:
            return {}
        unknown = [name for name in names if not self.law.reference.knows(name)]
        return {name: place for place, name in enumerate(dict.fromkeys([*self._late, *unknown]), 1)}

    def frame(
        self, numeric: Mapping[str, bool], rules: Rules
    ) -> tuple[Profile, list[tuple[Unit, bool]]] | None:
        """Of the provisional reference, all units that there are; each with whether it is of
        numbers."""
        profile = self._provisional
        return None if profile is None else (profile, self._units(profile, numeric, rules))

    def late_frame(
        self, name: str, numeric: Mapping[str, bool], rules: Rules
    ) -> tuple[Profile, list[tuple[Unit, bool]]]:
        """The same of what there is of a late feature."""
        profile = self._late[name]
        return profile, self._units(profile, {name: numeric[name]}, rules)

    def _units(
        self, profile: Profile, numeric: Mapping[str, bool], rules: Rules
    ) -> list[tuple[Unit, bool]]:
        features = [
            Feature(name, is_numeric, profile)
            for name, is_numeric in numeric.items()
            if profile.reference.knows(name)
        ]
        return [
            (u, f.numeric) for f in features for u in units_of(f, self._kind, rules, self._model_id)
        ]

    @property
    def newest(self) -> Reference | None:
        """The law, or the provisional one."""
        profile = self.law or self._provisional
        return None if profile is None else profile.reference

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to compare with."""
        return self.law is not None or self._provisional is not None

    @property
    def gathered(self) -> int | None:
        """Rows of the provisional reference, if there is one."""
        return None if self._provisional is None else self._provisional.reference.count

    # -- state

    def unsettled(self) -> dict[str, list[Key]]:
        """Where there is something of it."""
        found = {"restless": sorted(self._restless), "told": sorted(self._told)}
        return {name: keys for name, keys in found.items() if keys}

    def restore_unsettled(self, plain: Mapping[str, Any]) -> None:
        self._restless = {(name, measure) for name, measure in plain.get("restless", ())}
        self._told = {(name, measure) for name, measure in plain.get("told", ())}

    @property
    def provisional_id(self) -> str | None:
        return None if self._provisional is None else self._provisional.reference.id

    def late(self) -> list[tuple[str, str, bool]]:
        """(feature, id of its reference, whether that is sealed)."""
        return [(name, of.reference.id, name in self._late_laws) for name, of in self._late.items()]

    def bases(self, watch: Watch) -> list[Reference]:
        """References that something is compared with, beside the law."""
        used = [*(one.profile for one in watch.watched.values()), *self._late.values()]
        used += [] if self._provisional is None else [self._provisional]
        bases = {of.reference.id: of.reference for of in used if of is not self.law}
        return list(bases.values())

    def restore(
        self,
        bases: Iterable[Reference],
        provisional_id: str | None,
        late: Iterable[tuple[str, str, bool]],
        rules: Rules,
    ) -> dict[str, Profile]:
        """Of the bases, behind the law; all profiles by id."""
        profiles = {basis.id: _profile(basis, rules) for basis in bases}
        if provisional_id is not None:
            self._provisional = profiles[provisional_id]
        for name, reference_id, is_sealed in late:
            self._late[name] = profiles[reference_id]
            if is_sealed:
                self._late_laws.add(name)
        if self.law is not None:
            profiles[self.law.reference.id] = self.law
        return profiles


def _first_tau(feature: Feature, unit: Unit, first: PaneReader | None) -> tuple[float, ...]:
    """Of a unit that has not been watched yet, from the latest panes; None: they are too few."""
    if first is None:
        return (1.0,) * unit.columns
    read = first.read(Together([(unit, feature.profile, feature.numeric)]))
    return tuple(taus_of(read.x, read.n, read.xx).tolist())


def _values(reference: Reference, name: str) -> int:
    frozen = reference.feature(name)
    return 0 if frozen is None else int(frozen.number[0] + frozen.text[0])


def _profile(reference: Reference, rules: Rules) -> Profile:
    return Profile(reference, rules.minimum_values, rules.max_categories)
