"""Whether the latest values of a feature are one and the same.

Asked when shape or ranks tell, as the likely cause (`constant_of`), and at every look of
`stale_watch` (`latest_run`).
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


@dataclass(frozen=True, slots=True)
class Run:
    """The latest values of a feature, as many as are one and the same."""

    kind: int  # of cell
    bits: int
    count: int
    first_end_ms: int  # of the pane in which it begins
    shown: str

    @property
    def number(self) -> float:
        return float(np.array([self.bits], np.uint64).view(np.float64)[0])


def latest_run(window: Rows, name: str) -> Run | None:
    """Of the rows of a window; None where none has a value of it."""
    column = window.columns.get(name)
    if column is None:
        return None
    having = np.flatnonzero((column.kind == NUMBER) | (column.kind == TEXT))
    if not len(having):
        return None
    ends, kind, bits = window.pane_end[having], column.kind[having], column.bits[having]
    differs = (kind != kind[-1]) | (bits != bits[-1])
    same = np.ones(len(ends), np.bool_)
    if differs.any():  # whole panes: within one there is no order
        same = ends > ends[differs].max()
    count = int(same.sum())
    first_ms = int(ends[same][0]) if count else int(ends[-1])
    return Run(int(kind[-1]), int(bits[-1]), count, first_ms, _shown(window, kind[-1], bits[-1]))


def _shown(window: Rows, kind: np.uint8, bits: np.uint64) -> str:
    if kind == TEXT:
        return window.texts[int(bits)]
    return f"{float(np.array([bits]).view(np.float64)[0]):.6g}"


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
    return Constant(_shown(window, kind[last], bits[last]), count)


def _share(reference: Reference, name: str, kind: np.uint8, bits: np.uint64) -> float:
    """Of the reference's sampled values those that are this very one; never 0."""
    column = reference.table.sample.columns.get(name)
    if column is None:
        return 1.0
    values = (column.kind == NUMBER) | (column.kind == TEXT)
    same = (column.kind == kind) & (column.bits == bits)
    return (int(same.sum()) + 0.5) / (int(values.sum()) + 1.0)
