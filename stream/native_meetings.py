"""What matured predictions meet, found by the extension; `outcome_join` finds the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream import native
from stream.run import AnyColumns, Columns, Run, cells

Marks = Sequence[tuple[bytearray, bytearray]]
"""Of each run rows, which may come twice, and the bits to set in the marks of each."""
_OF_OUTCOMES = ("check", "effective", "revision", "retracted", "has", "label", "value")


def met(
    predictions: AnyColumns, age_ms: NDArray[np.int64], grace_ms: int, runs: Sequence[Run[Any]]
) -> tuple[NDArray[np.bool_], Columns, Marks] | None:
    """(labelled, what counts of the outcomes, marks of candidates): None where the extension is not
    in use. O(runs) a prediction."""
    if not native.IN_USE:
        return None
    asked = [np.ascontiguousarray(predictions[name]) for name in ("key", "check", "time")]
    of_runs = [(_columns(run), *run.filter, run.marks) for run in runs]
    made = native.EXTENSION.meetings(*asked, np.ascontiguousarray(age_ms), grace_ms, of_runs)
    outcomes: Columns = {
        "effective": np.frombuffer(made[4], np.int64),
        "has": np.frombuffer(made[1], np.uint8),
        "label": np.frombuffer(made[2], np.uint64),
        "value": np.frombuffer(made[3], np.float64),
    }
    return np.frombuffer(made[0], np.bool_), outcomes, made[5]


def _columns(run: Run[Any]) -> tuple[NDArray[Any], ...]:
    keys = np.ascontiguousarray(run.columns["key"])  # all of them: they say how many rows there are
    return keys, *(cells(run.columns[name]) for name in _OF_OUTCOMES)


def marked(run: Run[Any], rows: bytearray, bits: bytearray) -> Sequence[int]:
    """Set these marks: by how many more are joined, superseded and retracted then."""
    of: Sequence[int] = native.EXTENSION.marked(
        run.own_marks(), rows, bits, cells(run.columns["retracted"])
    )
    return of
