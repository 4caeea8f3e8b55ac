"""A feature that has stopped varying, in the words of an alert."""

from __future__ import annotations

from typing import Any

from stream.constant import Run
from stream.stale_watch import StaleTold
from stream.times import iso
from stream.verdicts import NO_IMPACT, Context

_DOUBT = 0.05


def describe_stale(context: Context, told: StaleTold, run: Run, end_ms: int) -> dict[str, Any]:
    """The fields of an alert; the caller adds reference and evidence. The effect is how much
    larger the share of the one value is."""
    _, kind, severity, action = context.facts
    least = _DOUBT ** (1.0 / run.count)  # a share at which so many in a row are that unlikely
    return {
        "alertname": context.alertname,
        "kind": kind,
        "severity": severity,
        "recommended_action": action,
        "feature": context.feature,
        "detector": {
            "name": "run_length",
            "params_hash": context.params_hash,
            "statistic": told.statistic,
            "threshold": told.threshold,
            "budget_share": context.budget_share,
            "direction": "up",
        },
        "window": {"start": iso(told.since_ms), "end": iso(end_ms), "count": run.count},
        "effect": {
            "estimate": 1.0 - told.share,
            "low": max(least - told.share, 0.0),
            "high": 1.0,
            "floor": context.rules.floors_of(context.group[0]).shape,
            "change_at": iso(told.since_ms),
        },
        "change_at_ms": told.since_ms,
        "impact": dict(NO_IMPACT),
        "summary": f"{context.who}: {context.feature} is {run.shown} in all of its last "
        f"{run.count} values: it has stopped varying",
    }
