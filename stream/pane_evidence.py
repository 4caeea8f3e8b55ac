"""Panes as the integers that detectors are fed with, one column a series."""

from __future__ import annotations

import numpy as np

from stream.bounded_mean import steps_of
from stream.estimated_error import estimates
from stream.panes import FeatureTable, Ints, PaneTable
from stream.profile import Cells, NumberProfile, Profile
from stream.rate_events import faults
from stream.rules import HOUR_MS
from stream.unit_reading import Evidence, Together
from stream.units import is_fault

__all__ = ["Evidence", "PaneReader", "hours_of", "without_mean"]


class PaneReader:
    """Reads the columns of units off a run of panes."""

    def __init__(self, run: PaneTable, max_categories: int) -> None:
        self._run = run
        self._max_categories = max_categories
        self._sample_pane = np.searchsorted(run.pane_end, run.sample.pane_end).astype(np.int64)
        self._cells: dict[tuple[str, int], Cells] = {}

    def read(self, together: Together) -> Evidence:
        """All of these units."""
        panes = len(self._run)
        evidence = together.read(self._run)
        x, n, xx = evidence.x, evidence.n, evidence.xx
        for (unit, profile, numeric), first in together.others:
            at = slice(first, first + unit.columns)
            feature = self._run.features.get(unit.name)
            if is_fault(unit.measure):
                events, weights = faults(
                    self._run, feature, unit.measure, numeric=numeric, profile=profile,
                    name=unit.name, max_categories=self._max_categories,
                )  # fmt: skip
                x[:, at], n[:, at] = events[:, None], weights[:, None]
                xx[:, at] = x[:, at]
            elif unit.measure == "calibration":
                reliability = profile.reliability()
                assert reliability is not None
                x[:, at], n[:, at] = reliability.sums(self._run)
                xx[:, at] = x[:, at]
            elif unit.measure == "estimate":
                x[:, at], n[:, at], xx[:, at] = estimates(self._run, unit.name, unit.scale)
            elif feature is None:
                continue
            elif unit.measure == "mean":
                total, squares = steps_of(feature, panes, unit.scale)
                x[:, at], xx[:, at] = total[:, None], squares[:, None]
                n[:, at] = feature.number[:, None]
            elif unit.measure == "rate":
                cells = feature.buckets
                ones = np.where(cells.key != 0, cells.count, 0)
                counted = np.bincount(cells.pane, weights=ones, minlength=panes)
                x[:, at] = xx[:, at] = counted.astype(np.int64)[:, None]
                n[:, at] = feature.number[:, None]
            elif unit.measure == "shape":
                counts = self._shape(unit.name, feature, profile, numeric=numeric)
                x[:, at] = xx[:, at] = counts
                n[:, at] = counts.sum(axis=1)[:, None]
            else:
                of = profile.number(unit.name)
                assert of is not None
                count, total, square = of.sums(self._cells_of(unit.name, of), panes)
                season = profile.season(unit.name)
                if season is not None:
                    mean = season.mean[hours_of(self._run) % len(season.mean)]
                    total, square = without_mean(mean, count, total, square)
                for column, found in zip((n, x, xx), (count, total, square), strict=True):
                    column[:, at] = found[:, None]
        return evidence

    def _shape(self, name: str, feature: FeatureTable, profile: Profile, *, numeric: bool) -> Ints:
        panes = len(self._run)
        if numeric:
            of = profile.number(name)
            assert of is not None
            return of.shape(self._cells_of(name, of), panes)
        texts = profile.text(name)
        assert texts is not None
        return texts.shape(feature, panes)

    def _cells_of(self, name: str, of: NumberProfile) -> Cells:
        """Ranks and bins are read off the same cells."""
        place = (name, id(of))
        if place not in self._cells:
            self._cells[place] = of.cells(self._run, name, self._sample_pane)
        return self._cells[place]


def hours_of(run: PaneTable) -> Ints:
    """The hour since 1970 in which each pane ends."""
    hours: Ints = (run.pane_end - 1) // HOUR_MS
    return hours


def without_mean(mean: Ints, n: Ints, x: Ints, xx: Ints) -> tuple[Ints, Ints]:
    """Sum and sum of squares of n scores, each less its mean."""
    return x - n * mean, xx - 2 * mean * x + n * mean * mean
