"""G1, G1m, G5: false alerts where nothing changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.cusum_bank import CusumBank
from detectors.dependence import variance_ratio
from detectors.rank_scores import SCORE_UNIT, RankScores
from detectors.score_tilts import score_tilts
from detectors.shape import quantile_bins, split
from detectors.tilts import Tilts
from tests.bench import detection_rows
from tests.bench.detection_draws import (
    FLOOR,
    Learnt,
    autoregressive,
    draw,
    fresh,
    learn_rates,
)
from tests.bench.detection_runs import Watch, per_million, upper_bound

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHIPPED = 0.5  # of the budget: what a series' weight is multiplied with
BUDGET = 1e-6  # false alerts a prediction and model
BLOCK = 5_000


def single(name: str, count: int, *, series: int, length: int, seed: int) -> dict[str, Any]:
    """G1: series that are models of their own, with the whole budget, weight-1 panes."""
    rng = np.random.default_rng([seed, count])
    watch = Watch(fresh(name, rng, series, count, SHIPPED * BUDGET))
    for _ in range(0, length, BLOCK):
        watch.feed(watch.learnt.enter(draw(name, rng, BLOCK, series)))
    return _told(watch) | {"distribution": name, "reference": count, "seed": seed}


def _told(watch: Watch) -> dict[str, Any]:
    quiet = watch.values - watch.firing_values
    return {
        "series": len(watch.alerts),
        "values": watch.values,
        "alerts": int(watch.alerts.sum()),
        "per_million": per_million(watch.alerts, quiet),
        "upper": upper_bound(watch.alerts, quiet),
        "most_of_one_series": int(watch.alerts.max()),
        "firing_share": watch.firing_values / watch.values,
    }


# -- G5


def dependent(
    kind: str, count: int, *, series: int, length: int, seed: int, pane: int = 10
) -> dict[str, Any]:
    """G5: AR(1) ("ar 0.7"), or a daily cycle of 10,000 values and half a σ ("season").

    τ is measured on each reference, in panes of `pane` values, as sealing does.
    """
    rng = np.random.default_rng([seed, count])
    state, clock = rng.standard_normal(series), 0

    def more(size: int) -> Floats:
        nonlocal clock
        if kind.startswith("ar"):
            return autoregressive(float(kind.split()[1]), rng, size, state)
        phase = 2.0 * math.pi * (np.arange(clock, clock + size) / 10_000)
        clock += size
        return rng.standard_normal((size, series)) + 0.5 * np.sin(phase)[:, None]

    reference = more(count)
    scores = [RankScores.from_values(reference[:, s]) for s in range(series)]
    tau = np.empty(series)
    for s, one in enumerate(scores):
        z = (one.score(reference[:, s]) / SCORE_UNIT).reshape(-1, pane)
        tau[s] = variance_ratio(np.full(len(z), pane), z.sum(axis=1), (z**2).sum(axis=1)).upper
    tilts = score_tilts([count] * series, rate=SHIPPED * BUDGET, tau=tau, floor=FLOOR)
    watch = Watch(Learnt(tilts, scores, count, np.maximum(FLOOR, tilts.smallest)))
    for _ in range(0, length, BLOCK):
        watch.feed(watch.learnt.enter(more(BLOCK)))
    return _told(watch) | {
        "dependence": kind,
        "reference": count,
        "seed": seed,
        "tau": float(np.median(tau)),
        "smallest_tilt": float(np.median(tilts.smallest)),
    }


# -- G1m


CELLS = 4096  # of a score table: what log buckets are to a real feature
PANE = 50
NUMERIC_SERIES = {"features": 12, "prediction": 2}  # score and latency live on the same purse
WEIGHTS = {"features": 0.25, "prediction": 0.15, "performance": 0.30, "quality": 0.25}


def models(*, models: int, length: int, count: int, seed: int) -> dict[str, Any]:
    """G1m: models of 12 features, score, latency (each mean and 10 bins), what goes together in
    their rows, and an error, default weights, panes of 50; their 36 rates of faults have no events,
    and so no alarm, and no value comes twice."""
    rng = np.random.default_rng(seed)
    rate = SHIPPED * BUDGET
    alerts = np.zeros(models, dtype=np.int64)
    for purse, members in NUMERIC_SERIES.items():
        for _ in range(members):
            alerts += _numeric(rng, models, length, count, WEIGHTS[purse] / members * rate)
    errors = learn_rates(rng.binomial(count, 0.1, models), count, WEIGHTS["performance"] * rate)
    bank = CusumBank(errors.tilts)
    for start in range(0, length // PANE, 400):
        events = rng.binomial(PANE, 0.1, (400, models))
        alerts += _tell_and_restart(bank, errors.tilts, start, events, np.full_like(events, PANE))
    rows = [
        detection_rows.alerts(rng, predictions=length, pane=PANE, rate=rate) for _ in range(models)
    ]
    alerts += np.array(rows)
    return {
        "models": models, "predictions": length, "reference": count, "seed": seed,
        "of_rows": sum(rows),
        "mean_per_million": float(alerts.mean()) / length * 1e6,
        "upper": upper_bound(alerts, models * length),
        "share_above_3_per_million": float((alerts > 3 * length / 1e6).mean()),
    }  # fmt: skip


def _numeric(rng: np.random.Generator, models: int, length: int, count: int, rate: float) -> Ints:
    """Alerts by model of one continuous series: its mean score and its bins."""
    parts = split(rate, bins=10, numeric=True)
    cells = rng.multinomial(count, np.full(CELLS, 1.0 / CELLS), models)
    scores = np.stack([RankScores.from_counts(one).cell_scores for one in cells]).astype(np.int32)
    bins = np.stack([quantile_bins(one, 10) for one in cells]).astype(np.int8)
    mean_tilts = score_tilts([count] * models, rate=parts.mean, floor=FLOOR)
    filled = [np.bincount(b, weights=c, minlength=10) for b, c in zip(bins, cells, strict=True)]
    events = np.stack(filled)
    bin_tilts = bernoulli_tilts(
        events.ravel(), np.full(models * 10, count), rate=parts.per_bin, floor=0.05 * 0.1
    )
    means, shapes = CusumBank(mean_tilts), CusumBank(bin_tilts)
    alerts = np.zeros(models, dtype=np.int64)
    panes = 200
    first_of_model = (np.arange(models) * CELLS)[None, None, :]
    for start in range(0, length // PANE, panes):
        cell = rng.integers(0, CELLS, (panes, PANE, models)) + first_of_model
        x = scores.ravel()[cell].sum(axis=1, dtype=np.int64)
        place = bins.ravel()[cell]
        inside = np.stack([(place == b).sum(axis=1) for b in range(10)], axis=2)
        inside = inside.reshape(panes, models * 10)
        alerts += _tell_and_restart(means, mean_tilts, start, x, np.full_like(x, PANE))
        told = _tell_and_restart(shapes, bin_tilts, start, inside, np.full_like(inside, PANE))
        alerts += told.reshape(models, 10).sum(axis=1)
    return alerts


def _tell_and_restart(bank: CusumBank, tilts: Tilts, start: int, x: Ints, n: Ints) -> Ints:
    """Alerts by series; a series that told begins anew with the next call."""
    told = bank.update(np.arange(start, start + len(x)), x, n)
    if len(told):
        bank.restart(told.series, tilts.take(told.series))
    return np.bincount(told.series, minlength=len(bank))
