"""What no longer goes together, in the words of an alert."""

from __future__ import annotations

from typing import Any

from stream.alert_fields import Detected, Span, alert_fields
from stream.events import Severity
from stream.joint_rows import called
from stream.joint_watch import JointTold
from stream.verdicts import LARGE_SHIFT, Context


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
    severity: Severity = "warning" if abs(effect.estimate) >= LARGE_SHIFT else "info"
    return alert_fields(
        (name, kind, severity, action),
        f"{context.who}: {_together(told, correlations)}",
        detected=Detected(
            name="joint_cusum",
            params_hash=context.params_hash,
            statistic=crossing.statistic,
            threshold=crossing.threshold,
            budget_share=context.budget_share,
            direction="up" if crossing.theta > 0 else "down",
        ),
        span=Span(crossing.since_ms, end_ms, crossing.n),
        effect=effect,
        floor=told.floor,
        feature=called(told.names) if len(told.names) == 2 else None,
    )


def _together(told: JointTold, correlations: tuple[dict[str, float], dict[str, float]]) -> str:
    before, now = correlations
    moved = [f"{name} {before[name]:.2f} to {now[name]:.2f}" for name in now]
    which = f"{len(told.names)} features" if len(told.names) > 2 else called(told.names)
    shown = f": correlation of ranks {', '.join(moved)}" if moved else ""
    return f"{which} no longer go together as they did, each by itself as before{shown}"
