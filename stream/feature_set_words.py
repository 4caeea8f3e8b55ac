"""A new version of a feature set, in the words of an alert."""

from __future__ import annotations

from typing import Any

from detectors.confidence_sequence import Between
from stream.alert_fields import Detected, Span, alert_fields
from stream.feature_sets import FeatureSetTold
from stream.verdicts import Context


def describe_feature_set(context: Context, told: FeatureSetTold, end_ms: int) -> dict[str, Any]:
    """The fields of an alert. It is a fact, no estimate."""
    before = ", ".join(told.before[-3:])
    return alert_fields(
        context.facts,
        f"{context.who}: features come from {told.name}, so far from {before}",
        detected=Detected(
            name="first_seen",
            params_hash=context.params_hash,
            statistic=1.0,
            threshold=1.0,
        ),
        span=Span(told.since_ms, end_ms, told.count),
        effect=Between(1.0, 1.0, 1.0),
        floor=1.0,
        reference=("feature_sets", len(told.before)),
        evidence={
            "current": {"feature_set": told.name},
            "reference": {"feature_sets": list(told.before)},
        },
    )
