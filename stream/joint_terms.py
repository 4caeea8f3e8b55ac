"""What contrasts between features are looked for, and on which terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.score_tilts import score_tilts
from detectors.tilts import Tilts
from stream.budget import WEIGHTS, false_alerts_per_prediction
from stream.joint_rows import JointRows, known_features
from stream.profile import Profile
from stream.rules import Rules
from stream.watched import Key

SERIES, MEASURE = "joint:features", "joint"
ENOUGH = 8_192  # rows from which ranks are, at last
AGAIN = 32  # rows at least, from a crossing to its being told
_HIGHEST_RATE = 0.01  # that thresholds are made for


@dataclass(frozen=True, slots=True)
class Terms:
    """What contrasts are looked for, and on which terms."""

    reference_id: str
    features: dict[str, bool]  # whether numeric
    pairs: int
    rows: int
    rate: float  # false alarms a row, of all contrasts together
    tau: float
    floor: float
    hours: int = 0  # of the season

    def to_plain(self) -> list[Any]:
        features = [[name, numeric] for name, numeric in self.features.items()]
        few = [self.pairs, self.rows, self.rate, self.tau, self.floor]
        few += [self.hours] if self.hours else []
        return [self.reference_id, features, *few]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> Terms:
        reference_id, features, *few = plain
        return cls(reference_id, dict(features), *few)


def joint_share(rules: Rules) -> float:
    """Of a model's budget."""
    return WEIGHTS["joint"] / rules.sources


def terms_of(
    law: Profile | None, numeric: Mapping[str, bool], taus: Mapping[Key, Iterable[float]],
    rules: Rules, model_id: str,
) -> Terms | None:  # fmt: skip
    """None: nothing is to be looked for."""
    if law is None or not rules.joint.enabled:
        return None
    features = known_features(law, numeric)
    if not features:
        return None
    reference, rule = law.reference, rules.joint
    budget = rules.budget_of(model_id)
    rate = joint_share(rules) * false_alerts_per_prediction(budget, *law.traffic)
    # products and sums of series depend no longer than the series that they are made of
    of_features = [
        max(of)
        for (name, measure), of in taus.items()
        if name in features and measure == ("shift" if features[name] else "shape")
    ]
    tau = max(of_features, default=1.0)
    floor = rules.floors_of(model_id).joint
    rate = min(rate, _HIGHEST_RATE)
    hours = max((len(season.mean) for season in reference.seasons.values()), default=0)
    return Terms(reference.id, features, rule.pairs, rule.rows, rate, tau, floor, hours)


def tilts_of(terms: Terms, rows: JointRows, taus: NDArray[np.float64]) -> Tilts:
    """Of all contrasts, without those tilts that only a larger reference has a use for."""
    known = np.maximum(rows.known, 1)
    rate = terms.rate / len(known)
    scores = rows.joint.ranks()
    tilts = score_tilts(known, rate=rate, tau=taus, floor=terms.floor, scores=scores)
    most = score_tilts([4 * ENOUGH], rate=rate, tau=float(taus.min()), floor=terms.floor)
    used = most.theta[0] != 0.0
    names = ("gain", "cost", "threshold", "theta")
    return replace(tilts, **{name: getattr(tilts, name)[:, used] for name in names})
