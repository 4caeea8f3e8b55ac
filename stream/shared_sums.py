"""Of features that models share: what each model's own hours say, for stage 3 to add up.

A drift of an upstream may be too small for every model that reads it. So the ranks of such a
feature, each against the reference of its own model, are summed by the hour; stage 3 watches the
sums of all models together (`stream.shared_watch`). What is ranked against its own reference can be
added whatever the populations of the models are, and in whatever parts they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.monitor_told import MonitorFinding
from stream.pane_evidence import Evidence
from stream.panes import Ints
from stream.rules import HOUR_MS
from stream.spells import spells
from stream.unit_walk import Told
from stream.watched import Key, Watched

SERIES, NAME = "shared:", "SharedFeatureDrift"


@dataclass(slots=True)
class Hour:
    number: int  # since 1970
    reference_id: str
    x: int = 0
    n: int = 0
    xx: int = 0


class SharedSums:
    """Of one group. Sums of an hour leave with the first pane behind it."""

    def __init__(self) -> None:
        self.features: tuple[str, ...] = ()  # shared, with a reference that is sealed
        self._open: dict[str, Hour] = {}
        self._done: list[tuple[int, str, dict[str, Any]]] = []  # row of the pane behind it

    def add(
        self,
        start_ms: Ints,
        evidence: Evidence,
        columns: Mapping[Key, Ints],
        watched: Mapping[Key, Watched],
    ) -> None:
        """A run of panes."""
        hours = start_ms // HOUR_MS
        firsts = np.flatnonzero(np.diff(hours, prepend=-1)).tolist()
        for feature in self.features:
            key: Key = (f"feature:{feature}", "shift")
            one, column = watched[key], int(columns[key][0])
            hour = self._open.get(feature)
            if hour is not None and hour.reference_id != one.profile.reference.id:
                hour = None  # ranks of another reference
            for first, end in zip(firsts, [*firsts[1:], len(hours)], strict=True):
                number = int(hours[first])
                if hour is not None and hour.number < number:
                    if hour.n:
                        self._done.append((first, feature, _told(hour, one)))
                    hour = None
                if hour is None:
                    hour = Hour(number, one.profile.reference.id)
                hour.x += int(evidence.x[first:end, column].sum())
                hour.n += int(evidence.n[first:end, column].sum())
                hour.xx += int(evidence.xx[first:end, column].sum())
            if hour is not None:
                self._open[feature] = hour

    def findings(
        self, end_ms: Ints, firing: Iterable[Key], told: Iterable[Told]
    ) -> list[MonitorFinding]:
        """Hours that are whole with these panes. `firing`: units before them; `told`: what units
        told: a model that tells of the feature by itself says so."""
        done, self._done = self._done, []
        if not done:
            return []
        found: list[MonitorFinding] = []
        for first, end, names in spells(firing, told, len(end_ms)):
            for row, feature, detail in done:
                if first <= row < end:
                    fires = f"feature:{feature}" in names
                    said = detail | {"fires": fires}
                    at_ms = int(end_ms[row])
                    found.append(MonitorFinding(at_ms, SERIES + feature, NAME, said, "pooled"))
        return found

    def snapshot(self) -> list[Any]:
        return [
            [feature, hour.number, hour.reference_id, hour.x, hour.n, hour.xx]
            for feature, hour in self._open.items()
        ]

    @classmethod
    def restore(cls, plain: Iterable[Any]) -> SharedSums:
        sums = cls()
        sums._open = {feature: Hour(*hour) for feature, *hour in plain}
        return sums


def _told(hour: Hour, one: Watched) -> dict[str, Any]:
    """Less the mean of the reference, which with a season is not 0."""
    terms, known = one.terms, int(one.terms.baseline.n[0])
    return {
        "hour_ms": hour.number * HOUR_MS,
        "x": hour.x - hour.n * int(terms.baseline.x[0]) // known,
        "n": hour.n,
        "xx": hour.xx,
        "reference": hour.reference_id,
        "known": known,
        "tau": max(terms.tau),
        "rate": terms.rate,
        "share": one.share,
        "floor": terms.floor,
    }
