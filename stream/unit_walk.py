"""A run of panes under the bank: all units at once, those that tell something one by one.

    calm --crosses, beyond the floor--> firing --well again--> calm

A unit that tells is held by the bank. Then it learns how things are now and is watched again
against that, so that a second change is found too; what a person is told stays the difference to
the reference. It is well again when the interval of that difference lies within the floor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.cusum_bank import CusumBank
from detectors.effects import Interval
from stream.firing import Firing, Patience
from stream.pane_evidence import Evidence
from stream.panes import Ints
from stream.proven import MixedBank
from stream.unit_columns import UnitColumns
from stream.unit_effects import effect_of, is_refuted, moved_as_a_whole, standing
from stream.unit_tilts import Baseline, Terms, tilts_of
from stream.units import COVERAGE
from stream.watched import Key, Watched


@dataclass(frozen=True, slots=True)
class Crossing:
    """An account that reached its threshold."""

    row: int
    column: int  # of the unit: which bin
    theta: float  # σ; its sign is the direction
    statistic: float  # nats
    threshold: float
    since_ms: int  # start of the first pane after the change
    n: int  # values since then, the pane of the crossing included
    x: int


@dataclass(frozen=True, slots=True)
class Told:
    """What a unit tells at a pane."""

    row: int
    watched: Watched
    crossing: Crossing | None  # None: it is well again, or has been so for long
    effect: Interval | None
    lasting: bool = False
    refuted: bool = False  # what scores let expect is not what came


class Walk:
    def __init__(
        self,
        *,
        watched: dict[Key, Watched],
        firing: dict[Key, Firing],
        columns: UnitColumns,
        bank: CusumBank | MixedBank,
        start_ms: Ints,
        evidence: Evidence,
        usual: Callable[[Key], Terms],
        absorb: Callable[[Key, Baseline], None],
        is_current: Callable[[Key], bool],
        patience: Patience,
        may_tell: Callable[[Watched, int], bool] = lambda *_: True,
    ) -> None:
        """`usual`: the terms of a unit that begins anew; `absorb`: what was within the floor for so
        long is usual too, or a change below it would be told again and again; `is_current`:
        whether the constants of a unit that is calm are those of these terms; `may_tell`: whether a
        crossing at this row is worth telling of a unit."""
        self.stirred: dict[Key, int] = {}  # the last row at which a unit was not as usual
        self.undecided: NDArray[np.bool_] | None = None  # panes that are no evidence, if any is
        self._usual, self._absorb = usual, absorb
        self._is_current, self._may_tell = is_current, may_tell
        self._watched, self._firing, self._columns = watched, firing, columns
        self._bank = bank
        self._start_ms = start_ms
        self._evidence = evidence
        self._patience = patience
        self._panes = len(start_ms)
        self._told: list[Told] = []

    def told(self) -> list[Told]:
        """Everything these panes let the units tell, in the order of the panes."""
        firing = [key for key in self._firing if not self._watched[key].unit.is_coverage]
        self._leave_undecided()
        self._all_calm()
        for key in firing:
            self._follow(key, 0)
        if len(self._told) < 2:
            return self._told
        order = {key: place for place, key in enumerate(self._watched)}
        return sorted(self._told, key=lambda told: (told.row, order[told.watched.key]))

    def _leave_undecided(self) -> None:
        """Panes at which too many outcomes are missing say nothing of the others: what came early
        is another selection than the reference's."""
        for key in self._watched:
            if key[1] == COVERAGE:
                since = 0 if key in self._firing else self._panes
                self._follow(key, 0)
                undecided = np.zeros(self._panes, np.bool_)
                for told in self._told:  # all of it is this unit's as yet
                    if told.crossing is not None:
                        since = min(since, told.row)
                    elif not told.lasting:
                        undecided[since : told.row + 1] = True
                        since = self._panes
                undecided[since:] = True
                self.undecided = undecided if undecided.any() else None
                if undecided.any():
                    self._evidence.leave_out(undecided, self._columns.but([key]))

    def _all_calm(self) -> None:
        of = self._columns.but([k for k in self._watched if k[1] == COVERAGE or k in self._firing])
        if not len(of):
            return
        first: dict[Key, Crossing] = {}
        for crossing, column in self._crossings(of, 0, self._panes):
            key = self._columns.owner(column)
            # they come in the order of the panes
            first.setdefault(key, replace(crossing, column=column - int(self._columns[key][0])))
        for key, crossing in first.items():
            self._crossed(key, crossing)
            self._follow(key, crossing.row + 1)

    def _crossings(self, of: Ints, low: int, high: int) -> list[tuple[Crossing, int]]:
        """Of these columns over panes low to high, with their column in the bank."""
        evidence, rows = self._evidence, slice(low, high)
        x, n = evidence.x[rows], evidence.n[rows]
        if len(of) < len(self._columns.every):
            x, n = x[:, of], n[:, of]
        found = self._bank.update(self._start_ms[rows], x, n, series=of)
        return [
            (
                Crossing(
                    row=low + int(found.pane[i]),
                    column=0,
                    theta=float(found.theta[i]),
                    statistic=float(found.statistic[i]),
                    threshold=float(found.threshold[i]),
                    since_ms=int(found.since[i]),
                    n=int(found.n_since[i]),
                    x=int(found.x_since[i]),
                ),
                int(found.series[i]),
            )
            for i in range(len(found))
        ]

    def _crossed(self, key: Key, crossing: Crossing) -> None:
        """Tell it, if it is worth a person's time; else begin anew."""
        one = self._watched[key]
        self.stirred[key] = crossing.row
        effect = effect_of(one, crossing.column, crossing.x, crossing.n)
        is_little = bool(abs(effect.estimate) < one.terms.floor) or not self._may_tell(one, crossing.row)
        firing = self._firing.get(key)
        if firing is not None:
            firing.relearn()  # held until it has, and looked at anew: it may be well again
            is_little |= bool(effect.low <= 0.0 <= effect.high)
        elif is_little:
            of = self._columns[key]
            if self._is_current(key):
                self._bank.begin_anew(of)
            else:
                self._bank.restart(of, tilts_of([self._usual(key)]))
        else:
            now_ms = int(self._start_ms[crossing.row])
            self._firing[key] = Firing(
                one.unit.columns, now_ms + self._patience.ask_after_ms, self._patience
            )
        if is_little:
            return
        firing = self._firing[key]
        firing.told = min(firing.told, abs(float(effect.estimate)))
        self._told.append(Told(crossing.row, one, crossing, effect))

    def _follow(self, key: Key, row: int) -> None:
        """One unit through the rest of the panes."""
        while row < self._panes:
            firing = self._firing.get(key)
            row = self._calmly(key, row) if firing is None else self._on(key, firing, row)

    def _calmly(self, key: Key, row: int) -> int:
        crossing = self._crossing(key, row, self._panes)
        if crossing is None:
            return self._panes
        self._crossed(key, crossing)
        return crossing.row + 1

    def _crossing(self, key: Key, low: int, high: int) -> Crossing | None:
        """The first one of this unit in panes low to high."""
        of = self._columns[key]
        found = self._crossings(of, low, high)
        if not found:
            return None
        crossing, column = found[0]
        return replace(crossing, column=column - int(of[0]))

    def _on(self, key: Key, firing: Firing, row: int) -> int:
        """While it fires, up to the next pane at which something happens."""
        of, evidence = self._columns[key], self._evidence
        of_columns = evidence.n[row:, of]
        count = self._watched[key].unit.counted(of_columns)
        learns, looks = firing.learns_at(count), firing.looks_at(count)
        asks = firing.asks_at(self._start_ms[row:])
        stop = row + min(learns, looks, asks, len(count) - 1)
        is_held = self._bank.are_held(of)
        crossing = None if is_held else self._crossing(key, row, stop + 1)
        if crossing is not None:
            stop = crossing.row
        rows, upto = slice(row, stop + 1), stop + 1 - row
        x, xx = evidence.x[rows][:, of], evidence.xx[rows, of[0]]
        firing.add(x, of_columns[:upto], count[:upto], xx)
        self.stirred[key] = stop
        if crossing is not None:
            self._crossed(key, crossing)
            return stop + 1
        if stop == row + looks:
            self._look(key, firing, stop)
        if key not in self._firing:
            return stop + 1
        if stop == row + learns:
            self._learn(key, firing)
        if stop == row + asks:
            firing.asked()
            self._told.append(Told(stop, self._watched[key], None, None, lasting=True))
        return stop + 1

    def _learn(self, key: Key, firing: Firing) -> None:
        """Watch against how things are now, unless they seem to be on the move again."""
        of = self._columns[key]
        if self._bank.are_held(of) or not self._bank.warning()[of].any():
            now = replace(self._watched[key].terms, baseline=firing.learned.baseline)
            self._bank.restart(of, tilts_of([now]))
        firing.learn_on()

    def _look(self, key: Key, firing: Firing, row: int) -> None:
        """Is it well again?"""
        one = self._watched[key]
        seen = firing.window.x, firing.window.n, float(firing.patience.look)
        if one.unit.is_twin and is_refuted(one, *seen):
            self._told.append(Told(row, one, None, None, refuted=True))
            firing.look_on()
            return
        match standing(one, *seen, firing.told):
            case "ill":
                firing.told = max(firing.told, moved_as_a_whole(one, *seen))
                firing.look_anew()
            case "well":
                del self._firing[key]
                self._absorb(key, firing.window.baseline)
                self._bank.restart(self._columns[key], tilts_of([self._usual(key)]))
                self._told.append(Told(row, one, None, None))
            case "open":
                firing.look_on()
