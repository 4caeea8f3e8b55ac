"""What a configuration will let be found, before there is any data: of typical series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from detectors.joint_scores import PROJECTIONS
from detectors.rank_scores import SCORE_UNIT
from detectors.run_length import threshold
from detectors.score_tilts import score_tilts
from detectors.shape import split
from stream.budget import WEIGHTS, Purse, false_alerts_per_prediction
from stream.joint_terms import ENOUGH, joint_share
from stream.limit_account import GRAVER, watched
from stream.limit_watch import sure_delay
from stream.mean_powers import NAMES, Mean, power_of
from stream.monitored_series import SHARE
from stream.power import Power, powers
from stream.row_power import of_contrasts, of_run
from stream.rules import DAY_MS, Rules
from stream.stale_terms import EVERY
from stream.unit_tilts import Baseline, Terms, floor_of
from stream.units import OF_NUMBERS, Unit
from stream.value_series import ValueSeries

_NULLS, _ERRORS, _VALUE = 0.01, 0.1, 0.1  # usual shares
_OF_PREDICTIONS = 3  # score, label, latency
_OF_JUDGED = 4  # error, Brier score, recall, false positives


@dataclass(frozen=True, slots=True)
class Planned:
    series: str
    unit: Literal["share", "sigma", "cost"]
    power: Power
    seconds: float | None  # at the least traffic that completes the reference in its span


def planned(rules: Rules, model_id: str, features: int) -> list[Planned]:
    """Of a model with so many numeric features, compared with a reference just sealed, of values
    that do not depend on each other."""
    rules = rules.of_group(model_id, is_segment=False)
    of, terms = zip(*_typical(rules, model_id, features), strict=True)
    reference = rules.reference_of(model_id)
    per_s = reference.predictions / max(reference.span_ms, 1) * 1_000
    found = [
        (series, one.unit.measure != "shift", power)
        for series, one, power in zip(of, terms, powers(terms), strict=True)
    ]
    found += _of_means(rules, model_id, features)
    found += _in_rows(rules, model_id, features, per_s)
    shown = [
        Planned(
            series,
            "share" if is_share else "sigma",
            power,
            None if power.values is None else power.values / per_s,
        )
        for series, is_share, power in found
    ]
    return [*shown, *_declared(rules, model_id, per_s)]


def _declared(rules: Rules, model_id: str, per_s: float) -> Iterator[Planned]:
    """Half as much again as is acceptable; of false positives, values are of what is not of the
    class. Without a reference it takes a day at least, or the stretch of the objective."""
    rate = false_alerts_per_prediction(
        rules.budget_of(model_id), max(round(per_s * DAY_MS / 1_000), 1), DAY_MS
    )
    rule = rules.model(model_id).in_segment("")
    for objective in watched(rule):
        values = sure_delay(rules, rule, objective, rate)
        is_cost = objective.metric == "cost"
        named = {"error": "errors", "cost": "cost", "false_positive_rate": "false positives"}
        of_class = f" of {objective.of_class}" if objective.of_class else ""
        most = f"{objective.at_most:g}" if is_cost else f"{objective.at_most:.2%}"
        yield Planned(
            f"{named[objective.metric]}{of_class} beyond the {most} that are acceptable",
            "cost" if is_cost else "share",
            Power((GRAVER - 1.0) * objective.at_most, values, 1.0),
            values / per_s,
        )


def _of_means(rules: Rules, model_id: str, features: int) -> Iterator[tuple[str, bool, Power]]:
    """Of features, score and latency, where ADWIN or Page-Hinkley watch their means."""
    reference, series = rules.reference_of(model_id), ValueSeries.typical(rules)
    rate = false_alerts_per_prediction(
        rules.budget_of(model_id), reference.predictions, reference.span_ms
    )
    part = SHARE / (features + 2) / rules.sources
    series.share(rate * part, part, 1.0)
    is_calibrated = rules.page_hinkley.threshold is None
    mean = Mean(reference.predictions, 1.0, 1.0, rules.floors_of(model_id).shift, is_calibrated)
    for name, detector in series.detectors.items():
        yield f"the mean of a feature, by {NAMES[name]}", False, power_of(detector, mean)


def _in_rows(
    rules: Rules, model_id: str, features: int, per_s: float
) -> Iterator[tuple[str, bool, Power]]:
    """What is found in the row samples; values are predictions."""
    a_pane = per_s * rules.pane_ms / 1_000
    reference = rules.reference_of(model_id)
    rate = false_alerts_per_prediction(
        rules.budget_of(model_id), reference.predictions, reference.span_ms
    )

    def in_predictions(power: Power, rows: int) -> Power:
        times = max(a_pane / rows, 1.0)
        return replace(power, values=None if power.values is None else power.values * times)

    if rules.rates.enabled:
        own = rate * WEIGHTS["stale"] / features / rules.sources
        stuck = of_run(_VALUE, threshold(own, EVERY), 1.0, rules.kept_rows)
        series = f"a feature that stops varying, at a value that {_VALUE:.0%} usually have"
        yield series, True, in_predictions(stuck, rules.pane_rows)
    if rules.joint.enabled and features > 1:
        pairs = min(rules.joint.pairs, features * (features - 1) // 2)
        own = rate * joint_share(rules) / (pairs + PROJECTIONS)
        for known, when in ((rules.kept_rows, "at first"), (ENOUGH, f"after {ENOUGH:,} rows")):
            tilts = score_tilts([known], rate=min(own, 0.01), floor=rules.floors_of(model_id).joint)
            power = of_contrasts(tilts, np.array([rules.floors_of(model_id).joint]), known)
            series = f"two features that no longer go together, {when}"
            yield series, False, in_predictions(power, min(rules.joint.rows, rules.pane_rows))


def _typical(rules: Rules, model_id: str, features: int) -> Iterator[tuple[str, Terms]]:
    reference = rules.reference_of(model_id)
    n = reference.predictions
    rate = false_alerts_per_prediction(rules.budget_of(model_id), n, reference.span_ms)

    def terms(unit: Unit, baseline: Baseline, purse: Purse, items: int, part: float = 1.0) -> Terms:
        floor = floor_of(unit, rules.floors_of(model_id), rules.rates, lambda: baseline)
        return Terms(unit, baseline, floor, rate * WEIGHTS[purse] / items * part, None)

    def events(share: float) -> Baseline:
        return Baseline(np.array([round(share * n)]), np.array([n]))

    ranks = Baseline(np.zeros(1, np.int64), np.array([n]), n * SCORE_UNIT**2)
    mean = split(1.0, bins=1, numeric=True).mean
    yield (
        "the mean of a feature",
        terms(Unit("feature:", "shift"), ranks, "features", features, mean),
    )
    nulls, faults = Unit("feature:", "null"), features * len(OF_NUMBERS)
    yield f"nulls of a feature, {_NULLS:.0%} usual", terms(nulls, events(_NULLS), "quality", faults)
    score = Unit("prediction:score", "shift")
    yield "the mean of the score", terms(score, ranks, "prediction", _OF_PREDICTIONS, mean)
    error = Unit("outcome:error", "rate")
    yield (
        f"errors, {_ERRORS:.0%} usual",
        terms(error, events(_ERRORS), "performance", _OF_JUDGED * rules.judgements_of(model_id)),
    )
