"""A unit, and what it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from detectors.rank_scores import RankScores
from stream.budget import false_alerts_per_prediction
from stream.judgement import is_of_class
from stream.profile import Profile
from stream.rules import Rules
from stream.unit_columns import UnitColumns, columns_of
from stream.unit_tilts import Baseline, Terms, baseline_of, floor_of
from stream.units import Key, Unit

__all__ = ["Ground", "Key", "Stake", "Watched", "WatchedUnits", "watched"]


@dataclass(frozen=True, slots=True)
class Stake:
    """How a unit is watched, whatever it is of: most of a group have that of others."""

    numeric: bool
    share: float  # of the model's budget
    floor: float
    rate: float  # false alarms per value
    tau: tuple[float, ...] = (1.0,)
    proven: bool = False  # under an e-detector, not the bank


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """Made when it is asked for; what it is compared with follows from the profile."""

    unit: Unit
    profile: Profile
    stake: Stake

    @property
    def key(self) -> Key:
        return self.unit.key

    @property
    def numeric(self) -> bool:
        return self.stake.numeric

    @property
    def share(self) -> float:
        return self.stake.share

    @property
    def floor(self) -> float:
        return self.stake.floor

    @property
    def tau(self) -> tuple[float, ...]:
        return self.stake.tau

    @property
    def baseline(self) -> Baseline:
        return baseline_of(self.unit, self.profile, numeric=self.numeric)

    @property
    def ranks(self) -> RankScores | None:
        """What gave the ranks of a shift, unless they know the hours."""
        name = self.unit.name
        if self.unit.measure != "shift" or self.profile.season(name) is not None:
            return None
        numbers = self.profile.number(name)
        return None if numbers is None else numbers.scores

    @property
    def terms(self) -> Terms:
        """Made anew for who asks."""
        return self.terms_by(self.baseline)

    def terms_by(self, baseline: Baseline) -> Terms:
        """Those compared with this."""
        stake = self.stake
        return Terms(self.unit, baseline, stake.floor, stake.rate, self.ranks, stake.tau)

    def dependent(self, tau: tuple[float, ...]) -> Watched:
        """The same, of values that depend so much: another one, that begins anew."""
        return Watched(self.unit, self.profile, replace(self.stake, tau=tau))


class WatchedUnits(Mapping[Key, Watched]):
    """In order, without an object for each."""

    __slots__ = ("_profiles", "_stakes", "columns")

    def __init__(self, units: Iterable[Watched] = ()) -> None:
        of = {one.key: one for one in units}.values()
        self.columns: UnitColumns = columns_of(*(one.unit for one in of))
        alike: dict[Stake, Stake] = {}
        self._stakes = tuple(alike.setdefault(one.stake, one.stake) for one in of)
        profiles = tuple(one.profile for one in of)
        is_one = all(profile is profiles[0] for profile in profiles)
        self._profiles = profiles[:1] if is_one else profiles

    def _at(self, place: int) -> Watched:
        return Watched(self.columns.units[place], self._profile(place), self._stakes[place])

    def _profile(self, place: int) -> Profile:
        return self._profiles[place if len(self._profiles) > 1 else 0]

    def __getitem__(self, key: Key) -> Watched:
        return self._at(self.columns.place(key))

    def __contains__(self, key: object) -> bool:
        return key in self.columns

    def __iter__(self) -> Iterator[Key]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self._stakes)

    @property
    def taus(self) -> dict[Key, tuple[float, ...]]:
        """How much the values of each depend."""
        of = zip(self.columns.in_order, self._stakes, strict=True)
        return {key: stake.tau for key, stake in of}

    def unit(self, key: Key) -> Unit:
        return self.columns.units[self.columns.place(key)]

    def has(self, one: Watched) -> bool:
        """Whether this is the very one watched here, not one made anew, be it on equal terms."""
        if one.key not in self.columns:
            return False
        place = self.columns.place(one.key)
        return self._stakes[place] is one.stake and self._profile(place) is one.profile


class Ground:
    """What the rules say of all units of a model, looked up once."""

    def __init__(self, rules: Rules, model: str) -> None:
        self.floors, self.rates = rules.floors_of(model), rules.rates
        self.is_proven = rules.is_proven(model)
        self._budget = rules.budget_of(model)
        self._rate: dict[tuple[int, int], float] = {}
        self.baselines: dict[int, Baseline] = {}  # that floors followed from, by what was made

    def rate(self, profile: Profile) -> float:
        """False alerts a prediction."""
        traffic = profile.traffic
        rate = self._rate.get(traffic)
        if rate is None:
            rate = self._rate[traffic] = false_alerts_per_prediction(self._budget, *traffic)
        return rate


def watched(
    unit: Unit,
    profile: Profile,
    ground: Ground,
    *,
    numeric: bool,
    share: float,
    tau: tuple[float, ...],
) -> Watched:
    """Compared with this reference, for this share of the model's budget."""
    rate = share * ground.rate(profile)
    made: list[Baseline] = []

    def baseline() -> Baseline:
        if not made:
            made.append(baseline_of(unit, profile, numeric=numeric))
        return made[0]

    if is_of_class(unit.name):  # counted in what is of the class: those are so many fewer
        rate *= profile.reference.count / max(int(baseline().n[0]), 1)
    floor = floor_of(unit, ground.floors, ground.rates, baseline)
    proven = ground.is_proven and unit.is_rate
    one = Watched(unit, profile, Stake(numeric, share, floor, rate, tau, proven))
    if made:
        ground.baselines[id(one)] = made[0]
    return one
