"""Mean and variance from exact sums and exact sums of squares."""

from __future__ import annotations

import math
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import (
    BIN_BITS,
    FURTHEST,
    Binned,
    Floats,
    Ints,
    bin_sums,
    has_any,
    merge_bins,
    of_bins,
    sums_of_runs,
    to_floats,
)


def mean_and_variance(count: Ints, sums: Binned, squares: Binned) -> tuple[Floats, Floats]:
    """Mean and population variance per pane (0 where the pane has no number).

    The subtraction of squares is done in double-double on exact sums, so values far from zero
    (years, epochs, balances) keep their variance. O(P).

    >>> from detectors.exact_sum import binned_sums
    >>> pane, years = np.array([0, 0, 0, 1]), np.array([2024.0, 2025.0, 2026.0, 1.0])
    >>> sums, squares = binned_sums(years, pane), binned_sums(years**2, pane)
    >>> mean, variance = mean_and_variance(np.array([3, 1]), sums, squares)
    >>> mean.tolist(), variance.round(6).tolist()
    ([2025.0, 1.0], [0.666667, 0.0])
    """
    n = np.maximum(count, 1).astype(np.float64)
    sum_high, sum_low = to_floats(sums, len(count))
    square_high, square_low = to_floats(squares, len(count))
    product, error = two_product(sum_high, sum_high)
    error += 2.0 * sum_high * sum_low
    quotient = product / n
    back, back_error = two_product(quotient, n)
    rest = ((product - back) - back_error + error) / n
    spread = (square_high - quotient) + (square_low - rest)
    variance = np.where(count > 1, np.maximum(spread, 0.0) / n, 0.0)
    return sum_high / n, variance


def two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """a * b as (rounded, error), exact together, after Dekker 1971; for sizes up to 1e150."""
    p = a * b
    a1, b1 = _upper_half(a), _upper_half(b)
    a2, b2 = a - a1, b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def exact_squares(x: Floats) -> tuple[Floats, Floats]:
    """`two_product(x, x)`, in two thirds of the time.

    >>> x = np.array([0.1, -1e16 - 2.0, 3e-40])
    >>> all(map(np.array_equal, exact_squares(x), two_product(x, x)))
    True
    """
    p = x * x
    a1 = x * _SPLIT
    a2 = a1 - x
    a1 -= a2
    np.subtract(x, a1, out=a2)
    error = a1 * a1
    error -= p
    a1 *= a2
    a1 *= 2.0
    error += a1
    a2 *= a2
    error += a2
    return p, error


def squares_of_runs(x: Floats, group: Ints, starts: NDArray[np.intp]) -> Binned:
    """The exact sums of x * x (of x at least 1e-140 in size, or 0), as `sums_of_runs` has them: of
    the rounded products, and of their errors, which begin two bins lower."""
    product, error = exact_squares(x)
    if not has_any(error):
        return sums_of_runs(product, group, starts)
    most = float(product.max())
    high = (math.frexp(most)[1] - 1) // BIN_BITS
    if not math.isfinite(most) or abs(high) > FURTHEST:
        return merge_bins([sums_of_runs(part, group, starts) for part in (product, error)])
    try:
        with np.errstate(under="raise"):
            product *= 2.0 ** (-BIN_BITS * high)
            error *= 2.0 ** (-BIN_BITS * (high - 2))
    except FloatingPointError:  # sizes lie so far apart that one scale is not exact
        return merge_bins([sums_of_runs(part, group, starts) for part in exact_squares(x)])
    none = np.zeros(len(starts))
    lower = [none, none, *bin_sums(error, starts)]
    both = zip_longest(bin_sums(product, starts), lower, fillvalue=none)
    return of_bins([a + b for a, b in both], high, group[starts])


def _upper_half(x: Floats) -> Floats:
    big = x * _SPLIT
    return np.asarray(big - (big - x))


_SPLIT = 2.0**27 + 1.0
