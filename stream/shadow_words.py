"""What a shadow does otherwise than its champion, in the words of an alert."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import msgspec

from detectors.effects import rate_difference
from stream.columns import FEATURE, Group
from stream.events import Kind
from stream.monitor_told import MonitorFinding
from stream.rules import Rules
from stream.shadow_watch import Counted, ShadowTold, What
from stream.times import iso
from stream.verdicts import NO_IMPACT

_NAMES: dict[What, tuple[str, Kind]] = {
    "missing": ("ShadowMissing", "version"),
    "slower": ("ShadowSlower", "version"),
    "absent": ("ShadowLacksFeature", "schema"),
    "type_error": ("ShadowTypeErrors", "schema"),
}


def describe_shadow(told: ShadowTold, group: Group, rules: Rules) -> MonitorFinding:
    """As a finding of its series."""
    what, feature = told.fault
    name, kind = _NAMES[what]
    series = f"shadow:{what}:{feature}" if feature else f"shadow:{what}"
    if told.counted is None:
        return MonitorFinding(told.end_ms, series, name, None, "quiet")
    x, n, x0, n0 = told.counted.x, told.counted.n, told.counted.x0, told.counted.n0
    effect = rate_difference(x, n, x0, n0)
    rule = asdict(rules.shadow_of(group[0]))
    params = msgspec.json.encode(rule, order="deterministic")
    detail: dict[str, Any] = {
        "alertname": name,
        "kind": kind,
        "severity": "warning",
        "recommended_action": "fix_pipeline",
        "feature": feature.removeprefix(FEATURE) or None,
        "detector": {
            "name": "limit_detector",
            "params_hash": hashlib.sha256(params).hexdigest()[:12],
            "statistic": told.statistic,
            "threshold": told.threshold,
            "budget_share": told.share,
            "direction": "up",
        },
        "window": {"start": iso(told.since_ms), "end": iso(told.end_ms), "count": n},
        "effect": {
            "estimate": float(effect.estimate),
            "low": float(effect.low),
            "high": float(effect.high),
            "floor": told.limit,
            "change_at": iso(told.since_ms),
        },
        "change_at_ms": told.since_ms,
        "impact": dict(NO_IMPACT),
        "summary": f"{group[0]} v{group[1]} ({group[2]}): {_found(told, told.counted)}",
        "reference": {"id": f"champion:{iso(told.since_ms)}", "count": n0},
        "evidence": {
            "current": {"share": _short(x / n), "predictions": told.rows[1]},
            "reference": {"share": _short(x0 / n0), "predictions": told.rows[0]},
        },
    }
    if what == "slower":
        detail["evidence"]["current"]["slow_ms"] = _short(told.slow_ms)
    return MonitorFinding(told.end_ms, series, name, detail)


def _found(told: ShadowTold, counted: Counted) -> str:
    what, feature = told.fault
    share = f"{100 * counted.x / counted.n:.3g} %"
    feature = feature.removeprefix(FEATURE)
    match what:
        case "missing":
            return f"{share} of the champion's {counted.n} predictions had none of it"
        case "slower":
            usual = f"{100 * counted.x0 / counted.n0:.3g} %"
            return (
                f"{share} of its answers took longer than {told.slow_ms:.3g} ms, "
                f"of the champion's {usual}"
            )
        case "absent":
            return f"{feature}, which the champion has, lacks a value in {share} of its predictions"
        case "type_error":
            return f"{feature} has another type than the champion's in {share} of its predictions"


def _short(value: float) -> float:
    return float(f"{value:.6g}")
