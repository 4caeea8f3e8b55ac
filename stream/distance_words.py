"""A distance beyond its owner's threshold, in the words of an alert."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import msgspec

from stream.distance_watch import DistanceTold
from stream.times import iso
from stream.verdicts import NO_IMPACT, Context

_SHOWN = {
    "psi": "PSI",
    "ks": "Kolmogorov-Smirnov distance",
    "jensen_shannon": "Jensen-Shannon distance",
    "wasserstein": "Wasserstein distance in standard deviations",
    "chi2": "p of chi²",
}


def describe_distance(context: Context, told: DistanceTold, end_ms: int) -> dict[str, Any]:
    """The fields of an alert; the caller adds reference and evidence."""
    _, kind, severity, action = context.facts
    name, value = told.key[1], told.value
    assert value is not None
    rule = asdict(context.rules.thresholds_of(context.group[0]))
    params = msgspec.json.encode(rule, order="deterministic")
    series = context.series.partition(":")[2]
    below = name == "chi2"
    return {
        "alertname": context.alertname,
        "kind": kind,
        "severity": "warning" if kind == "feature_drift" else severity,
        "recommended_action": action,
        "feature": context.feature,
        "detector": {
            "name": name,
            "params_hash": hashlib.sha256(params).hexdigest()[:12],
            "statistic": value,
            "threshold": told.threshold,
            "budget_share": 0.0,
            "direction": "down" if below else "up",
        },
        "window": {"start": iso(told.since_ms), "end": iso(end_ms), "count": told.rows},
        "effect": {
            "estimate": value,
            "low": max(value - told.chance, 0.0),
            "high": value + told.chance,
            "floor": told.threshold,
            "change_at": iso(told.since_ms),
        },
        "change_at_ms": told.since_ms,
        "impact": dict(NO_IMPACT),
        "summary": f"{context.who}: {_SHOWN[name]} of {series} is {value:.3g}, its threshold "
        f"{told.threshold:.3g}",
    }
