"""What the detectors are measured on: seeded draws, and the references each series learnt from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.rank_scores import SCORE_UNIT, RankScores
from detectors.score_tilts import score_tilts
from detectors.tilts import Tilts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Generator = np.random.Generator

RATES = {"bernoulli .001": 0.001, "bernoulli .05": 0.05, "bernoulli .1": 0.1, "bernoulli .2": 0.2,
         "bernoulli .5": 0.5}  # fmt: skip
NUMERIC: dict[str, Callable[[Generator, tuple[int, ...]], Floats]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "lognormal 1.5": lambda rng, shape: np.exp(1.5 * rng.standard_normal(shape)),
    "t3": lambda rng, shape: rng.standard_t(3, shape),
    "zero-inflated": lambda rng, shape: rng.exponential(1.0, shape) * (rng.random(shape) < 0.2),
}
# Only the order of values counts, so all continuous distributions are one to a rank.
DISTRIBUTIONS = (*RATES, *NUMERIC)
RELATIVE_FLOOR = 0.1  # of a rate
FLOOR = 0.1  # σ, of a mean score


@dataclass(frozen=True)
class Learnt:
    """Series with a reference of their own each, and how their values enter the bank."""

    tilts: Tilts
    scores: Sequence[RankScores] | None  # None: events
    count: int  # values of each reference
    floor: Floats  # of a change worth telling: a difference of rates, or σ

    def enter(self, values: Floats) -> Ints:
        """Values (panes, series) as the bank takes them."""
        if self.scores is None:
            return values.astype(np.int64)
        return np.stack([one.score(values[:, s]) for s, one in enumerate(self.scores)], axis=1)


def learn_rates(events: Ints, count: int, rate: float) -> Learnt:
    """Series of rates, whose references hold so many events among `count` values."""
    floor = RELATIVE_FLOOR * (events + 0.5) / (count + 1)
    tilts = bernoulli_tilts(events, np.full(len(events), count), rate=rate, floor=floor)
    return Learnt(tilts, None, count, np.maximum(floor, tilts.smallest * tilts.sd))


def learn_scores(references: Sequence[Floats], rate: float) -> Learnt:
    """Numeric series, by the values of their references."""
    scores = [RankScores.from_values(reference) for reference in references]
    count = len(references[0])
    tilts = score_tilts([count] * len(scores), rate=rate, floor=FLOOR)
    if any(one.largest_mass > 0.05 for one in scores):  # atoms: normal cumulants will not do
        tilts = score_tilts([count] * len(scores), rate=rate, floor=FLOOR, scores=scores)
    return Learnt(tilts, scores, count, np.maximum(FLOOR, tilts.smallest))


def fresh(name: str, rng: Generator, series: int, count: int, rate: float) -> Learnt:
    """So many series of a distribution, with a drawn reference of `count` values each."""
    if name in RATES:
        return learn_rates(rng.binomial(count, RATES[name], series), count, rate)
    return learn_scores([NUMERIC[name](rng, (count,)) for _ in range(series)], rate)


def draw(name: str, rng: Generator, panes: int, series: int) -> Floats:
    """Values (panes, series) without a change."""
    if name in RATES:
        return (rng.random((panes, series), dtype=np.float32) < RATES[name]).astype(np.float64)
    return NUMERIC[name](rng, (panes, series))


def autoregressive(phi: float, rng: Generator, length: int, before: Floats) -> Floats:
    """Normal values (length, series) of variance 1, each φ of the one before plus noise.

    `before` (series,) is the last row so far; it is moved on.
    """
    noise = rng.standard_normal((length, len(before))) * math.sqrt(1.0 - phi * phi)
    for row in noise:
        before *= phi
        before += row
        row[:] = before
    return noise


def as_scores(values: Floats) -> Ints:
    """Normal values as scores of a reference that does not err."""
    return np.rint(values * SCORE_UNIT).astype(np.int64)
