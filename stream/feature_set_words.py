"""A new version of a feature set, in the words of an alert."""

from __future__ import annotations

from typing import Any

from stream.feature_sets import FeatureSetTold
from stream.times import iso
from stream.verdicts import NO_IMPACT, Context


def describe_feature_set(context: Context, told: FeatureSetTold, end_ms: int) -> dict[str, Any]:
    """The fields of an alert. It is a fact, no estimate."""
    alertname, kind, severity, action = context.facts
    before = ", ".join(told.before[-3:])
    return {
        "alertname": alertname,
        "kind": kind,
        "severity": severity,
        "recommended_action": action,
        "feature": None,
        "detector": {
            "name": "first_seen",
            "params_hash": context.params_hash,
            "statistic": 1.0,
            "threshold": 1.0,
            "budget_share": 0.0,
            "direction": "up",
        },
        "window": {"start": iso(told.since_ms), "end": iso(end_ms), "count": told.count},
        "effect": {
            "estimate": 1.0,
            "low": 1.0,
            "high": 1.0,
            "floor": 1.0,
            "change_at": iso(told.since_ms),
        },
        "change_at_ms": told.since_ms,
        "impact": dict(NO_IMPACT),
        "reference": {"id": "feature_sets", "count": len(told.before)},
        "evidence": {
            "current": {"feature_set": told.name},
            "reference": {"feature_sets": list(told.before)},
        },
        "summary": f"{context.who}: features come from {told.name}, so far from {before}",
    }
