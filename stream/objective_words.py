"""A latency objective that is missed, in the words of an alert."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from detectors.confidence_sequence import Between
from stream.alert_fields import Z95, Detected, Span, alert_fields, params_hash
from stream.budget import OBJECTIVES
from stream.objective_watch import ObjectiveTold
from stream.rules import LatencyRule
from stream.verdicts import Context


def describe_objective(context: Context, told: ObjectiveTold, rule: LatencyRule) -> dict[str, Any]:
    """The fields of an alert."""
    bounds = {name: bound for name, _, bound in rule.objectives}
    allowed = next(
        round(1.0 - share, 9) for name, share, _ in rule.objectives if name == told.missed[0]
    )
    spread = Z95 * math.sqrt(told.share * (1.0 - told.share) / told.count)
    more = told.share - allowed
    took = {name: float(f"{value:.4g}") for name, value in told.took.items()}
    return alert_fields(
        context.facts,
        f"{context.who}: {_found(told, bounds, took)}",
        detected=Detected(
            name="objective",
            params_hash=params_hash(asdict(rule)),
            statistic=told.statistic,
            threshold=told.threshold,
            budget_share=OBJECTIVES / context.rules.sources,
        ),
        span=Span(told.since_ms, told.until_ms, told.count),
        effect=Between(more, max(more - spread, -allowed), more + spread),
        floor=allowed,
        reference=("objective", 0),
        evidence={
            "current": {**took, "count": told.count, "missed": list(told.missed)},
            "reference": bounds,
        },
    )


def _found(told: ObjectiveTold, bounds: dict[str, float], took: dict[str, float]) -> str:
    of = [f"{name} took {took[name]:.4g} ms of {bounds[name]:.4g} ms" for name in told.missed]
    return f"answers are slower than promised: {', '.join(of)}"
