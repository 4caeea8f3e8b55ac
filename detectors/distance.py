"""How far a window lies from its reference: evidence, and alarms for those who ask for thresholds.

None of these knows a budget: two samples of one distribution lie apart too, the further the
smaller they are, and each docstring says how far.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.ordered import distinct


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
    reference, current = _counts(reference_counts, current_counts)
    if not smoothing > 0.0:
        raise ValueError(f"smoothing must be positive: {smoothing}")
    used = (reference > 0) | (current > 0)
    p, q = reference[used] + smoothing, current[used] + smoothing
    p, q = p / math.fsum(p), q / math.fsum(q)
    return math.fsum((q - p) * np.log(q / p))


def quantile_counts(
    reference_values: npt.ArrayLike, current_values: npt.ArrayLike, *, bins: int = 10
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Counts of both in the quantile bins of the reference: what `psi` and `jensen_shannon` of
    numbers are of.

    Edges are values of the reference, never computed ones, so an offset (years, epochs, balances)
    costs no digits. A value that fills a whole bin or more (zeros, a constant) gets a bin of its
    own: a constant reference still sees a shift to either side.

    Args:
        reference_values: shape (m,), finite, any order.
        current_values: shape (n,), finite, any order.
        bins: quantile bins, at least 2.

    Raises:
        ValueError: an empty side, a value that is not finite, or fewer than 2 bins.

    O(m log m + n log n).

    >>> years = np.arange(2015, 2025).repeat(100)
    >>> round(psi(*quantile_counts(years, years)), 6)
    0.0
    >>> before, after = quantile_counts(years, years + 3)
    >>> round(psi(before, after), 2), round(jensen_shannon(before, after), 2)
    (2.0, 0.47)
    """
    if bins < 2:
        raise ValueError(f"at least 2 bins: {bins}")
    reference, current = (np.sort(_sample(side)) for side in (reference_values, current_values))
    edges = _quantile_edges(reference, bins)
    before, after = (
        np.diff(np.searchsorted(side, edges, side="right"), prepend=0, append=len(side))
        for side in (reference, current)
    )
    return before, after


def jensen_shannon(reference_counts: npt.ArrayLike, current_counts: npt.ArrayLike) -> float:
    """Jensen-Shannon distance: the root of the mean divergence to the middle, base 2, in [0, 1].

    A metric, finite also where a bin is empty on one side; 1 where no bin has values of both. Two
    samples of m and n of one distribution give about sqrt((bins - 1) (1 / m + 1 / n) / (8 ln 2)).

    Args:
        reference_counts: shape (bins,), not negative, not all 0.
        current_counts: shape (bins,), the same bins.

    Raises:
        ValueError: shapes differ, a negative count, an empty side.

    O(bins). Source: Lin, IEEE Trans. Information Theory 37, 1991; Endres & Schindelin, ibid. 49,
    2003 (the root is a metric).

    >>> jensen_shannon([500, 500, 0], [0, 0, 7]), round(jensen_shannon([500, 500], [900, 100]), 3)
    (1.0, 0.383)
    """
    reference, current = _counts(reference_counts, current_counts)
    p, q = reference / math.fsum(reference), current / math.fsum(current)
    middle = 0.5 * (p + q)
    terms = [
        0.5 * float(side[i]) * math.log2(side[i] / middle[i])
        for side in (p, q)
        for i in np.flatnonzero(side).tolist()
    ]
    return math.sqrt(min(max(math.fsum(terms), 0.0), 1.0))


@dataclass(frozen=True, slots=True)
class ChiSquared:
    """`p`: how often chance alone gives a statistic this large."""

    statistic: float
    degrees: int
    p: float


def chi_squared(reference_counts: npt.ArrayLike, current_counts: npt.ArrayLike) -> ChiSquared:
    """Pearson's test that two rows of counts are of one distribution.

    Guarantee: p is uniform under that, for independent values, in the limit; good once expected
    counts are 5 or more, too small (alarming) for many bins of fewer. It is the p of one look: a
    window looked at a thousand times finds p <= 0.001 once.

    Args:
        reference_counts: shape (bins,), not negative, not all 0.
        current_counts: shape (bins,), the same bins. Bins empty on both sides do not count.

    Raises:
        ValueError: shapes differ, a negative count, an empty side.

    O(bins + degrees). Source: Pearson, Philosophical Magazine 50, 1900; the tail by its finite
    sums for whole degrees, Abramowitz & Stegun 26.4.4 and 26.4.5.

    >>> found = chi_squared([500, 300, 200], [50, 60, 40])
    >>> round(found.statistic, 2), found.degrees, round(found.p, 6)
    (14.52, 2, 0.000703)
    """
    reference, current = _counts(reference_counts, current_counts)
    used = (reference + current) > 0
    r, c = reference[used], current[used]
    m, n = math.fsum(r), math.fsum(c)
    statistic = math.fsum((r * math.sqrt(n / m) - c * math.sqrt(m / n)) ** 2 / (r + c))
    degrees = int(used.sum()) - 1
    return ChiSquared(statistic, degrees, _chi_squared_tail(statistic, degrees))


def _chi_squared_tail(statistic: float, degrees: int) -> float:
    """P(χ² of so many degrees > statistic)."""
    if degrees == 0:
        return 1.0
    half = 0.5 * statistic
    if half == 0.0:
        return 1.0
    begin = 0.5 if degrees % 2 else 0.0
    terms = [
        math.exp((begin + i) * math.log(half) - half - math.lgamma(begin + i + 1.0))
        for i in range(degrees // 2)
    ]
    least = math.erfc(math.sqrt(half)) if degrees % 2 else 0.0
    return min(least + math.fsum(terms), 1.0)


def wasserstein(reference_sorted: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """Wasserstein-1 distance ∫ |F_m - F_n|: how far values have to be moved on average.

    In the unit of the values; of two normals a shift apart it is the shift. Two samples of m and n
    of one distribution give about 1.3 sd sqrt(1 / m + 1 / n) where it is normal, and more the
    heavier its tails: a single outlier of size x among n moves it by x / n.

    Args:
        reference_sorted: shape (m,), finite, ascending.
        current: shape (n,), finite, any order.

    Raises:
        ValueError: an empty side, a value that is not finite, or an unsorted reference.

    O(m + n log n). Source: Vallender, Theory of Probability and its Applications
    18, 1974.

    >>> wasserstein([1.0, 2.0, 3.0], [3.0, 2.0, 5.0])
    1.3333333333333333
    """
    points, apart, size = _apart(reference_sorted, current)
    return math.fsum((apart[:-1] * np.diff(points)).tolist()) / size


def _quantile_edges(ordered: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.float64]:
    """Upper edges (inclusive) of all bins but the last."""
    ranks = np.arange(bins + 1) * (len(ordered) - 1) // bins
    quantiles = ordered[ranks]
    heavy = distinct(quantiles[1:][quantiles[1:] == quantiles[:-1]])
    return distinct(np.concatenate([quantiles[1:-1], np.nextafter(heavy, -np.inf)]))


def ks(reference_sorted: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """Two-sample Kolmogorov-Smirnov statistic sup |F_m - F_n|, exact, ties included.

    Args:
        reference_sorted: shape (m,), finite, ascending.
        current: shape (n,), finite, any order.

    Raises:
        ValueError: an empty side, a value that is not finite, or an unsorted reference.

    O(m + n log n). Source: Smirnov, 1939.

    >>> ks([1.0, 1.0, 2.0], [1.0, 3.0])
    0.5
    """
    points, apart, size = _apart(reference_sorted, current)
    is_last = np.append(points[1:] != points[:-1], True)  # before that, equal ones are missing
    return int(apart[is_last].max()) / size


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


def _apart(
    reference_sorted: npt.ArrayLike, current: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], int]:
    """The values of both, ascending; |F_m - F_n| behind each, as a whole number (of equal values
    that of the last is meant); and of how many, m n: |i / m - j / n| = |i n - j m| / (m n)."""
    reference, window = _sorted(reference_sorted), np.sort(_sample(current))
    m, n = len(reference), len(window)
    both = np.concatenate([reference, window])
    order = np.argsort(both, kind="stable")  # which merges what is sorted
    of_reference = np.cumsum(order < m)
    of_window = np.arange(1, m + n + 1) - of_reference
    return both[order], np.abs(of_reference * n - of_window * m), m * n


def _counts(
    reference_counts: npt.ArrayLike, current_counts: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    reference = np.asarray(reference_counts, dtype=np.float64)
    current = np.asarray(current_counts, dtype=np.float64)
    if reference.ndim != 1 or reference.shape != current.shape:
        raise ValueError(f"counts of different bins: {reference.shape} and {current.shape}")
    if (reference < 0).any() or (current < 0).any() or not (reference.sum() and current.sum()):
        raise ValueError("counts must not be negative, and neither side may be empty")
    return reference, current


def _sorted(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    sample = _sample(values)
    if (sample[1:] < sample[:-1]).any():
        raise ValueError("the reference is not sorted")
    return sample


def _sample(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError("a sample is one-dimensional, not empty, and finite")
    return sample
