"""What a unit gathers behind a change: how things are now, and when they are well again.

    crossed --200, 400, 800, ... values--> watched again, against what was learned since
            --500, 1000, 2000, ... values--> well again? the interval of the difference to the
                                            reference lies within the floor, or not

While its alert fires, and when it has ended, until things are as they were: what is just below the
floor would be found again and again.

A window that is clearly beyond the floor begins anew, so that the last look is at the recent past.
One of which nothing is clear may hold the end of what was: so what came since the last look is
looked at by itself too.

Everything happens at counts of values, never at the end of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detectors.effects import NOTHING, Interval, is_another, within_floor
from stream.panes import Ints
from stream.unit_tilts import Baseline

_NEVER = 2**62
Standing = Literal["well", "ill", "open"]
"""As in the reference; clearly beyond the floor; not told yet."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many values it takes."""

    learn: int  # to be watched again
    look: int  # to be well again, in two panes at least
    enough: int  # to know how things are now
    ask_after_ms: int = 0  # from when it begins to fire


@dataclass(slots=True)
class Sums:
    """Over the columns of a unit."""

    x: Ints
    n: Ints
    count: int = 0  # values, each once
    xx: int = 0
    panes: int = 0

    def add(self, more: Sums) -> None:
        self.x = self.x + more.x
        self.n = self.n + more.n
        self.count += more.count
        self.xx += more.xx
        self.panes += more.panes

    @property
    def baseline(self) -> Baseline:
        return Baseline(self.x, self.n, self.xx)

    def spread(self, enough: int) -> float:
        """Of scores, in z, as far as it is known: one that is wider than in the reference."""
        return max(self.baseline.spread, 1.0) if self.xx and self.count >= enough else 1.0

    def since(self, earlier: Sums) -> Sums:
        return Sums(
            self.x - earlier.x, self.n - earlier.n, self.count - earlier.count,
            self.xx - earlier.xx, self.panes - earlier.panes,
        )  # fmt: skip

    def snapshot(self) -> list[Any]:
        return [self.x, self.n, self.count, self.xx, self.panes]


def nothing(columns: int) -> Sums:
    return Sums(np.zeros(columns, np.int64), np.zeros(columns, np.int64))


def standing_of(now: Interval, floor: float, room: float | NDArray[np.float64] = 0.0) -> Standing:
    """Of a difference to the reference that is none within the floor, or within the room."""
    if ((now.low > floor) | (now.high < -floor)).any():
        return "ill"
    return "well" if within_floor(now, np.maximum(room, floor)).all() else "open"


@dataclass(slots=True)
class Firing:
    """Of one unit, since its alert began."""

    columns: int
    ask_ms: int  # when the owner is asked to accept how things are; far ahead: was asked
    patience: Patience
    learned: Sums = field(init=False)
    next_learn: int = 0
    window: Sums = field(init=False)
    next_look: int = 0
    looked: Sums | None = None  # the window as it was at its last look
    told: float = math.inf  # the smallest effect that was, in the unit's own terms; of a shape at
    # least what the whole of it was when it was clearly beyond the floor
    ended: int = 0  # times that its alert has ended
    last: list[Any] | None = None  # the last crossing
    is_open: bool = False  # that one is no news yet: it may be, once more is known
    shown: list[Any] | None = None  # the last news: column, estimate, low, high
    news: int = 0  # so far, since it fires
    former: list[Any] | None = None  # the news before that

    def __post_init__(self) -> None:
        self.relearn()

    def relearn(self) -> None:
        """Things have changed once more: how they were is of no use."""
        self.learned, self.next_learn = nothing(self.columns), self.patience.learn
        self.look_anew()

    def look_anew(self) -> None:
        self.window, self.next_look = nothing(self.columns), self.patience.look
        self.looked = None

    def learn_on(self, *, for_ever: bool) -> None:
        """To twice as many values, unless these are as many as a reference has."""
        done = not for_ever and self.learned.count >= self.patience.enough
        self.next_learn = _NEVER if done else 2 * self.learned.count

    def look_on(self) -> None:
        self.next_look = 2 * self.window.count
        self.looked = replace(self.window)

    def look(self, judged: Callable[[Sums], Standing]) -> Standing:
        """How it stands by the window, or by what came since its last look; when it is asked next.
        What is well is the window then."""
        found = judged(self.window)
        if found == "ill":
            self.look_anew()
        elif found == "open":
            lately = None if self.looked is None else self.window.since(self.looked)
            if lately is not None and lately.panes > 1 and judged(lately) == "well":
                self.window = lately
                return "well"
            self.look_on()
        return found

    def asked(self) -> None:
        self.ask_ms = _NEVER

    def anew(self, columns: int) -> Firing:
        """Of the same unit, compared with another reference."""
        anew = Firing(columns, self.ask_ms, self.patience)
        anew.told, anew.ended, anew.news = self.told, self.ended, self.news
        return anew

    def is_news(self, column: int, effect: Interval) -> bool:
        """Whether it is surely another one than what was told: the surer, the more often it was."""
        return self.shown is None or self._differs(self.shown, column, effect)

    def is_surely_news(self, column: int, effect: Interval) -> bool:
        """Whether the last news still is, now that as much is known as ever will be: who had been
        told more often than is known here may not have been sure enough."""
        if self.former is None or self.learned.count < self.patience.enough:
            return False
        return self._differs(self.former, column, effect)

    def _differs(self, shown: list[Any], column: int, effect: Interval) -> bool:
        was = Interval(*map(np.asarray, shown[1:])) if shown[0] == column else NOTHING
        return is_another(effect, was, self.news)

    def show(self, column: int, effect: Interval) -> None:
        ends = (effect.estimate, effect.low, effect.high)
        self.former, self.shown = self.shown, [column, *map(float, ends)]
        self.news += 1
        self.is_open = False

    def over(self) -> Firing:
        """Of the same unit, its alert having ended: it is watched against how things are now only
        when that is known as well as a reference."""
        patience = replace(self.patience, learn=max(self.patience.enough, self.patience.learn))
        moved = Firing(self.columns, _NEVER, patience, ended=self.ended + 1, last=self.last)
        moved.learned = self.window
        return moved

    # -- when something happens

    def learns_at(self, count: Ints) -> int:
        """Row of the pane that completes what is to be learned; len(count): none of these."""
        return _first(self.learned.count + np.cumsum(count) >= self.next_learn)

    def looks_at(self, count: Ints) -> int:
        enough = self.window.count + np.cumsum(count) >= self.next_look
        return _first(enough & (self.window.panes + np.cumsum(count > 0) >= 2))

    def asks_at(self, start_ms: Ints) -> int:
        return _first(start_ms >= self.ask_ms)

    def add(self, x: Ints, n: Ints, count: Ints, xx: Ints) -> None:
        """Panes: `x` and `n` (panes, columns), `count` and `xx` (panes,)."""
        panes = int(np.count_nonzero(count > 0))
        more = Sums(x.sum(axis=0), n.sum(axis=0), int(count.sum()), int(xx.sum()), panes)
        self.learned.add(more)
        self.window.add(more)

    def snapshot(self) -> list[Any]:
        sums = [self.learned.snapshot(), self.window.snapshot()]
        patience = [self.patience.learn, self.patience.look, self.patience.enough]
        moments = [self.next_learn, self.next_look]
        told = [self.told, self.ended, self.last, self.is_open, self.shown, self.news, self.former]
        told.append(None if self.looked is None else self.looked.snapshot())
        return [self.columns, self.ask_ms, patience, *sums, *moments, *told]

    @classmethod
    def restore(cls, plain: list[Any]) -> Firing:
        columns, ask_ms, patience, learned, window, next_learn, next_look, *told = plain
        firing = cls(columns, ask_ms, Patience(*patience))
        firing.learned, firing.window = Sums(*learned), Sums(*window)
        firing.next_learn, firing.next_look = next_learn, next_look
        firing.told = told[0] if told else math.inf
        if told[1:]:
            firing.ended, firing.last, firing.is_open, firing.shown, firing.news = told[1:6]
            firing.former = told[6] if told[6:] else None
            firing.looked = Sums(*told[7]) if told[7:] and told[7] is not None else None
        return firing


def _first(true: Any) -> int:
    return int(true.argmax()) if true.any() else len(true)
