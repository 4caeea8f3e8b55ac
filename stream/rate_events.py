"""How many values of a pane are faults of each kind, and at which rate a reference had them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.panes import FeatureTable, Ints, PaneTable
from stream.profile import Profile
from stream.reference import Reference
from stream.units import Fault

_OF_VALUES = ("unseen", "out_of_range")  # counted among the values, not among the predictions


def faults(
    run: PaneTable,
    feature: FeatureTable | None,
    rate: Fault,
    *,
    numeric: bool,
    profile: Profile,
    name: str,
    max_categories: int,
) -> tuple[Ints, Ints]:
    """(faults, values among which they are counted) of each pane of the run, shape (P,) each.

    `feature`: None where nobody sent it in these panes.
    """
    zeros = np.zeros(len(run), np.int64)
    if feature is None:
        return run.rows if rate == "absent" else zeros, zeros if rate in _OF_VALUES else run.rows
    match rate:
        case "null" | "unlabelled":
            return feature.null, run.rows
        case "absent":
            return run.rows - feature.present, run.rows
        case "type_error":
            return (feature.text if numeric else feature.number) + feature.other, run.rows
        case "unseen":
            known = profile.categories(name)
            return _unseen(feature, len(run), known, max_categories), feature.text
        case "out_of_range":
            of = profile.number(name)
            return zeros if of is None else of.outside(feature, len(run)), feature.number


def _unseen(
    feature: FeatureTable, panes: int, known: NDArray[Any] | None, max_categories: int
) -> Ints:
    if known is None:
        return np.zeros(panes, np.int64)
    if not len(known):
        return feature.text
    cells = feature.categories
    at = np.minimum(np.searchsorted(known, cells.key), len(known) - 1)
    is_known = known[at] == cells.key
    seen = np.bincount(cells.pane[is_known], weights=cells.count[is_known], minlength=panes)
    if len(known) >= max_categories:
        # more categories than are counted: only those counted on both sides can be judged
        comparable = cells.key <= known.max()
        counted = np.bincount(
            cells.pane[comparable], weights=cells.count[comparable], minlength=panes
        )
        return (counted - seen).astype(np.int64)
    return (feature.text - seen).astype(np.int64)


def rate_of(reference: Reference, name: str, rate: Fault, *, numeric: bool) -> tuple[int, int]:
    """(faults, values) of a feature in its reference; no values where it does not know it: such
    a feature starts from its own."""
    frozen = reference.feature(name)
    if frozen is None:
        return 0, 0
    rows = reference.count
    match rate:
        case "null" | "unlabelled":
            return int(frozen.null[0]), rows
        case "absent":
            return rows - int(frozen.present[0]), rows
        case "type_error":
            wrong = frozen.text if numeric else frozen.number
            return int(wrong[0] + frozen.other[0]), rows
        case "unseen":  # Good and Turing: the unseen mass is the share of categories seen once
            return int((frozen.categories.count == 1).sum()), int(frozen.text[0])
        case "out_of_range":  # no value is outside; of the next ones, one at each end may be
            return 0, int(frozen.number[0])
