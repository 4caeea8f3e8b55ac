"""How far what becomes of equal scores has moved."""

import math

import numpy as np
import numpy.typing as npt

from detectors.effects import Interval, width


def reliability_difference(
    true: npt.ArrayLike,
    count: npt.ArrayLike,
    true0: npt.ArrayLike,
    count0: npt.ArrayLike,
    *,
    tau: float = 1.0,
    level: float = 0.95,
    anytime: float = 0.0,
) -> Interval:
    """Σ w |p - p0| over bins of scores: true of count now and in a reference, shape (bins,) each;
    w is the share of the values now. What the expected calibration error is against the scores
    themselves, this is against what became of equal scores before.

    Bins that either side has no value in say nothing. The estimate takes the variance of each
    difference off its square, the lower end what chance alone gives on average; as of
    `total_variation`. `anytime`: for repeated looks.

    Raises:
        ValueError: shapes differ, or no bin has values on both sides.

    >>> found = reliability_difference([10, 300], [100, 500], [500, 2500], [5000, 5000])
    >>> [round(float(v), 3) for v in (found.estimate, found.low, found.high)]
    [0.081, 0.024, 0.123]
    """
    k, n, k0, n0 = (np.asarray(v, dtype=np.float64) for v in (true, count, true0, count0))
    if not k.ndim == 1 or not k.shape == n.shape == k0.shape == n0.shape:
        raise ValueError(f"counts of different bins: {k.shape}, {n.shape}, {k0.shape}, {n0.shape}")
    both = (n > 0) & (n0 > 0)
    if not both.any():
        raise ValueError("no bin has values on both sides")
    k, n, k0, n0 = (v[both] for v in (k, n, k0, n0))
    weight, apart = n / n.sum(), k / n - k0 / n0
    pooled = (k + k0 + 0.5) / (n + n0 + 1.0)
    variance = tau * pooled * (1.0 - pooled) * (1.0 / n + 1.0 / n0)
    raw = float((weight * np.abs(apart)).sum())
    chance = float((weight * np.sqrt(2.0 * variance / math.pi)).sum())
    z = float(width(level, np.asarray(n.sum() / tau), anytime=anytime))
    half = z * float(np.sqrt((weight**2 * variance).sum()))
    estimate = float((weight * np.sqrt(np.maximum(apart**2 - variance, 0.0))).sum())
    ends = (estimate, max(raw - chance - half, 0.0), min(raw + half, 1.0))
    return Interval(*(np.float64(end) for end in ends))  # type: ignore[arg-type]
