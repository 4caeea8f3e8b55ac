"""A latency objective that is missed, in the words of an alert."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict
from typing import Any

import msgspec

from stream.budget import OBJECTIVES
from stream.objective_watch import ObjectiveTold
from stream.rules import LatencyRule
from stream.times import iso
from stream.verdicts import NO_IMPACT, Context

_Z95 = 1.959963984540054


def describe_objective(context: Context, told: ObjectiveTold, rule: LatencyRule) -> dict[str, Any]:
    """The fields of an alert."""
    alertname, kind, severity, action = context.facts
    bounds = {name: bound for name, _, bound in rule.objectives}
    allowed = next(
        round(1.0 - share, 9) for name, share, _ in rule.objectives if name == told.missed[0]
    )
    spread = _Z95 * math.sqrt(told.share * (1.0 - told.share) / told.count)
    took = {name: float(f"{value:.4g}") for name, value in told.took.items()}
    params = msgspec.json.encode(asdict(rule), order="deterministic")
    return {
        "alertname": alertname,
        "kind": kind,
        "severity": severity,
        "recommended_action": action,
        "feature": None,
        "detector": {
            "name": "objective",
            "params_hash": hashlib.sha256(params).hexdigest()[:12],
            "statistic": told.statistic,
            "threshold": told.threshold,
            "budget_share": OBJECTIVES / context.rules.sources,
            "direction": "up",
        },
        "window": {"start": iso(told.since_ms), "end": iso(told.until_ms), "count": told.count},
        "effect": {
            "estimate": told.share - allowed,
            "low": max(told.share - allowed - spread, -allowed),
            "high": told.share - allowed + spread,
            "floor": allowed,
            "change_at": iso(told.since_ms),
        },
        "change_at_ms": told.since_ms,
        "impact": dict(NO_IMPACT),
        "reference": {"id": "objective", "count": 0},
        "evidence": {
            "current": {**took, "count": told.count, "missed": list(told.missed)},
            "reference": bounds,
        },
        "summary": f"{context.who}: {_found(told, bounds, took)}",
    }


def _found(told: ObjectiveTold, bounds: dict[str, float], took: dict[str, float]) -> str:
    of = [f"{name} took {took[name]:.4g} ms of {bounds[name]:.4g} ms" for name in told.missed]
    return f"answers are slower than promised: {', '.join(of)}"
