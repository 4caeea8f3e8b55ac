"""G3, G4: how long after a change, against a CUSUM that knows both distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors import bernoulli_tilts, score_tilts
from detectors.cusum_bank import CusumBank
from detectors.rank_scores import SCORE_UNIT, RankScores
from detectors.tilts import NATS, NEVER, TILTS, Tilts
from tests.bench.detection_draws import FLOOR, Learnt, as_scores, learn_rates

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Draw = Callable[[np.random.Generator, int, int, bool], Floats]

BEFORE = 500  # values without a change, after the reference
HORIZON = 20_000
STRETCH = 500
KNOWN = 10**12  # values of a reference that does not err


@dataclass(frozen=True)
class Shift:
    """A rate that goes from `before` to `after`, or normal values whose mean goes up by `after`."""

    name: str
    before: float | None
    after: float
    published: float  # oracle's delay as measured before, elsewhere

    def draw(self, rng: np.random.Generator, panes: int, series: int, *, changed: bool) -> Floats:
        if self.before is None:
            return rng.standard_normal((panes, series)) + (self.after if changed else 0.0)
        rate = self.after if changed else self.before
        return (rng.random((panes, series)) < rate).astype(np.float64)

    @property
    def sigma(self) -> float:
        """Size in σ of one value."""
        if self.before is None:
            return self.after
        return abs(self.after - self.before) / math.sqrt(self.before * (1.0 - self.before))


SHIFTS = (
    Shift(".10→.12", 0.10, 0.12, 2974),
    Shift(".10→.15", 0.10, 0.15, 632),
    Shift(".10→.20", 0.10, 0.20, 213),
    Shift(".10→.30", 0.10, 0.30, 68),
    Shift(".20→.10", 0.20, 0.10, 251),
    Shift("+.25σ", None, 0.25, 278),
    Shift("+.5σ", None, 0.5, 83),
    Shift("+1σ", None, 1.0, 23.4),
)


def oracle(shift: Shift, series: int, rate: float) -> Tilts:
    """The CUSUM that knows both distributions: one tilt, the right one."""
    theta = np.zeros((series, TILTS))
    one, known = np.ones(series), np.full(series, float(KNOWN))
    rates = np.full(series, rate)
    if shift.before is None:
        theta[:, 0] = shift.after
        height = score_tilts.heights(theta, known, one, rates)
        gain, cost = shift.after * NATS / SCORE_UNIT, -(shift.after**2) / 2.0 * NATS
        mean, sd = 0.0, 1.0
    else:
        mean, sd = shift.before, math.sqrt(shift.before * (1.0 - shift.before))
        shifts = theta.copy()
        shifts[:, 0] = shift.after - shift.before
        height = bernoulli_tilts.heights(one * mean, known, one, rates, shifts)
        theta = shifts / sd
        lose = math.log((1.0 - shift.after) / (1.0 - mean))
        gain, cost = (math.log(shift.after / mean) - lose) * NATS, lose * NATS
    only = np.arange(TILTS) == 0
    nats = np.ceil(np.where(np.isfinite(height), height, 1.0) * NATS)
    return Tilts(
        gain=np.where(only, round(gain), 0) * np.ones((series, 1), dtype=np.int64),
        cost=np.where(only, round(cost), 0) * np.ones((series, 1), dtype=np.int64),
        threshold=np.where(only, nats, NEVER).astype(np.int64),
        theta=theta, mean=one * mean, sd=one * sd, n_eff=known, tau=one, rate=rates,
        is_rate=np.full(series, shift.before is not None),
    )  # fmt: skip


def learn(shift: Shift, rng: np.random.Generator, series: int, count: int, rate: float) -> Learnt:
    """The series' references, of `count` values each."""
    if shift.before is not None:
        return learn_rates(rng.binomial(count, shift.before, series), count, rate)
    scores = [RankScores.from_values(rng.standard_normal(count)) for _ in range(series)]
    tilts = score_tilts.score_tilts([count] * series, rate=rate, floor=FLOOR)
    return Learnt(tilts, scores, count, np.full(series, FLOOR))


@dataclass
class Delays:
    """Of one detector over all series: values until it told, NaN where it missed."""

    values: Floats
    early: int  # told before the change: counted as false alarms, left out of the delays

    def plain(self) -> dict[str, float]:
        found = self.values[np.isfinite(self.values)]
        return {
            "mean": float(found.mean()) if len(found) else math.nan,
            "error": float(found.std() / math.sqrt(max(len(found), 1))) if len(found) else math.nan,
            "missed": 1.0 - len(found) / max(len(self.values), 1),
            "early": self.early,
        }


class _Runner:
    """A bank over columns of values, until all of its series have told."""

    def __init__(self, tilts: Tilts, enter: Callable[[Floats], Ints], pane: int) -> None:
        self.bank, self.enter, self.pane = CusumBank(tilts), enter, pane
        self.told = np.full(len(tilts), np.nan)

    def feed(self, start: int, values: Floats) -> None:
        x = self.enter(values)
        x = x.reshape(-1, self.pane, x.shape[1]).sum(axis=1)
        n = np.full_like(x, self.pane)
        told = self.bank.update(start + np.arange(1, len(x) + 1) * self.pane, x, n)
        self.told[told.series] = start + (told.pane + 1) * self.pane

    def delays(self) -> Delays:
        early = self.told <= BEFORE
        return Delays(self.told[~early] - BEFORE, int(early.sum()))


def delays(
    shift: Shift, *, count: int, series: int, rate: float, seed: int, pane: int = 1,
    horizon: int = HORIZON, with_oracle: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """G3 of one shift: Leeway at `rate`, the oracle at one false alarm per 1M, same values."""
    rng = np.random.default_rng([seed, count, round(1000 * shift.after)])
    learnt = learn(shift, rng, series, count, rate)
    runners = {"leeway": _Runner(learnt.tilts, learnt.enter, pane)}
    if with_oracle:
        exact = (lambda v: v.astype(np.int64)) if shift.before is not None else as_scores
        runners["oracle"] = _Runner(oracle(shift, series, 1e-6), exact, 1)
    for start in range(0, BEFORE + horizon, STRETCH):
        values = shift.draw(rng, STRETCH, series, changed=start >= BEFORE)
        for runner in runners.values():
            runner.feed(start, values)
        if all(runner.bank.held.all() for runner in runners.values()):
            break
    found: dict[str, Any] = {name: runner.delays().plain() for name, runner in runners.items()}
    if with_oracle:
        found["ratio"] = found["leeway"]["mean"] / found["oracle"]["mean"]
    return found | {"shift": shift.name, "published_oracle": shift.published, "reference": count,
                    "rate": rate, "pane": pane, "runs": series, "seed": seed}  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Over shifts: geometric mean and worst of the ratios, largest share missed."""
    ratios = [row["ratio"] for row in rows]
    return {
        "geometric_mean": math.exp(sum(math.log(r) for r in ratios) / len(ratios)),
        "worst": max(ratios),
        "most_missed": max(row["leeway"]["missed"] for row in rows),
    }
