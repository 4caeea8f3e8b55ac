"""A unit, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from detectors.rank_scores import RankScores
from stream.budget import false_alerts_per_prediction
from stream.judgement import is_of_class
from stream.profile import Profile
from stream.rules import Rules
from stream.unit_tilts import Baseline, Terms, baseline_of, floor_of
from stream.units import Key, Unit

__all__ = ["Key", "Watched", "watched"]


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    unit: Unit
    profile: Profile
    numeric: bool
    share: float  # of the model's budget
    baseline: Baseline
    floor: float
    rate: float  # false alarms per value
    ranks: RankScores | None
    tau: tuple[float, ...] = (1.0,)
    proven: bool = False  # under an e-detector, not the bank

    @property
    def key(self) -> Key:
        return self.unit.key

    @property
    def terms(self) -> Terms:
        """Made anew for who asks."""
        return Terms(self.unit, self.baseline, self.floor, self.rate, self.ranks, self.tau)


def watched(
    unit: Unit,
    profile: Profile,
    *,
    numeric: bool,
    share: float,
    tau: tuple[float, ...],
    rules: Rules,
    model: str,
) -> Watched:
    """Compared with this reference, for this share of the model's budget."""
    reference = profile.reference
    rate = share * false_alerts_per_prediction(rules.budget_of(model), *profile.traffic)
    baseline = baseline_of(unit, profile, numeric=numeric)
    if is_of_class(unit.name):  # counted in what is of the class: those are so many fewer
        rate *= reference.count / max(int(baseline.n[0]), 1)
    floor = floor_of(unit, rules.floors_of(model), rules.rates, baseline)
    numbers = profile.number(unit.name) if unit.measure == "shift" else None
    has_season = profile.season(unit.name) is not None
    ranks = None if numbers is None or has_season else numbers.scores
    return Watched(
        unit=unit,
        profile=profile,
        numeric=numeric,
        share=_same(share),
        baseline=baseline,
        floor=_same(floor),
        rate=_same(rate),
        ranks=ranks,
        tau=tau,
        proven=rules.is_proven(model) and unit.is_rate,
    )


@lru_cache(maxsize=256, typed=True)
def _same(number: float) -> float:
    """Most units have the terms of others."""
    return number
