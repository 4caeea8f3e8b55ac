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

Purse = Literal["performance", "quality", "features", "prediction", "joint", "stale", "expected"]
"""What a series is paid from, if it was there when the others were."""

WEIGHTS: dict[Purse | Literal["reserve"], float] = {
    "performance": 0.30,  # errors, losses
    "quality": 0.25,  # nulls, absences, wrong types, ranges, unseen categories
    "features": 0.25,  # means and shapes of the inputs
    "prediction": 0.15,  # of what the model says, and how fast
    "joint": 0.02,  # what goes together with what
    "stale": 0.01,  # features that have stopped varying
    "reserve": 0.02,  # all that is below
}

LATE, LATE_JUDGED = 0.015, 0.002
"""Of the reserve, for features that come when the others have their reference, and for measures of
outcomes that do."""
EXPECTED = 0.002
"""What expected errors are held to: it tells nothing by itself."""
DECLARED = 0.0005
"""Of what owners declared acceptable of judged predictions: each objective an equal part."""
COMPARED = 0.0001
"""What is compared between roles, which needs little."""
TRAFFIC, OBJECTIVES = 0.00003, 0.000005
"""Of how many predictions come, and of latency objectives."""

_ITEMS = 5  # of one feature at most: its values, and four kinds of faults


def false_alerts_per_prediction(rule: BudgetRule, predictions: int, span_ms: int) -> float:
    """The stricter of one in so many predictions and one in so much time, at the traffic of so
    many predictions in `span_ms` (both at least 1)."""
    per_ms = predictions / max(span_ms, 1)
    return min(1.0 / rule.predictions, 1.0 / (rule.span_ms * per_ms))


def shares(purses: Iterable[Purse]) -> list[float]:
    """The share of the model's budget of each item, in the order given: the items of a purse have
    equal parts."""
    asked = list(purses)
    count = Counter(asked)
    return [(EXPECTED if of == "expected" else WEIGHTS[of]) / count[of] for of in asked]


def late_share(place: int, *, judged: bool) -> float:
    """Of each item of the feature that came late as the one in this place, from 1 on: it never
    changes, and there is always something left, because 6 / (π k)² of all places add up to 1."""
    return (LATE_JUDGED if judged else LATE) * 6.0 / (math.pi * place) ** 2 / _ITEMS
