"""What a finding says of an alert: one layout for all who tell one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from detectors.confidence_sequence import Between
from detectors.effects import Interval
from stream.events import Action, Kind, Severity
from stream.times import iso

Z95 = 1.959963984540054
Facts = tuple[str, Kind, Severity, Action]  # its name, its class, how bad, and what to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """The detector that told."""

    name: str
    params_hash: str
    statistic: float
    threshold: float
    budget_share: float = 0.0
    direction: str = "up"


@dataclass(frozen=True, slots=True)
class Span:
    """Since the change until now, and the number of values in it."""

    since_ms: int
    end_ms: int
    count: int


def alert_fields(
    facts: Facts,
    summary: str,
    *,
    detected: Detected,
    span: Span,
    effect: Interval | Between,
    floor: float,
    feature: str | None = None,
    impact: Mapping[str, Any] | None = None,
    reference: tuple[str, int] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Without `reference` (id, count) and `evidence` the caller adds them."""
    alertname, kind, severity, action = facts
    fields = {
        "alertname": alertname,
        "kind": kind,
        "severity": severity,
        "recommended_action": action,
        "feature": feature,
        "detector": asdict(detected),
        "window": {"start": iso(span.since_ms), "end": iso(span.end_ms), "count": span.count},
        "effect": {
            "estimate": float(effect.estimate),
            "low": float(effect.low),
            "high": float(effect.high),
            "floor": floor,
            "change_at": iso(span.since_ms),
        },
        "change_at_ms": span.since_ms,
        "impact": impact_of() if impact is None else dict(impact),
        "summary": summary,
    }
    if reference is not None:
        fields["reference"] = {"id": reference[0], "count": reference[1]}
    if evidence is not None:
        fields["evidence"] = dict(evidence)
    return fields


def impact_of(
    metric: str | None = None, value: float | None = None, reference: float | None = None
) -> dict[str, Any]:
    """On an outcome measure; how many predictions had outcomes is added when it is told."""
    return {"metric": metric, "value": value, "reference": reference, "label_coverage": None}


def params_hash(params: Any) -> str:
    """Of the settings of a detector: a rule, or a list of such."""
    text = msgspec.json.encode(params, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:12]


def short(value: float) -> float:
    """Six significant digits, as evidence has them."""
    return float(f"{value:.6g}")
