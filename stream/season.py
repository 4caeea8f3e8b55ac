"""Hours of the day or of the week: what is usual at each, for models whose values come and go.

While a reference is gathered the values of each hour are counted, by buckets and categories. When
it is sealed, the mean score of each hour of the season becomes part of it, and from then on a pane
is compared with its hour: what is left of the score is what the detectors see. What the hours do
not explain is dependence (τ), made larger by what so few cycles may have missed the means by.
Shapes have no hours later on, but are looked at by the hour here: what is left of the share of a
bin without that of its hour must not change before the reference is sealed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.dependence import Scan, scan_reference
from detectors.ordered import distinct
from stream.batches import taus_of
from stream.columns import FEATURE
from stream.pane_evidence import hours_of, without_mean
from stream.panes import Ints, PaneTable
from stream.profile import Profile
from stream.reference import ChangeWithin, Season
from stream.rules import HOUR_MS
from stream.units import SHAPED, Unit
from stream.watched import Key

_FEWEST = 30  # values of an hour of the season from which its mean is told
_FRESH = 100_000  # counts that may wait to be merged
_LEVEL = 1e-3  # chance of refusing a good reference, as in `reference_scan`
_MOST_BINS = 512  # of all shapes; what is behind is scanned for its mean all the same

Counts = NDArray[np.int64]
"""(3, entries): hour since 1970, bucket or bits of a category's hash, values; sorted, each pair
once."""


@dataclass(slots=True)
class ByHour:
    """What there is to say of the hours of a reference."""

    seasons: dict[str, Season] = field(default_factory=dict)  # of its numeric features
    changes: list[ChangeWithin] = field(default_factory=list)  # inside, the clearest first
    taus: dict[Key, tuple[float, ...]] = field(default_factory=dict)  # of shapes: of each bin


class SeasonGathering:
    def __init__(self, hours: int, max_categories: int) -> None:
        """`hours`: of the season, 24 or 168."""
        self._hours, self._max_categories = hours, max_categories
        self._counts: dict[str, list[Counts]] = {}
        self._texts: dict[str, list[Counts]] = {}
        self._many: set[str] = set()  # of so many categories that they have no shape
        self._waiting = 0

    @staticmethod
    def sees(profile: Profile, unit: Unit, numeric: bool) -> bool:
        """Whether it is looked at by the hours here."""
        if unit.measure not in {"shift", "shape"}:
            return False
        of = profile.number(unit.name) if numeric else None
        return of is None or not of.by_value

    def add(self, run: PaneTable) -> None:
        hour = hours_of(run)
        for name, feature in run.features.items():
            of, texts = feature.buckets, feature.categories
            if len(of.key):
                self._wait(self._counts, name, [hour[of.pane], of.key.astype(np.int64), of.count])
            if len(texts.key) and name not in self._many and _has_shape(name):
                keys = texts.key.astype(np.uint64).view(np.int64)
                self._wait(self._texts, name, [hour[texts.pane], keys, texts.count])
        if self._waiting > _FRESH:
            self._merge()

    def _wait(self, counts: dict[str, list[Counts]], name: str, entries: list[Ints]) -> None:
        counts.setdefault(name, []).append(np.stack(entries))
        self._waiting += len(entries[0])

    def _merge(self) -> None:
        self._counts = {name: [_merged(parts)] for name, parts in self._counts.items()}
        texts = {name: _merged(parts) for name, parts in self._texts.items()}
        most = self._max_categories
        self._many |= {name for name, of in texts.items() if len(distinct(of[1])) > most}
        self._texts = {name: [of] for name, of in texts.items() if name not in self._many}
        self._waiting = 0

    def find(self, profile: Profile) -> ByHour:
        """`profile`: of a reference of all that was added."""
        self._merge()
        found = ByHour()
        scans: list[tuple[float, ChangeWithin]] = []
        for name, (counts,) in sorted(self._counts.items()):
            of = profile.number(name)
            scores = None if of is None else of.bucket_scores(counts[1])
            if scores is None:
                continue
            found.seasons[name], change = self._season(name, counts, scores)
            scans += [] if change is None else [change]
        columns = len(found.seasons)
        for name, hours, bins in self._shapes(profile):
            if columns + bins.shape[1] > len(found.seasons) + _MOST_BINS:
                break
            columns += bins.shape[1]
            n = np.repeat(bins.sum(axis=1)[:, None], bins.shape[1], axis=1)
            found.taus[name, "shape"] = tuple(taus_of(bins, n, bins).tolist())
            for scan in self._scans(hours, bins):
                if scan.found:
                    since_ms = int(hours[scan.row]) * HOUR_MS
                    scans.append((scan.statistic, ChangeWithin(name, "shape", since_ms)))
        bound = float(np.sqrt(-0.5 * np.log(_LEVEL / max(columns, 1) / 2.0)))
        told = [(statistic, change) for statistic, change in scans if statistic > bound]
        found.changes = [change for _, change in sorted(told, key=lambda one: (-one[0], one[1]))]
        return found

    def _shapes(self, profile: Profile) -> Iterator[tuple[str, Ints, Ints]]:
        """Name, hours, and the values of each bin in them, (hours, bins)."""
        for name, (counts,) in sorted(self._counts.items()):
            numbers = profile.number(name) if _has_shape(name) else None
            bins = None if numbers is None else numbers.bucket_bins(counts[1])
            if numbers is not None and bins is not None:
                yield name, *_by_hour(counts, bins, len(numbers.bins))
        for name, (counts,) in sorted(self._texts.items()):
            texts = profile.text(name)
            if texts is not None:
                keys = np.ascontiguousarray(counts[1]).view(np.uint64)
                yield name, *_by_hour(counts, texts.bins_of(keys), len(texts.bins))

    def _scans(self, hours: Ints, bins: Ints) -> Iterator[Scan]:
        """Of each bin: what is left of it without the share of the hour of the season; or, where
        there are too few values of that, of all hours."""
        n, slot = bins.sum(axis=1), hours % self._hours
        of_slot = np.zeros((self._hours, bins.shape[1]), np.int64)
        np.add.at(of_slot, slot, bins)
        values = of_slot.sum(axis=1, keepdims=True)
        shares = np.where(
            values >= _FEWEST, of_slot / np.maximum(values, 1), bins.sum(axis=0) / n.sum()
        )[slot]
        for b in range(bins.shape[1]):
            p = shares[:, b]
            left = bins[:, b] - p * n
            yield scan_reference(n, left, bins[:, b] * (1.0 - 2.0 * p) + p * p * n, level=_LEVEL)

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
        kinds = {"numbers": self._counts, "texts": self._texts}
        plain: dict[str, Any] = {
            kind: {name: counts.flatten() for name, (counts,) in of.items()}
            for kind, of in kinds.items()
        }
        return plain | {"many": sorted(self._many)}

    def restore(self, plain: Mapping[str, Any]) -> None:
        self._counts, self._texts = (
            {name: [np.array(of).reshape(3, -1)] for name, of in plain[kind].items()}
            for kind in ("numbers", "texts")
        )
        self._many = set(plain["many"])


def _has_shape(name: str) -> bool:
    return name.startswith(FEATURE) or name in SHAPED


def _by_hour(counts: Counts, bins: Ints, width: int) -> tuple[Ints, Ints]:
    """(hours, values of each bin in them); what is in no bin is left out."""
    hours, place = np.unique(counts[0], return_inverse=True)
    inside = bins < width
    sums = np.zeros((len(hours), width), np.int64)
    np.add.at(sums, (place[inside], bins[inside]), counts[2, inside])
    some = sums.any(axis=1)
    return hours[some], sums[some]


def _merged(parts: list[Counts]) -> Counts:
    whole = np.concatenate(parts, axis=1)
    order = np.lexsort(whole[1::-1])
    whole = whole[:, order]
    first = np.concatenate([[True], (np.diff(whole[:2]) != 0).any(axis=0)])
    starts = np.flatnonzero(first)
    return np.concatenate([whole[:2, starts], np.add.reduceat(whole[2:], starts, axis=1)])
