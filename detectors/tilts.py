"""What a bank of CUSUMs plays by: the sizes of change it looks for, what a pane pays, how high."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from detectors import native
from detectors.base import State

NATS = 2**28
"""Steps, accounts and thresholds are integers of 1 / NATS nats."""

SIDE = 8  # tilts in either direction at most
TILTS = 2 * SIDE
_STEP = 1.8
"""Ratio of neighbouring tilts, where there is room. A change between two loses 8 % of information
at worst; more tilts lose as much by sharing the budget."""
_OVERLAP = 1.25
"""Neighbouring tilts alarm together, so the rate of a bank is less than the sum of its tilts'.

Measured at this ratio: 0.71 of the sum for a rate of 0.1, 0.78 and 0.83 for normal values."""
DOUBT = 15.0
"""Tilts begin at DOUBT standard errors of the reference's mean.

A smaller tilt could be the reference's own error: with h nats of threshold for an exact reference,
one that errs needs h / (1 - 2 h / DOUBT²), which has no solution below DOUBT = sqrt(8 h).
"""
NEVER = 2**62
"""Threshold of a tilt that is not used, or that no threshold up to 200 nats makes safe."""

_STEPS = 1024  # of a nat, in thresholds
HEIGHT_STEP = NATS // _STEPS
_OFF = 3e-7  # nats: more than what two ways to solve for a threshold differ by
CLEAR = 1e6  # values of a reference, beyond which rare events drown in last digits

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tilts:
    """Constants of a bank: (series, TILTS) arrays, and (series,) ones of the reference.

    A pane of n values with sum x pays gain * x + cost * n to each account. Tilts that a series has
    no use for pay nothing and never cross. Made by `bernoulli_tilts` and `score_tilts`.
    """

    gain: Ints  # 1 / NATS nats per unit of x
    cost: Ints  # 1 / NATS nats per value
    threshold: Ints  # 1 / NATS nats, the dependence τ included
    theta: Floats  # size and direction of the change, in σ of one value; 0 where unused
    mean: Floats  # (series,) of the reference: a rate, or a score in z
    sd: Floats  # (series,) of one value
    n_eff: Floats  # (series,) values of the reference, as if independent
    tau: Floats  # (series,) variance of a sum against independent values
    rate: Floats  # (series,) false alarms per value that the thresholds allow
    is_rate: Bools  # (series,) a Bernoulli series, not one of scores

    @property
    def smallest(self) -> Floats:
        """Smallest tilt of each series that can alarm, in σ; infinite where it has none."""
        able = self.threshold < NEVER
        smallest: Floats = np.where(able, np.abs(self.theta), np.inf).min(axis=1)
        return smallest

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, series: npt.ArrayLike) -> Self:
        """Of these series only."""
        which = np.asarray(series, dtype=np.int64)
        return type(self)(*(getattr(self, f.name)[which] for f in fields(self)))

    def put(self, series: Ints, others: Self) -> Self:
        """These, with those of `series` replaced."""
        columns = []
        for f in fields(self):
            column = getattr(self, f.name).copy()
            column[series] = getattr(others, f.name)
            columns.append(column)
        return type(self)(*columns)

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """All series of all parts, in order."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def snapshot(self) -> State:
        """Arrays."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def restore(cls, state: State) -> Self:
        """The tilts `snapshot` described."""
        return cls(*(np.asarray(state[f.name]) for f in fields(cls)))


def each_of(value: npt.ArrayLike, series: Floats) -> Floats:
    """Of each series: a number is that of all. Most often there is one each already."""
    given = np.asarray(value, dtype=np.float64)
    return given if given.shape == series.shape else np.broadcast_to(given, series.shape)


def check_budget(rate: Floats, tau: Floats, floor: Floats) -> None:
    """Refuse what no threshold can be computed for."""
    if not ((rate > 0.0) & (rate <= 0.01)).all():
        raise ValueError("rate must be in (0, 0.01] false alarms a value")
    if not ((tau >= 1.0) & np.isfinite(tau)).all() or not (floor >= 0.0).all():
        raise ValueError("tau must be at least 1, floor not negative")


def grids(least: Floats, largest: Floats) -> Floats:
    """Geometric from the least, which is positive, to the largest of each series: shape (series,
    SIDE), 0 where unused; all 0 if there is no room."""
    sizes = np.zeros((len(least), SIDE))
    if native.IN_USE:
        columns = np.ascontiguousarray(least), np.ascontiguousarray(largest), sizes
        native.EXTENSION.grids(math.log(_STEP), columns)
        return sizes
    pairs = zip(least.tolist(), largest.tolist(), strict=True)
    for row, (first, last) in zip(sizes, pairs, strict=True):
        if first <= last:
            ratio = last / first
            steps = min(SIDE - 1, math.ceil(math.log(ratio) / math.log(_STEP)))
            row[: steps + 1] = [first * ratio ** (i / max(steps, 1)) for i in range(steps + 1)]
    return sizes


def per_tilt(theta: Floats, rate: Floats) -> Floats:
    """The series' rate in equal parts to its tilts, given that they overlap."""
    tilts = np.maximum((theta != 0).sum(axis=1), 1)
    overlap = np.where(tilts > 2, _OVERLAP, 1.0)  # one in each direction never alarm together
    return np.broadcast_to((rate * overlap / tilts)[:, None], theta.shape)


def reach(theta: Floats, height: Floats, tau: Floats) -> Ints:
    """Thresholds of `height` nats per effective value; out of reach where infinite or unused.

    Rounded up to 1 / 1024 nats: the last digits of exponentials differ between processors.
    """
    total = height * tau[:, None]
    known = (theta != 0.0) & (total < NEVER / NATS)
    nats = np.where(known, total, 1.0)
    return np.where(known, np.ceil(nats * _STEPS) * HEIGHT_STEP, NEVER).astype(np.int64)


def are_clear(height: Floats, tau: Floats, n_eff: Floats) -> Bools:
    """Of thresholds, nats per effective value: which `reach` would round alike were they a little
    off, whatever they were solved by. False where they are not known."""
    steps = height * tau * _STEPS
    with np.errstate(invalid="ignore"):
        clear = np.abs(steps - np.rint(steps)) > _OFF * tau * _STEPS
    found: Bools = (clear | np.isposinf(height)) & (n_eff <= CLEAR)
    return found
