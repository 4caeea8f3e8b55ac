"""A feature that has stopped varying: the likely cause of its drift, from the latest rows.

No unit of its own: shape and ranks move soon when a value repeats for ever. What is asked when they
tell is whether the latest values are one and the same, and so many that the reference would not
give them by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stream.columns import NUMBER, TEXT, Rows
from stream.reference import Reference

_FEWEST = 8  # values
_BY_CHANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Constant:
    value: str
    count: int  # of the rows that were looked at


def constant_of(window: Rows | None, name: str, reference: Reference) -> Constant | None:
    """What the values of the latest panes of a window all are; None: they vary, or are too few."""
    column = None if window is None else window.columns.get(name)
    if window is None or column is None:
        return None
    having = np.flatnonzero((column.kind == NUMBER) | (column.kind == TEXT))
    if len(having) < _FEWEST:
        return None
    ends, kind, bits = window.pane_end[having], column.kind[having], column.bits[having]
    last = int(ends.argmax())
    differs = (kind != kind[last]) | (bits != bits[last])
    count = len(ends)
    if differs.any():
        count = int((ends > ends[differs].max()).sum())
    share = _share(reference, name, kind[last], bits[last])
    if count < _FEWEST or count * math.log(share) > math.log(_BY_CHANCE):
        return None
    if kind[last] == TEXT:
        return Constant(window.texts[int(bits[last])], count)
    return Constant(f"{float(bits[last : last + 1].view(np.float64)[0]):.6g}", count)


def _share(reference: Reference, name: str, kind: np.uint8, bits: np.uint64) -> float:
    """Of the reference's sampled values those that are this very one; never 0."""
    column = reference.table.sample.columns.get(name)
    if column is None:
        return 1.0
    values = (column.kind == NUMBER) | (column.kind == TEXT)
    same = (column.kind == kind) & (column.bits == bits)
    return (int(same.sum()) + 0.5) / (int(values.sum()) + 1.0)
