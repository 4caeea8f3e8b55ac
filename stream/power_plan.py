"""What a configuration will let be found, before there is any data: of typical series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detectors.rank_scores import SCORE_UNIT
from detectors.shape import split
from stream.budget import WEIGHTS, Purse, false_alerts_per_prediction
from stream.power import Power, powers
from stream.rules import Rules
from stream.unit_tilts import Baseline, Terms, floor_of
from stream.units import OF_NUMBERS, Unit

_NULLS, _ERRORS = 0.01, 0.1  # usual shares
_OF_PREDICTIONS = 3  # score, label, latency
_OF_JUDGED = 4  # error, Brier score, recall, false positives


@dataclass(frozen=True, slots=True)
class Planned:
    series: str
    is_share: bool  # else in σ on ranks
    power: Power
    seconds: float | None  # at the least traffic that completes the reference in its span


def planned(rules: Rules, model_id: str, features: int) -> list[Planned]:
    """Of a model with so many numeric features, compared with a reference just sealed, of values
    that do not depend on each other."""
    rules = rules.of_group(model_id, is_segment=False)
    of, terms = zip(*_typical(rules, model_id, features), strict=True)
    reference = rules.reference_of(model_id)
    per_s = reference.predictions / max(reference.span_ms, 1) * 1_000
    return [
        Planned(
            series,
            one.unit.measure != "shift",
            power,
            None if power.values is None else power.values / per_s,
        )
        for series, one, power in zip(of, terms, powers(terms), strict=True)
    ]


def _typical(rules: Rules, model_id: str, features: int) -> Iterator[tuple[str, Terms]]:
    reference = rules.reference_of(model_id)
    n = reference.predictions
    rate = false_alerts_per_prediction(rules.budget_of(model_id), n, reference.span_ms)

    def terms(unit: Unit, baseline: Baseline, purse: Purse, items: int, part: float = 1.0) -> Terms:
        floor = floor_of(unit, rules.floors_of(model_id), rules.rates, baseline)
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
