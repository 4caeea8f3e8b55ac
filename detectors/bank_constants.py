"""The constants of a bank of CUSUMs, in one piece of memory: once for all series that are alike."""

import zlib
from dataclasses import fields, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.block import packed, views
from detectors.tilts import HEIGHT_STEP, NEVER, Tilts

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LARGEST = 2**31 - 1

Packed = tuple[bytes, bytes]
"""What each pane is told by; and what is asked for when something is told or changed, in less."""


class Constants:
    """What `constants_of` packed, to be read.

    A cell is a tilt that a series of a kind has a use for; of one kind all constants are equal.
    """

    def __init__(self, block: Packed, tilts: int) -> None:
        hot, self._cold = block
        self.gain, self.cost, self.steps, self.start, self.kind = views(hot)
        self._tilts = tilts

    @cached_property
    def _rest(self) -> list[npt.NDArray[Any]]:
        return views(zlib.decompress(self._cold))

    @property
    def theta(self) -> npt.NDArray[Any]:
        """Sizes of the changes that the cells look for."""
        return self._rest[0]

    @property
    def _is_rate(self) -> Bools:
        return self._rest[1]

    @property
    def step(self) -> int:
        """Of `steps`."""
        return HEIGHT_STEP if self.steps.dtype == np.int32 else 1

    def height(self, at: Ints | slice = slice(None)) -> Ints:
        """Thresholds of the cells."""
        if self.step == 1:
            return self.steps[at]
        steps = self.steps[at].astype(np.int64)
        return np.where(steps == _LARGEST, NEVER, steps * HEIGHT_STEP)

    @property
    def sizes(self) -> Ints:
        """Cells of each series."""
        sizes: Ints = np.diff(self.start.astype(np.int64))[self.kind]
        return sizes

    @property
    def place(self) -> Bools:
        """Which tilts have a cell, shape (series, tilts)."""
        place: Bools = self._place[self.kind]
        return place

    @property
    def _place(self) -> Bools:
        kinds = len(self._is_rate)
        flat = np.unpackbits(self._rest[2], count=kinds * self._tilts).astype(np.bool_)
        return flat.reshape(kinds, self._tilts)

    def laid(self, series: Ints | None = None) -> tuple[Any, Ints, Ints]:
        """The cells of these series, or of all; of each its series, by number among these, and
        where the constants are."""
        start, sizes = self.start.astype(np.int64), self.sizes
        first, kind, own = np.cumsum(sizes) - sizes, self.kind, sizes
        if series is not None:
            first, kind, own = first[series], kind[series], sizes[series]
        row = np.repeat(np.arange(len(own)), own)
        before, place = np.cumsum(own) - own, np.arange(len(row))
        at = place + np.repeat(start[kind] - before, own)
        if series is None:
            return slice(None), row, at
        return place + np.repeat(first - before, own), row, at

    @property
    def tilts(self) -> Tilts:
        """Of all series; those without a cell pay nothing and never cross."""
        place, kinds = self._place, len(self._is_rate)
        threshold = whole(self.height(), place)
        threshold[~place] = NEVER
        mean, spread, n_eff, tau, rate = self._rest[3:]
        mean = np.broadcast_to(mean, kinds)
        of_kinds = Tilts(
            gain=whole(self.gain.astype(np.int64), place),
            cost=whole(self.cost.astype(np.int64), place),
            threshold=threshold,
            theta=whole(self.theta.astype(np.float64), place),
            mean=mean,
            sd=_sd(mean, spread, self._is_rate),
            n_eff=np.broadcast_to(n_eff, kinds),
            tau=np.broadcast_to(tau, kinds),
            rate=np.broadcast_to(rate, kinds),
            is_rate=self._is_rate,
        )
        return of_kinds.take(self.kind)


@lru_cache(maxsize=8)
def opened(block: Packed, tilts: int) -> Constants:
    """Those that were asked for of late are at hand: a pane asks several times."""
    return Constants(block, tilts)


def constants_of(tilts: Tilts, in_use: Bools) -> Packed:
    """Of the tilts that a series has a use for, and of those `in_use`, shape (series, tilts). Sizes
    of changes have seven digits: nothing but what people read depends on more."""
    tilts = replace(tilts, theta=tilts.theta.astype(np.float32).astype(np.float64))
    kind, first = _alike(tilts)
    kinds = tilts.take(first)
    place = kinds.threshold < NEVER
    for name in ("gain", "cost", "theta"):
        place |= getattr(kinds, name) != 0
    series, tilt = np.nonzero(in_use)
    place[kind[series], tilt] = True
    start = np.concatenate([[0], np.cumsum(place.sum(axis=1))])
    spread = kinds.sd[~kinds.is_rate]
    if (_sd(kinds.mean, spread, kinds.is_rate) != kinds.sd).any():
        spread = kinds.sd
    once = (_once(of) for of in (kinds.n_eff, kinds.tau, kinds.rate))
    hot = [
        *(_short(kinds.gain[place]), _short(kinds.cost[place]), _steps(kinds.threshold[place])),
        start.astype(np.min_scalar_type(int(start[-1]))),  # of the cells of each kind
        kind,
    ]
    theta = kinds.theta[place].astype(np.float32)
    cold = [theta, kinds.is_rate, np.packbits(place), _once(kinds.mean), spread, *once]
    return packed(hot), zlib.compress(packed(cold), 1)


def whole(cells: npt.NDArray[Any], place: Bools) -> npt.NDArray[Any]:
    """Of the shape of `place`, 0 where there is no cell."""
    found = np.zeros(place.shape, dtype=cells.dtype)
    found[place] = cells
    return found


def _alike(tilts: Tilts) -> tuple[npt.NDArray[np.unsignedinteger[Any]], list[int]]:
    """Of each series its kind, and a series of each kind."""
    columns = [getattr(tilts, field.name) for field in fields(tilts)]
    eight = [c.astype(np.int64) if c.dtype == np.bool_ else c.view(np.int64) for c in columns]
    rows = np.concatenate([c if c.ndim > 1 else c[:, None] for c in eight], axis=1)
    data, size = rows.tobytes(), rows.shape[1] * rows.itemsize
    first: dict[bytes, int] = {}
    kind: list[int] = []
    for i in range(len(tilts)):
        row = data[i * size : (i + 1) * size]
        kind.append(first.setdefault(row, len(first)))
    series = np.unique(kind, return_index=True)[1].tolist() if kind else []
    return np.array(kind, np.min_scalar_type(len(first))), series


def _sd(
    mean: npt.NDArray[np.float64], spread: npt.NDArray[np.float64], is_rate: Bools
) -> npt.NDArray[np.float64]:
    """Of each kind: `spread`, where it is of all of them; else that of rates follows from them."""
    if len(spread) == len(mean):
        return spread
    sd: npt.NDArray[np.float64] = np.sqrt(np.where(is_rate, mean * (1.0 - mean), 1.0))
    sd[~is_rate] = spread
    return sd


def _once(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One number, if all are the same."""
    return values[:1].copy() if len(values) and (values == values[0]).all() else values


def _short(values: Ints) -> npt.NDArray[Any]:
    """In four bytes each, if they all fit."""
    is_short = not len(values) or int(np.abs(values).max()) <= _LARGEST
    return values.astype(np.int32) if is_short else values


def _steps(threshold: Ints) -> npt.NDArray[Any]:
    """Thresholds: in four bytes each, where they are whole steps as `tilts.reach` makes them."""
    known = threshold < NEVER
    steps = np.where(known, threshold // HEIGHT_STEP, _LARGEST)
    fits = (steps * HEIGHT_STEP == threshold) & (steps < _LARGEST)
    return steps.astype(np.int32) if bool((fits | ~known).all()) else threshold
