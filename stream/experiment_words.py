"""What an experiment has decided, as a request; subjects not dealt as planned, as an alert."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from detectors.confidence_sequence import Between
from detectors.effects import rate_difference
from detectors.looks import alpha_of_look
from stream.alert_fields import Detected, Span, alert_fields, params_hash, short
from stream.experiment_watch import MISMATCH_ALPHA, Decided, ExperimentWatch
from stream.monitor_told import MonitorFinding
from stream.times import iso

_MISMATCH = "SampleRatioMismatch"


def describe_experiment(told: Decided, watch: ExperimentWatch, model_id: str) -> MonitorFinding:
    """A finding of the group of the variant."""
    if told.decision == "mismatch":
        return _mismatch(told, watch, model_id)
    rule, name = watch.rule, watch.rule.variants[told.variant]
    than, metric = rule.variants[0], rule.metric
    words = {
        "winner": f"{name} is better than {than}",
        "loser": f"{name} is worse than {than}",
        "undecided": f"{name} and {than} are not told apart",
    }
    summary = f"{model_id}, experiment {rule.name}: {words[told.decision]}"
    if told.between is not None:
        low, high = (f"{bound:+.3g}" for bound in (told.between.low, told.between.high))
        summary += f", {metric} {told.between.estimate:+.3g} ({low} to {high})"
    if watch.is_mismatched:
        summary += "; subjects are not dealt as planned"
    detail: dict[str, Any] = {
        "type": "experiment",
        "cause": f"experiment:{rule.name}:{name}:{iso(told.since_ms)}",
        "summary": summary,
        "target": name if told.decision == "winner" else than,
        "evidence": {
            "experiment": rule.name,
            "decision": told.decision,
            "variant": name,
            "compared_with": than,
            "metric": metric,
            "difference": _shown(told.between),
            "margin": rule.margin,
            "alpha": rule.alpha,
            "look": told.look,
            "alpha_of_look": short(alpha_of_look(rule.alpha, max(told.look, 1))),
            "since": iso(told.since_ms),
            "until": iso(told.end_ms),
            "is_mismatched": watch.is_mismatched,
            "variants": [
                {
                    "variant": variant,
                    "subjects": count,
                    "judged": int(group.n),
                    "mean": short(group.x / group.n) if group.n else None,
                }
                for variant, count, group in zip(
                    rule.variants, told.counts, told.groups, strict=True
                )
            ],
        },
    }
    return MonitorFinding(told.end_ms, _series(watch), "Experiment", detail, "request")


def _series(watch: ExperimentWatch) -> str:
    return f"experiment:{watch.rule.name}"


def quiet_mismatch(watch: ExperimentWatch, end_ms: int) -> MonitorFinding:
    because = "the experiment is over"
    return MonitorFinding(end_ms, _series(watch), _MISMATCH, None, "quiet", because)


def _mismatch(told: Decided, watch: ExperimentWatch, model_id: str) -> MonitorFinding:
    rule, count, total = watch.rule, told.counts[told.variant], sum(told.counts)
    planned = rule.split[told.variant]
    name = rule.variants[told.variant]
    found = f"{100 * count / total:.3g} % of {total} subjects were dealt to {name}"
    detail = alert_fields(
        (_MISMATCH, "version", "error", "investigate"),
        f"{model_id}, experiment {rule.name}: {found}, planned were "
        f"{100 * planned:.3g} %: nothing is decided",
        detected=Detected(
            name="sample_ratio",
            params_hash=params_hash(asdict(rule)),
            statistic=told.statistic,
            threshold=-math.log(MISMATCH_ALPHA),
            direction="up" if count > planned * total else "down",
        ),
        span=Span(told.since_ms, told.end_ms, total),
        effect=rate_difference(count, total, planned * 1e9, 1e9),
        floor=0.0,
        reference=(f"experiment:{rule.name}", total),
        evidence={
            "current": dict(zip(rule.variants, told.counts, strict=True)),
            "reference": {
                variant: short(share * total)
                for variant, share in zip(rule.variants, rule.split, strict=True)
            },
        },
    )
    return MonitorFinding(told.end_ms, _series(watch), _MISMATCH, detail)


def _shown(between: Between | None) -> dict[str, float] | None:
    if between is None:
        return None
    return {name: short(value) for name, value in asdict(between).items()}
