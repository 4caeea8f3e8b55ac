"""What was declared acceptable and is missed, in the words of an alert."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from detectors.confidence_sequence import Between
from stream.alert_fields import Z95, Detected, Span, alert_fields, impact_of, params_hash, short
from stream.limit_account import Missed, declared, largest_of, objective_share
from stream.limit_watch import LimitTold
from stream.objectives import series_of
from stream.rules import ModelRule, ObjectiveRule
from stream.verdicts import Context


def describe_limit(context: Context, told: LimitTold, end_ms: int) -> dict[str, Any]:
    """The fields of an alert: effect and floor are those of what is missed most."""
    worst = told.missed[0]
    rule = declared(context.rules, context.group)
    scale, at_most, share = largest_of(worst.objective, rule), worst.objective.at_most, worst.value
    beyond = share * scale - at_most
    spread = Z95 * math.sqrt(share * (1.0 - share) / worst.count) * scale
    series = [series_of(one.objective) for one in told.missed]
    current = {
        "value": short(share * scale),
        "judged": worst.count,
        "missed": series,
        "values": {
            name: short(one.value * largest_of(one.objective, rule))
            for name, one in zip(series, told.missed, strict=True)
        },
    }
    acceptable = {series_of(one): one.at_most for one in rule.objectives}
    return alert_fields(
        context.facts,
        f"{context.who}: {_found(told, rule)}",
        detected=Detected(
            name="limit_detector",
            params_hash=params_hash([asdict(one) for one in rule.objectives]),
            statistic=worst.statistic,
            threshold=told.threshold,
            budget_share=objective_share(context.rules, rule),
        ),
        span=Span(worst.since_ms, end_ms, worst.count),
        effect=Between(beyond, beyond - spread, beyond + spread),
        floor=at_most,
        impact=impact_of(series[0].partition(":")[2], short(share * scale)),
        reference=("objective", 0),
        evidence={"current": current, "reference": {"at_most": acceptable}},
    )


def lasting_words(context: Context, told: LimitTold, days: str) -> str:
    rule = declared(context.rules, context.group)
    return f"{context.who}: for {days} days {_found(told, rule)}"


def _found(told: LimitTold, rule: ModelRule) -> str:
    return "; ".join(_one(missed, rule) for missed in told.missed)


def _one(missed: Missed, rule: ModelRule) -> str:
    objective, value = missed.objective, missed.value * largest_of(missed.objective, rule)
    if objective.metric == "cost":
        return (
            f"a prediction costs {value:.3g}, where at most {objective.at_most:.4g} is acceptable"
        )
    most = f"{100 * objective.at_most:.3g} %"
    return f"{_what(objective)} are {100 * value:.3g} %, at most {most} are acceptable"


def _what(objective: ObjectiveRule) -> str:
    if objective.metric == "error":
        return "errors"
    return f"false positives{f' of {objective.of_class}' if objective.of_class else ''}"
