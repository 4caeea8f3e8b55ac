"""A new version of a feature set, in the words of an alert."""

from __future__ import annotations

from typing import Any

from detectors.confidence_sequence import Between
from stream.alert_fields import Detected, Span, alert_fields
from stream.feature_sets import NewSet
from stream.verdicts import Context


def describe_feature_set(context: Context, new: NewSet) -> dict[str, Any]:
    """The fields of an alert. It is a fact, no estimate."""
    return alert_fields(
        context.facts,
        f"{context.who}: features come from {new.name}, before from {new.former}",
        detected=Detected(
            name="first_seen",
            params_hash=context.params_hash,
            statistic=1.0,
            threshold=1.0,
        ),
        span=Span(new.since_ms, new.found_ms, new.count),
        effect=Between(1.0, 1.0, 1.0),
        floor=1.0,
        reference=("feature_sets", len(new.before)),
        evidence={
            "current": {"feature_set": new.name},
            "reference": {"feature_set": new.former, "feature_sets": list(new.before)},
        },
    )
