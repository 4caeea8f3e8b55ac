"""What goes together in the rows of a group, under a bank of its own.

    calm --a contrast crosses--> suspect --as many rows again--> firing --well again--> calm
                                    |  a feature of it tells something by itself, or too little
                                    +--> calm

A change of one feature moves what it is part of, too. So a contrast counts only while none of its
features fires, and is told only when none has begun to while as many rows again came.

What contrasts are compared with is the row sample of the reference, and rows that came since while
all was calm: they join at every doubling, until there are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.cusum_bank import CusumBank
from detectors.effects import Interval, score_difference
from detectors.joint_scores import CELLS
from detectors.tilts import DOUBT, Tilts
from stream.firing import Firing, Patience, Standing, Sums, standing_of
from stream.joint_hours import JointHours
from stream.joint_rows import Cells, JointRows
from stream.joint_terms import AGAIN, ENOUGH, Terms, terms_of, tilts_of
from stream.panes import Ints, PaneTable
from stream.profile import Profile
from stream.rules import Rules
from stream.spells import spells
from stream.unit_walk import Told
from stream.watched import Key

_FIRST = 256  # rows from which ranks are, at first
_SURE = 0.99
_ARRAYS = ("account", "n_since", "x_since", "since")


@dataclass(slots=True)
class Crossing:
    """A contrast whose account reached its threshold."""

    contrast: int
    theta: float
    statistic: float
    threshold: float
    since_ms: int
    n: int  # rows since then
    x: int
    until_n: int  # rows at which it is told

    def to_plain(self) -> list[Any]:
        return [getattr(self, name) for name in self.__slots__]


@dataclass(frozen=True, slots=True)
class JointTold:
    row: int
    names: tuple[str, ...]
    contrast: int
    crossing: Crossing | None  # None: it is well again, or has been so for long
    effect: Interval | None
    lasting: bool = False
    known: int = 0  # rows that it was compared with
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class _Panes:
    start_ms: Ints
    n: Ints  # (panes, contrasts): rows
    x: Ints  # sums of their scores


@dataclass(frozen=True, slots=True)
class Sought:
    """In the contrasts, each against the rows there are now. Nothing is decided by it."""

    tilts: Tilts
    floors: NDArray[np.float64]
    known: int  # rows, of the contrast of which there are fewest
    tau: float  # of that which depends most
    alone: tuple[Tilts, NDArray[np.float64]] | None  # if rows did not depend on each other


class JointWatch:
    def __init__(self) -> None:
        self.terms: Terms | None = None
        self.rows: JointRows | None = None
        self._bank: CusumBank | None = None
        self._known = 0  # rows that ranks are from
        self._fresh: NDArray[Any] = np.zeros((0, 0), np.int32)  # counts of rows that are to join
        self._gathered = 0  # how many these are
        self._suspect: Crossing | None = None
        self._firing: tuple[int, Firing] | None = None  # the contrast that was told
        self._learning: JointHours | None = None  # with a season, before there is a bank
        self._taus: NDArray[np.float64] = np.ones(0)  # of each contrast
        self._usual: set[Key] | None = set()  # that fire since before; None: still to be asked

    @property
    def is_firing(self) -> bool:
        return self._firing is not None

    def arrange(
        self, law: Profile | None, numeric: Mapping[str, bool], taus: Mapping[Key, Iterable[float]],
        rules: Rules, model_id: str,
    ) -> bool:  # fmt: skip
        """Watch this from the next pane on, anew if it is something else than before; whether an
        alert ends by that. `taus`: of the units of the features."""
        terms = terms_of(law, numeric, taus, rules, model_id)
        if terms == self.terms:
            return False
        was = self._firing
        told = None if was is None or self.rows is None else self.rows.contrasts[was[0]]
        self._begin(terms, law)
        if was is None:
            return False
        contrasts = [] if self.rows is None else self.rows.contrasts
        if told not in contrasts:
            return True
        self._firing = contrasts.index(told), Firing(1, was[1].ask_ms, was[1].patience)
        return False

    def _begin(self, terms: Terms | None, law: Profile | None) -> None:
        self.terms, self.rows, self._bank = terms, None, None
        self._suspect = self._firing = self._learning = None
        if terms is None or law is None:
            return
        self.rows = JointRows(law, terms.features, pairs=terms.pairs, per_pane=terms.rows)
        self._known = len(law.reference.table.sample)
        self._forget_fresh()
        contrasts = len(self.rows.contrasts)
        self._taus = np.full(contrasts, terms.tau)
        self._learning = JointHours(terms.hours, contrasts) if terms.hours else None
        self._usual = None if terms.hours else set()
        if self._learning is None:
            self._begin_bank()

    def _begin_bank(self) -> None:
        assert self.rows is not None
        assert self.terms is not None
        self._bank = CusumBank(tilts_of(self.terms, self.rows, self._taus))

    def _forget_fresh(self) -> None:
        assert self.rows is not None
        assert self.terms is not None
        # with a season it may be a week until they do
        short = np.int32 if self.terms.hours else np.uint16
        shape = len(self.rows.contrasts), CELLS
        self._fresh, self._gathered = np.zeros(shape, short), 0

    # -- panes

    def run(
        self, run: PaneTable, rules: Rules, firing: Iterable[Key], told: Iterable[Told]
    ) -> list[JointTold]:
        """What these panes let it tell. `firing`: units before them; `told`: what units told."""
        if self.rows is None or self.terms is None:
            return []
        firing, told = self._news(firing, told)
        patience = Patience(rules.minimum_values, rules.resolve_values, ENOUGH, rules.ask_after_ms)
        cells, start_ms = self.rows.read(run), run.pane_end - rules.pane_ms
        found: list[JointTold] = []
        for first, end, names in spells(firing, told, len(run)):
            row = first
            if self._learning is not None:
                is_calm = names.isdisjoint(self.rows.names)
                row = self._learn(cells, start_ms, first, end) if is_calm else end
            off = [i for i, made_of in enumerate(self.rows.contrasts) if names & {*made_of}]
            self._disturb(np.array(off, np.int64))
            while row < end:
                stop = min(end, self._joins_at(cells, row) + 1)
                n, x = cells.counts(row, stop), self.rows.sums(cells, row, stop)
                n[:, off] = x[:, off] = 0
                was_calm = self.is_calm
                done, one = self._step(_Panes(start_ms[row:stop], n, x), patience)
                found += [] if one is None else [replace(one, row=row + one.row)]
                if was_calm and self.is_calm:
                    self._gather(cells, row, row + done, off)
                row += done
        if self._bank is not None:
            self._bank.rest()
        return found

    @property
    def is_calm(self) -> bool:
        return self._suspect is None and self._firing is None

    # -- with a season

    def _news(self, firing: Iterable[Key], told: Iterable[Told]) -> tuple[list[Key], list[Told]]:
        """Without shapes that fire since before there were hours, which are cycles to them."""
        firing, told = list(firing), list(told)
        if self._usual is None:
            self._usual = {key for key in firing if key[1] == "shape"}
        news = [key for key in firing if key not in self._usual]
        self._usual -= {one.watched.key for one in told if not one.lasting}
        return news, told

    def _learn(self, cells: Cells, start_ms: Ints, first: int, end: int) -> int:
        """Panes in which all is calm; where the first is that is watched."""
        assert self.rows is not None
        assert self._learning is not None
        needed = max(_FIRST - self._gathered, 0)
        done = self._learning.done_at(
            start_ms[first:end], np.diff(cells.cuts[first : end + 1]), needed
        )
        stop = min(first + done + 1, end)
        sums = [self.rows.sums(cells, first, stop, power=power) for power in (1, 2)]
        self._learning.add(start_ms[first:stop], cells.counts(first, stop), sums)
        rows, joint = cells.rows(first, stop), self.rows.joint
        self._fresh += joint.tally(rows).astype(np.int32)
        self._gathered += len(rows)
        if first + done < end:
            self._taus = np.maximum(self._taus, self._learning.taus())
            joint.join(self._fresh - joint.counts)
            self._known, self._learning = self._gathered, None
            self._forget_fresh()
            self._begin_bank()
        return stop

    # -- rows that join

    @property
    def _due(self) -> int | None:
        """Rows at which those that were gathered join; None: there are enough."""
        return None if self._known >= ENOUGH else max(self._known, _FIRST)

    def _joins_at(self, cells: Cells, first: int) -> int:
        """The pane with which they are due."""
        due = self._due
        if due is None or not self.is_calm:
            return len(cells.cuts)
        left = int(cells.cuts[first]) + due - self._gathered
        return int(np.searchsorted(cells.cuts[1:], left))

    def _gather(self, cells: Cells, first: int, end: int, off: list[int]) -> None:
        due = self._due
        if due is None or self.rows is None or self._bank is None or self.terms is None:
            return
        rows = cells.rows(first, end)
        counts = self.rows.joint.tally(rows).astype(self._fresh.dtype)
        counts[off] = 0
        self._fresh += counts
        self._gathered += len(rows)
        if self._gathered >= due:
            self.rows.joint.join(self._fresh)
            self._known += self._gathered
            self._forget_fresh()
            self._bank.replace(tilts_of(self.terms, self.rows, self._taus))

    def _step(self, panes: _Panes, patience: Patience) -> tuple[int, JointTold | None]:
        """How many of the panes are done, and what the last of them tells."""
        if self._firing is not None:
            return self._on(panes, *self._firing)
        if self._suspect is not None:
            return self._confirm(panes, self._suspect, patience)
        return self._calmly(panes), None

    def _disturb(self, off: Ints) -> None:
        """Some feature of these contrasts tells something by itself."""
        if not len(off) or self._bank is None:
            return
        self._bank.begin_anew(off)
        self._fresh[off] = 0
        if self._suspect is not None and self._suspect.contrast in off:
            self._suspect = None

    def _calmly(self, panes: _Panes) -> int:
        """Up to the first crossing."""
        assert self._bank is not None
        found = self._bank.update(panes.start_ms, panes.x, panes.n)
        if not len(found):
            return len(panes.n)
        self._bank.begin_anew(np.arange(len(self._bank)))
        self._forget_fresh()
        crossed = int(found.n_since[0])
        self._suspect = Crossing(
            contrast=int(found.series[0]),
            theta=float(found.theta[0]),
            statistic=float(found.statistic[0]),
            threshold=float(found.threshold[0]),
            since_ms=int(found.since[0]),
            n=crossed,
            x=int(found.x_since[0]),
            until_n=crossed + max(crossed, AGAIN),
        )
        return int(found.pane[0]) + 1

    def _confirm(
        self, panes: _Panes, suspect: Crossing, patience: Patience
    ) -> tuple[int, JointTold | None]:
        assert self.terms is not None
        assert self.rows is not None
        of = suspect.contrast
        enough = suspect.n + np.cumsum(panes.n[:, of]) >= suspect.until_n
        is_enough = bool(enough.any())
        done = int(enough.argmax()) + 1 if is_enough else len(enough)
        suspect.n += int(panes.n[:done, of].sum())
        suspect.x += int(panes.x[:done, of].sum())
        if not is_enough:
            return done, None
        self._suspect = None
        known, floor = self._known_of(of), self._floor(of)
        effect = score_difference(suspect.x, suspect.n, known, tau=float(self._taus[of]))
        if float(effect.estimate) * np.sign(suspect.theta) < floor:
            return done, None
        ask_ms = int(panes.start_ms[done - 1]) + patience.ask_after_ms
        self._firing = of, Firing(1, ask_ms, patience)
        names = self.rows.contrasts[of]
        return done, JointTold(done - 1, names, of, suspect, effect, known=known, floor=floor)

    def _on(self, panes: _Panes, of: int, firing: Firing) -> tuple[int, JointTold | None]:
        """Until it is looked at, whether it is well again."""
        assert self.terms is not None
        assert self.rows is not None
        n = panes.n[:, of]
        looks, asks = firing.looks_at(n), firing.asks_at(panes.start_ms)
        last = min(looks, asks, len(n) - 1)
        upto = slice(0, last + 1)
        one = slice(of, of + 1)
        firing.add(panes.x[upto, one], panes.n[upto, one], n[upto], np.zeros_like(n[upto]))
        names = self.rows.contrasts[of]
        if last == looks:
            known, tau = self._known_of(of), float(self._taus[of])

            def stands(window: Sums) -> Standing:
                now = score_difference(
                    window.x[0], window.n[0], known, tau=tau, level=_SURE,
                    anytime=float(firing.patience.look),
                )  # fmt: skip
                return standing_of(now, self._floor(of))

            if firing.look(stands) == "well":
                self._firing = None
                return last + 1, JointTold(last, names, of, None, None)
        if last != asks:
            return last + 1, None
        firing.asked()
        return last + 1, JointTold(last, names, of, None, None, lasting=True)

    # -- reading

    def _known_of(self, contrast: int) -> int:
        """Rows that it is compared with."""
        assert self.rows is not None
        return int(self.rows.known[contrast])

    def _floor(self, contrast: int) -> float:
        """As configured, but no less than what its reference can tell."""
        return self._least(contrast, float(self._taus[contrast]))

    def _least(self, contrast: int, tau: float) -> float:
        assert self.terms is not None
        return max(self.terms.floor, DOUBT * math.sqrt(tau / self._known_of(contrast)))

    def level(self) -> float | None:
        """How near the nearest contrast is to its threshold, 0 to 1; None: nothing is watched."""
        if self._bank is None:
            return None
        busy = self._firing is not None or self._suspect is not None
        return 1.0 if busy else float(self._bank.level().max())

    def sought(self) -> Sought | None:
        """What is looked for in the contrasts; None: nothing, yet."""
        if self._bank is None or self.rows is None or self.terms is None:
            return None
        contrasts = range(len(self._taus))
        floors = np.array([self._floor(contrast) for contrast in contrasts])
        known, tau, alone = int(self.rows.known.min()), float(self._taus.max()), None
        if tau > 1.0:
            least = np.array([self._least(contrast, 1.0) for contrast in contrasts])
            alone = tilts_of(self.terms, self.rows, np.ones(len(self._taus))), least
        return Sought(self._bank.tilts, floors, known, tau, alone)

    # -- state

    def snapshot(self) -> list[Any] | None:
        if self.terms is None:
            return None
        bank = None if self._bank is None else self._bank.snapshot()
        joint = None if self.rows is None else self.rows.joint
        return [
            self.terms.to_plain(),
            None if joint is None else joint.counts.flatten(),
            [self._known, self._gathered, self._fresh.astype(np.int32).flatten()],
            None if bank is None else {name: bank[name].flatten() for name in _ARRAYS},
            None if self._suspect is None else self._suspect.to_plain(),
            None if self._firing is None else [self._firing[0], self._firing[1].snapshot()],
            *self._of_season(),
        ]

    def _of_season(self) -> list[Any]:
        if self.terms is None or not self.terms.hours:
            return []
        learning = None if self._learning is None else self._learning.snapshot()
        usual = None if self._usual is None else [list(key) for key in sorted(self._usual)]
        return [[learning, self._taus, usual]]

    def restore(self, law: Profile | None, plain: list[Any] | None) -> None:
        if plain is None:
            return
        terms, counts, gathered, bank, suspect, firing, *of_season = plain
        self._begin(Terms.from_plain(terms), law)
        if self.rows is not None and self.terms is not None:
            joint = self.rows.joint
            shape = joint.counts.shape
            joint.join(np.array(counts, np.int32).reshape(shape) - joint.counts)
            self._known, self._gathered, fresh = gathered
            self._fresh[:] = np.array(fresh).reshape(shape)
            for learning, taus, usual in of_season:
                self._taus = np.array(taus)
                self._usual = None if usual is None else {(name, of) for name, of in usual}
                if learning is None:
                    self._learning = None
                elif self._learning is not None:
                    self._learning.restore(learning)
            if self._learning is None:
                self._begin_bank()
        if bank is not None and self._bank is not None:
            tilts = self._bank.tilts
            state = {name: np.array(bank[name]).reshape(tilts.gain.shape) for name in _ARRAYS}
            held = np.zeros(len(tilts.gain), np.bool_)
            self._bank = CusumBank.restore(tilts, state | {"held": held})
        self._suspect = None if suspect is None else Crossing(*suspect)
        self._firing = None if firing is None else (firing[0], Firing.restore(firing[1]))
