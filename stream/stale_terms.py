"""How long a run of one value is none by chance, and when its share is usual again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from detectors.effects import rate_difference
from detectors.run_length import FEWEST, statistic, threshold
from detectors.tilts import DOUBT
from stream.budget import WEIGHTS, false_alerts_per_prediction
from stream.columns import FEATURE
from stream.constant import Usual
from stream.firing import Standing
from stream.profile import Profile
from stream.rules import Rules
from stream.unit_effects import SURE
from stream.units import FAULTS, Measure
from stream.watched import Key, Watched

MEASURE: Measure = "stale"
_OF_FEATURES: tuple[Measure, ...] = ("shift", "shape", *FAULTS)
EVERY = 64  # rows between two looks


@dataclass(frozen=True, slots=True)
class Terms:
    """On which the runs of a feature are judged."""

    profile: Profile
    tau: float
    threshold: float  # nats
    floor: float  # of the share of one value

    def share_of(self, usual: Usual | None, count: int) -> float | None:
        """Of a value in the reference, at most; None: so many in a row are none to wonder about."""
        share = self._share(usual)
        if share is None or count < FEWEST:
            return None
        return share if self.statistic(count, share) >= self.threshold else None

    def can_tell(self, usual: Usual | None) -> bool:
        """Whether a run of it is one to wonder about, if it is long enough."""
        return self._share(usual) is not None

    def _share(self, usual: Usual | None) -> float | None:
        share = None if usual is None else usual.share_at_most
        return None if share is None or 1.0 - share < self.floor else share

    def statistic(self, count: int, share: float) -> float:
        return statistic(count, share, tau=self.tau)


def terms_of(
    name: str, watched: Mapping[Key, Watched], share: float, rules: Rules, model_id: str
) -> Terms | None:
    """For this share of the model's budget; None: the feature is not watched."""
    of_it = [one for measure in _OF_FEATURES if (one := watched.get((name, measure))) is not None]
    if not of_it:
        return None
    traffic = of_it[0].profile.traffic
    rate = share * false_alerts_per_prediction(rules.budget_of(model_id), *traffic)
    tau, floor = max(max(one.tau) for one in of_it), rules.floors_of(model_id).shape_of(name)
    return Terms(of_it[0].profile, tau, threshold(rate, EVERY), floor)


def stale_share(watched: Mapping[Key, Watched], rules: Rules) -> float:
    """Of a model's budget, for each feature."""
    features = {name for name, _ in watched if name.startswith(FEATURE)}
    return WEIGHTS["stale"] / max(len(features), 1) / rules.sources


def standing(terms: Terms, usual: Usual, same: int, values: int, looks: float) -> Standing:
    """Of a feature that is stuck: `same` of so many values since are the one. Fewer than in the
    reference are for drifts to tell."""
    count = min(usual.count, usual.values)
    now = rate_difference(
        same, values, count, usual.values, tau=terms.tau, level=SURE, anytime=looks
    )
    if now.low > terms.floor:
        return "ill"
    share = (count + 0.5) / (usual.values + 1.0)
    least = DOUBT * math.sqrt(share * (1.0 - share) * terms.tau / usual.values)
    room = max(min(least, 0.5 * (1.0 - share)), terms.floor)
    return "well" if now.high <= room else "open"
