"""A new version of a feature set, in the words of an alert."""

from __future__ import annotations

from typing import Any

from stream.feature_sets import NewSet
from stream.times import iso
from stream.verdicts import NO_IMPACT, Context


def describe_feature_set(context: Context, new: NewSet) -> dict[str, Any]:
    """The fields of an alert. It is a fact, no estimate."""
    alertname, kind, severity, action = context.facts
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
        "window": {"start": iso(new.since_ms), "end": iso(new.found_ms), "count": new.count},
        "effect": {
            "estimate": 1.0,
            "low": 1.0,
            "high": 1.0,
            "floor": 1.0,
            "change_at": iso(new.since_ms),
        },
        "change_at_ms": new.since_ms,
        "impact": dict(NO_IMPACT),
        "reference": {"id": "feature_sets", "count": len(new.before)},
        "evidence": {
            "current": {"feature_set": new.name},
            "reference": {"feature_set": new.former, "feature_sets": list(new.before)},
        },
        "summary": f"{context.who}: features come from {new.name}, before from {new.former}",
    }
