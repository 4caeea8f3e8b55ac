"""Whether values are those of a reference in another unit: a·x + b, with a and b from a list.

Two kinds of evidence. The inverse of the right map takes the current values to the distribution of
the reference (Kolmogorov-Smirnov); with few values many maps do. And values are written with so
many decimals: 12.34 × 100 is a whole number each time, and (°F - 32) / 1.8 a whole tenth. A map
whose inverse puts all values on the reference's grid, which by chance few sets of values would be
on, is proven; of these the one with the coarsest grid is meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.distance import ks
from detectors.ordered import distinct

Doubles = npt.NDArray[np.float64]

FEWEST = 6  # values of which anything is said
_FEWEST_UNPROVEN = 30  # where the grid says nothing,
_FEWEST_FINER = 8  # or only that values have more decimals than they ever had
_FITS = 0.005  # p of Kolmogorov-Smirnov from which on a map is not refuted
_AS_GOOD = 0.2  # of the best p: the one that comes first in the list is meant
_DIFFERS = 1e-3  # p up to which values are not the reference's
_BY_CHANCE = 1e-6  # that all values are on a grid
_MOST_DECIMALS = 6
_NEAR = 1e-7  # of a step of the grid, and of the values' own digits
_NOTHING = 19.5  # exp(-2 x²) of a larger x is 0


@dataclass(frozen=True, slots=True)
class UnitMap:
    """current = factor · reference + offset."""

    name: str
    factor: float
    offset: float = 0.0
    domain: tuple[float, float] = (-math.inf, math.inf)  # in which the reference must lie

    def inverse(self, values: Doubles) -> Doubles:
        found: Doubles = (values - self.offset) / self.factor
        return found

    @property
    def is_large(self) -> bool:
        """Too much for a drift that keeps the shape."""
        return abs(math.log10(self.factor)) >= 0.99


CELSIUS = (-60.0, 120.0)
MAPS = (
    UnitMap("×100", 100.0),
    UnitMap("÷100", 0.01),
    UnitMap("×1000", 1000.0),
    UnitMap("÷1000", 0.001),
    UnitMap("°C as °F", 1.8, 32.0, CELSIUS),
    UnitMap("°F as °C", 1 / 1.8, -32 / 1.8, (-80.0, 250.0)),
    UnitMap("°C as K", 1.0, 273.15, CELSIUS),
    UnitMap("K as °C", 1.0, -273.15, (200.0, 400.0)),
    UnitMap("×10", 10.0),
    UnitMap("÷10", 0.1),
    UnitMap("×60, as minutes to seconds", 60.0),
    UnitMap("÷60, as seconds to minutes", 1 / 60),
    UnitMap("×3600, as hours to seconds", 3600.0),
    UnitMap("÷3600, as seconds to hours", 1 / 3600),
    UnitMap("×24, as days to hours", 24.0),
    UnitMap("÷24, as hours to days", 1 / 24),
    UnitMap("×1e6", 1e6),
    UnitMap("÷1e6", 1e-6),
    UnitMap("km as miles", 1 / 1.609344),
    UnitMap("miles as km", 1.609344),
    UnitMap("kg as lb", 2.2046226218487757),
    UnitMap("lb as kg", 0.45359237),
    UnitMap("m as ft", 1 / 0.3048),
    UnitMap("ft as m", 0.3048),
)


@dataclass(frozen=True, slots=True)
class Fit:
    map: UnitMap
    residual: float  # Kolmogorov-Smirnov between the reference and the values mapped back
    is_proven: bool  # by the grid of the values


def unit_of(reference: npt.ArrayLike, current: npt.ArrayLike) -> Fit | None:
    """The map that takes the reference to the current values; None: they are not far from it, too
    few, or none of the list.

    Args:
        reference: shape (m,), finite, any order.
        current: shape (n,), finite, any order.

    O((m + n) log(m + n)) for each map.

    >>> prices = np.round(np.random.default_rng(1).lognormal(3, 1, 500), 2)
    >>> unit_of(prices[:250], prices[250:260] * 100).map.name
    '×100'
    >>> unit_of(prices[:250], prices[250:260] * 7) is None
    True
    """
    before, after = np.sort(np.asarray(reference, np.float64)), np.asarray(current, np.float64)
    m, n = len(before), len(after)
    if min(m, n) < FEWEST or is_alike(before, after, _DIFFERS):
        return None
    decimals, now = decimals_of(before), decimals_of(after)
    middle = _middle(after)
    found: list[_Found] = []
    for one in MAPS:
        if before[0] < one.domain[0] or before[-1] > one.domain[1]:
            continue
        # what has a map has a middle one too: most maps need no more than this
        if is_denied(m, n, _least_distance(before, one.inverse(middle), n), _FITS):
            continue
        mapped = one.inverse(after)
        fits_grid = decimals is not None and bool(on_grid(mapped, decimals).all())
        if decimals is not None and not fits_grid and _keeps_grid(one):
            continue  # such as a whole factor, and values that are no multiples
        distance = ks(before, mapped)
        p = p_value(m, n, distance)
        if p >= _FITS:
            chance, step = 1.0, 0.0
            if fits_grid and decimals is not None and now is not None:
                step = one.factor * 10.0**-decimals
                chance = _chance(step, 10.0 ** -max(decimals, now), before, after)
            found.append(_Found(Fit(one, distance, chance < _BY_CHANCE), p, step))
    proven = [each for each in found if each.fit.is_proven]
    if proven:
        return max(proven, key=lambda each: each.step).fit
    is_finer = decimals is not None and (now is None or now > decimals)
    if n < (_FEWEST_FINER if is_finer else _FEWEST_UNPROVEN):
        return None
    large = [each for each in found if each.fit.map.is_large or each.fit.map.offset]
    best = max((each.p for each in large), default=0.0)
    return next((each.fit for each in large if each.p >= _AS_GOOD * best), None)


@dataclass(frozen=True, slots=True)
class _Found:
    fit: Fit
    p: float
    step: float  # of the grid that proves it


def is_alike(ordered: Doubles, values: Doubles, p: float) -> bool:
    """Whether two samples may well be of one distribution: at a chance of p it is denied. The first
    one ascending."""
    m, n = len(ordered), len(values)
    if is_denied(m, n, _least_distance(ordered, _middle(values), n), p):
        return False
    return not is_denied(m, n, ks(ordered, values), p)


def _middle(values: Doubles) -> Doubles:
    """The one that has half of them before it, as an array of it."""
    at = len(values) // 2
    middle: Doubles = np.partition(values, at)[at : at + 1]
    return middle


def _least_distance(ordered: Doubles, middle: Doubles, count: int) -> float:
    """What Kolmogorov-Smirnov is at least, by the middle one of so many values: those that are far
    off are found so in a third of the time."""
    at = count // 2
    low, high = (int(ordered.searchsorted(middle, side)[0]) for side in ("left", "right"))
    before, behind = at / count, (at + 1) / count
    return max(low / len(ordered) - before, behind - high / len(ordered), 0.0)


def is_denied(m: int, n: int, statistic: float, p: float) -> bool:
    """Whether `p_value` is below p."""
    at = _corrected(m, n, statistic)
    # no sum whose terms fall, each against the one before, is more than its first
    return 2.0 * math.exp(-2.0 * at**2) < p or p_value(m, n, statistic) < p


def _corrected(m: int, n: int, statistic: float) -> float:
    size = math.sqrt(m * n / (m + n))
    return (size + 0.12 + 0.11 / size) * statistic


def p_value(m: int, n: int, statistic: float) -> float:
    """How often two samples of one distribution are as far apart; good from n = 4 on, too large
    where values repeat. Stephens' correction of Kolmogorov's limit."""
    at = _corrected(m, n, statistic)
    if at < 0.2:
        return 1.0
    most = min(100, math.ceil(_NOTHING / at))  # of the terms behind these each is 0
    terms = ((-1) ** (k - 1) * math.exp(-2.0 * (k * at) ** 2) for k in range(1, most + 1))
    return min(1.0, max(0.0, 2.0 * math.fsum(terms)))


def decimals_of(values: Doubles) -> int | None:
    """How many decimals all of the values are written with; None: more than one can tell."""
    return next((d for d in range(_MOST_DECIMALS + 1) if on_grid(values, d).all()), None)


def on_grid(values: Doubles, decimals: int) -> npt.NDArray[np.bool_]:
    """Whether each is written with no more decimals than so many."""
    scaled = values * 10.0**decimals
    off = np.abs(scaled - np.rint(scaled))
    found: npt.NDArray[np.bool_] = off <= np.maximum(_NEAR, 1e-12 * np.abs(scaled))
    return found


def _keeps_grid(one: UnitMap) -> bool:
    """Whether values on a grid are certainly on the mapped one: nobody rounds what is whole."""
    return one.offset == 0.0 and one.factor >= 1.0 and one.factor == math.floor(one.factor)


def _chance(step: float, finest: float, before: Doubles, after: Doubles) -> float:
    """That all of the current values lie on a grid of this step by chance, being written to
    `finest`; or as often as those of the reference do."""
    usual = before / step
    share = float((np.abs(usual - np.rint(usual)) <= _NEAR).mean())
    return max(finest / step, share) ** len(distinct(after)) if finest < step else 1.0
