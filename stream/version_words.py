"""A version that is worse than the one before it, in the words of an alert."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import msgspec

from stream.columns import Group
from stream.monitor_told import MonitorFinding
from stream.times import iso
from stream.verdicts import NO_IMPACT
from stream.version_watch import VersionTold, VersionWatch

_SERIES, _NAME = "outcome:version", "VersionWorse"


def quiet_version(end_ms: int, because: str = "") -> MonitorFinding:
    return MonitorFinding(end_ms, _SERIES, _NAME, None, "quiet", because)


def describe_version(told: VersionTold, watch: VersionWatch, group: Group) -> MonitorFinding:
    if not told.is_worse:
        return quiet_version(told.end_ms)
    rule, between, count = watch.rule, told.between, int(told.own.n)
    means = [_short(of.x / of.n) for of in (told.own, told.other)]
    since = "its reference" if told.reference_id else "the same hours"
    params = msgspec.json.encode(asdict(rule), order="deterministic")
    detail: dict[str, Any] = {
        "alertname": _NAME,
        "kind": "performance",
        "severity": "error",
        "recommended_action": "rollback",
        "feature": None,
        "detector": {
            "name": "looks",
            "params_hash": hashlib.sha256(params).hexdigest()[:12],
            "statistic": between.low,
            "threshold": rule.margin,
            "budget_share": 0.0,
            "direction": "up",
        },
        "window": {"start": iso(told.since_ms), "end": iso(told.end_ms), "count": count},
        "effect": {
            "estimate": between.estimate,
            "low": between.low,
            "high": between.high,
            "floor": rule.margin,
            "change_at": iso(told.since_ms),
        },
        "change_at_ms": told.since_ms,
        "impact": {**NO_IMPACT, "metric": rule.metric, "value": means[0], "reference": means[1]},
        "summary": f"{group[0]} v{group[1]}: {rule.metric} is {means[0]:.3g}, of v{watch.target} "
        f"in {since} {means[1]:.3g}: go back to v{watch.target}",
        "reference": {
            "id": told.reference_id or f"v{watch.target}:{iso(told.since_ms)}",
            "count": int(told.other.n),
        },
        "evidence": {
            "current": {"version": group[1], "mean": means[0], "judged": count},
            "reference": {
                "version": watch.target,
                "mean": means[1],
                "judged": int(told.other.n),
                "same_hours": not told.reference_id,
            },
        },
    }
    return MonitorFinding(told.end_ms, _SERIES, _NAME, detail)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
