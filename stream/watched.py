"""A unit, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from stream.budget import false_alerts_per_prediction
from stream.judgement import is_of_class
from stream.profile import Profile
from stream.rules import Rules
from stream.unit_tilts import Terms, baseline_of, floor_of
from stream.units import Measure, Unit

Key = tuple[str, Measure]


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    unit: Unit
    profile: Profile
    numeric: bool
    share: float  # of the model's budget
    terms: Terms
    proven: bool = False  # under an e-detector, not the bank

    @property
    def key(self) -> Key:
        return self.unit.name, self.unit.measure


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
    terms = Terms(unit, baseline, floor, rate, ranks, tau)
    return Watched(unit, profile, numeric, share, terms, rules.is_proven(model) and unit.is_rate)
