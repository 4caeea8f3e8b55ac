"""Proven mode: units that are rates under e-detectors, each for itself, beside the bank.

A unit goes on as under the bank, with the same effects, floors and ends; only when it crosses is
decided otherwise. The e-detector needs no reference: it keeps every other pane as its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from detectors.cusum_bank import Crossings, CusumBank
from detectors.e_detector import EDetector
from detectors.tilts import Tilts
from stream.panes import Ints
from stream.units import Key, Unit
from stream.watched import Watched

_HIGHEST_RATE = 0.01
_WARNING = 0.5  # of what tells


class Proven:
    """Of one unit."""

    def __init__(self, unit: Unit, rate: float) -> None:
        """`rate`: false alarms per value."""
        self._rate = min(rate, _HIGHEST_RATE)
        self._steps, self._up_only = unit.steps, unit.up_only
        self.held = False
        self._begin()

    def _begin(self) -> None:
        self._detector = EDetector(rate=self._rate, up_only=self._up_only)

    def restart(self) -> None:
        """It tells again; what it has as reserve stays, unless it has told."""
        if self.held:
            self.held = False
            self._begin()

    @property
    def level(self) -> float:
        return 1.0 if self.held else self._detector.level

    @property
    def is_warning(self) -> bool:
        return self.level >= _WARNING

    def update(self, start_ms: Ints, x: Ints, n: Ints) -> _Crossed | None:
        """Up to the pane at which it crosses, from where it is held."""
        if self.held:
            return None
        for pane in np.flatnonzero(n).tolist():
            count = int(n[pane])
            total = min(int(x[pane]) / self._steps, count)
            change = self._detector.update(total, count, int(start_ms[pane]))
            if change is not None:
                self.held = True
                return _Crossed(
                    pane=pane,
                    theta=1.0 if change.direction == "up" else -1.0,
                    statistic=change.statistic,
                    threshold=change.threshold,
                    since=self._detector.since,
                    n=change.after_weight,
                    x=round(change.after_mean * change.after_weight * self._steps),
                )
        return None

    def snapshot(self) -> list[Any]:
        return [self.held, self._detector.snapshot()]

    def restore(self, plain: list[Any]) -> None:
        self.held, self._detector = plain[0], EDetector.restore(plain[1])


class _Crossed(NamedTuple):
    pane: int
    theta: float  # its direction
    statistic: float
    threshold: float
    since: int
    n: int
    x: int


class MixedBank:
    """A bank in which some columns are under e-detectors: what `Walk` asks of a bank."""

    def __init__(
        self, bank: CusumBank, proven: Mapping[Key, Proven], columns: Mapping[Key, Ints]
    ) -> None:
        self._bank = bank
        self._proven = {int(columns[key][0]): one for key, one in proven.items()}
        self._is_proven = np.zeros(len(bank), np.bool_)
        self._is_proven[list(self._proven)] = True

    def are_held(self, series: Ints) -> bool:
        """Whether some of them are."""
        if not self._is_proven[series].any():
            return self._bank.are_held(series)
        mine = series[~self._is_proven[series]]
        theirs = [self._proven[c].held for c in series[self._is_proven[series]].tolist()]
        return any(theirs) or self._bank.are_held(mine)

    def level(self) -> NDArray[np.float64]:
        level = self._bank.level()
        for column, one in self._proven.items():
            level[column] = one.level
        return level

    def warning(self, series: Ints) -> NDArray[np.bool_]:
        warning = self._bank.warning(series)
        for place in np.flatnonzero(self._is_proven[series]).tolist():
            warning[place] = self._proven[int(series[place])].is_warning
        return warning

    def restart(self, series: npt.ArrayLike, tilts: Tilts) -> None:
        which = np.asarray(series, dtype=np.int64)
        self._bank.restart(which, tilts)
        self._restart_proven(which)

    def begin_anew(self, series: npt.ArrayLike) -> None:
        which = np.asarray(series, dtype=np.int64)
        self._bank.begin_anew(which)
        self._restart_proven(which)

    def _restart_proven(self, which: Ints) -> None:
        for column in which[self._is_proven[which]].tolist():
            self._proven[column].restart()

    def update(self, position: Ints, x: Ints, n: Ints, series: Ints) -> Crossings:
        theirs = self._is_proven[series]
        if not theirs.any():
            return self._bank.update(position, x, n, series=series)
        mine = ~theirs
        found = self._bank.update(position, x[:, mine], n[:, mine], series=series[mine])
        told = [
            (crossed.pane, int(series[at]), crossed)
            for at in np.flatnonzero(theirs).tolist()
            if (crossed := self._proven[int(series[at])].update(position, x[:, at], n[:, at]))
        ]
        return _with(found, told) if told else found


def begun(
    former: Mapping[Key, Proven], kept: Iterable[Key], wanted: Iterable[Watched]
) -> dict[Key, Proven]:
    """Of these units: those kept as they were, the others new."""
    stay = set(kept)
    return {
        one.key: former[one.key]
        if one.key in stay and one.key in former
        else Proven(one.unit, one.stake.rate)
        for one in wanted
    }


def _with(found: Crossings, told: list[tuple[int, int, _Crossed]]) -> Crossings:
    """Both, in order of (pane, series)."""
    columns = {
        "series": [series for _, series, _ in told],
        "pane": [pane for pane, _, _ in told],
        "theta": [one.theta for *_, one in told],
        "statistic": [one.statistic for *_, one in told],
        "threshold": [one.threshold for *_, one in told],
        "since": [one.since for *_, one in told],
        "n_since": [one.n for *_, one in told],
        "x_since": [one.x for *_, one in told],
    }
    joined = {
        name: np.concatenate([getattr(found, name), np.array(more)])
        for name, more in columns.items()
    }
    order = np.lexsort((joined["series"], joined["pane"]))
    return Crossings(**{name: column[order] for name, column in joined.items()})
