"""Mean and variance from exact sums and exact sums of squares."""

from __future__ import annotations

import numpy as np

from detectors.exact_sum import Binned, Floats, Ints, to_floats


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
    a1 = _upper_half(x)
    a2 = x - a1
    error = a1 * a1
    error -= p
    a1 *= a2
    a1 *= 2.0
    error += a1
    a2 *= a2
    error += a2
    return p, error


def _upper_half(x: Floats) -> Floats:
    big = x * 134217729.0
    return np.asarray(big - (big - x))
