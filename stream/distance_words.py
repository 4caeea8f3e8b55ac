"""A distance beyond its owner's threshold, in the words of an alert."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from detectors.confidence_sequence import Between
from stream.alert_fields import Detected, Span, alert_fields, params_hash
from stream.distance_watch import DistanceTold
from stream.verdicts import Context

_SHOWN = {
    "psi": "PSI",
    "ks": "Kolmogorov-Smirnov distance",
    "jensen_shannon": "Jensen-Shannon distance",
    "wasserstein": "Wasserstein distance in standard deviations",
    "chi2": "p of chi²",
}


def describe_distance(context: Context, told: DistanceTold, end_ms: int) -> dict[str, Any]:
    """The fields of an alert; the caller adds reference and evidence."""
    _, kind, severity, action = context.facts
    name, value = told.key[1], told.value
    assert value is not None
    series = context.series.partition(":")[2]
    return alert_fields(
        (context.alertname, kind, "warning" if kind == "feature_drift" else severity, action),
        f"{context.who}: {_SHOWN[name]} of {series} is {value:.3g}, its threshold "
        f"{told.threshold:.3g}",
        detected=Detected(
            name=name,
            params_hash=params_hash(asdict(context.rules.thresholds_of(context.group[0]))),
            statistic=value,
            threshold=told.threshold,
            direction="down" if name == "chi2" else "up",
        ),
        span=Span(told.since_ms, end_ms, told.rows),
        effect=Between(value, max(value - told.chance, 0.0), value + told.chance),
        floor=told.threshold,
        feature=context.feature,
    )
