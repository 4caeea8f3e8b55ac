"""Panes as the integers that detectors are fed with, one column a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.bounded_mean import steps_of
from stream.estimated_error import estimates
from stream.panes import FeatureTable, Ints, PaneTable
from stream.profile import Cells, NumberProfile, Profile
from stream.rate_events import faults
from stream.rules import HOUR_MS
from stream.units import Unit, is_fault


@dataclass(frozen=True, slots=True)
class Evidence:
    """Shape (panes, columns) each: sum over the values, their number, sum of the squares."""

    x: Ints
    n: Ints
    xx: Ints

    def copy(self) -> Evidence:
        return Evidence(self.x.copy(), self.n.copy(), self.xx.copy())

    def clear(self, rows: int, columns: Ints) -> None:
        """The first rows of these columns say nothing."""
        for array in (self.x, self.n, self.xx):
            array[:rows, columns] = 0

    def leave_out(self, panes: NDArray[np.bool_], columns: Ints) -> None:
        """These columns say nothing in these panes."""
        for array in (self.x, self.n, self.xx):
            array[np.ix_(panes, columns)] = 0


class PaneReader:
    """Reads the columns of units off a run of panes."""

    def __init__(self, run: PaneTable, max_categories: int) -> None:
        self._run = run
        self._max_categories = max_categories
        self._sample_pane = np.searchsorted(run.pane_end, run.sample.pane_end).astype(np.int64)
        self._cells: dict[tuple[str, int], Cells] = {}

    def read(self, units: Sequence[tuple[Unit, Profile, bool]]) -> Evidence:
        """Of units, each with what it is compared with and whether its feature is numeric."""
        panes, columns = len(self._run), sum(unit.columns for unit, _, _ in units)
        x, n, xx = (np.zeros((panes, columns), np.int64) for _ in range(3))
        first = 0
        for unit, profile, numeric in units:
            at = slice(first, first + unit.columns)
            first += unit.columns
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
        return Evidence(x, n, xx)

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
