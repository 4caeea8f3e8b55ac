"""Sums of floats that do not depend on the order of the summands.

A double is cut into integers on a fixed grid of 26-bit bins: the bin `b` counts units of
2**(26 b). Where a bit of a value lands depends on nothing but its weight, so the sum of a bin is
one integer, whatever the order, the batching or the partition; merging adds integers. The idea is
that of reproducible binned sums (Demmel & Nguyen, "Parallel Reproducible Summation", 2015).

Exact for finite values and up to 2**26 of them per group; a sum takes 3 to 5 bins of 8 bytes.

>>> import numpy as np
>>> x = np.array([1e16, 1.0, -1e16]); one_group = np.zeros(3, np.int64)
>>> float(np.sum(x)), float(to_floats(binned_sums(x, one_group), 1)[0][0])
(0.0, 1.0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BIN_BITS = 26
_PARTS = 3  # 1 + 26 + 26 = 53 bits, however the leading bit lies in its bin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """Sparse bins, sorted by (group, bin), without zeros: three parallel arrays."""

    group: Ints
    bin: Ints
    amount: Ints  # in units of 2**(26 bin)


def binned_sums(values: Floats, group: Ints) -> Binned:
    """The exact sum of each group's finite values. O(n), a pass more for each 26 bits that sizes
    are apart."""
    if not len(values):
        return NO_SUMS
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    of = group[starts]
    if not (of[1:] > of[:-1]).all():
        return _scattered(values, group)
    return sums_of_runs(values, group, starts)


def sums_of_runs(values: Floats, group: Ints, starts: NDArray[np.intp]) -> Binned:
    """The same of some values whose groups rise: from each start on those of one."""
    most = max(float(values.max()), -float(values.min()))
    high = (math.frexp(most)[1] - 1) // BIN_BITS
    if not math.isfinite(most) or abs(high) > FURTHEST:
        return _scattered(values, group)
    try:
        with np.errstate(under="raise"):
            rest = values * 2.0 ** (-BIN_BITS * high)
    except FloatingPointError:  # sizes lie so far apart that one scale is not exact
        return _scattered(values, group)
    return of_bins(bin_sums(rest, starts), high, group[starts])


def bin_sums(rest: Floats, starts: NDArray[np.intp]) -> list[Floats]:
    """Of numbers below 2**26 in size the sums of each run, bin by bin: of bin 0, of that below it,
    and so on. `rest` is used up."""
    whole = np.empty_like(rest)
    sums: list[Floats] = []
    while True:
        np.trunc(rest, out=whole)
        sums.append(np.add.reduceat(whole, starts))
        rest -= whole
        if not _sample(rest).any():
            left = np.flatnonzero(rest != 0)
            if len(left) <= len(rest) // _MANY:
                return sums + _sums_of_few(rest[left], left, starts)
        rest *= 2.0**BIN_BITS


def _sums_of_few(rest: Floats, at: Ints, starts: NDArray[np.intp]) -> list[Floats]:
    """Of what is left, and where, the sums of the bins below."""
    run = np.searchsorted(starts, at, side="right") - 1
    sums: list[Floats] = []
    while rest.any():
        rest *= 2.0**BIN_BITS
        whole = np.trunc(rest)
        sums.append(np.bincount(run, whole, len(starts)).astype(np.float64, copy=False))
        rest -= whole
    return sums


def _sample(values: Floats) -> Floats:
    """What tells mostly whether many of them are 0."""
    return values[:: len(values) // _SAMPLE + 1]


def has_any(values: Floats) -> bool:
    """Whether one is not 0."""
    return bool(_sample(values).any() or values.any())


def of_bins(sums: list[Floats], high: int, of: Ints) -> Binned:
    """The sums of groups, bin by bin from the highest on."""
    total = np.stack(sums[::-1], axis=1)
    place, behind = np.nonzero(total)
    amount = total[place, behind].astype(np.int64)
    return Binned(of[place], behind + (high - len(sums) + 1), amount)


def _scattered(values: Floats, group: Ints) -> Binned:
    """The same whatever the order of the groups and however far apart the sizes."""
    top = (np.frexp(values)[1] - 1) // BIN_BITS
    rest = np.ldexp(values, -BIN_BITS * top)
    low = int(top.min()) - _PARTS + 1
    width = int(top.max()) - low + 1
    cells = (int(group.max()) + 1) * width
    key = group * width + (top - low)
    total = np.zeros(cells)
    for part in range(_PARTS):
        whole = np.trunc(rest)
        total += np.bincount(key, weights=whole, minlength=cells)
        rest -= whole
        if part == _PARTS - 1 or not rest.any():
            break
        rest *= 2.0**BIN_BITS
        key -= 1
    filled = np.flatnonzero(total)
    return Binned(filled // width, filled % width + low, total[filled].astype(np.int64))


def merge_bins(parts: list[Binned]) -> Binned:
    """The bins of all parts together; groups are numbered alike in all of them."""
    group = np.concatenate([p.group for p in parts])
    if not len(group):
        return NO_SUMS
    bins = np.concatenate([p.bin for p in parts])
    amount = np.concatenate([p.amount for p in parts])
    order = order_of_pairs(group, bins)
    group, bins, amount = group[order], bins[order], amount[order]
    starts = np.flatnonzero(
        np.concatenate([[True], (group[1:] != group[:-1]) | (bins[1:] != bins[:-1])])
    )
    total = np.add.reduceat(amount, starts)
    keep = total != 0
    return Binned(group[starts][keep], bins[starts][keep], total[keep])


def order_of_pairs(group: Ints, key: NDArray[Any]) -> Ints:
    """What sorts by (group, key), stable; groups are not negative. Of integers in a small range as
    of one integer: lists that are sorted already are merged in one pass."""
    if key.dtype == np.int64:
        low = int(key.min())
        span = int(key.max()) - low + 1
        if (int(group.max()) + 1) * span < _ONE_INTEGER:
            return np.argsort(group * span + (key - low), kind="stable").astype(
                np.int64, copy=False
            )
    return np.lexsort((key, group)).astype(np.int64, copy=False)


def to_floats(bins: Binned, groups: int) -> tuple[Floats, Floats]:
    """(high, low) per group: unevaluated double-double, the same for the same exact bins."""
    high, low = np.zeros(groups), np.zeros(groups)
    if not len(bins.bin):
        return high, low
    first, last = int(bins.bin.min()), int(bins.bin.max())
    dense = np.zeros((last - first + 1, groups))
    dense[bins.bin - first, bins.group] = bins.amount
    for b in range(last, first - 1, -1):
        term = np.ldexp(dense[b - first], BIN_BITS * b)
        total = high + term
        back = total - high
        low += (high - (total - back)) + (term - back)
        high = total
    total = high + low
    return total, low - (total - high)


_ONE_INTEGER = 2**62
_SAMPLE = 64
_MANY = 8  # of how many values one must be left for a pass over all to cost less
FURTHEST = 36  # 2 ** (26 * 36) and its inverse are doubles
NO_SUMS = Binned(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
