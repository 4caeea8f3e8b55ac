"""Event time of one partition of one topic: its watermark, and what comes too late or too early.

The watermark is the greatest event time accepted so far. Each record is judged by the records
before it in its own partition (and by what was journaled), never by a clock or by another
partition, so that a replay judges alike; the whole batch is judged in a few vector operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.rules import Rules

BEFORE_ALL_MS = int(np.iinfo(np.int64).min) // 4  # no record yet; leaves room for subtractions
NO_TIMESTAMP = int(np.iinfo(np.int64).max)  # of a record: it is never of the future

Times = NDArray[np.int64]
Mask = NDArray[np.bool_]


def pane_end_ms(time_ms: Times, pane_ms: int) -> Times:
    """End of the pane that holds each time; panes are half-open, [start, end)."""
    return (time_ms // pane_ms + 1) * pane_ms


@dataclass(frozen=True, slots=True)
class Judged:
    before_ms: Times  # the watermark each record met
    future: Mask


class Watermark:
    def __init__(self, at_ms: int = BEFORE_ALL_MS) -> None:
        self.at_ms = at_ms

    def observe(self, time_ms: Times, record_ms: Times, rules: Rules) -> Judged:
        """Pass a batch, in offset order: O(n). A record of the future does not move it."""
        future = np.zeros(len(time_ms), np.bool_)
        if rules.future_bound_ms is not None:
            future = time_ms - rules.future_bound_ms > record_ms
        reached = np.empty(len(time_ms) + 1, np.int64)
        reached[0] = self.at_ms
        reached[1:] = np.where(future, BEFORE_ALL_MS, time_ms) if future.any() else time_ms
        np.maximum.accumulate(reached, out=reached)
        self.at_ms = int(reached[-1])
        return Judged(reached[:-1], future)

    def advance(self, to_ms: int) -> None:
        """Journaled: idleness, ticks, end of input. Never backwards."""
        self.at_ms = max(self.at_ms, to_ms)


def late(time_ms: Times, before_ms: Times, rules: Rules) -> Mask:
    """Whether the record's pane had been closed when it came."""
    return pane_end_ms(time_ms, rules.pane_ms) + rules.grace_ms <= before_ms
