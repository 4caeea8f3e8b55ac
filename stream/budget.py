"""How many false alerts a model may raise, and how they are split over what is watched.

Rates of false alerts add under any dependence, so weights that add to 1 keep the whole model within
its budget (Bonferroni on rates). The weights are fixed by rule, never by data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from stream.rules import BudgetRule

Purse = Literal["performance", "quality", "features", "prediction", "joint", "stale", "reserve"]
"""What a series is paid from."""

_ITEMS = 5  # of one feature: its values, and four kinds of faults
WEIGHTS: dict[Purse, float] = {
    "performance": 0.30,  # errors, losses
    "quality": 0.25,  # nulls, absences, wrong types, ranges, unseen categories
    "features": 0.25,  # means and shapes of the inputs
    "prediction": 0.15,  # of what the model says, and how fast
    "joint": 0.02,  # what goes together with what
    "stale": 0.01,  # features that have stopped varying
    "reserve": 0.02,  # series that came after the others
}

TRAFFIC, OBJECTIVES = 0.00003, 0.000005
"""Of how many predictions come, and of latency objectives: what the reserve keeps back after its
347th item; there are at most 64 late features, with five items each."""


def false_alerts_per_prediction(rule: BudgetRule, predictions: int, span_ms: int) -> float:
    """The stricter of one in so many predictions and one in so much time, at the traffic of so
    many predictions in `span_ms` (both at least 1)."""
    per_ms = predictions / max(span_ms, 1)
    return min(1.0 / rule.predictions, 1.0 / (rule.span_ms * per_ms))


def shares(purses: Iterable[Purse]) -> list[float]:
    """The share of the model's budget of each item, in the order given: the items of a purse have
    equal parts, and the k-th that lives on the reserve has 6 / (π k)² of it, so that there is
    always something left."""
    asked = list(purses)
    count = Counter(asked)
    found, late = [], 0
    for purse in asked:
        if purse == "reserve":
            late += 1
            found.append(WEIGHTS[purse] * 6.0 / (math.pi * late) ** 2)
        else:
            found.append(WEIGHTS[purse] / count[purse])
    return found


def unspendable(max_features: int) -> float:
    """What of the reserve no series can ever ask for: it pays for what is compared between roles,
    which needs little."""
    asking = _ITEMS * max_features + 1  # of late features, and what expected errors are held to
    return WEIGHTS["reserve"] * 6.0 / (math.pi**2 * (asking + 1))
