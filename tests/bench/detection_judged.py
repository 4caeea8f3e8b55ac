"""Judged predictions through the monitors that ship: false alarms of scored models, and delays.

A model says scores s and decides at a half; the truth comes true with chance s, until it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.columns import ABSENT, NULL, NUMBER, Column, Rows, number_column
from stream.judgement import DELAY, FALSE_POSITIVES, RECALL, SCORE_FALSE, SCORE_TRUE
from stream.monitor import Monitor
from stream.panes import summarise
from stream.rules import ReferenceRule, Rules

Floats = npt.NDArray[np.float64]
RULES = replace(Rules(), reference=ReferenceRule(10_000, 3_600_000))
PANE = 50  # predictions
_STEP = 10_000
_DROPPED = 0.1  # of the outcomes
SCORES = {"sure": (0.3, 0.3), "unsure": (2.0, 2.0), "rare": (1.0, 9.0), "very rare": (0.2, 6.0)}


@dataclass(frozen=True)
class Change:
    """What becomes of scores, and of outcomes that come, and the alert that should tell."""

    alertname: str
    truth: Callable[[Floats], Floats] = lambda score: score
    says: Callable[[Floats], Floats] = lambda score: score
    dropped: float = _DROPPED


CHANGES = {
    "scores come true 0.7 times as often": Change("CalibrationDrift", truth=lambda s: 0.7 * s),
    "three in ten positives are missed": Change("RecallDrift", says=lambda s: np.where(
        np.modf(s * 1_000)[0] < 0.3, 0.4 * s, s)),
    "scores nearer to a half": Change("EstimatedErrorDrift", says=lambda s: 0.5 + 0.6 * (s - 0.5)),
    "30 % of the outcomes missing": Change("LabelDelay", dropped=0.3),
}  # fmt: skip


def quiet(scores: str, *, models: int, length: int, seed: int) -> dict[str, Any]:
    """Without a change: all alerts about predictions and what became of them."""
    rng = np.random.default_rng([seed, 1, *scores.encode()])
    alerts = sum(len(_told(rng, SCORES[scores], length, None)) for _ in range(models))
    values = models * length
    return {"change": "none", "scores": scores, "predictions": values, "alerts": alerts} | {
        "per_million": alerts / values * 1e6
    }


def found(what: str, *, models: int, length: int, seed: int) -> dict[str, Any]:
    """The change comes in the middle."""
    rng = np.random.default_rng([seed, 2, *what.encode()])
    change, delays, early = CHANGES[what], [], 0
    for _ in range(models):
        told = [at for name, at in _told(rng, SCORES["sure"], length, change)
                if name == change.alertname]  # fmt: skip
        early += sum(at <= length // 2 for at in told)
        delays += [at - length // 2 for at in told if at > length // 2][:1]
    mean = float(np.mean(delays)) if delays else float("nan")
    return {"change": what, "scores": "sure", "predictions": models * length} | {
        "early": early, "found": len(delays) / models, "delay": mean,
    }  # fmt: skip


def _told(
    rng: np.random.Generator, shape: tuple[float, float], length: int, change: Change | None
) -> list[tuple[str, int]]:
    """(alertname, predictions until then)."""
    monitors = [
        Monitor(RULES, ("m", "1", "champion", ""), kind, RULES.reference)
        for kind in ("prediction", "cohort")
    ]
    told = []
    for first in range(0, length, _STEP):
        is_changed = change is not None and first >= length // 2
        for monitor, rows in zip(
            monitors, _rows(rng, shape, first, change if is_changed else None), strict=True
        ):
            table = summarise(rows, RULES.pane_rows, RULES.max_categories)
            findings, _ = monitor.update(table)
            told += [(f.alertname, f.pane_end_ms // RULES.pane_ms * PANE) for f in findings
                     if f.verdict == "drift"]  # fmt: skip
    return told


def _rows(
    rng: np.random.Generator, shape: tuple[float, float], first: int, change: Change | None
) -> tuple[Rows, Rows]:
    """(predictions, their cohort)."""
    how = change or Change("")
    meant = rng.beta(*shape, _STEP)
    score, true = how.says(meant), rng.random(_STEP) < how.truth(meant)
    labelled = rng.random(_STEP) >= how.dropped
    wrong = (score >= 0.5) != true

    def cells(values: npt.NDArray[Any], applies: npt.NDArray[np.bool_]) -> Column:
        kind = np.where(labelled, np.where(applies, NUMBER, ABSENT), NULL).astype(np.uint8)
        return number_column(np.where(kind == NUMBER, values.astype(np.float64), 0.0), kind)

    every = np.ones(_STEP, np.bool_)
    cohort = {
        "outcome:brier": cells((score - true) ** 2, every),
        DELAY: cells(rng.exponential(1e6, _STEP).round(), every),
        "outcome:error": cells(wrong, every),
        FALSE_POSITIVES: cells(wrong, ~true),
        RECALL: cells(~wrong, true),
        SCORE_FALSE: cells(score, ~true),
        SCORE_TRUE: cells(score, true),
    }
    ends = ((first + np.arange(_STEP)) // PANE + 1) * RULES.pane_ms
    hashes = rng.integers(0, 2**63, _STEP).astype(np.uint64)
    said = {"prediction:score": number_column(score)}
    return Rows(ends, hashes, said, {}), Rows(ends, hashes, cohort, {})
