"""What the inputs have been like since a time: sums of their ranks and shares, block by block.

Judged predictions come a maturity later than the inputs that they were made from, and by then these
may be any distance ahead. So that an answer does not depend on how far, time is cut into blocks of
2^k spans: a question over D is answered in blocks of the level whose eighth part D is, of those
alone that lie wholly inside. Older blocks are put together as far as no later question can tell.

    now - a block's end >= 4, 8, 16, ... spans -> it may be of level 0, 1, 2, ...

What is compared with changes as references come: then a new era begins, and the one before it is
kept until no question can be about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cramjam
import msgspec
import numpy as np

from detectors.effects import Interval, score_difference, total_variation, within_floor
from stream.pane_evidence import Evidence
from stream.panes import Ints
from stream.rules import DAY_MS
from stream.units import SHAPED
from stream.watched import Key, Watched, WatchedUnits
from stream.watermark import BEFORE_ALL_MS

SPAN = 30  # panes of a block of level 0
PARTS = 8  # blocks that a question is answered in, at most
KEPT_MS = 60 * DAY_MS  # the furthest back that is asked: a horizon, and as long as a cause counts
WAITED_MS = 30 * DAY_MS  # for judged predictions; those that are further behind are told less
_LEVELS = 15
_LEVEL = 3  # of zstd
_MOST_FRESH = 8  # blocks that are not put together yet
_SURE = 0.99
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What an input is compared with."""

    name: str
    measure: str  # shift, of a number; shape, of a text
    columns: int
    floor: float
    tau: float
    x: tuple[int, ...]  # of the reference
    n: int

    @classmethod
    def of(cls, one: Watched) -> Yardstick:
        before, unit = one.baseline, one.unit
        sums, count = tuple(before.x.tolist()), int(before.n[0])
        tau = max(one.tau)
        return cls(unit.name, unit.measure, unit.columns, one.floor, tau, sums, count)

    def snapshot(self) -> list[Any]:
        return [
            *(self.name, self.measure, self.columns, self.floor, self.tau),
            *(list(self.x), self.n),
        ]

    @classmethod
    def restore(cls, plain: list[Any]) -> Yardstick:
        name, measure, columns, floor, tau, x, n = plain
        return cls(name, measure, columns, floor, tau, tuple(x), n)

    def difference(self, x: Ints, n: int) -> Interval | None:
        """To the reference, with its 99 % interval; None: nothing is known."""
        if not (n and self.n):
            return None
        if self.measure == "shift":
            return score_difference(x[0], n, self.n, tau=self.tau, level=_SURE)
        return total_variation(x, self.x, tau=self.tau, level=_SURE)


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one input over some time."""

    name: str
    difference: Interval | None
    floor: float

    @property
    def is_stable(self) -> bool:
        """The whole interval lies within the floor."""
        return self.difference is not None and bool(within_floor(self.difference, self.floor))

    @property
    def has_moved(self) -> bool:
        one = self.difference
        return one is not None and bool(one.low > self.floor or one.high < -self.floor)


def is_input(key: Key, watched: Collection[Key]) -> bool:
    """Ranks of numbers, shares of texts, of features and of what is predicted from them; faults
    and bins have alerts of their own."""
    name, measure = key
    if not name.startswith("feature:") and name not in SHAPED:
        return False
    return measure == "shift" or (measure == "shape" and (name, "shift") not in watched)


class Era:
    """As long as the same is compared with."""

    __slots__ = ("_yardsticks", "begin_ms", "starts", "sums", "width")

    def __init__(self, yardsticks: Sequence[Yardstick]) -> None:
        plain = _encoder.encode([one.snapshot() for one in yardsticks])
        self._yardsticks = bytes(cramjam.zstd.compress(plain, _LEVEL))
        numbers = sum(one.measure == "shift" for one in yardsticks)
        self.width = sum(one.columns for one in yardsticks) + numbers
        self.begin_ms: int | None = None  # start of its first pane
        self.starts: Ints = np.zeros(0, np.int64)  # of blocks, ascending
        # x of all columns, then n of the numbers; one row a block
        self.sums: Ints = np.zeros((0, self.width), np.int64)

    @property
    def yardsticks(self) -> list[Yardstick]:
        """Made when something is asked: there may be several eras, and a few numbers say it all."""
        known = _decoder.decode(bytes(cramjam.zstd.decompress(self._yardsticks)))
        return [Yardstick.restore(plain) for plain in known]

    def standings(self, first_ms: int, until_ms: int) -> list[Standing]:
        """Of the blocks between."""
        inside = (self.starts >= first_ms) & (self.starts < until_ms)
        sums = self.sums[inside].sum(axis=0)
        yardsticks = self.yardsticks
        at, number = 0, sum(one.columns for one in yardsticks)
        found: list[Standing] = []
        for one in yardsticks:
            x = sums[at : at + one.columns]
            at += one.columns
            if one.measure == "shift":
                n, number = int(sums[number]), number + 1
            else:
                n = int(x.sum())
            found.append(Standing(one.name, one.difference(x, n), one.floor))
        return found

    def put_together(self, starts: Ints, sums: Ints) -> None:
        """With these, block by block."""
        if not len(starts):
            return
        order = np.argsort(starts, kind="stable")
        starts = starts[order]
        edges = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
        self.starts, self.sums = starts[edges], np.add.reduceat(sums[order], edges, axis=0)


class Inputs:
    """Of one group."""

    def __init__(self, pane_ms: int) -> None:
        self._pane_ms = pane_ms
        self._span_ms = SPAN * pane_ms
        self._eras: list[Era] = []
        self._keys: tuple[Key, ...] = ()  # of the last era
        self._x: Ints = np.zeros(0, np.int64)  # columns of the evidence
        self._n: Ints = np.zeros(0, np.int64)
        self._fresh: list[tuple[Ints, Ints]] = []  # of the last era

    def arrange(self, watched: WatchedUnits, fresh: Collection[Key]) -> None:
        """What is watched from the next pane on; `fresh`: what begins anew."""
        keys = tuple(key for key in watched if is_input(key, watched))
        self._lay_out(keys, watched.columns)
        if keys == self._keys and not any(key in fresh for key in keys):
            return
        self._keys = keys
        self._put_together()
        if self._eras and self._eras[-1].begin_ms is None:
            self._eras.pop()
        self._eras.append(Era([Yardstick.of(watched[key]) for key in keys]))

    def end(self, start_ms: int) -> None:
        """Nothing is compared with from the pane that starts then on, until it is arranged."""
        self.arrange(WatchedUnits(), ())
        if self._eras and self._eras[-1].begin_ms is None:
            self._eras[-1].begin_ms = start_ms

    def _lay_out(self, keys: Iterable[Key], columns: Mapping[Key, Ints]) -> None:
        none = np.zeros(0, np.int64)
        kept = list(keys)
        self._x = np.concatenate([none, *(columns[key] for key in kept)])
        self._n = np.concatenate([none, *(columns[key] for key in kept if key[1] == "shift")])

    def add(self, start_ms: Ints, evidence: Evidence) -> None:
        """Panes that start then."""
        if not len(self._x):
            return
        era = self._eras[-1]
        if era.begin_ms is None:
            era.begin_ms = int(start_ms[0])
        sums = np.concatenate([evidence.x[:, self._x], evidence.n[:, self._n]], axis=1)
        blocks = start_ms // self._span_ms
        if blocks[0] == blocks[-1]:
            self._add(blocks[:1] * self._span_ms, sums.sum(axis=0)[None])
            return
        edges = np.flatnonzero(np.diff(blocks, prepend=blocks[0] - 1))
        self._add(blocks[edges] * self._span_ms, np.add.reduceat(sums, edges, axis=0))

    def _add(self, starts: Ints, sums: Ints) -> None:
        if self._fresh and len(starts) == 1 and self._fresh[-1][0][-1] == starts[0]:
            self._fresh[-1][1][-1] += sums[0]
        else:
            self._fresh.append((starts, sums))

    @property
    def is_restless(self) -> bool:
        """Whether there is enough to be put together."""
        return len(self._fresh) >= _MOST_FRESH

    def settle(self, now_ms: int, *, at_once: bool = False) -> None:
        """No question will be about a time that ends before this one: what it need not tell apart
        is put together, when there is enough of it or `at_once`."""
        if not (self.is_restless or at_once):
            return
        self._put_together()
        last_ms = max((int(e.starts[-1]) for e in self._eras if len(e.starts)), default=now_ms)
        now_ms = max(now_ms, last_ms - WAITED_MS)
        begins = [era.begin_ms for era in self._eras]
        while len(begins) > 1 and begins[1] is not None and begins[1] + self._pane_ms <= now_ms:
            begins.pop(0)
            self._eras.pop(0)
        for era in self._eras:
            kept = era.starts >= now_ms - KEPT_MS
            starts, level = era.starts[kept], np.zeros(int(kept.sum()), np.int64)
            for one in range(1, _LEVELS):
                end_ms = (starts // (self._span_ms << one) + 1) * (self._span_ms << one)
                level[now_ms - end_ms >= (PARTS * self._span_ms << (one - 1))] = one
            size = self._span_ms << level
            era.put_together(starts // size * size, era.sums[kept])

    def _put_together(self) -> None:
        if self._fresh:
            era, fresh = self._eras[-1], self._fresh
            era.put_together(
                np.concatenate([era.starts, *(starts for starts, _ in fresh)]),
                np.concatenate([era.sums, *(sums for _, sums in fresh)]),
            )
            self._fresh = []

    def since(self, since_ms: int, until_ms: int) -> list[Standing]:
        """Each input from then on, as was compared with at the end; empty: nothing is known."""
        begun_ms = until_ms - self._pane_ms
        eras = [e for e in self._eras if e.begin_ms is not None and e.begin_ms <= begun_ms]
        asked_ms = until_ms - since_ms
        if not eras or not 0 < asked_ms <= KEPT_MS:
            return []
        self._put_together()
        era = eras[-1]
        level = next(k for k in range(_LEVELS) if (PARTS * self._span_ms << k) >= asked_ms)
        block_ms = self._span_ms << level
        first_ms = -(-max(since_ms, era.begin_ms or BEFORE_ALL_MS) // block_ms) * block_ms
        return era.standings(first_ms, until_ms // block_ms * block_ms)

    # -- state

    def snapshot(self) -> list[Any]:
        self._put_together()
        return [
            [
                [one.snapshot() for one in era.yardsticks],
                era.begin_ms,
                era.starts.copy(),
                era.sums.flatten(),
            ]
            for era in self._eras
        ]

    def restore(self, plain: list[Any], watched: WatchedUnits) -> None:
        self._keys = tuple(key for key in watched if is_input(key, watched))
        self._lay_out(self._keys, watched.columns)
        for yardsticks, begin_ms, starts, sums in plain:
            era = Era([Yardstick.restore(fields) for fields in yardsticks])
            era.begin_ms, era.starts = begin_ms, np.array(starts)
            era.sums = np.array(sums, np.int64).reshape(len(era.starts), era.width)
            self._eras.append(era)
