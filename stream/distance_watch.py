"""Distances of the row samples of now from those of the reference, with thresholds of the owner's.

Looked at whenever a quarter of the window is new; told at the first look at which the threshold is
reached, well at the first at which it is not, and its owner is asked once where that takes long. No
budget bounds how often: that is up to whoever sets the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stream.columns import FEATURE, Rows
from stream.evidence import distances
from stream.panes import PaneTable
from stream.recent_rows import RecentRows
from stream.reference import Reference
from stream.rules import ThresholdRule
from stream.watermark import BEFORE_ALL_MS

_LOOKS = 4  # in a window
_PREDICTIONS = "prediction:"
_NEVER_MS = 2**62

Key = tuple[str, str]
"""(series, name of the distance)"""


@dataclass(frozen=True, slots=True)
class DistanceTold:
    row: int
    key: Key
    value: float | None = None  # None: below its threshold again, or beyond it for long
    lasting: bool = False
    threshold: float = 0.0
    chance: float = 0.0  # what two samples of one distribution are apart, about
    since_ms: int = 0
    rows: int = 0
    known: int = 0  # rows of the reference's sample


class DistanceWatch:
    def __init__(self) -> None:
        self._rows = 0  # since the last look
        self._asks_ms: dict[Key, int] = {}  # of what fires, when its owner is to be asked

    @property
    def firing(self) -> list[Key]:
        return list(self._asks_ms)

    def use(self, rule: ThresholdRule) -> list[Key]:
        """Under these thresholds from the next pane on; what fired and has none any more."""
        wanted = set(_wanted(rule))
        ended = [key for key in self._asks_ms if key[1] not in wanted]
        for key in ended:
            del self._asks_ms[key]
        return ended

    def run(
        self,
        run: PaneTable,
        recent: RecentRows,
        law: Reference | None,
        *,
        rule: ThresholdRule,
        window: int,
        pane_ms: int,
        ask_after_ms: int,
    ) -> list[DistanceTold]:
        """`window`: rows of a full one."""
        wanted = _wanted(rule)
        if law is None or not wanted:
            return []
        told: list[DistanceTold] = []
        for row in self._looks(run, max(window // _LOOKS, 1)):
            rows = recent.window(BEFORE_ALL_MS, int(run.pane_end[row]))
            if rows is not None and 2 * len(rows) >= window:  # full, and not thinned
                since_ms = int(rows.pane_end[0]) - pane_ms
                start_ms = int(run.pane_end[row]) - pane_ms
                found = self._look(rows, law.table.sample, wanted, start_ms, ask_after_ms)
                told += [replace(one, row=row, since_ms=since_ms) for one in found]
        return told

    def _looks(self, run: PaneTable, every: int) -> Iterator[int]:
        pane = np.searchsorted(run.pane_end, run.sample.pane_end)
        count = np.bincount(pane, minlength=len(run))
        for row, rows in enumerate(count.tolist()):
            self._rows += rows
            if self._rows >= every:
                self._rows = 0
                yield row

    def _look(
        self, rows: Rows, sample: Rows, wanted: dict[str, float], start_ms: int, ask_after_ms: int
    ) -> Iterator[DistanceTold]:
        for series in sorted(sample.columns):
            cells = rows.columns.get(series)
            if cells is None or not series.startswith((FEATURE, _PREDICTIONS)):
                continue
            found = distances(sample.columns[series], cells)
            for name in sorted(wanted.keys() & found.keys()):
                key, value, threshold = (series, name), found[name], wanted[name]
                is_far = value <= threshold if name == "chi2" else value >= threshold
                if is_far == (key in self._asks_ms):
                    if is_far and start_ms >= self._asks_ms[key]:
                        self._asks_ms[key] = _NEVER_MS
                        yield DistanceTold(0, key, lasting=True)
                    continue
                if is_far:
                    self._asks_ms[key] = start_ms + ask_after_ms
                    chance = _chance(name, len(sample), len(rows))
                    yield DistanceTold(
                        0, key, value, threshold=threshold, chance=chance, rows=len(rows),
                        known=len(sample),
                    )  # fmt: skip
                else:
                    del self._asks_ms[key]
                    yield DistanceTold(0, key)

    def snapshot(self) -> list[Any]:
        return [self._rows, [[*key, ask_ms] for key, ask_ms in self._asks_ms.items()]]

    def restore(self, plain: list[Any]) -> None:
        self._rows, firing = plain
        self._asks_ms = {(series, name): ask_ms for series, name, ask_ms in firing}


def _wanted(rule: ThresholdRule) -> dict[str, float]:
    return {name: value for name, value in asdict(rule).items() if value is not None}


def _chance(name: str, m: int, n: int) -> float:
    """By the docstrings of `detectors.distance`, over ten bins; p has none."""
    both = 1.0 / max(m, 1) + 1.0 / max(n, 1)
    return {
        "psi": 9.0 * both,
        "jensen_shannon": math.sqrt(9.0 * both / (8.0 * math.log(2.0))),
        "ks": 0.87 * math.sqrt(both),  # the mean of Kolmogorov's distribution
        "wasserstein": 1.3 * math.sqrt(both),
    }.get(name, 0.0)
