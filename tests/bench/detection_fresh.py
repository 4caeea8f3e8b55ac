"""G2: series without a reference, watched from their 200th value on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.cusum_bank import CusumBank
from detectors.rank_scores import RankScores
from detectors.score_tilts import score_tilts
from detectors.tilts import Tilts
from detectors.working_reference import MIN_PROVISIONAL, provisional_due

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PANE = 10


class Fresh:
    """Columns of one-value panes whose series begin with nothing.

    Each takes all it has seen as its reference at 200, 400, 800, ... values, unless it is in
    warning; after an alert it begins again. `told` lists (series, value) of alerts.
    """

    def __init__(self, values: Floats, rate: float, *, events: bool, up_only: bool = False) -> None:
        self._values, self._rate = values, rate
        self._events, self._up_only = events, up_only
        series = values.shape[1]
        self._begin = np.zeros(series, dtype=np.int64)
        self._last = np.zeros(series, dtype=np.int64)
        self._scores: dict[int, RankScores] = {}
        self.bank = CusumBank(self._tilts(np.zeros(series, np.int64), np.full(series, 200)))
        self.told: list[tuple[int, int]] = []

    def _tilts(self, events: Ints, count: Ints) -> Tilts:
        if self._events:
            return bernoulli_tilts(events, count, rate=self._rate, up_only=self._up_only)
        return score_tilts(count, rate=self._rate)

    def run(self) -> list[tuple[int, int]]:
        for start in range(0, len(self._values), PANE):
            self._learn(start)
            which = np.flatnonzero(self._last > 0)
            if len(which):
                x = self._enter(start, which)
                told = self.bank.update(np.arange(start, start + PANE), x, np.ones_like(x), which)
                for s, pane in zip(told.series.tolist(), told.pane.tolist(), strict=True):
                    self.told.append((s, start + pane))
                self._begin[told.series], self._last[told.series] = start + PANE, 0
        return self.told

    def _learn(self, now: int) -> None:
        count = now - self._begin
        calm = (self._last == 0) | ~self.bank.warning()
        due = np.flatnonzero((count >= MIN_PROVISIONAL) & (count >= 2 * self._last) & calm)
        assert all(provisional_due(int(count[s]), int(self._last[s])) for s in due[:1])
        if not len(due):
            return
        if self._events:
            seen = np.array([self._values[self._begin[s] : now, s].sum() for s in due])
            tilts = self._tilts(seen.astype(np.int64), count[due])
        else:
            for s in due.tolist():
                self._scores[s] = RankScores.from_values(self._values[self._begin[s] : now, s])
            tilts = self._tilts(np.zeros(len(due), np.int64), count[due])
        self.bank.restart(due, tilts)
        self._last[due] = count[due]

    def _enter(self, start: int, which: Ints) -> Ints:
        rows = self._values[start : start + PANE]
        if self._events:
            return rows[:, which].astype(np.int64)
        return np.stack([self._scores[s].score(rows[:, s]) for s in which.tolist()], axis=1)


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "bernoulli .1": lambda rng, shape: (rng.random(shape) < 0.1).astype(np.float64),
    "bernoulli .001": lambda rng, shape: (rng.random(shape) < 0.001).astype(np.float64),
    "bernoulli .5": lambda rng, shape: (rng.random(shape) < 0.5).astype(np.float64),
    "normal": lambda rng, shape: rng.standard_normal(shape),
}


def quiet(kind: str, *, series: int, length: int, rate: float, seed: int) -> dict[str, Any]:
    """False alerts of fresh series."""
    rng = np.random.default_rng(seed)
    alerts = 0
    for start in range(0, series, 1000):
        size = min(1000, series - start)
        events = kind.startswith("bernoulli")
        alerts += len(Fresh(KINDS[kind](rng, (length, size)), rate, events=events).run())
    return {"kind": kind, "series": series, "length": length, "alerts": alerts,
            "per_million": alerts / (series * length) * 1e6, "seed": seed}  # fmt: skip


def found(
    before: float, after: float, *, at: int, within: int, series: int, rate: float, seed: int
) -> dict[str, Any]:
    """Share of fresh series whose rate changes at value `at` that are told `within` so many."""
    rng = np.random.default_rng(seed)
    length = -(-(at + within) // PANE) * PANE
    chance = np.where(np.arange(length) < at, before, after)[:, None]
    values = (rng.random((length, series)) < chance).astype(np.float64)
    told = Fresh(values, rate, events=True, up_only=before == 0.0).run()
    in_time = {s for s, when in told if at <= when < at + within}
    return {"change": f"{before:g}→{after:g} at {at}", "within": within,
            "found": len(in_time) / series, "early": sum(when < at for _, when in told),
            "series": series, "seed": seed}  # fmt: skip
