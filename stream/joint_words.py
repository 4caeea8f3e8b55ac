"""What no longer goes together, in the words of an alert."""

from __future__ import annotations

from typing import Any

from stream.joint_rows import called
from stream.joint_watch import JointTold
from stream.times import iso
from stream.verdicts import LARGE_SHIFT, NO_IMPACT, Context


def describe_joint(
    context: Context,
    told: JointTold,
    end_ms: int,
    correlations: tuple[dict[str, float], dict[str, float]],
) -> dict[str, Any]:
    """The fields of an alert of features that no longer go together as they did."""
    crossing, effect = told.crossing, told.effect
    assert crossing is not None
    assert effect is not None
    name, kind, _, action = context.facts
    pair = called(told.names) if len(told.names) == 2 else None
    return {
        "alertname": name,
        "kind": kind,
        "severity": "warning" if abs(effect.estimate) >= LARGE_SHIFT else "info",
        "recommended_action": action,
        "feature": pair,
        "detector": {
            "name": "joint_cusum",
            "params_hash": context.params_hash,
            "statistic": crossing.statistic,
            "threshold": crossing.threshold,
            "budget_share": context.budget_share,
            "direction": "up" if crossing.theta > 0 else "down",
        },
        "window": {"start": iso(crossing.since_ms), "end": iso(end_ms), "count": crossing.n},
        "effect": {
            "estimate": float(effect.estimate),
            "low": float(effect.low),
            "high": float(effect.high),
            "floor": told.floor,
            "change_at": iso(crossing.since_ms),
        },
        "change_at_ms": crossing.since_ms,
        "impact": dict(NO_IMPACT),
        "summary": f"{context.who}: {_together(told, correlations)}",
    }


def _together(told: JointTold, correlations: tuple[dict[str, float], dict[str, float]]) -> str:
    before, now = correlations
    moved = [f"{name} {before[name]:.2f} to {now[name]:.2f}" for name in now]
    which = f"{len(told.names)} features" if len(told.names) > 2 else called(told.names)
    shown = f": correlation of ranks {', '.join(moved)}" if moved else ""
    return f"{which} no longer go together as they did, each by itself as before{shown}"
