"""What a detector found in the words of an alert: name, kind, severity, effect, summary, action."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from msgspec import to_builtins

from detectors.base import Change
from detectors.confidence_sequence import Between
from detectors.effects import Interval, mean_difference
from stream.alert_fields import Detected, Facts, Span, alert_fields, impact_of, params_hash
from stream.columns import Group
from stream.judgement import RECALL
from stream.mean_levels import Level
from stream.pane_kinds import PaneKind, age_text, further_age_of, is_judged
from stream.rules import Rules
from stream.unit_walk import Crossing, Told
from stream.units import is_fault

LARGE_SHIFT = 0.32  # σ: about PSI .1 of a normal
LARGE_SHAPE = 0.10  # of the mass in one bin

_SHIFTS: dict[str, Facts] = {
    "feature": ("FeatureDrift", "feature_drift", "info", "investigate"),
    "prediction:score": ("PredictionDrift", "prediction_drift", "warning", "investigate"),
    "prediction:value": ("PredictionDrift", "prediction_drift", "warning", "investigate"),
    "prediction:latency_ms": ("LatencyDrift", "latency", "warning", "investigate"),
    "prediction:estimated_error": ("EstimatedErrorDrift", "performance", "info", "none"),
    "outcome:estimated_error": ("EstimatedErrorDrift", "performance", "info", "none"),
    "outcome:error": ("ErrorRateDrift", "performance", "error", "retrain"),
    "outcome:brier": ("BrierScoreDrift", "performance", "error", "retrain"),
    "outcome:absolute_error": ("AbsoluteErrorDrift", "performance", "error", "retrain"),
    "outcome:calibration": ("CalibrationDrift", "calibration", "error", "retrain"),
    "outcome:cost": ("CostDrift", "performance", "error", "retrain"),
    "outcome:recall": ("RecallDrift", "performance", "error", "retrain"),
    "outcome:false_positive_rate": ("FalsePositiveRateDrift", "performance", "error", "retrain"),
}
_SHAPES: dict[str, Facts] = {
    "feature": ("FeatureShapeDrift", "feature_drift", "info", "investigate"),
    "prediction": ("PredictionShapeDrift", "prediction_drift", "warning", "investigate"),
}
_FAULTS: dict[str, Facts] = {
    "null": ("NullRate", "data_quality", "error", "fix_pipeline"),
    "absent": ("AbsentFeature", "schema", "error", "fix_pipeline"),
    "type_error": ("TypeErrors", "schema", "error", "fix_pipeline"),
    "out_of_range": ("OutOfRange", "data_quality", "warning", "fix_pipeline"),
    "unseen": ("UnseenCategories", "data_quality", "warning", "fix_pipeline"),
    "unlabelled": ("LabelDelay", "label_delay", "error", "fix_pipeline"),
}
_FAULT_WORDS = {
    "null": "nulls",
    "absent": "absent",
    "type_error": "values of a wrong type",
    "out_of_range": "values out of range",
    "unseen": "values of unseen categories",
}
_OWN_NAMES = {
    "adwin": "Adwin",
    "page_hinkley": "PageHinkley",
    "psi": "Psi",
    "ks": "Ks",
    "jensen_shannon": "JensenShannon",
    "wasserstein": "Wasserstein",
    "chi2": "ChiSquared",
}
_OBJECTIVE: Facts = ("LatencyObjective", "latency", "error", "investigate")
_MISSED: Facts = ("ObjectiveMissed", "performance", "error", "investigate")
_STALE: Facts = ("StaleFeature", "data_quality", "error", "fix_pipeline")
_JOINT: Facts = ("JointDrift", "feature_drift", "info", "investigate")


@dataclass(frozen=True, slots=True)
class Context:
    rules: Rules
    kind: PaneKind
    group: Group
    series: str  # feature:<name>, prediction:<measure>, outcome:<measure>
    detector: str  # shift, shape, rate, a fault, of the bank; joint, objective, limit, …
    budget_share: float

    @property
    def facts(self) -> Facts:
        what = self.series.partition(":")[0]
        if is_fault(self.detector):
            return _FAULTS[self.detector]
        if self.detector == "shape":
            return _SHAPES[what]
        if self.detector == "objective":
            return _OBJECTIVE
        if self.detector == "limit":
            return _MISSED
        if self.detector == "joint":
            return _JOINT
        if self.detector == "stale":
            return _STALE
        if self.series == "prediction:label":  # it has no mean that could shift
            return _SHIFTS["prediction:value"]
        return _SHIFTS["feature" if what == "feature" else ":".join(self.series.split(":")[:2])]

    @property
    def alertname(self) -> str:
        name = self.facts[0]
        age = self.age
        return name + _OWN_NAMES.get(self.detector, "") + (f"At{age}" if age else "")

    @property
    def age(self) -> str | None:
        """The further age at which predictions were judged."""
        age_ms = further_age_of(self.kind)
        return None if age_ms is None else age_text(age_ms)

    @property
    def when(self) -> str:
        """Where that needs saying, when they were judged."""
        return f" among predictions judged at the age of {self.age}" if self.age else ""

    @property
    def feature(self) -> str | None:
        kind, _, name = self.series.partition(":")
        return name if kind == "feature" else None

    @property
    def params_hash(self) -> str:
        rules = self.rules
        params: Any = {"adwin": rules.adwin, "page_hinkley": rules.page_hinkley}.get(self.detector)
        if params is None:
            model = self.group[0]
            params = [to_builtins(rules.budget_of(model)), to_builtins(rules.floors_of(model))]
            params += [to_builtins(rules.rates)] if is_fault(self.detector) else []
            params += [to_builtins(rules.joint)] if self.detector == "joint" else []
        return params_hash(params)

    @property
    def who(self) -> str:
        model, version, role, segment = self.group
        named = f"{model} v{version}" + ("" if role == "champion" else f" ({role})")
        return f"{named} {segment}" if segment else named


def describe_crossing(
    context: Context, told: Told, crossing: Crossing, effect: Interval, end_ms: int
) -> dict[str, Any]:
    """The fields of an alert that a crossing decides; the caller adds reference and evidence."""
    _, kind, severity, action = context.facts
    up, scale = crossing.theta > 0, told.watched.unit.scale
    if kind == "feature_drift":
        large = LARGE_SHAPE if context.detector == "shape" else LARGE_SHIFT
        severity = "warning" if abs(effect.estimate) >= large else "info"
    if kind == "latency" and context.rules.model(context.group[0]).latency is not None:
        severity = "info"  # what was promised decides
    is_better = not up if not context.series.startswith(RECALL) else up
    if kind == "performance" and severity != "info" and is_better:
        severity, action = "info", "investigate"  # it has become better
    return alert_fields(
        (context.alertname, kind, severity, action),
        f"{context.who}: {_found(context, told, crossing, effect)}{context.when}",
        detected=Detected(
            name=_detector(context, told),
            params_hash=context.params_hash,
            statistic=crossing.statistic,
            threshold=crossing.threshold,
            budget_share=context.budget_share,
            direction="up" if up else "down",
        ),
        span=Span(crossing.since_ms, end_ms, crossing.n),
        effect=Between(
            *(float(value) * scale for value in (effect.estimate, effect.low, effect.high))
        ),
        floor=told.watched.floor * scale,
        feature=context.feature,
    )


def _detector(context: Context, told: Told) -> str:
    if told.watched.stake.proven:
        return "e_detector"
    return "score_cusum" if context.detector == "shift" else "bernoulli_cusum"


def _found(context: Context, told: Told, crossing: Crossing, effect: Interval) -> str:
    name, baseline = context.series.partition(":")[2], told.watched.baseline
    moved = "rose" if effect.estimate > 0 else "fell"  # against what people are told it is beside
    if context.detector == "shift":
        return f"{name} {moved} by {abs(effect.estimate):.2f} σ on ranks"
    unit, column = told.watched.unit, crossing.column
    before = float(baseline.x[column]) / max(float(baseline.n[column]), 1.0)
    if context.detector == "mean":
        amounts = (
            _figure(share / unit.steps * unit.scale) for share in (before, crossing.x / crossing.n)
        )
        return f"{name} {moved} from {' to '.join(amounts)} a prediction"
    now = crossing.x / crossing.n
    if context.detector == "estimate":
        unit_of = unit.scale / unit.steps
        shares = f"{_percent(before * unit_of)} to {_percent(now * unit_of)}"
        return f"expected error {moved} from {shares}, if scores come true as before"
    share = f"{_percent(before)} to {_percent(now)}"
    if context.detector == "calibration":
        low, high = told.watched.profile.scores_of(column)
        return f"of scores {between(low, high)} what comes true {moved} from {share}"
    if context.detector == "unlabelled":
        missing = "missing" if context.age else "missing at maturity"
        return f"outcomes {missing} {moved} from {share}: performance is undecided"
    if context.detector == "shape":
        watched = told.watched
        part = watched.profile.part_of(unit.name, column, numeric=watched.numeric)
        return f"distribution of {name} changed: {part} {moved} from {share}"
    if context.detector == "rate":
        return f"{name} {moved} from {share}"
    return f"{name} {_FAULT_WORDS[context.detector]} {moved} from {share}"


def between(low: float, high: float) -> str:
    """From where to where scores go, in as many digits as tell the ends apart.

    >>> between(0.042, 0.0714), between(0.9914, 0.9947), between(0.9914, 0.9914)
    ('from 0.042 to 0.071', 'from 0.991 to 0.995', 'of about 0.991')
    """
    for digits in range(2, 7):
        ends = [f"{end:.{digits}g}" for end in (low, high)]
        if ends[0] != ends[1]:
            return f"from {ends[0]} to {ends[1]}"
    return f"of about {low:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def describe(
    context: Context, change: Change, usual: Level, change_at_ms: int, end_ms: int, *, tau: float
) -> dict[str, Any]:
    """The same of a change of a mean that ADWIN or Page-Hinkley found; `usual`: what the effect is
    the difference to; `tau`: values that are worth one."""
    _, kind, severity, action = context.facts
    now = change.after_mean, change.after_variance, max(change.after_weight, 1)
    effect = mean_difference(now, (usual.mean, usual.variance, max(usual.count, 1)), tau=tau)
    moved = "rose" if effect.estimate > 0 else "fell"
    before, after = _figure(usual.mean), _figure(change.after_mean)
    name = context.series.partition(":")[2]
    impact = impact_of()
    if is_judged(context.kind):
        impact = impact_of(name, change.after_mean, usual.mean)
    return alert_fields(
        (context.alertname, kind, severity, action),
        f"{context.who}: mean of {name} {moved} from {before} to {after}{context.when}",
        detected=Detected(
            name=context.detector,
            params_hash=context.params_hash,
            statistic=change.statistic,
            threshold=change.threshold,
            budget_share=context.budget_share,
            direction=change.direction,
        ),
        span=Span(change_at_ms, end_ms, change.after_weight),
        effect=effect,
        floor=floor_of_mean(context, usual),
        feature=context.feature,
        impact=impact,
    )


def floor_of_mean(context: Context, usual: Level) -> float:
    """The smallest difference to it worth telling, in its own unit."""
    floors = context.rules.floors_of(context.group[0])
    own = floors.mean_of(context.series)
    if is_judged(context.kind):
        return (own or floors.error) * abs(usual.mean)
    return (own or floors.shift) * math.sqrt(usual.variance)


def worth_telling(context: Context, change: Change) -> bool:
    floor = floor_of_mean(context, Level.before(change))
    return abs(change.after_mean - change.before_mean) >= floor


def _figure(value: float) -> str:
    """Four significant digits, thousands in full: 29,690."""
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e9 else f"{value:.4g}"
