"""A drift of a shared feature, seen in all its models together, in the words of an alert."""

from __future__ import annotations

from typing import Any

from detectors.rank_scores import SCORE_UNIT
from stream.alert_fields import Detected, Span, alert_fields, params_hash, short
from stream.events import Severity
from stream.rules import DAY_MS, Rules
from stream.shared_sums import NAME
from stream.shared_watch import SharedTold
from stream.verdicts import LARGE_SHIFT

_NAMED = 3  # models of a summary


def describe_shared(told: SharedTold, feature: str, rules: Rules, end_ms: int) -> dict[str, Any]:
    """The fields of an alert."""
    effect = told.effect
    assert effect is not None
    size, models = abs(float(effect.estimate)), [part.model for part in told.parts]
    severity: Severity = "warning" if size >= LARGE_SHIFT else "info"
    more = len(models) - _NAMED
    named = ", ".join(models[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    moved = "rose" if told.up else "fell"
    return alert_fields(
        (NAME, "feature_drift", severity, "investigate"),
        f"{feature} {moved} by {size:.2f} σ on ranks in {len(models)} models together ({named}), "
        "none of which tells of it alone: look at where it comes from",
        detected=Detected(
            name="score_cusum",
            params_hash=params_hash([feature, list(dict(rules.shared).get(feature, ()))]),
            statistic=told.statistic,
            threshold=told.threshold,
            budget_share=told.share,
            direction="up" if told.up else "down",
        ),
        span=Span(told.since_ms, end_ms, sum(part.n for part in told.parts)),
        effect=effect,
        floor=told.floor,
        feature=feature,
        reference=(f"shared:{feature}", told.known),
        evidence={
            "current": {
                "mean_score": short(float(effect.estimate)),
                "models": {
                    part.model: {
                        "values": part.n,
                        "mean_score": short(part.x / SCORE_UNIT / max(part.n, 1)),
                    }
                    for part in told.parts
                },
            },
            "reference": {"mean_score": 0.0, "count": told.known},
        },
    )


def lasting_shared(feature: str, rules: Rules) -> dict[str, Any]:
    days = f"{rules.ask_after_ms / DAY_MS:.3g}"
    return {
        "summary": f"{feature} has differed from its references for {days} days in all models that "
        "share it; if it is to stay so, accept new ones: leeway reference accept"
    }
