"""Whether a feature differed from the training data before the onset that was found.

An onset is no earlier than what its detector remembers; where values depend, and at high rates, it
begins anew while it is learned how much. The live reference, of before the onset, tells.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.log_buckets import bucket_of
from stream.columns import Rows
from stream.reference import Reference

FEWEST = 50  # values on each side
_SURE = 3.0  # standard errors
Cells = tuple[NDArray[Any], NDArray[Any]]
"""Logarithmic buckets, ascending, and how many values each has."""


def was_so(name: str, since_ms: int, law: Reference, live: Reference, window: Rows | None) -> bool:
    """Whether its values had moved as they have since, half as far or more; `window`: rows since
    then."""
    known, found = law.feature(name), live.feature(name)
    if window is None or known is None or found is None or live.end_ms > since_ms:
        return False
    usual, before = ((of.buckets.key, of.buckets.count) for of in (known, found))
    now = _cells(window, name)
    fewest = min(int(counts.sum()) for _, counts in (usual, before, now))
    if fewest < FEWEST:
        return False
    was, is_now = (_rank(cells, usual) - 0.5 for cells in (before, now))
    error = math.sqrt((1 / int(before[1].sum()) + 1 / int(usual[1].sum())) / 12)
    return bool(was * is_now > 0 and abs(was) >= max(abs(is_now) / 2, _SURE * error))


def _cells(rows: Rows, name: str) -> Cells:
    column = rows.columns.get(name)
    values = np.zeros(0) if column is None else column.numbers()[1]
    keys, counts = np.unique(bucket_of(values), return_counts=True)
    return keys, counts.astype(np.int64)


def _rank(cells: Cells, usual: Cells) -> float:
    """The mean one, from 0 to 1."""
    (keys, counts), (known, many) = cells, usual
    below = np.concatenate([[0], np.cumsum(many)])
    both = below[np.searchsorted(known, keys)] + below[np.searchsorted(known, keys, "right")]
    return float((both * counts).sum()) / (2 * int(below[-1]) * int(counts.sum()))
