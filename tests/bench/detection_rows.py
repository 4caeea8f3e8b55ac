"""What goes together in the rows of whole models in which nothing changes, as shipped.

From the rows of a sealed reference on, with those that join at every doubling.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.cusum_bank import CusumBank
from detectors.joint_scores import JointScores
from detectors.rank_scores import SCORE_UNIT
from stream.budget import WEIGHTS
from stream.joint_terms import ENOUGH, Terms, tilts_of
from stream.rules import FloorRule, JointRule, Rules

Ints = npt.NDArray[np.int64]
NAMES = tuple(f"feature:{n}" for n in range(12))
FIRST, RULE = Rules().kept_rows, JointRule()


def alerts(rng: np.random.Generator, *, predictions: int, pane: int, rate: float) -> int:
    """Crossings of one model of 12 independent features; each would be told if its effect still
    reached the floor with as many rows again. `rate`: false alerts a prediction of the model."""
    rows = min(pane, RULE.rows)
    joint = JointScores(NAMES, _scores(rng, FIRST), pairs=RULE.pairs)
    terms = Terms(
        "", dict.fromkeys(NAMES, True), RULE.pairs, RULE.rows, WEIGHTS["joint"] * rate, 1.0,
        FloorRule().joint,
    )  # fmt: skip
    taus = np.ones(len(joint.contrasts))

    def tilts() -> Any:
        known: Any = SimpleNamespace(joint=joint, known=joint.counts.sum(axis=1, dtype=np.int64))
        return tilts_of(terms, known, taus)

    bank, known, told, done = CusumBank(tilts()), FIRST, 0, 0
    while done < predictions // pane:
        due = min(ENOUGH, known)
        panes = min(-(-due // rows), predictions // pane - done)
        cells = joint.cells(_scores(rng, panes * rows))
        x = joint.scores_of(cells).reshape(panes, rows, -1).sum(axis=1)
        start, at = np.arange(done, done + panes, dtype=np.int64), 0
        while at < panes:
            found = bank.update(start[at:], x[at:], np.full_like(x[at:], rows))
            if not len(found):
                break
            told, at = told + 1, at + int(found.pane[0]) + 1
            bank.restart(np.arange(len(bank)), bank.tilts)
        if known < ENOUGH:
            joint.join(joint.tally(cells))
            known += panes * rows
            bank.replace(tilts())
        done += panes
    return told


def _scores(rng: np.random.Generator, rows: int) -> Ints:
    return np.rint(rng.standard_normal((rows, len(NAMES))) * SCORE_UNIT).astype(np.int64)
