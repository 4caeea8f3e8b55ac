"""What is watched of judged predictions: errors, losses, classes, costs, calibration, coverage."""

from __future__ import annotations

from stream.estimated_error import ERROR, TWIN, largest_of
from stream.judgement import COST, DELAY, SCORE_FALSE, SCORE_TRUE, is_of_class
from stream.profile import Profile
from stream.rules import ModelRule
from stream.units import Measure, Unit

CALIBRATION, BRIER = "outcome:calibration", "outcome:brier"
_BY_NAME: dict[str, Measure] = {
    "outcome:error": "rate",
    BRIER: "shift",
    "outcome:absolute_error": "shift",
    DELAY: "unlabelled",
    COST: "mean",
}
"""The other measures are evidence."""


def judged_units(name: str, profile: Profile, rule: ModelRule, *, proven: bool) -> list[Unit]:
    """Of one measure of a cohort; calibration goes with the first of its two columns. `proven`:
    a loss that is bounded is watched as it is, not by its ranks."""
    if name in {SCORE_TRUE, SCORE_FALSE}:
        known = [n for n in (SCORE_FALSE, SCORE_TRUE) if profile.reference.feature(n) is not None]
        of = profile.reliability()
        if of is None or name != known[0]:
            return []
        units = [Unit.of(CALIBRATION, "calibration", of.bins)]
        if profile.reference.feature(ERROR) is not None:
            units.append(Unit.of(TWIN, "estimate", 2, largest_of(profile.reference)))
        return units
    measure = "rate" if is_of_class(name) else _BY_NAME.get(name)
    if measure is None or profile.number(name) is None:
        return []
    if name == BRIER and proven:
        return [Unit.of(name, "mean")]
    if measure == "mean":
        return [Unit.of(name, measure, 1, largest_cost(rule))]
    return [Unit.of(name, measure)]


def largest_cost(rule: ModelRule) -> float:
    return max((cost for _, _, cost in rule.costs), default=1.0) or 1.0
