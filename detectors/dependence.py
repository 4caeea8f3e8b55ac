"""What values of one series know of each other: effective sizes, and changes in a reference."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_FEWEST = 20  # batches from which a variance can be told
_UPPER = 0.95
_Z = NormalDist().inv_cdf(_UPPER)
_RESIDUAL = 0.2  # correlation of neighbouring batches below which they are long enough


@dataclass(frozen=True, slots=True)
class Dependence:
    """τ: variance of a sum of values, against that of as many independent ones.

    n values of it estimate a mean as well as n / τ independent ones would.
    """

    estimate: float
    upper: float  # at least 1; what thresholds should use
    batches: int  # from how many batch means
    long_enough: bool  # batches came out (nearly) uncorrelated; if not, τ may be larger still


def variance_ratio(n: npt.ArrayLike, x: npt.ArrayLike, xx: npt.ArrayLike) -> Dependence:
    """τ of a series from its panes, in order: arrays (panes,) of count, sum and sum of squares.

    Batch means: panes are merged in pairs, over and over, and τ = n Var(batch mean) / Var(value).
    The batches used are the shortest whose neighbours correlate by no more than 0.2; what is left
    of the correlation r counts by 1 + 2 r. `upper` adds what sampling may hide: the 95 % bounds of
    the chi-squared for the variance and of r. Longer batches that contradict raise it.

    For independent values in 1,000 panes the bound is about 1.2; with fewer than 20 panes there is
    nothing to tell from: infinite.

    O(panes). Source: Alexopoulos & Seila, in Banks, Handbook of Simulation, 1998 (batch means);
    Wilson & Hilferty, 1931 (chi-squared quantiles).

    >>> rng = np.random.default_rng(12345)
    >>> noise, walk = rng.standard_normal(20_000), np.zeros(20_000)
    >>> for i in range(1, 20_000):
    ...     walk[i] = 0.7 * walk[i - 1] + noise[i]
    >>> found = variance_ratio(np.ones(20_000), walk, walk**2)  # truth: 1.7 / 0.3 = 5.7
    >>> round(found.estimate, 1), round(found.upper, 1)
    (5.7, 6.6)
    """
    count, total, square = (np.asarray(v, dtype=np.float64) for v in (n, x, xx))
    some = count > 0
    count, total, square = count[some], total[some], square[some]
    if len(count) < _FEWEST:
        return Dependence(1.0, math.inf, len(count), long_enough=False)
    values = count.sum()
    mean = total.sum() / values
    variance = (square - 2.0 * mean * total + mean**2 * count).sum() / values
    if variance <= 1e-12 * (1.0 + mean**2):
        return Dependence(1.0, 1.0, len(count), long_enough=True)  # constant: nothing varies
    apart = (total - mean * count) / math.sqrt(variance)
    chosen, at_least = None, 1.0
    while len(count) >= _FEWEST:
        batches = len(count)
        ratio = float((apart**2).sum() / count.sum()) * batches / (batches - 1)
        energy = float((apart**2).sum())
        r = float((apart[:-1] * apart[1:]).sum()) / energy if energy else 0.0
        r_upper = max(r + _Z / math.sqrt(batches), 0.0)
        estimate = ratio * (1.0 + 2.0 * max(r, 0.0))
        upper = ratio * (batches - 1) / _chi_squared(1.0 - _UPPER, batches - 1)
        found = Dependence(
            estimate, max(upper * (1.0 + 2.0 * r_upper), 1.0), batches, r <= _RESIDUAL
        )
        if chosen is None or not chosen.long_enough:
            chosen = found
        at_least = max(at_least, ratio * (batches - 1) / _chi_squared(_UPPER, batches - 1))
        even = len(count) // 2 * 2
        count = count[:even].reshape(-1, 2).sum(axis=1)
        apart = apart[:even].reshape(-1, 2).sum(axis=1)
    assert chosen is not None
    upper = max(chosen.upper, at_least)
    return Dependence(max(chosen.estimate, 0.0), upper, chosen.batches, chosen.long_enough)


@dataclass(frozen=True, slots=True)
class Scan:
    """Whether a stretch of panes holds a change, and where it most likely is."""

    found: bool
    row: int  # first pane after the likeliest change
    statistic: float
    threshold: float


def scan_reference(
    n: npt.ArrayLike, x: npt.ArrayLike, xx: npt.ArrayLike, *, level: float = 1e-3
) -> Scan:
    """Look for a change of the mean inside the panes of a reference, before it is sealed.

    sup |S_t - t S| over the panes, over sqrt(τ n) σ: the supremum of a Brownian bridge where
    nothing changed, whose quantile is Kolmogorov's. σ and τ are measured on both sides of the
    likeliest change, so that the change itself does not hide in them.

    Args:
        n, x, xx: count, sum and sum of squares of each pane, in order, shape (panes,).
        level: chance of refusing a good reference.

    O(panes). Source: Ploberger & Krämer, Econometrica 60, 1992.

    >>> rng = np.random.default_rng(12345)
    >>> values = rng.standard_normal(5000) + (np.arange(5000) >= 3000) * 0.3
    >>> scan = scan_reference(np.ones(5000), values, values**2)
    >>> scan.found, scan.row
    (True, 2967)
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1): {level}")
    count, total, square = (np.asarray(v, dtype=np.float64) for v in (n, x, xx))
    threshold = math.sqrt(-0.5 * math.log(level / 2.0))
    some = np.flatnonzero(count > 0)
    if len(some) < 2 * _FEWEST:
        return Scan(False, 0, 0.0, threshold)
    count, total, square = count[some], total[some], square[some]
    values, seen = count.sum(), np.cumsum(count)[:-1]
    bridge = np.abs(np.cumsum(total)[:-1] - seen / values * total.sum())
    # the likeliest place weighs both sides; the test itself does not
    row = int((bridge / np.sqrt(seen * (values - seen))).argmax()) + 1
    before, after = slice(0, row), slice(row, None)
    level_of = np.empty(len(count))
    for side in (before, after):
        level_of[side] = total[side].sum() / count[side].sum()
    centred = total - level_of * count
    squared = np.maximum(square - 2.0 * level_of * total + level_of**2 * count, 0.0)
    variance = squared.sum() / values
    if variance <= 1e-12 * (1.0 + (total.sum() / values) ** 2):
        changed = float(np.ptp(level_of)) > 1e-9 * (1.0 + abs(float(level_of[0])))
        return Scan(changed, int(some[row]), math.inf if changed else 0.0, threshold)
    tau = max(variance_ratio(count, centred, squared).estimate, 1.0)
    statistic = float(bridge.max()) / math.sqrt(tau * variance * values)
    return Scan(statistic > threshold, int(some[row]), statistic, threshold)


def _chi_squared(level: float, freedom: int) -> float:
    """Quantile by Wilson & Hilferty: within 1 % from 20 degrees of freedom on."""
    z, k = NormalDist().inv_cdf(level), 2.0 / (9.0 * freedom)
    return float(freedom * (1.0 - k + z * math.sqrt(k)) ** 3)
