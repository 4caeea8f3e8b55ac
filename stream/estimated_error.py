"""How often a model is expected to be wrong, from its scores alone: before any label is in.

A score s of the label that was said is wrong with probability 1 - s; one of the positive label,
decided at a half, with that of the less likely side. That takes scores at their word, as NannyML's
confidence-based estimate does of calibrated ones; compared with a reference, what they are off by
in both falls out. It is information: `TWIN` is the same of judged predictions, beside what those
really were, and withdraws what they do not bear out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.log_buckets import middle_of
from stream.bounded_mean import STEPS
from stream.feature_table import FeatureTable, Ints
from stream.judgement import (
    BINARY,
    FALSE_POSITIVES,
    RECALL,
    SCORE_FALSE,
    SCORE_TRUE,
    label_flags,
)
from stream.pane_kinds import is_judged
from stream.panes import PaneTable
from stream.reference import Reference

SCORE, LABEL, ERROR = "prediction:score", "prediction:label", "outcome:error"
ESTIMATE, TWIN = "prediction:estimated_error", "outcome:estimated_error"
OF_BOTH = (ESTIMATE, TWIN)  # series of which predictions and cohorts have a say


def is_probability(reference: Reference) -> bool:
    """Whether all scores of a reference lie between 0 and 1."""
    of = reference.feature(SCORE)
    return of is not None and bool(of.number[0]) and of.minimum[0] >= 0 and of.maximum[0] <= 1


def are_of_the_named(reference: Reference) -> bool:
    """Whether scores are of the label that was said, not of the positive one."""
    if is_judged(reference.kind):
        return not any(reference.feature(name) for name in (RECALL, FALSE_POSITIVES))
    labels = reference.feature(LABEL)
    if labels is None:
        return False
    texts = [reference.table.texts[code] for code in labels.categories.key.tolist()]
    return not all(label_flags(text) & BINARY for text in texts)


def largest_of(reference: Reference) -> float:
    """The largest error that a score lets expect: 1, or that of an even chance."""
    return 1.0 if are_of_the_named(reference) else 0.5


def estimates(table: PaneTable, name: str, largest: float) -> tuple[Ints, Ints, Ints]:
    """(sum, values, sum of squares) of each pane and column, in steps of the largest: of ESTIMATE
    one column; of TWIN a second one for the errors that there were, in steps of 1. Shape (panes,
    columns) each."""
    panes, features = len(table), table.features
    sources = (SCORE,) if name == ESTIMATE else (SCORE_FALSE, SCORE_TRUE)
    columns = [_expected([features.get(source) for source in sources], panes, largest)]
    if name == TWIN:
        columns.append(_errors(features.get(ERROR), panes))
    x, n, xx = (np.stack(of, axis=1) for of in zip(*columns, strict=True))
    return x, n, xx


def _expected(
    of: Sequence[FeatureTable | None], panes: int, largest: float
) -> tuple[Ints, Ints, Ints]:
    cells = [feature.buckets for feature in of if feature is not None]
    if not cells:
        return _nothing(panes)
    pane, key, count = (
        np.concatenate([getattr(part, field) for part in cells])
        for field in ("pane", "key", "count")
    )
    score = np.clip(middle_of(key), 0.0, 1.0)
    wrong = 1.0 - score if largest == 1.0 else np.minimum(score, 1.0 - score)
    step = np.rint(wrong / largest * STEPS).astype(np.int64)
    totals = [np.zeros(panes, np.int64) for _ in range(3)]
    for total, of_cell in zip(totals, (count * step, count, count * step**2), strict=True):
        np.add.at(total, pane, of_cell)
    return totals[0], totals[1], totals[2]


def _errors(feature: FeatureTable | None, panes: int) -> tuple[Ints, Ints, Ints]:
    if feature is None:
        return _nothing(panes)
    cells = feature.buckets
    ones = np.bincount(cells.pane, np.where(cells.key != 0, cells.count, 0), minlength=panes)
    wrong = ones.astype(np.int64) * STEPS
    return wrong, feature.number, wrong * STEPS


def _nothing(panes: int) -> tuple[Ints, Ints, Ints]:
    none = np.zeros(panes, np.int64)
    return none, none, none
