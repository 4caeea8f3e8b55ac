"""A detector's change in the words of an alert: kind, severity, effect, summary, action."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import msgspec

from detectors.base import Change
from stream.columns import FEATURE, Group
from stream.events import Action, Kind, Severity
from stream.rules import Rules
from stream.times import iso
from stream.wire import PaneKind

_Z95 = 1.959963984540054

# (what is watched, detector) -> alertname, kind, severity, action
_VALUES: dict[str, tuple[str, Kind, Severity, Action]] = {
    "feature": ("FeatureDrift", "feature_drift", "warning", "investigate"),
    "prediction:score": ("PredictionDrift", "prediction_drift", "warning", "investigate"),
    "prediction:value": ("PredictionDrift", "prediction_drift", "warning", "investigate"),
    "prediction:latency_ms": ("LatencyDrift", "latency", "warning", "investigate"),
    "outcome:error": ("ErrorRateDrift", "performance", "error", "retrain"),
    "outcome:brier": ("BrierScoreDrift", "performance", "error", "retrain"),
}
_RATES: dict[str, tuple[str, Kind, Severity, Action]] = {
    "null": ("NullRate", "data_quality", "error", "fix_pipeline"),
    "absent": ("AbsentFeature", "schema", "error", "fix_pipeline"),
    "type_error": ("TypeErrors", "schema", "error", "fix_pipeline"),
    "unseen": ("UnseenCategories", "data_quality", "warning", "fix_pipeline"),
}
_RATE_WORDS = {
    "null": "nulls",
    "absent": "absent",
    "type_error": "values of a wrong type",
    "unseen": "values of unseen categories",
}


@dataclass(frozen=True, slots=True)
class Context:
    rules: Rules
    kind: PaneKind
    group: Group
    series: str  # feature:<name>, prediction:<measure>, outcome:<measure>
    detector: str  # adwin, page_hinkley, or a rate
    budget_share: float

    @property
    def facts(self) -> tuple[str, Kind, Severity, Action]:
        if self.detector in _RATES:
            return _RATES[self.detector]
        return _VALUES["feature" if self.series.startswith(FEATURE) else self.series]

    @property
    def alertname(self) -> str:
        name = self.facts[0]
        return f"{name}PageHinkley" if self.detector == "page_hinkley" else name

    @property
    def feature(self) -> str | None:
        kind, _, name = self.series.partition(":")
        return name if kind == "feature" else None

    @property
    def params_hash(self) -> str:
        rules = self.rules
        of = rules.rates if self.detector in _RATES else rules.adwin
        params = rules.page_hinkley if self.detector == "page_hinkley" else of
        return hashlib.sha256(msgspec.json.encode(params, order="deterministic")).hexdigest()[:12]


def describe(context: Context, change: Change, change_at_ms: int, end_ms: int) -> dict[str, Any]:
    """The fields of an alert that the change decides; the caller adds reference and evidence."""
    _, kind, severity, action = context.facts
    difference = change.after_mean - change.before_mean
    spread = _Z95 * math.sqrt(
        change.before_variance / max(change.before_weight, 1)
        + change.after_variance / max(change.after_weight, 1)
    )
    return {
        "alertname": context.alertname,
        "kind": kind,
        "severity": severity,
        "recommended_action": action,
        "feature": context.feature,
        "detector": {
            "name": "bernoulli_cusum" if context.detector in _RATES else context.detector,
            "params_hash": context.params_hash,
            "statistic": change.statistic,
            "threshold": change.threshold,
            "budget_share": context.budget_share,
            "direction": change.direction,
        },
        "window": {"start": iso(change_at_ms), "end": iso(end_ms), "count": change.after_weight},
        "effect": {
            "estimate": difference,
            "low": difference - spread,
            "high": difference + spread,
            "floor": effect_floor(context, change),
            "change_at": iso(change_at_ms),
        },
        "change_at_ms": change_at_ms,
        "impact": _impact(context, change),
        "summary": _summary(context, change),
    }


def effect_floor(context: Context, change: Change) -> float:
    """The smallest difference worth telling: .1 σ of a value, a tenth of an error or a loss, the
    configured rise of a rate."""
    if context.detector in _RATES:
        return context.rules.rates.min_rise
    if context.kind == "cohort":
        return 0.1 * abs(change.before_mean)
    return 0.1 * math.sqrt(change.before_variance)


def worth_telling(context: Context, change: Change) -> bool:
    return abs(change.after_mean - change.before_mean) >= effect_floor(context, change)


def _impact(context: Context, change: Change) -> dict[str, Any]:
    if context.kind != "cohort":
        return {"metric": None, "value": None, "reference": None, "label_coverage": None}
    return {
        "metric": context.series.partition(":")[2],
        "value": change.after_mean,
        "reference": change.before_mean,
        "label_coverage": None,
    }


def _figure(value: float) -> str:
    """Four significant digits, thousands in full: 29,690."""
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e9 else f"{value:.4g}"


def _summary(context: Context, change: Change) -> str:
    model, version, role, _ = context.group
    who = f"{model} v{version}" + ("" if role == "champion" else f" ({role})")
    name = context.series.partition(":")[2]
    before, after = _figure(change.before_mean), _figure(change.after_mean)
    if context.detector in _RATES:
        share = f"{100 * change.before_mean:.3g} % to {100 * change.after_mean:.3g} %"
        return f"{who}: {name} {_RATE_WORDS[context.detector]} rose from {share}"
    moved = "rose" if change.direction == "up" else "fell"
    return f"{who}: mean of {name} {moved} from {before} to {after}"
