"""How surprising a count is, where counts are Poisson but for a dispersion that was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def surprise(count: int, expected: float, dispersion: float = 1.0) -> float:
    """Nats: a count as far from what is expected, to its side, has at most the chance exp(-this).

    Intuition: the logarithm of how much likelier the count is under its own mean, divided by the
    variance in units of a Poisson's.

    Guarantee (theorem): of a Poisson count with this mean; with a dispersion only nearly, as of
    sums of clusters of about that size. O(1), nothing is kept. Source: Chernoff, Annals of
    Mathematical Statistics 23, 1952.

    >>> round(surprise(5, 20.0), 3)
    8.069
    """
    if expected <= 0.0:
        return math.inf if count > 0 else 0.0
    exponent = count * math.log(count / expected) if count else 0.0
    return (exponent - (count - expected)) / dispersion


def dispersion(counts: Sequence[int]) -> float:
    """Variance of counts in units of a Poisson's, at least 1, from differences of neighbours, so
    that what changes slowly does not count. Negative: not known, a gap.

    >>> dispersion([10, 14, 10, -1, 12])
    1.0
    >>> dispersion([0, 40, 0, 40])
    40.0
    """
    pairs = [(a, b) for a, b in pairwise(counts) if a >= 0 and b >= 0]
    total = sum(a + b for a, b in pairs)
    return max(sum((a - b) ** 2 for a, b in pairs) / total, 1.0) if total else 1.0


def seasonal_dispersion(cells: Sequence[Sequence[int]]) -> float:
    """The same around the mean of each cell; cells have two counts or more. So few cycles may have
    missed the means: (m + 1) / (m - 1) times for m cycles."""
    squares = sum(
        len(of) * sum(c * c for c in of) / len(of) - sum(of) ** 2 / len(of) for of in cells
    )
    usual = sum(sum(of) * (len(of) - 1) / len(of) for of in cells)
    cycles = min((len(of) for of in cells), default=2)
    found = squares / usual if usual else 1.0
    return max(found, 1.0) * (cycles + 1) / max(cycles - 1, 1)
