"""A version that is worse than the one before it, in the words of an alert."""

from __future__ import annotations

from dataclasses import asdict

from stream.alert_fields import Detected, Span, alert_fields, impact_of, params_hash, short
from stream.columns import Group
from stream.monitor_told import MonitorFinding
from stream.times import iso
from stream.version_watch import VersionTold, VersionWatch

_SERIES, _NAME = "outcome:version", "VersionWorse"


def quiet_version(end_ms: int, because: str = "") -> MonitorFinding:
    return MonitorFinding(end_ms, _SERIES, _NAME, None, "quiet", because)


def describe_version(told: VersionTold, watch: VersionWatch, group: Group) -> MonitorFinding:
    if not told.is_worse:
        return quiet_version(told.end_ms)
    rule, between, count = watch.rule, told.between, int(told.own.n)
    means = [short(of.x / of.n) for of in (told.own, told.other)]
    since = "its reference" if told.reference_id else "the same hours"
    detail = alert_fields(
        (_NAME, "performance", "error", "rollback"),
        f"{group[0]} v{group[1]}: {rule.metric} is {means[0]:.3g}, of v{watch.target} "
        f"in {since} {means[1]:.3g}: go back to v{watch.target}",
        detected=Detected(
            name="looks",
            params_hash=params_hash(asdict(rule)),
            statistic=between.low,
            threshold=rule.margin,
        ),
        span=Span(told.since_ms, told.end_ms, count),
        effect=between,
        floor=rule.margin,
        impact=impact_of(rule.metric, *means),
        reference=(
            told.reference_id or f"v{watch.target}:{iso(told.since_ms)}",
            int(told.other.n),
        ),
        evidence={
            "current": {"version": group[1], "mean": means[0], "judged": count},
            "reference": {
                "version": watch.target,
                "mean": means[1],
                "judged": int(told.other.n),
                "same_hours": not told.reference_id,
            },
        },
    )
    return MonitorFinding(told.end_ms, _SERIES, _NAME, detail)
