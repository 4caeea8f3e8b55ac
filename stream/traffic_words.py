"""What was told of a model's traffic, in the words of an alert."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from detectors.confidence_sequence import Between
from stream.alert_fields import Z95, Detected, Facts, Span, alert_fields, params_hash, short
from stream.budget import TRAFFIC
from stream.columns import Group
from stream.monitor_told import MonitorFinding
from stream.rules import DAY_MS, HOUR_MS, Rules
from stream.times import iso
from stream.traffic import TrafficTold, What
from stream.usual_hours import Usual

_FACTS: dict[What, Facts] = {
    "throughput": ("ThroughputChange", "throughput", "warning", "investigate"),
    "silence": ("Silence", "silence", "error", "fix_pipeline"),
}


def finding_of(told: TrafficTold, rules: Rules) -> MonitorFinding:
    alertname, series = _FACTS[told.what][0], f"prediction:{told.what}"
    if told.verdict == "quiet":
        return MonitorFinding(told.at_ms, series, alertname, None, "quiet", told.because)
    if told.verdict == "lasting":
        detail = {"summary": _lasting(told, rules)}
        return MonitorFinding(told.at_ms, series, alertname, detail, "lasting")
    assert told.usual is not None
    return MonitorFinding(told.at_ms, series, alertname, _described(told, told.usual, rules))


def _described(told: TrafficTold, usual: Usual, rules: Rules) -> dict[str, Any]:
    rule = rules.traffic_of(told.group[0])
    mean = max(usual.mean, 1e-9)
    spread = Z95 * math.sqrt(usual.dispersion * max(told.count, 1)) / told.hours / mean
    estimate = told.count / told.hours / mean - 1.0
    lowest, highest = told.bounds
    span_ms = told.at_ms - told.since_ms
    return alert_fields(
        _FACTS[told.what],
        f"{_who(told.group)}: {_found(told, usual, span_ms)}",
        detected=Detected(
            name="poisson_rate" if told.what == "throughput" else "longest_silence",
            params_hash=params_hash([asdict(rules.budget_of(told.group[0])), asdict(rule)]),
            statistic=told.statistic,
            threshold=told.threshold,
            budget_share=TRAFFIC / rules.sources,
            direction="up" if told.up else "down",
        ),
        span=Span(told.since_ms, told.at_ms, told.count),
        effect=Between(estimate, max(estimate - spread, -1.0), estimate + spread),
        floor=rule.change,
        reference=(f"self:{iso(usual.end_ms)}", usual.count),
        evidence={
            "current": {"predictions_an_hour": told.an_hour, "minutes": span_ms / 60_000},
            "reference": {
                "predictions_an_hour": short(usual.mean),
                "lowest": short(lowest),
                "highest": short(highest),
                "hours": usual.hours,
                "dispersion": short(usual.dispersion),
            },
        },
    )


def _found(told: TrafficTold, usual: Usual, span_ms: int) -> str:
    if told.what == "silence":
        took = _duration(span_ms)
        return f"no prediction has come for {took}, where an hour has {_count(usual.mean)}"
    lowest, highest = told.bounds
    between = f"{_count(lowest)} to {_count(highest)}"
    bounds = between if lowest < highest else _count(lowest)
    moved = "rose" if told.up else "fell"
    over = f" for {_duration(span_ms)}" if told.hours > 1 else ""
    return f"predictions of an hour {moved} to {told.an_hour:,}{over}, where {bounds} are usual"


def _lasting(told: TrafficTold, rules: Rules) -> str:
    days = f"{rules.ask_after_ms / DAY_MS:.3g}"
    what = {"throughput": "its traffic has been another", "silence": "it has been silent"}
    return (
        f"{_who(told.group)}: {what[told.what]} for {days} days; if it is to stay so, accept a new "
        f"reference: leeway reference accept {told.group[0]}"
    )


def _who(group: Group) -> str:
    return f"{group[0]} {group[3]}".rstrip()


def _duration(span_ms: int) -> str:
    if span_ms < 2 * HOUR_MS:
        return f"{span_ms / 60_000:.3g} minutes"
    if span_ms < 2 * DAY_MS:
        return f"{span_ms / HOUR_MS:.3g} hours"
    return f"{span_ms / DAY_MS:.3g} days"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
