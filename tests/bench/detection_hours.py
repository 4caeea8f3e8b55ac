"""What goes together, where values come and go with the hour: how often it is told for nothing.

Two features of independent rows, each with a daily cycle; what is left of them without the mean of
their hour is correlated as it always was (`steady`), or more at noon than at night (`by the hour`).
Contrasts are taken of the ranks as they are, of ranks less the mean of their hour, and as shipped:
of these, with the τ that two days have.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.cusum_bank import CusumBank
from detectors.joint_scores import JointScores
from detectors.rank_scores import SCORE_UNIT
from stream.budget import WEIGHTS
from stream.joint_hours import CYCLES, JointHours
from stream.joint_terms import ENOUGH, Terms, tilts_of
from stream.rules import HOUR_MS

Ints = npt.NDArray[np.int64]
PER_HOUR, PANE = 100, 20
NAMES = ("feature:x", "feature:y")
BUDGET = 1e-6  # false alerts a row of the whole model


@dataclass(frozen=True)
class Kind:
    cycle: float  # half of the way from night to noon, in standard deviations of what is left
    night: float  # correlations of what is left
    noon: float


KINDS = {
    "no cycle": Kind(0.0, 0.5, 0.5),
    "steady": Kind(1.0, 0.5, 0.5),
    "by the hour": Kind(1.0, 0.3, 0.7),
}


OF = ("ranks", "ranks less their hour", "as shipped")


def quiet(kind: str, of: str, *, days: int, seed: int) -> dict[str, Any]:
    """How often it tells something where every day is as those of the reference were."""
    rng = np.random.default_rng([seed, 11, *kind.encode()])
    before = _rows(rng, KINDS[kind], 28)
    edges = [np.sort(column) for column in before.T]
    hours = np.zeros((24, 2), np.int64)
    scores = _scores(before, edges)
    if of != "ranks":
        by_hour = scores.reshape(-1, 24, PER_HOUR, 2)
        hours = np.rint(by_hour.mean(axis=(0, 2))).astype(np.int64)
    scores -= np.repeat(hours, PER_HOUR, axis=0)[np.arange(len(scores)) % (24 * PER_HOUR)]
    known = rng.permutation(scores)[:ENOUGH]
    joint = JointScores(NAMES, known)
    share = WEIGHTS["joint"]
    terms = Terms("", dict.fromkeys(NAMES, True), 32, 32, share * BUDGET, 1.0, 0.2)
    rows: Any = SimpleNamespace(joint=joint, known=joint.counts.sum(axis=1, dtype=np.int64))
    taus = np.ones(len(joint.contrasts))
    if of == "as shipped":
        learned = JointHours(24, len(taus))
        first = joint.score(scores[: CYCLES * 24 * PER_HOUR]).reshape(-1, PANE, len(taus))
        start_ms = np.arange(len(first)) * (HOUR_MS * PANE // PER_HOUR)
        sums = [(first**power).sum(axis=1) for power in (1, 2)]
        learned.add(start_ms, np.full_like(sums[0], PANE), sums)
        taus = learned.taus()
    bank = CusumBank(tilts_of(terms, rows, taus))
    told = 0
    for _ in range(days):
        day = _scores(_rows(rng, KINDS[kind], 1), edges) - np.repeat(hours, PER_HOUR, axis=0)
        x = joint.score(day).reshape(-1, PANE, len(joint.contrasts)).sum(axis=1)
        start, at = np.arange(len(x), dtype=np.int64), 0
        while at < len(x):
            part = slice(at, None)
            found = bank.update(start[part], x[part], np.full_like(x[part], PANE))
            if not len(found):
                break
            told += 1
            at += int(found.pane[0]) + 1
            bank.restart(np.arange(len(bank)), bank.tilts)
    count = days * 24 * PER_HOUR
    return {
        "values": kind, "of": of, "rows": count, "tau": float(taus.max()),
        "told": told, "per_million": told / count * 1e6, "asked": share,
    }  # fmt: skip


def _rows(rng: np.random.Generator, kind: Kind, days: int) -> npt.NDArray[np.float64]:
    """(rows, 2), day after day."""
    hour = np.repeat(np.arange(24), PER_HOUR)
    noon = (1 - np.cos(2 * np.pi * hour / 24)) / 2  # 0 at midnight, 1 at noon
    noon = np.tile(noon, days)
    both = kind.night + (kind.noon - kind.night) * noon
    one, other = rng.standard_normal((2, len(noon)))
    left = np.stack([one, both * one + np.sqrt(1 - both**2) * other], axis=1)
    return left + kind.cycle * (2 * noon - 1)[:, None]


def _scores(rows: npt.NDArray[np.float64], edges: list[npt.NDArray[np.float64]]) -> Ints:
    """Normal scores of ranks among the reference's values."""
    from statistics import NormalDist

    grid = np.array([NormalDist().inv_cdf((i + 0.5) / 4096) for i in range(4096)])
    made = [
        grid[np.minimum(np.searchsorted(of, column) * 4096 // (len(of) + 1), 4095)]
        for column, of in zip(rows.T, edges, strict=True)
    ]
    return np.rint(np.stack(made, axis=1) * SCORE_UNIT).astype(np.int64)
