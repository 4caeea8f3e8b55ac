"""How large a change of a unit is, with its interval, and in which one is none."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.effects import (
    Interval,
    rate_difference,
    score_difference,
    total_variation,
)
from stream.firing import Patience, Standing, Sums, standing_of
from stream.panes import Ints
from stream.unit_tilts import Baseline, Terms, tilts_of
from stream.units import Unit
from stream.watched import Stake, Watched

SURE = 0.99  # of the interval that must lie within the floor


def effect_of(one: Watched, column: int, x: int, n: int, spread: float = 1.0) -> Interval:
    """The difference to the reference since a change, with its 95 % interval, from the sum of n
    values: of a rate, of the share of the bin that moved, of a mean, or of ranks in σ; `spread`: of
    these now."""
    terms = one.terms
    before, tau = terms.baseline, max(terms.tau)
    if one.unit.measure == "shift":
        return score_difference(x, n, before.n[0], tau=tau * spread * spread)
    then = (before.x[column] / one.unit.steps, max(before.n[column], 1))
    return rate_difference(x / one.unit.steps, n, *then, tau=tau)


def standing(one: Watched, x: Ints, n: Ints, looks: float, told: float) -> Standing:
    """Of a unit that fires, from sums over its columns; it is looked at again and again, from so
    many values on. `told`: the smallest effect that its alert told. Of scores each bin
    must be well that has values."""
    floor, unit, before = one.floor, one.unit, one.baseline
    columns = np.flatnonzero((n > 0) & (before.n > 0))
    if not len(columns):
        return "open"
    room = _room(one, before, told)
    if unit.is_split:
        found, room = _rate(one, before, columns, (x, n), looks), room[columns]
    else:
        found = _interval(one, before, x, n, looks)
    if unit.up_only:
        found = _upward(found, -floor)
    return standing_of(found, floor, room if unit.is_split else room.max())


def of_columns(one: Watched, columns: Ints, seen: Sums, patience: Patience) -> Interval:
    """The difference to the reference in each of these columns, in sums that are looked at again
    and again."""
    looks, terms = float(patience.look), one.terms
    if one.unit.measure != "shift":
        found = _rate(one, terms.baseline, columns, (seen.x, seen.n), looks)
        return _upward(found, 0.0) if one.unit.up_only else found
    spread = seen.spread(patience.look)
    return score_difference(
        seen.x, seen.n, terms.baseline.n, tau=max(terms.tau) * spread * spread, level=SURE,
        anytime=looks,
    )  # fmt: skip


def is_beyond(found: Interval, floor: float, doubt: float) -> bool:
    """Whether all of an interval that is `doubt` times as wide lies beyond the floor."""
    low = found.estimate - doubt * (found.estimate - found.low)
    high = found.estimate + doubt * (found.high - found.estimate)
    return bool(((low > floor) | (high < -floor)).any())


def moved_as_a_whole(one: Watched, x: Ints, n: Ints, looks: float) -> float:
    """By how much a distribution that is clearly beyond the floor differs: what was told of it is
    of one bin. 0 of what has no bins."""
    if one.unit.measure != "shape":
        return 0.0
    return float(_interval(one, one.baseline, x, n, looks).estimate)


def _interval(one: Watched, before: Baseline, x: Ints, n: Ints, looks: float) -> Interval:
    """The difference to the reference of how things are now: in the terms of its floor."""
    unit, tau = one.unit, max(one.tau)
    if unit.measure == "shift":
        return score_difference(x[0], n[0], before.n[0], tau=tau, level=SURE, anytime=looks)
    if unit.measure == "shape":
        return total_variation(x, before.x, tau=tau, level=SURE, anytime=looks)
    return _rate(one, before, 0, (x, n), looks)


def _room(one: Watched, before: Baseline, told: float) -> NDArray[np.float64]:
    """In which a difference of each column is none: the floor, or what is within the error of the
    reference, however large that is, and less than half of what was told."""
    sums = before.x.tobytes(), before.n.tobytes(), before.xx
    able = np.minimum(_least(one.unit, sums, one.stake), 0.5 * told)
    room: NDArray[np.float64] = np.maximum(able, one.floor)
    return np.where(np.isfinite(room), room, one.floor)


@lru_cache(maxsize=512)  # those that fire ask at each look, and nothing of it changes
def _least(unit: Unit, sums: tuple[bytes, bytes, int], stake: Stake) -> NDArray[np.float64]:
    """The smallest change of each column that is looked for; `sums`: x, n and xx of the baseline.
    What ranks cost is not asked."""
    x, n, xx = sums
    baseline = Baseline(np.frombuffer(x, np.int64), np.frombuffer(n, np.int64), xx)
    tilts = tilts_of([Terms(unit, baseline, stake.floor, stake.rate, None, stake.tau)])
    of_values = unit.measure == "shift"  # its floor is in σ
    return tilts.smallest * (1.0 if of_values else tilts.sd)


def is_refuted(one: Watched, x: Ints, n: Ints, looks: float) -> bool:
    """Of a twin: whether judged predictions rule out that errors moved by half of what their
    scores let expect."""
    before = one.baseline
    expected = _interval(one, before, x, n, looks)
    if abs(expected.estimate) < one.floor or not (n[1] and before.n[1]):
        return False
    half = 0.5 * float(expected.estimate) * one.unit.scale
    measured = _rate(one, before, 1, (x, n), looks)
    return bool(measured.high < half) if half > 0 else bool(measured.low > half)


def _upward(found: Interval, least: float) -> Interval:
    """Fewer faults than in the reference are no fault."""
    return Interval(*(np.maximum(v, least) for v in (found.estimate, found.low, found.high)))


def _rate(
    one: Watched, before: Baseline, column: int | Ints, seen: tuple[Ints, Ints], looks: float
) -> Interval:
    """`seen`: x and n of all columns."""
    (x, n), steps = seen, one.unit.steps
    then = (before.x[column] / steps, before.n[column])
    tau = max(one.tau)
    return rate_difference(x[column] / steps, n[column], *then, tau=tau, level=SURE, anytime=looks)
