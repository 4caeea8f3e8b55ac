"""What values of one series know of each other: effective sizes, and changes in a reference."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from detectors.ordered import median

Floats = npt.NDArray[np.float64]

_FEWEST = 20  # batches from which a variance can be told
FEWEST_SCANNED = 2 * _FEWEST  # panes with values, in fewer of which no change is found
_UPPER = 0.95
_Z = NormalDist().inv_cdf(_UPPER)
FEWEST_TOGETHER = 5
"""Batches from which a variance can be told of many series together."""

_VOICES = 24  # as which many series count at most: they may say the same
_DOUBT = 0.01  # chance that so many independent voices seem to depend, at each length of batches
_CUT = 0.84  # quantile beyond which one says no more
_MOST_ALIKE = 0.9  # correlation of neighbours that is taken to go on
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


def common_ratio(n: npt.ArrayLike, x: npt.ArrayLike, xx: npt.ArrayLike) -> float:
    """τ of series that come in the same rows, where few panes say that they depend: arrays (panes,
    series). 1 where they may all be independent.

    Rows that are alike (sessions) make most of their series depend, each of which alone knows too
    little of it. So batch means are looked at together, from panes to a fifth of all. They depend
    where the mean of their variance ratios is too large for chance, each counted for no more than
    what chance gives one in six: a few that depend for reasons of their own are not enough. Then τ
    is that of the upper fourth of the series, with what is left of the correlation r of neighbours
    going on: (1 + r) / (1 - r), r bounded above; the largest of all lengths that say so.

    O(panes x series). Source: as `variance_ratio`.

    >>> rng = np.random.default_rng(12345)
    >>> sessions = np.repeat(rng.standard_normal((20, 8)), 20, axis=0)
    >>> alone = rng.standard_normal((400, 8))
    >>> [round(common_ratio(np.ones_like(v), v, v**2)) for v in (sessions, alone)]
    [43, 1]
    """
    count, total, square = (np.asarray(v, dtype=np.float64) for v in (n, x, xx))
    some = count.any(axis=1)
    count, total, square = count[some], total[some], square[some]
    values = np.maximum(count.sum(axis=0), 1.0)
    mean = total.sum(axis=0) / values
    variance = (square - 2.0 * mean * total + mean**2 * count).sum(axis=0) / values
    varies = variance > 1e-12 * (1.0 + mean**2)
    apart = ((total - mean * count) / np.sqrt(np.where(varies, variance, 1.0)))[:, varies]
    series, values, found = apart.shape[1], values[varies], 1.0
    voices = min(series, _VOICES)
    while series and (batches := len(apart)) >= FEWEST_TOGETHER:
        energy = (apart**2).sum(axis=0)
        ratio = energy / values * batches / (batches - 1)
        if _together(ratio, batches - 1, voices):
            r = (apart[:-1] * apart[1:]).sum(axis=0) / np.maximum(energy, 1e-300)
            r_upper = median(r) + 1.0 / batches + _Z / math.sqrt(batches * _VOICES)
            r_upper = min(max(r_upper, 0.0), _MOST_ALIKE)
            upper_fourth = float(np.quantile(ratio, 0.75))
            found = max(found, upper_fourth * (1.0 + r_upper) / (1.0 - r_upper))
        even = batches // 2 * 2
        apart = apart[:even].reshape(-1, 2, series).sum(axis=1)
    return found


def _together(ratio: Floats, freedom: int, voices: int) -> bool:
    """Whether the mean of so many chi-squareds over their freedom is beyond chance, each cut."""
    usual = np.array([_chi_squared((i + 0.5) / 128, freedom) / freedom for i in range(128)])
    most = _chi_squared(_CUT, freedom) / freedom if len(ratio) > 2 else math.inf
    usual = np.minimum(usual, most)
    z = NormalDist().inv_cdf(1.0 - _DOUBT * voices / _VOICES)
    by_chance = usual.mean() + z * usual.std() / math.sqrt(voices)
    return bool(np.minimum(ratio, most).mean() > by_chance)


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
    if len(some) < FEWEST_SCANNED:
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
