"""Whether the latest values of a feature are one and the same.

Asked when shape or ranks tell, as the likely cause (`constant_of`), and at every look of
`stale_watch` (`latest_run`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.log_buckets import bucket_of
from detectors.run_length import FEWEST, share_at_most
from stream.columns import NUMBER, TEXT, Rows
from stream.reference import Reference

_BY_CHANCE = 1e-9
_ENOUGH = 32  # pairs of rows


@dataclass(frozen=True, slots=True)
class Run:
    """The latest values of a feature, as many as are one and the same."""

    kind: int  # of cell
    bits: int
    count: int
    first_end_ms: int  # of the pane in which it begins
    shown: str
    is_all: bool  # that is known of it
    sticky: float  # at most: of two rows that followed one another before it, how often alike

    def goes_on_for(self, nats: float) -> bool:
        """Whether it is that unlikely that rows go on being alike so often, as in a session."""
        return (self.count - 1) * -math.log(self.sticky) >= nats


@dataclass(frozen=True, slots=True)
class Usual:
    """Of a value, in a reference."""

    count: int  # at most: of its bucket, where values are not told apart
    values: int  # of the feature
    commonest: int  # how many of these are the commonest value

    @property
    def share_at_most(self) -> float | None:
        """None: a value to expect runs of."""
        return share_at_most(self.count, self.values, self.commonest)


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
    shown, sticky = _shown(window, kind[-1], bits[-1]), _sticky(kind[~same], bits[~same])
    of = int(kind[-1]), int(bits[-1])
    return Run(*of, count, first_ms, shown, count == len(having), sticky)


def _sticky(kind: NDArray[np.uint8], bits: NDArray[np.uint64]) -> float:
    """Of rows in a row how often two are alike, at most; half where too few are known. Within a
    pane rows are in no order, so that of what is alike more often than not too little is known."""
    alike = (kind[1:] == kind[:-1]) & (bits[1:] == bits[:-1])
    if len(alike) < _ENOUGH:
        return 0.5
    count = int(alike.sum())
    return 1.0 if 2 * count > len(alike) else sticky_at_most(count, len(alike))


def sticky_at_most(alike: float, pairs: int) -> float:
    return min((alike + 1.0 + 2.0 * math.sqrt(alike + 1.0)) / (pairs + 2.0), 1.0)


def _shown(window: Rows, kind: np.uint8, bits: np.uint64) -> str:
    return window.texts[int(bits)] if kind == TEXT else f"{_number(int(bits)):.6g}"


def constant_of(
    window: Rows | None, name: str, reference: Reference, tau: float = 1.0
) -> Run | None:
    """What the values of the latest panes of a window all are; None: they vary, or are too few.
    `tau`: how many of its values are worth one."""
    run = None if window is None else latest_run(window, name)
    if run is None or run.count < FEWEST:
        return None
    usual = usual_of(run.kind, run.bits, name, reference)
    if usual is None:
        return None
    share = (usual.count + 0.5) / (usual.values + 1.0)
    return run if run.count / tau * math.log(share) <= math.log(_BY_CHANCE) else None


def usual_of(kind: int, bits: int, name: str, reference: Reference) -> Usual | None:
    """Counted by bucket or category, or, where these say too little, in the row sample; None: the
    reference has no value of this feature."""
    frozen = reference.feature(name)
    if frozen is None:
        return None
    few = reference.values_of(name) if kind == NUMBER else None
    if kind == TEXT:
        counts, same = frozen.categories.count, frozen.categories.key == np.uint64(bits)
        values = int(frozen.text[0])
    elif few is None:
        counts = frozen.buckets.count
        same = frozen.buckets.key == bucket_of(np.array([_number(bits)]))[0]
        values = int(frozen.number[0])
    else:
        counts, same = few.counts, few.distinct == _number(bits)
        values = int(few.counts.sum())
    if not values:  # it is of another type than all there were
        others = int(frozen.number[0] + frozen.text[0])
        return Usual(0, others, 0) if others else None
    count, commonest = int(counts[same].sum()), int(counts.max(initial=0))
    if kind == TEXT and not count and int(counts.sum()) < values:  # not all were counted
        column = reference.table.sample.columns[name]
        in_sample, sampled = int((column.bits == np.uint64(bits)).sum()), len(column.texts()[1])
        return Usual(in_sample, sampled, min(commonest * sampled // values, sampled))
    return Usual(count, values, commonest)


def commonest_of(name: str, reference: Reference) -> Usual | None:
    """The value that a reference has most of, of the type that it has most of."""
    frozen = reference.feature(name)
    if frozen is None:
        return None
    numbers, texts = int(frozen.number[0]), int(frozen.text[0])
    counts, values = frozen.buckets.count, numbers
    if texts > numbers:
        counts, values = frozen.categories.count, texts
    elif (few := reference.values_of(name)) is not None:
        counts, values = few.counts, int(few.counts.sum())
    most = int(counts.max(initial=0))
    return Usual(most, values, most) if values else None


def _number(bits: int) -> float:
    return float(np.array([bits], np.uint64).view(np.float64)[0])
