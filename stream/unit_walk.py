"""A run of panes under the bank: all units at once, those that tell something one by one.

    calm --crosses, beyond the floor--> firing --well again--> over
    firing <--surely beyond the floor-- over --for long as in the reference--> calm

A unit that tells is held by the bank. Then it learns how things are now and is watched again
against that, so that a second change is found too; what a person is told stays the difference to
the reference. It is well again when the interval of that difference lies within the floor.

An estimate is at its largest when an account crosses: what is just below the floor would be told
again and again. So a unit is followed when its alert is over, and tells when all of an interval
lies beyond the floor, the wider the more often an alert of it has ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.cusum_bank import CusumBank
from detectors.effects import Interval, is_another
from stream.firing import Firing, Patience, Sums
from stream.pane_evidence import Evidence
from stream.panes import Ints
from stream.proven import MixedBank
from stream.restarts import Restarts
from stream.unit_columns import UnitColumns
from stream.unit_effects import (
    effect_of,
    is_beyond,
    is_refuted,
    moved_as_a_whole,
    of_columns,
    standing,
)
from stream.unit_tilts import Baseline, Terms, widened
from stream.units import COVERAGE
from stream.watched import Key, Watched, WatchedUnits

WIDER = 1.1  # times the spread of the reference is another one


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
    stands: bool = False  # lasting; all that came since the last such moment says so
    refuted: bool = False  # what scores let expect is not what came


class Walk:
    def __init__(
        self,
        *,
        watched: WatchedUnits,
        firing: dict[Key, Firing],
        over: dict[Key, Firing],
        columns: UnitColumns,
        bank: CusumBank | MixedBank,
        start_ms: Ints,
        evidence: Evidence,
        usual: Callable[[Key], Terms],
        absorb: Callable[[Key, Baseline], None],
        is_current: Callable[[Key], bool],
        patience: Patience,
        may_tell: Callable[[Watched, Crossing], bool] = lambda *_: True,
        is_mute: Callable[[Watched], bool] = lambda _: False,
    ) -> None:
        """`usual`: the terms of a unit that begins anew; `absorb`: what was within the floor for so
        long is usual too, or a change below it would be told again and again; `is_current`:
        whether the constants of a unit that is calm are those of these terms; `may_tell`: whether a
        crossing is worth telling of a unit; `is_mute`: whether none will be, so that it
        stays held."""
        self.stirred: dict[Key, int] = {}  # the last row at which a unit was not as usual
        self.undecided: NDArray[np.bool_] | None = None  # panes that are no evidence, if any is
        self._usual, self._absorb = usual, absorb
        self._is_current, self._may_tell = is_current, may_tell
        self._is_mute = is_mute
        self._watched, self._columns = watched, columns
        self._firing, self._over = firing, over
        self._restarts = Restarts(bank, columns)
        self._start_ms = start_ms
        self._evidence = evidence
        self._patience = patience
        self._panes = len(start_ms)
        self._told: list[Told] = []

    def told(self) -> list[Told]:
        """Everything these panes let the units tell, in the order of the panes."""
        followed = [*self._firing, *self._over]
        self._leave_undecided()
        self._all_calm()
        for key in (key for key in followed if not self._watched[key].unit.is_coverage):
            self._follow(key, 0)
        self._restarts.settle()
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
        followed = [k for k in self._watched if k[1] == COVERAGE or self._behind(k) is not None]
        of = self._columns.but(followed)
        if not len(of):
            return
        first: dict[Key, Crossing] = {}
        bank = self._restarts.bank
        for crossing, column in self._crossings(bank, of, 0, self._panes):
            key = self._columns.owner(column)
            # they come in the order of the panes
            first.setdefault(key, replace(crossing, column=column - int(self._columns[key][0])))
        for key, crossing in first.items():
            self._crossed(key, crossing)
            self._follow(key, crossing.row + 1)

    def _crossings(
        self, bank: CusumBank | MixedBank, of: Ints, low: int, high: int
    ) -> list[tuple[Crossing, int]]:
        """Of these columns over panes low to high, with their column in the bank."""
        evidence, rows = self._evidence, slice(low, high)
        x, n = evidence.x[rows], evidence.n[rows]
        if len(of) < len(self._columns.every):
            x, n = x[:, of], n[:, of]
        found = bank.update(self._start_ms[rows], x, n, series=of)
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

    def _behind(self, key: Key) -> Firing | None:
        """What is gathered of a unit behind its change; None: it is calm."""
        return self._firing.get(key) or self._over.get(key)

    def _crossed(self, key: Key, crossing: Crossing) -> None:
        """Tell it, if it is worth a person's time."""
        one, firing, over = self._watched[key], self._firing.get(key), self._over.get(key)
        self.stirred[key] = crossing.row
        behind = self._behind(key)
        spread = 1.0 if behind is None else behind.learned.spread(self._patience.learn)
        effect = effect_of(one, crossing.column, crossing.x, crossing.n, spread)
        is_little = bool(abs(effect.estimate) < one.floor)
        is_unsure = over is not None and not self._is_sure(one, effect, over)
        is_back = firing is not None and bool(effect.low <= 0.0 <= effect.high)
        is_little = is_little or is_unsure or is_back or not self._may_tell(one, crossing)
        if firing is not None:
            firing.relearn()  # held until it has, and looked at anew: it may be well again
            firing.is_open = not is_little
        elif is_little:
            if over is not None or not self._is_mute(one):
                self._leave_untold(key, crossing, effect)
            return
        else:
            firing = self._fire(key, int(self._start_ms[crossing.row]))
        firing.last = list(astuple(crossing))
        if not is_little:
            self._tell(crossing, one, effect)

    def _is_sure(self, one: Watched, effect: Interval, over: Firing) -> bool:
        return is_beyond(effect, one.floor, max(over.ended, 1))

    def _fire(self, key: Key, now_ms: int) -> Firing:
        over, columns = self._over.pop(key, None), self._watched[key].unit.columns
        firing = Firing(columns, now_ms + self._patience.ask_after_ms, self._patience)
        firing.ended = 0 if over is None else over.ended
        self._firing[key] = firing
        return firing

    def _tell(self, crossing: Crossing, one: Watched, effect: Interval) -> None:
        firing = self._firing[one.key]
        firing.told = min(firing.told, abs(float(effect.estimate)))
        if firing.is_news(crossing.column, effect):
            firing.show(crossing.column, effect)
        self._told.append(Told(crossing.row, one, crossing, effect))

    def _leave_untold(self, key: Key, crossing: Crossing, effect: Interval) -> None:
        """It is not worth a person's time: begin anew. What is gathered goes on where it says the
        same, or a change that is found again and again would never be known well enough."""
        over = self._over.get(key)
        has_learned = over is not None and over.learned.count >= over.patience.learn
        if has_learned or (over is None and not self._is_current(key)):
            self._restart(key)
        else:
            self._restarts.bank_of(key).begin_anew(self._columns[key])
        if over is None:
            return
        if has_learned:
            over.relearn()
        elif over.is_open and self._is_known(key, over, crossing.column, effect):
            return
        else:
            over.look_anew()
        over.last, over.is_open = list(astuple(crossing)), True

    def _is_known(self, key: Key, over: Firing, column: int, effect: Interval) -> bool:
        """Whether what is gathered says so already."""
        if not (over.window.n[column] and self._watched[key].baseline.n[column]):
            return False
        of = np.array([column])
        found = of_columns(self._watched[key], of, over.window, over.patience)
        return not is_another(effect, Interval(found.estimate[0], found.low[0], found.high[0]))

    def _restart(self, key: Key) -> None:
        """Against what is usual; where values are known to spread more by now, by that."""
        usual, over = self._usual(key), self._over.get(key)
        if over is not None:
            usual = widened(usual, over.learned.spread(self._patience.learn))
        self._restarts.begin(key, usual)

    def _follow(self, key: Key, row: int) -> None:
        """One unit through the rest of the panes."""
        while row < self._panes:
            behind = self._behind(key)
            row = self._calmly(key, row) if behind is None else self._on(key, behind, row)

    def _calmly(self, key: Key, row: int) -> int:
        crossing = self._crossing(key, row, self._panes)
        if crossing is None:
            return self._panes
        self._crossed(key, crossing)
        return crossing.row + 1

    def _crossing(self, key: Key, low: int, high: int) -> Crossing | None:
        """The first one of this unit in panes low to high."""
        of = self._columns[key]
        found = self._crossings(self._restarts.bank_of(key), of, low, high)
        if not found:
            return None
        crossing, column = found[0]
        return replace(crossing, column=column - int(of[0]))

    def _on(self, key: Key, firing: Firing, row: int) -> int:
        """Behind a change, up to the next pane at which something happens."""
        of, evidence = self._columns[key], self._evidence
        of_columns = evidence.n[row:, of]
        count = self._watched[key].unit.counted(of_columns)
        learns, looks = firing.learns_at(count), firing.looks_at(count)
        asks = firing.asks_at(self._start_ms[row:])
        stop = row + min(learns, looks, asks, len(count) - 1)
        is_held = self._restarts.bank_of(key).are_held(of)
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
        if self._behind(key) is not firing:
            return stop + 1
        if stop == row + learns:
            self._learn(key, firing, stop)
        if stop == row + asks:
            firing.asked()
            self._told.append(Told(stop, self._watched[key], None, None, lasting=True))
        return stop + 1

    def _learn(self, key: Key, firing: Firing, row: int) -> None:
        """Watch against how things are now, unless they seem to be on the move again."""
        of, one, learned = self._columns[key], self._watched[key], firing.learned
        is_over = key in self._over  # of which the account against the reference always rises
        bank = self._restarts.bank_of(key)
        if is_over or bank.are_held(of) or not bank.warning(of).any():
            self._restarts.begin(key, one.terms_by(learned.baseline))
        is_told = firing.is_open or firing.former is not None
        column = int(firing.last[1]) if firing.last is not None and is_told else 0
        is_known = learned.count >= firing.patience.look and bool(learned.n[column])
        if is_told and is_known and not is_over:
            now, effect = self._since(one, firing, learned, column, row)
            is_news = firing.is_open and firing.is_news(column, effect)
            is_news = is_news or firing.is_surely_news(column, effect)
            is_much = abs(effect.estimate) >= one.floor
            if is_news and is_much and self._may_tell(one, now):
                self._tell(now, one, effect)
        firing.learn_on(for_ever=is_over)

    def _since(
        self, one: Watched, firing: Firing, sums: Sums, column: int, row: int
    ) -> tuple[Crossing, Interval]:
        """The last crossing by what is known now, and its effect."""
        crossing = Crossing(*(firing.last or ()))
        x, n = int(sums.x[column]), int(sums.n[column])
        effect = effect_of(one, column, x, n, sums.spread(self._patience.learn))
        theta = math.copysign(crossing.theta, float(effect.estimate))
        return replace(crossing, row=row, column=column, theta=theta, x=x, n=n), effect

    def _look(self, key: Key, firing: Firing, row: int) -> None:
        """Is it well again?"""
        if key in self._over:
            self._look_back(key, firing, row)
            return
        one = self._watched[key]
        seen = firing.window.x, firing.window.n, float(firing.patience.look)
        if one.unit.is_twin and is_refuted(one, *seen):
            self._told.append(Told(row, one, None, None, refuted=True))
            firing.look_on()
            return
        looks, told = seen[2], firing.told
        match firing.look(lambda sums: standing(one, sums.x, sums.n, looks, told)):
            case "ill":
                firing.told = max(firing.told, moved_as_a_whole(one, *seen))
                self._told.append(Told(row, one, None, None, lasting=True, stands=True))
            case "well":
                del self._firing[key]
                self._over[key] = firing.over()
                self._absorb(key, firing.window.baseline)
                self._restart(key)
                self._told.append(Told(row, one, None, None))
            case "open":
                pass

    def _is_as_usual(self, key: Key, found: Interval, seen: Sums) -> bool:
        is_shift = self._watched[key].unit.measure == "shift"
        if is_shift and seen.baseline.spread > WIDER * self._usual(key).baseline.spread:
            return False
        return bool(((found.low <= 0.0) & (found.high >= 0.0)).all())

    def _look_back(self, key: Key, over: Firing, row: int) -> None:
        """Is it worth telling by now, or as in the reference?"""
        one, window = self._watched[key], over.window
        columns = np.flatnonzero((window.n > 0) & (one.baseline.n > 0))
        if not len(columns):
            over.look_on()
            return
        found = of_columns(one, columns, window, over.patience)
        if over.last is not None and self._is_sure(one, found, over):
            column = int(columns[np.abs(found.estimate).argmax()])
            crossing, effect = self._since(one, over, window, column, row)
            if self._may_tell(one, crossing):
                firing = self._fire(key, int(self._start_ms[row]))
                firing.last = list(astuple(crossing))
                self._restarts.begin(key, one.terms_by(window.baseline))
                self._tell(crossing, one, effect)
                return
        if window.count < over.patience.enough:
            over.look_on()
        elif self._is_as_usual(key, found, window):
            del self._over[key]
            self._restart(key)
        else:
            over.look_anew()
            over.is_open = False
