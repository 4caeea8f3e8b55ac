"""How far a window lies from its reference: evidence for people, not alarms by itself."""

import math

import numpy as np
import numpy.typing as npt


def psi(
    reference_counts: npt.ArrayLike, current_counts: npt.ArrayLike, *, smoothing: float = 0.5
) -> float:
    """Population stability index Σ (q - p) ln(q / p) over the bins, in nats (symmetric).

    `smoothing` is added to every count on both sides (Krichevsky & Trofimov's 0.5), so an empty
    bin is never infinite: ten values of a new category in a window of 1,000 add about 0.05.
    Bins empty on both sides are left out, so padding changes nothing. Rule of thumb: above 0.25
    is a large shift. Two samples of m and n of one distribution give about
    (bins - 1) (1 / m + 1 / n), which is no shift at all: judge small windows by that.

    Args:
        reference_counts: shape (bins,), not negative, not all 0.
        current_counts: shape (bins,), the same bins.
        smoothing: count added to each bin, positive.

    Raises:
        ValueError: shapes differ, a negative count, an empty side, or smoothing not positive.

    O(bins). Source: Lewis, "An Introduction to Credit Scoring", 1994; Jeffreys, 1946.

    >>> round(psi([500, 500], [500, 500]), 6), round(psi([500, 500], [900, 100]), 3)
    (0.0, 0.876)
    """
    reference = np.asarray(reference_counts, dtype=np.float64)
    current = np.asarray(current_counts, dtype=np.float64)
    if reference.ndim != 1 or reference.shape != current.shape:
        raise ValueError(f"counts of different bins: {reference.shape} and {current.shape}")
    if (reference < 0).any() or (current < 0).any() or not (reference.sum() and current.sum()):
        raise ValueError("counts must not be negative, and neither side may be empty")
    if not smoothing > 0.0:
        raise ValueError(f"smoothing must be positive: {smoothing}")
    used = (reference > 0) | (current > 0)
    p, q = reference[used] + smoothing, current[used] + smoothing
    p, q = p / math.fsum(p), q / math.fsum(q)
    return math.fsum((q - p) * np.log(q / p))


def psi_numeric(
    reference_values: npt.ArrayLike, current_values: npt.ArrayLike, *, bins: int = 10
) -> float:
    """PSI over the quantile bins of the reference.

    Edges are values of the reference, never computed ones, so an offset (years, epochs, balances)
    costs no digits. A value that fills a whole bin or more (zeros, a constant) gets a bin of its
    own: a constant reference still sees a shift to either side.

    Args:
        reference_values: shape (m,), finite, any order.
        current_values: shape (n,), finite, any order.
        bins: quantile bins, at least 2.

    Raises:
        ValueError: an empty side, a value that is not finite, or fewer than 2 bins.

    O((m + n) log m). Source: see `psi`.

    >>> years = np.arange(2015, 2025).repeat(100)
    >>> round(psi_numeric(years, years), 6), round(psi_numeric(years, years + 3), 2)
    (0.0, 2.0)
    """
    reference, current = _sample(reference_values), _sample(current_values)
    if bins < 2:
        raise ValueError(f"at least 2 bins: {bins}")
    edges = _quantile_edges(np.sort(reference), bins)
    size = len(edges) + 1
    counts = [
        np.bincount(np.searchsorted(edges, values, side="left"), minlength=size)
        for values in (reference, current)
    ]
    return psi(counts[0], counts[1])


def _quantile_edges(ordered: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.float64]:
    """Upper edges (inclusive) of all bins but the last."""
    ranks = np.arange(bins + 1) * (len(ordered) - 1) // bins
    quantiles = ordered[ranks]
    heavy = np.unique(quantiles[1:][quantiles[1:] == quantiles[:-1]])
    return np.unique(np.concatenate([quantiles[1:-1], np.nextafter(heavy, -np.inf)]))


def ks(reference_sorted: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """Two-sample Kolmogorov-Smirnov statistic sup |F_m - F_n|, exact, ties included.

    Args:
        reference_sorted: shape (m,), finite, ascending.
        current: shape (n,), finite, any order.

    Raises:
        ValueError: an empty side, a value that is not finite, or an unsorted reference.

    O(n log n + (m + n) log(m + n)) time. Source: Smirnov, 1939.

    >>> ks([1.0, 1.0, 2.0], [1.0, 3.0])
    0.5
    """
    reference, window = _sample(reference_sorted), np.sort(_sample(current))
    if (reference[1:] < reference[:-1]).any():
        raise ValueError("the reference is not sorted")
    m, n = len(reference), len(window)
    points = np.concatenate([reference, window])
    below_reference = np.searchsorted(reference, points, side="right")
    below_window = np.searchsorted(window, points, side="right")
    # Whole numbers until the last division: |i / m - j / n| = |i n - j m| / (m n).
    return int(np.abs(below_reference * n - below_window * m).max()) / (m * n)


def ks_sample_bound(m: float, n: float, alpha: float) -> float:
    """How far the statistic of samples of m and n may lie from that of all the data.

    With probability at least 1 - alpha, |ks(samples) - sup |F - G|| is no more than this; and two
    samples of one distribution have a statistic no larger. Dvoretzky-Kiefer-Wolfowitz with
    Massart's constant on each side, alpha / 2 each: sqrt(ln(4 / alpha) / 2) (1/√m + 1/√n), for
    independent draws. A side that is complete, not a sample, has size `math.inf`.

    Raises:
        ValueError: a size below 1, or alpha outside (0, 1).

    O(1). Source: Massart, Annals of Probability 18, 1990.

    >>> round(ks_sample_bound(2048, 2048, 0.01), 4), round(ks_sample_bound(math.inf, 256, 0.01), 4)
    (0.0765, 0.1082)
    """
    if m < 1 or n < 1 or not 0.0 < alpha < 1.0:
        raise ValueError(f"sizes at least 1 and alpha in (0, 1): {m=}, {n=}, {alpha=}")
    return math.sqrt(math.log(4.0 / alpha) / 2.0) * (1.0 / math.sqrt(m) + 1.0 / math.sqrt(n))


def _sample(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError("a sample is one-dimensional, not empty, and finite")
    return sample
