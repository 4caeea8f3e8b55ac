"""What a group is compared with: the reference in force, or what there is of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from detectors.jump import Course
from stream.columns import Rows
from stream.late_gathering import Gathered
from stream.pane_kinds import PaneKind
from stream.profile import Profile
from stream.reference import Reference
from stream.rules import Rules
from stream.skew_since import was_so
from stream.taus import Taus
from stream.unit_plan import Feature, plan, units_of
from stream.units import Unit
from stream.unsettled import ANYTIME, Span, Unsettled
from stream.watch import Watch
from stream.watched import Ground, Key, Watched

_GROWN = 1.25  # times as large a τ as was known
_UNMEASURED = 8.0
"""τ until live predictions have said it, of rows that were put down for training, which are in any
order, and of a feature that has just come."""
_UNKNOWN_MS = 10**15
"""In which predictions come while nobody knows: the budget is what it is by their number then."""


class Standards:
    """The law is a sealed reference. Until there is one, and for features that it does not know,
    what has been gathered so far is a provisional one, again at every doubling. A feature that
    came when the law was sealed has a standard of its own.

    A law that was deployed stays when live predictions are a reference: these say what it cannot
    know, at every doubling how much values depend, and in the end what comes in which time."""

    def __init__(self, kind: PaneKind, model_id: str, *, has_season: bool) -> None:
        self._kind, self._model_id, self.has_season = kind, model_id, has_season
        self.law: Profile | None = None
        self._provisional: Profile | None = None
        self._late: dict[str, Profile] = {}
        self._late_laws: frozenset[str] = frozenset()  # features whose own is sealed
        self.unsettled = Unsettled()
        # beside a law that was deployed:
        self._live: tuple[int, int] | None = None  # predictions of the live reference; their ms
        self._early_ms: int | None = None  # so far there are too few to tell of a change
        self._is_measured = False  # since the last arrangement

    def seal(self, reference: Reference, rules: Rules) -> None:
        self.law, self._provisional = self._law(reference, rules), None
        self.unsettled.clear()

    def _law(self, reference: Reference, rules: Rules) -> Profile:
        if not reference.source:
            return _profile(reference, rules)
        traffic = self._live or (reference.count, _UNKNOWN_MS)
        return Profile(reference, rules.minimum_values, rules.max_categories, traffic)

    @property
    def is_deployed(self) -> bool:
        return self.law is not None and self.law.reference.source != ""

    @property
    def _is_settling(self) -> bool:
        """Live predictions have yet to say what a deployed law cannot know."""
        return self.is_deployed and self._live is None

    def is_early(self, since_ms: int, end_ms: int) -> bool:
        """What began then, as was found at the end of that pane, may well have been so as long as
        there is something to compare: an onset is known to a part of the window behind it."""
        first_ms = self._early_ms
        return first_ms is None or since_ms < first_ms + (end_ms - since_ms) // 3

    def was_so(self, name: str, since_ms: int, window: Rows | None) -> bool:
        """The same of a feature, as live predictions of before the onset have it."""
        if self.law is None or self._provisional is None or not self.is_deployed:
            return False
        live = self._provisional.reference
        return was_so(name, since_ms, self.law.reference, live, window)

    def knows(self, name: str) -> bool:
        """Whether the law has this feature."""
        return self.law is not None and self.law.reference.knows(name)

    def take(self, gathered: Gathered, rules: Rules) -> bool:
        """Compare with this from now on; False: there is too little in it."""
        name, reference = gathered.feature, gathered.reference
        if name is None:
            if self.is_deployed:
                self._meet(reference, rules, is_sealed=gathered.is_sealed)
            elif gathered.is_sealed:
                self.seal(reference, rules)
            else:
                self._provisional = _profile(reference, rules)
            return True
        if reference.valued(name) < rules.minimum_values:
            return False
        self._late[name] = _profile(reference, rules)
        if gathered.is_sealed:
            self._late_laws |= {name}
        return True

    def _meet(self, live: Reference, rules: Rules, *, is_sealed: bool) -> None:
        """What live predictions are like, beside a law that was deployed."""
        assert self.law is not None
        self._is_measured = True
        if self._early_ms is None and (is_sealed or live.count >= 2 * rules.minimum_values):
            self._early_ms = live.end_ms
        if not is_sealed:
            self._provisional = _profile(live, rules)
            return
        of, own = self.law.reference, _profile(live, rules)
        self._provisional = None
        for name in sorted(live.frozen.names):
            if of.valued(name) < rules.minimum_values <= live.valued(name):
                self._late[name] = own
                self._late_laws |= {name}
        self.unsettled.clear()
        self._live = own.traffic
        self.law = self._law(of, rules)

    def is_sealed(self, profile: Profile) -> bool:
        """Whether it is the law, or that of a late feature."""
        return profile is self.law or any(self._late[n] is profile for n in self._late_laws)

    def may_tell(self, one: Watched) -> bool:
        """Before a reference knows the hours, whatever comes and goes with them would be a change:
        with a season, only what is wrong whatever the value is told until it is sealed."""
        return one.unit.measure in ANYTIME or self.knows_hours(one.profile)

    def may_tell_now(
        self, one: Watched, span: Span, course: Callable[[int], Course | None]
    ) -> bool:
        """The same of a change that is found now, which is told then."""
        if not self.may_tell(one) or self.is_sealed(one.profile):
            return self.may_tell(one)
        return self.unsettled.may_tell(one.key, span, course)

    def is_mute(self, one: Watched) -> bool:
        """Whether nothing more is told of it until its reference is sealed."""
        return not self.is_sealed(one.profile) and self.unsettled.is_mute(one.key)

    def knows_hours(self, profile: Profile) -> bool:
        """If there are any."""
        return not self.has_season or self.is_sealed(profile)

    def lacks(self, name: str, rules: Rules) -> bool:
        """Whether the law is silent about this feature, or nearly."""
        if self.law is None or name in self._late_laws:
            return False
        return self.law.reference.valued(name) < rules.minimum_values

    @property
    def may_bridge(self) -> bool:
        """Whether a feature that comes now has a provisional standard of its own, until the next
        reference of all knows it."""
        return self.has_begun and not self.is_deployed

    def bridged(self, rules: Rules) -> list[str]:
        """Features that the latest reference of all knows now: they need none of their own."""
        latest = self.law if self._provisional is None else self._provisional
        if latest is None or self.is_deployed:
            return []
        fewest, known = rules.minimum_values, latest.reference
        mine = [name for name in self._late if name not in self._late_laws]
        done = [name for name in mine if known.valued(name) >= fewest]
        for name in done:
            del self._late[name]
        return done

    def use(self, rules: Rules) -> None:
        """What is known well enough is for the rules to say. `arrange` anew must follow."""
        if self.law is not None:
            self.law = self._law(self.law.reference, rules)
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
        firing, calm = list(watch.firing), watch.calm()
        features = list(self._features(numeric))
        sealed = {f.profile for f in features if self.is_sealed(f.profile)}
        wanted = self._wanted(features, rules)
        taus = Taus(watch, recent, rules)
        if self.law is None:
            taus.ask_all([(unit, f.profile, f.numeric) for f, unit in wanted])

        def keep(key: Key, feature: Feature) -> Watched | None:
            known = watch.watched.get(key)
            if known is None or anew or known.numeric != feature.numeric:
                return None
            if known.profile is feature.profile:
                return None if is_outdated(known, feature) else known
            if feature.profile in sealed or key in calm:
                return None
            if key in watch.firing:
                return known  # an alert is not disturbed by what is only provisional
            # nor are its beginnings, unless that has made known that values are worth less
            now = tau(feature, known.unit)
            return known.dependent(now) if max(now) > _GROWN * max(known.tau) else known

        def tau(feature: Feature, unit: Unit) -> tuple[float, ...]:
            # with a season values depend by the hour, which says nothing of what is wrong at any
            is_told = self.has_season and unit.measure in ANYTIME
            if feature.profile not in sealed and not is_told:
                if self.law is None and feature.late is not None:
                    return taus.of_new(feature, unit, _UNMEASURED)
                return taus.of_provisional(feature, unit)
            is_law = feature.profile is self.law
            unmeasured = _UNMEASURED if is_law and self._is_settling else 1.0
            return taus.of(feature, unit, unmeasured, is_live=self.is_deployed)

        def is_outdated(known: Watched, feature: Feature) -> bool:
            """Live predictions have said since how much its values depend."""
            is_of_law = feature.profile is self.law
            if not (self._is_measured and is_of_law) or known.key in watch.firing:
                return False
            is_first = max(known.tau) >= _UNMEASURED
            is_free = is_first or known.key in calm
            return is_free and tau(feature, known.unit) != known.tau

        ground = Ground(rules, self._model_id)
        planned = plan(wanted, self._kind, rules, self._model_id, ground=ground, keep=keep, tau=tau)
        watch.arrange(planned, ground.baselines)
        self._is_measured = False
        return [key for key in firing if key not in watch.firing]

    def _features(self, numeric: Mapping[str, bool]) -> Iterator[Feature]:
        places = self._places(numeric)
        for name, is_numeric in numeric.items():
            for profile in (self._late.get(name), self.law, self._provisional):
                if profile is not None and profile.reference.knows(name):
                    is_own = profile is self._late.get(name)
                    is_late = is_own or (self.law is not None and profile is not self.law)
                    yield Feature(name, is_numeric, profile, places[name] if is_late else None)
                    break

    def _places(self, names: Iterable[str]) -> dict[str, int]:
        """Of features that the law does not know, in the order in which they had a standard of
        their own, or else came: a place is never another one's as long as the law is in force."""
        law = self.law
        unknown = [] if law is None else [n for n in names if not law.reference.knows(n)]
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
        return [(unit, feature.numeric) for feature, unit in self._wanted(features, rules)]

    def _wanted(self, features: Iterable[Feature], rules: Rules) -> list[tuple[Feature, Unit]]:
        units = ((f, units_of(f, self._kind, rules, self._model_id)) for f in features)
        return [(f, unit) for f, of in units for unit in of]

    @property
    def traffic(self) -> tuple[int, int] | None:
        """Predictions and their ms: of the law, or of the provisional one."""
        profile = self.law or self._provisional
        return None if profile is None else profile.traffic

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to compare with, not even of a late feature."""
        return not (self.has_begun or self._late)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything to compare with."""
        return self.law is not None or self._provisional is not None

    def gathered(self, rules: Rules) -> int | None:
        """Rows of the provisional reference, if there is one; beside a law that was deployed as
        many are to come first."""
        if self._provisional is not None:
            return self._provisional.reference.count
        return rules.minimum_values if self._is_settling else None

    # -- state

    @property
    def provisional_id(self) -> str | None:
        return None if self._provisional is None else self._provisional.reference.id

    def of_deployed(self) -> dict[str, Any]:
        """Of what live predictions have said beside it."""
        return {"deployed": [self._live, self._early_ms]} if self.is_deployed else {}

    def restore_deployed(self, plain: Mapping[str, Any]) -> None:
        """Before the law is."""
        live, self._early_ms = plain.get("deployed", (None, None))
        self._live = None if live is None else (live[0], live[1])

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
                self._late_laws |= {name}
        if self.law is not None:
            profiles[self.law.reference.id] = self.law
        return profiles


def _profile(reference: Reference, rules: Rules) -> Profile:
    return Profile(reference, rules.minimum_values, rules.max_categories)
