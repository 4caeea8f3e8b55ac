"""Whether a number that hardly ever repeated itself is one and the same in part of the predictions.

A cache that is not refreshed on some of the servers, a default that is filled in. Of a number that
had repeated itself (zeros, whole numbers of a few) another share of one value is drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from detectors.run_length import FEWEST
from stream.columns import Rows
from stream.reference import Reference

_ENOUGH = 128  # sampled values of the reference
_CONTINUOUS = 0.05  # most of the reference's values that are one
_LEAST = 0.1  # of the values now
_TIMES = 5.0  # as many as might have been before
_SECOND = 1 / 3  # of the first: values that are as frequent have become few, or coarser
_BY_CHANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Repeated:
    shown: str
    count: int
    share: float  # of the rows
    before: float  # of the values, at most


def repeated_of(rows: Rows, name: str, reference: Reference, tau: float = 1.0) -> Repeated | None:
    """The value that part of these rows have; None: no number, or none that has come to repeat
    itself. `tau`: how many values are worth one."""
    column, known = rows.columns.get(name), reference.table.sample.columns.get(name)
    if column is None or known is None:
        return None
    values, usual = column.numbers()[1], known.numbers()[1]
    if len(values) < FEWEST or len(usual) < _ENOUGH:
        return None
    distinct, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    count, value = int(counts[most]), float(distinct[most])
    others = np.delete(counts, most)
    if count < max(FEWEST, _LEAST * len(values)) or others.max(initial=0) > _SECOND * count:
        return None
    times = np.unique(usual, return_counts=True)[1]
    if int(times.max()) > _CONTINUOUS * len(usual):
        return None
    before = _at_most(int((usual == value).sum()), len(usual))
    share = count / len(values)
    if share < _TIMES * before:
        return None
    alike = float((others**2).sum() / max(others.sum(), 1))  # in a session all values are
    nats = len(values) / max(tau, alike) * _divergence(share, before)
    if nats - math.log(len(distinct)) < -math.log(_BY_CHANCE):
        return None
    return Repeated(f"{value:.6g}", count, count / len(rows), before)


def _at_most(count: int, values: int) -> float:
    """The share that it may have had, two standard errors above."""
    return (count + 1.0 + 2.0 * math.sqrt(count + 1.0)) / (values + 2.0)


def _divergence(share: float, before: float) -> float:
    """Nats a value that speak for the one share against the other."""
    rest = 0.0 if share == 1.0 else (1.0 - share) * math.log((1.0 - share) / (1.0 - before))
    return share * math.log(share / before) + rest
