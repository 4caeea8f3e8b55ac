"""Hours of the day or of the week: what is usual at each, for models whose values come and go.

While a reference is gathered the values of each hour are counted, by buckets. When it is sealed,
the mean score of each hour of the season becomes part of it, and from then on a pane is compared
with its hour: what is left of the score is what the detectors see. What the hours do not explain
is dependence (τ), made larger by what so few cycles may have missed the means by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.dependence import scan_reference
from stream.batches import taus_of
from stream.pane_evidence import hours_of, without_mean
from stream.panes import Ints, PaneTable
from stream.profile import Profile
from stream.reference import ChangeWithin, Season
from stream.rules import HOUR_MS

_FEWEST = 30  # values of an hour of the season from which its mean is told
_FRESH = 100_000  # counts that may wait to be merged
_LEVEL = 1e-3  # chance of refusing a good reference, as in `reference_scan`

Counts = NDArray[np.int64]  # (3, entries): hour since 1970, bucket, values; sorted, each pair once


class SeasonGathering:
    def __init__(self, hours: int) -> None:
        """`hours`: of the season, 24 or 168."""
        self._hours = hours
        self._counts: dict[str, list[Counts]] = {}
        self._waiting = 0

    def add(self, run: PaneTable) -> None:
        hour = hours_of(run)
        for name, feature in run.features.items():
            of = feature.buckets
            if len(of.key):
                entries = np.stack([hour[of.pane], of.key.astype(np.int64), of.count])
                self._counts.setdefault(name, []).append(entries)
                self._waiting += entries.shape[1]
        if self._waiting > _FRESH:
            self._merge()

    def _merge(self) -> None:
        self._counts = {name: [_merged(parts)] for name, parts in self._counts.items()}
        self._waiting = 0

    def seasons(self, profile: Profile) -> tuple[dict[str, Season], list[ChangeWithin]]:
        """Of the numeric features of a reference of all that was added; and what has changed
        within it, the clearest change first."""
        self._merge()
        found: dict[str, Season] = {}
        changes: list[tuple[float, ChangeWithin]] = []
        for name, (counts,) in sorted(self._counts.items()):
            of = profile.number(name)
            scores = None if of is None else of.bucket_scores(counts[1])
            if scores is None:
                continue
            season, change = self._season(name, counts, scores)
            found[name] = season
            changes += [] if change is None else [change]
        level = _LEVEL / max(len(found), 1)
        bound = float(np.sqrt(-0.5 * np.log(level / 2.0)))
        told = [(statistic, change) for statistic, change in changes if statistic > bound]
        return found, [change for _, change in sorted(told, key=lambda one: (-one[0], one[1]))]

    def _season(
        self, name: str, counts: Counts, scores: Ints
    ) -> tuple[Season, tuple[float, ChangeWithin] | None]:
        hours, place = np.unique(counts[0], return_inverse=True)

        def of_hours(values: Ints) -> Ints:
            sums = np.zeros(len(hours), np.int64)
            np.add.at(sums, place, values)
            return sums

        n, x = of_hours(counts[2]), of_hours(counts[2] * scores)
        xx = of_hours(counts[2] * scores * scores)
        slot = hours % self._hours
        of_slot, mean = np.zeros(self._hours, np.int64), np.zeros(self._hours, np.int64)
        np.add.at(of_slot, slot, n)
        np.add.at(mean, slot, x)
        known = of_slot >= _FEWEST
        mean = np.where(known, np.rint(mean / np.maximum(of_slot, 1)), 0).astype(np.int64)
        left_x, left_xx = without_mean(mean[slot], n, x, xx)
        cycles = max((int(hours[-1]) - int(hours[0]) + 1) / self._hours, 2.0)
        tau = float(taus_of(left_x[:, None], n[:, None], left_xx[:, None])[0])
        if known.any():  # the means are of the same values: they explain too much of them
            tau *= (cycles + 1.0) / (cycles - 1.0)
        season = Season(mean, int(left_x.sum()), int(left_xx.sum()), tau, int((~known).sum()))
        scan = scan_reference(n, left_x, left_xx, level=_LEVEL)
        change = ChangeWithin(name, "shift", int(hours[scan.row]) * HOUR_MS)
        return season, (scan.statistic, change) if scan.found else None

    # -- state

    def snapshot(self) -> dict[str, Any]:
        self._merge()
        return {name: counts.flatten() for name, (counts,) in self._counts.items()}

    def restore(self, plain: Mapping[str, Any]) -> None:
        self._counts = {name: [np.array(of).reshape(3, -1)] for name, of in plain.items()}


def _merged(parts: list[Counts]) -> Counts:
    whole = np.concatenate(parts, axis=1)
    order = np.lexsort(whole[1::-1])
    whole = whole[:, order]
    first = np.concatenate([[True], (np.diff(whole[:2]) != 0).any(axis=0)])
    starts = np.flatnonzero(first)
    return np.concatenate([whole[:2, starts], np.add.reduceat(whole[2:], starts, axis=1)])
