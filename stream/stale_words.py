"""A feature that has stopped varying, in the words of an alert."""

from __future__ import annotations

from typing import Any

from detectors.confidence_sequence import Between
from stream.alert_fields import Detected, Span, alert_fields
from stream.constant import Run
from stream.stale_watch import StaleTold
from stream.verdicts import Context

_DOUBT = 0.05


def describe_stale(context: Context, told: StaleTold, run: Run, end_ms: int) -> dict[str, Any]:
    """The fields of an alert; the caller adds reference and evidence. The effect is how much
    larger the share of the one value is."""
    least = _DOUBT ** (1.0 / run.count)  # a share at which so many in a row are that unlikely
    return alert_fields(
        context.facts,
        f"{context.who}: {context.feature} is {run.shown} in all of its last "
        f"{run.count} values: it has stopped varying",
        detected=Detected(
            name="run_length",
            params_hash=context.params_hash,
            statistic=told.statistic,
            threshold=told.threshold,
            budget_share=context.budget_share,
        ),
        span=Span(told.since_ms, end_ms, run.count),
        effect=Between(1.0 - told.share, max(least - told.share, 0.0), 1.0),
        floor=context.rules.floors_of(context.group[0]).shape_of(context.series),
        feature=context.feature,
    )
