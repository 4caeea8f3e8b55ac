"""A bank of CUSUMs over many series at once, in integers: exact however the panes are cut."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from detectors import native
from detectors.bank_constants import Constants, constants_of, opened, whole
from detectors.base import State
from detectors.block import packed, views
from detectors.tilts import NATS, Tilts

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_CELLS = 1 << 20  # panes x series x tilts worked on at once: bounds the memory of an update
_MOST_VALUES = 1 << 30  # of one series in one update: keeps sums of steps within 64 bits

_STATE = ("account", "n_since", "x_since", "since")


@dataclass(frozen=True, slots=True)
class Crossings:
    """Accounts that reached their thresholds: arrays (crossings,), in order of (pane, series).

    `n_since` values with sum `x_since` came since the estimated change, which is before the pane
    at position `since`; the pane of the crossing is the last of them.
    """

    series: Ints
    pane: Ints  # row of the update
    theta: npt.NDArray[np.float64]  # tilt that crossed: its sign is the direction, in σ
    statistic: npt.NDArray[np.float64]  # nats
    threshold: npt.NDArray[np.float64]  # nats
    since: Ints
    n_since: Ints
    x_since: Ints

    def __len__(self) -> int:
        return len(self.series)


class CusumBank:
    """For each series a row of CUSUMs, one for each size and direction of change (`Tilts`).

    Intuition: each tilt θ bets that the series has moved by θ. A pane of n values with sum x pays
    gain * x + cost * n, the log-likelihood ratio of "moved" against "not moved", and an account
    that falls below 0 is opened anew at 0: W = S - min S, so that only the recent past counts.
    The first account of a series to reach its own threshold tells; the minimum it rose from is the
    maximum-likelihood estimate of the time of change. With the right θ no detector of the same
    false alarm rate is faster on average (Lorden, Moustakides); between tilts little is lost,
    because the information lost is of second order in the mismatch.

    Guarantee: what `detectors.tilts` computes for the thresholds, under its conditions. The bank
    itself adds nothing random and nothing rounded: steps and accounts are integers of 2^-28 nats,
    so cutting the panes anywhere, or restoring a snapshot in between, changes no bit.

    A series that crosses is *held*: it tells once, and is deaf until `restart`. A pane with n = 0
    changes nothing for its series, whatever its row holds for others.

    Memory: constants once for all series that have the same ones, as most faults do: at most 28
    bytes a tilt that they have a use for, most often 20; of a series awake 32 a tilt, at rest 34
    for each account that is not 0. Time: about 10 passes
    over as many integers a pane, by the extension one; no Python per pane, series or tilt.

    Source: Page, Biometrika 41, 1954; Lorden, Ann. Math. Stat. 42, 1971 (also of the bank);
    Moustakides, Ann. Stat. 14, 1986.

    Example:
        >>> from detectors.bernoulli_tilts import bernoulli_tilts
        >>> rng = np.random.default_rng(12345)
        >>> events = (rng.random((3000, 1)) < np.where(np.arange(3000) < 2000, 0.1, 0.2)[:, None])
        >>> tilts = bernoulli_tilts(np.array([1000]), np.array([10_000]), rate=1e-6)
        >>> bank = CusumBank(tilts)
        >>> ones = np.ones((3000, 1), dtype=np.int64)
        >>> told = bank.update(np.arange(3000), events.astype(np.int64), ones)
        >>> told.pane.tolist(), told.since.tolist()
        ([2218], [2049])
    """

    __slots__ = ("_awake", "_cells", "_constants", "_resting", "_tilts", "held")

    def __init__(self, tilts: Tilts) -> None:
        self._lay_out(tilts, np.zeros(tilts.gain.shape, dtype=np.bool_))
        self._resting: bytes | None = None
        self._awake: State = {name: np.zeros(self._cells, dtype=np.int64) for name in _STATE}
        self.held: Bools = np.zeros(len(tilts), dtype=np.bool_)
        self.rest()

    def _lay_out(self, tilts: Tilts, in_use: Bools) -> None:
        """Cells for the tilts that a series has a use for, series behind series, and for those
        `in_use`, shape (series, tilts), all the same."""
        self._constants = constants_of(tilts, in_use)
        self._tilts = tilts.gain.shape[1]
        self._cells = int(self._of_constants.sizes.sum())  # of all series

    @property
    def _of_constants(self) -> Constants:
        return opened(self._constants, self._tilts)

    @property
    def tilts(self) -> Tilts:
        """The constants, made anew: those of tilts without a use are not held, of the sizes no
        more than seven digits."""
        return self._of_constants.tilts

    # -- at rest

    def rest(self) -> None:
        """Until it changes again, hold no more of the state than what is not 0."""
        if self._resting is None:
            arrays = [self._awake[name] for name in _STATE]
            some = np.flatnonzero(arrays[0] | arrays[1] | arrays[2] | arrays[3])
            place = some.astype(np.min_scalar_type(self._cells))
            self._resting = packed([place, *(array[some] for array in arrays)])
            self._awake = {}

    @property
    def _state(self) -> State:
        if self._resting is not None:
            self._awake = {name: self._seen(name) for name in _STATE}
            self._resting = None
        return self._awake

    def _seen(self, name: str) -> Ints:
        """Of the state what is only read: that wakes nobody."""
        if self._resting is None:
            awake: Ints = self._awake[name]
            return awake
        some, *arrays = views(self._resting)
        whole: Ints = np.zeros(self._cells, dtype=np.int64)
        whole[some] = arrays[_STATE.index(name)]
        return whole

    def __len__(self) -> int:
        return len(self.held)

    def update(
        self, position: Ints, x: Ints, n: Ints, series: npt.ArrayLike | None = None
    ) -> Crossings:
        """Feed panes in order: x (panes, series) sums over n (panes, series) values each.

        Args:
            position: shape (panes,), ascending: where the panes lie, such as their starts in ms.
            x: Bernoulli series: events; scores: sum of integer scores.
            n: values; 0 where a series has no pane here.
            series: which series the columns are, ascending; all of them by default.

        Raises:
            ValueError: shapes that do not fit, a negative n, or more than 2^30 values of a series.
        """
        which = np.arange(len(self)) if series is None else np.asarray(series, dtype=np.int64)
        if x.shape != n.shape or x.shape != (len(position), len(which)):
            raise ValueError(f"{len(position)} panes, {len(which)} series: {x.shape}, {n.shape}")
        if native.IN_USE:
            return self._advanced(which, position, x, n)
        if (n < 0).any() or (n.sum(axis=0) > _MOST_VALUES).any():
            raise ValueError("a negative number of values, or more than 2^30 in one update")
        x, n = np.where(n > 0, x, 0), n.astype(np.int64, copy=False)
        told: list[tuple[int, Crossings]] = []
        stretch = max(1, _CELLS // max(1, self._cells))
        for start in range(0, len(position), stretch):
            rows, open_ = slice(start, start + stretch), ~self.held[which]
            if open_.all():
                some = None if series is None else which
                part = self._advance(some, position[rows], x[rows], n[rows])
            else:
                part = self._advance(
                    which[open_], position[rows], x[rows][:, open_], n[rows][:, open_]
                )
            if len(part):
                told.append((start, part))
        return _joined(told)

    def _advanced(self, which: Ints, position: Ints, x: Ints, n: Ints) -> Crossings:
        """All panes, by the extension."""
        state, constants = self._state, self._of_constants
        panes = (np.ascontiguousarray(array, dtype=np.int64) for array in (position, x, n, which))
        fixed = constants.kind, constants.start, constants.gain, constants.cost, constants.steps
        columns = (*fixed, *panes, self.held, *(state[name] for name in _STATE))
        told = native.EXTENSION.bank(constants.step, columns)
        if told is None:
            return _NONE
        series, pane, cell, account, threshold, since, count, total = (
            np.frombuffer(told, np.int64).reshape(-1, 8).T.copy()
        )
        return Crossings(
            series=series,
            pane=pane,
            theta=constants.theta[cell].astype(np.float64),
            statistic=account / NATS,
            threshold=threshold / NATS,
            since=since,
            n_since=count,
            x_since=total,
        )

    def _advance(self, which: Ints | None, position: Ints, x: Ints, n: Ints) -> Crossings:
        """Panes of one stretch, for series none of which is held; None: all of them."""
        constants = self._of_constants
        cells, row, at = constants.laid(which)  # row: of x and n, turned, for each cell
        sums = np.ascontiguousarray(x.T), np.ascontiguousarray(n.T)
        state, threshold = self._state, constants.height(at)[:, None]
        path = constants.gain[at, None] * sums[0][row]
        path += constants.cost[at, None] * sums[1][row]
        np.cumsum(path, axis=1, out=path)
        path += state["account"][cells, None]
        low = np.minimum(np.minimum.accumulate(path, axis=1), 0)
        account = path - low
        last = np.full(len(sums[0]), len(position) - 1)
        crossed = self._crossed(account >= threshold, row, sums[1], last)
        self._settle((cells, row), position, sums, account, last[row])
        if not len(crossed):
            return _NONE
        return self._tell(crossed if which is None else which[crossed], last[crossed])

    @staticmethod
    def _crossed(reached: Bools, row: Ints, n: Ints, last: Ints) -> Ints:
        """The series that tell, in the order of the panes; where they do goes into `last`."""
        hit = np.flatnonzero(reached.any(axis=1))
        if not len(hit):
            return hit
        crossed, of = np.unique(row[hit], return_inverse=True)
        at = np.zeros((len(crossed), reached.shape[1]), dtype=np.bool_)
        np.logical_or.at(at, of, reached[hit])
        at &= n[crossed] > 0  # a threshold that was lowered is reached at the next pane with values
        crossed, at = crossed[at.any(axis=1)], at[at.any(axis=1)]
        last[crossed] = at.argmax(axis=1)
        return crossed[np.argsort(last[crossed], kind="stable")]

    def _settle(
        self,
        of: tuple[Any, Ints],
        position: Ints,
        sums: tuple[Ints, Ints],
        account: Ints,
        last: Ints,
    ) -> None:
        """State after pane `last` of each cell: accounts, and what came since they were 0."""
        cells, row = of
        state = self._state
        panes = np.arange(len(position))
        zero = (account == 0) & (panes <= last[:, None])
        some = zero.any(axis=1)
        final_zero = np.where(some, len(panes) - 1 - zero[:, ::-1].argmax(axis=1), -1)
        keep = ~some & (state["account"][cells] > 0)  # goes on rising from before
        begin = final_zero + 1
        for column, held in zip(sums, (state["x_since"], state["n_since"]), strict=True):
            total = np.zeros((len(column), len(panes) + 1), dtype=np.int64)
            np.cumsum(column, axis=1, out=total[:, 1:])
            came = total[row, last + 1] - total[row, begin]
            held[cells] = np.where(keep, held[cells], 0) + came
        start = position[np.minimum(begin, len(panes) - 1)]
        state["since"][cells] = np.where(keep, state["since"][cells], start)
        risen = account[np.arange(len(account)), last]
        idle = risen == 0
        state["account"][cells] = risen
        for held in (state["n_since"], state["x_since"], state["since"]):
            held[cells] = np.where(idle, 0, held[cells])

    def _tell(self, series: Ints, pane: Ints) -> Crossings:
        """Of each series that crossed, the likeliest of the tilts that did; the series are held."""
        constants = self._of_constants
        cells, row, at = constants.laid(series)
        state, threshold = self._state, constants.height(at)
        account = state["account"][cells]
        reached = np.where(account >= threshold, account, -1)
        ends = np.searchsorted(row, np.arange(len(series) + 1)).tolist()
        best = [low + int(reached[low:high].argmax()) for low, high in pairwise(ends)]
        cell = cells[best]
        told = Crossings(
            series=series,
            pane=pane,
            theta=constants.theta[at[best]].astype(np.float64),
            statistic=account[best] / NATS,
            threshold=threshold[best] / NATS,
            since=state["since"][cell],
            n_since=state["n_since"][cell],
            x_since=state["x_since"][cell],
        )
        self._clear(series)
        self.held[series] = True
        return told

    def _clear(self, series: Ints) -> None:
        cells, _, _ = self._of_constants.laid(series)
        for array in self._state.values():
            array[cells] = 0

    # -- reading

    def level(self, series: Ints | None = None) -> npt.NDArray[np.float64]:
        """Nearest account to its threshold, as a share of it; 1 where held. For each of these
        series, or of all."""
        held = self.held if series is None else self.held[series]
        share, constants = np.zeros(len(held)), self._of_constants
        cells, row, at = constants.laid(series)
        np.maximum.at(share, row, self._seen("account")[cells] / constants.height(at))
        return np.where(held, 1.0, share)

    def are_held(self, series: Ints) -> bool:
        """Whether some of them are."""
        return bool(self.held[series].any())

    def warning(self, series: Ints | None = None) -> Bools:
        """Series on their way: some account is at half its threshold, or it is held."""
        return self.level(series) >= 0.5

    # -- changing

    def restart(self, series: npt.ArrayLike, tilts: Tilts) -> None:
        """Begin these series anew, by these tilts (in the order of `series`): nothing is held."""
        which = np.asarray(series, dtype=np.int64)
        self._clear(which)
        self._change(self.tilts.put(which, tilts), self.snapshot())
        self.held[which] = False

    def begin_anew(self, series: npt.ArrayLike) -> None:
        """These series, by the tilts that they have: nothing is held."""
        which = np.asarray(series, dtype=np.int64)
        self._clear(which)
        self.held[which] = False

    def replace(self, tilts: Tilts) -> None:
        """Other constants from the next pane on; accounts stay.

        Where a threshold comes to lie at or below its account, the next pane with values tells,
        unless it takes the account below it.
        """
        if tilts.gain.shape != (len(self), self._tilts):
            raise ValueError(f"{tilts.gain.shape} tilts for {(len(self), self._tilts)}")
        self._change(tilts, self.snapshot())

    def extend(self, tilts: Tilts) -> None:
        """More series, behind those there are."""
        mine, more = self.snapshot(), CusumBank(tilts).snapshot()
        state = {name: np.concatenate([mine[name], more[name]]) for name in mine}
        self._change(Tilts.concat([self.tilts, tilts]), state)

    def take(self, series: npt.ArrayLike) -> Self:
        """A bank of these series only, in this order."""
        which = np.asarray(series, dtype=np.int64)
        state = {name: values[which] for name, values in self.snapshot().items()}
        return type(self).restore(self.tilts.take(which), state)

    def _change(self, tilts: Tilts, state: State) -> None:
        self._lay_out(tilts, state["account"] != 0)
        place = self._of_constants.place
        self._resting, self._awake = None, {name: state[name][place] for name in _STATE}
        self.held = state["held"]
        self.rest()

    def snapshot(self) -> State:
        """Arrays that change, (series, tilts) each; the tilts, which do not, have a snapshot of
        their own."""
        place = self._of_constants.place
        state = {name: whole(self._seen(name), place) for name in _STATE}
        return {**state, "held": self.held.copy()}

    @classmethod
    def restore(cls, tilts: Tilts, state: State) -> Self:
        """The bank `snapshot` described, by these tilts."""
        bank = cls(tilts)
        found = {name: np.array(state[name], dtype=np.int64) for name in _STATE}
        for name, value in found.items():
            if value.shape != tilts.gain.shape:
                raise ValueError(f"{name} of shape {value.shape} for {tilts.gain.shape} tilts")
        bank._change(tilts, {**found, "held": np.array(state["held"], dtype=np.bool_)})
        return bank


_EMPTY, _NO_NUMBERS = np.empty(0, dtype=np.int64), np.empty(0)
_NONE = Crossings(_EMPTY, _EMPTY, _NO_NUMBERS, _NO_NUMBERS, _NO_NUMBERS, _EMPTY, _EMPTY, _EMPTY)


def _joined(told: list[tuple[int, Crossings]]) -> Crossings:
    if not told:
        return _NONE
    if len(told) == 1 and told[0][0] == 0:
        return told[0][1]

    def column(name: str) -> Any:
        return np.concatenate([getattr(part, name) for _, part in told])

    return Crossings(
        series=column("series"),
        pane=np.concatenate([start + part.pane for start, part in told]),
        theta=column("theta"),
        statistic=column("statistic"),
        threshold=column("threshold"),
        since=column("since"),
        n_since=column("n_since"),
        x_since=column("x_since"),
    )
