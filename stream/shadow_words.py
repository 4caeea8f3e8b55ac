"""What a shadow does otherwise than its champion, in the words of an alert."""

from __future__ import annotations

from dataclasses import asdict

from detectors.effects import rate_difference
from stream.alert_fields import Detected, Span, alert_fields, impact_of, params_hash, short
from stream.columns import FEATURE, Group
from stream.events import Kind
from stream.monitor_told import MonitorFinding
from stream.pair_watch import PairTold
from stream.rules import Rules
from stream.shadow_watch import Counted, ShadowTold, What
from stream.times import iso

_NAMES: dict[What, tuple[str, Kind]] = {
    "missing": ("ShadowMissing", "version"),
    "slower": ("ShadowSlower", "version"),
    "absent": ("ShadowLacksFeature", "schema"),
    "type_error": ("ShadowTypeErrors", "schema"),
}


def describe_shadow(told: ShadowTold, group: Group, rules: Rules) -> MonitorFinding:
    """As a finding of its series."""
    what, feature = told.fault
    name, kind = _NAMES[what]
    series = f"shadow:{what}:{feature}" if feature else f"shadow:{what}"
    if told.counted is None:
        return MonitorFinding(told.end_ms, series, name, None, "quiet")
    x, n, x0, n0 = told.counted.x, told.counted.n, told.counted.x0, told.counted.n0
    detail = alert_fields(
        (name, kind, "warning", "fix_pipeline"),
        f"{_who(group)}: {_found(told, told.counted)}",
        detected=Detected(
            name="limit_detector",
            params_hash=params_hash(asdict(rules.shadow_of(group[0]))),
            statistic=told.statistic,
            threshold=told.threshold,
            budget_share=told.share,
        ),
        span=Span(told.since_ms, told.end_ms, n),
        effect=rate_difference(x, n, x0, n0),
        floor=told.limit,
        feature=feature.removeprefix(FEATURE) or None,
        reference=(f"champion:{iso(told.since_ms)}", n0),
        evidence={
            "current": {"share": short(x / n), "predictions": told.rows[1]},
            "reference": {"share": short(x0 / n0), "predictions": told.rows[0]},
        },
    )
    if what == "slower":
        detail["evidence"]["current"]["slow_ms"] = short(told.slow_ms)
    return MonitorFinding(told.end_ms, series, name, detail)


def describe_pairs(told: PairTold, group: Group) -> MonitorFinding:
    """A shadow that errs more than its champion, on the same predictions."""
    series, name = "shadow:error", "ShadowWorse"
    if told.is_quiet:
        return MonitorFinding(told.end_ms, series, name, None, "quiet")
    rule, worse = told.rules.shadow_of(group[0]), told.worse
    errors, more, less, both = told.errors
    by = f"{100 * worse.estimate:.3g} % of {told.count} predictions"
    errs = "is wrong more often" if errors else "is more often the farther off"
    impact = impact_of()
    if errors:
        shares = [short((alone + both) / errors) for alone in (more, less)]
        impact = impact_of("error", *shares)
    detail = alert_fields(
        (name, "version", "warning", "investigate"),
        f"{_who(group)}: it {errs} than the champion, by {by}: do not let it go live",
        detected=Detected(
            name="confidence_sequence",
            params_hash=params_hash(asdict(rule)),
            statistic=worse.low,
            threshold=rule.margin,
        ),
        span=Span(told.since_ms, told.end_ms, told.count),
        effect=worse,
        floor=rule.margin,
        impact=impact,
        reference=(f"champion:{iso(told.since_ms)}", told.count),
        evidence={
            "current": {"predictions": told.count, "wrong_alone": more},
            "reference": {"predictions": told.count, "wrong_alone": less},
        },
    )
    return MonitorFinding(told.end_ms, series, name, detail)


def _who(group: Group) -> str:
    return f"{group[0]} v{group[1]} ({group[2]})"


def _found(told: ShadowTold, counted: Counted) -> str:
    what, feature = told.fault
    share = f"{100 * counted.x / counted.n:.3g} %"
    feature = feature.removeprefix(FEATURE)
    match what:
        case "missing":
            return f"{share} of the champion's {counted.n} predictions had none of it"
        case "slower":
            usual = f"{100 * counted.x0 / counted.n0:.3g} %"
            return (
                f"{share} of its answers took longer than {told.slow_ms:.3g} ms, "
                f"of the champion's {usual}"
            )
        case "absent":
            return f"{feature}, which the champion has, lacks a value in {share} of its predictions"
        case "type_error":
            return f"{feature} has another type than the champion's in {share} of its predictions"
