"""References that grow: from the first 200 values on, and by what came since without a change."""

import numpy as np
import numpy.typing as npt

from detectors.rank_scores import SCORE_UNIT

MIN_PROVISIONAL = 200
"""Values before a series can say anything: fewer make no reference worth the name."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def provisional_due(count: int, last: int) -> bool:
    """Whether a series of `count` values so far should take them all as its reference.

    Self-starting: a reference of the first 200 values, taken anew at each doubling until one is
    sealed. Each is small and errs; thresholds averaged over that error (`bernoulli_tilts`,
    `score_tilts`) hold the same budget, at the price that only large changes are seen at first: of
    15 / sqrt(n) σ and more. Take no reference while an account is in warning: it would learn the
    change it is about to tell.

    Args:
        count: values since the beginning, or since the last alarm.
        last: of the reference in force; 0 if there is none.

    >>> provisional_due(199, 0), provisional_due(200, 0)
    (False, True)
    >>> provisional_due(399, 200), provisional_due(400, 200)
    (False, True)
    """
    return count >= max(MIN_PROVISIONAL, 2 * last)


def merge_events(
    k0: npt.ArrayLike, n0: npt.ArrayLike, k1: npt.ArrayLike, n1: npt.ArrayLike
) -> tuple[Ints, Ints]:
    """Events and values of a sealed reference with those of older panes: a working reference.

    It is the better estimate as long as nothing has changed, so what is merged must be old enough
    that a change would have been found in it (20,000 values and a day, whichever is later) and
    nothing of the model may be in warning. A change too slow for that is absorbed here and found
    by comparing with the sealed reference.
    """
    k, n = (np.asarray(a, np.int64) + np.asarray(b, np.int64) for a, b in ((k0, k1), (n0, n1)))
    if (k < 0).any() or (k > n).any():
        raise ValueError("events must lie between 0 and the number of values")
    return k, n


def merge_scores(
    n1: npt.ArrayLike,
    x1: npt.ArrayLike,
    xx1: npt.ArrayLike,
    *,
    n0: npt.ArrayLike = 0,
    mean0: npt.ArrayLike = 0.0,
    sd0: npt.ArrayLike = 1.0,
) -> tuple[Ints, Floats, Floats]:
    """Count, mean and deviation (z) of a reference of scores with those of older panes.

    Args:
        n1, x1, xx1: values in the panes, sum and sum of squares of their integer scores.
        n0, mean0, sd0: of the reference: mean 0 and sd 1 if it ranked them; no values to begin
            from the panes alone, as after an alarm.

    Raises:
        ValueError: no value at all, or squares less than their mean demands.

    See `merge_events` for what may be merged. All arguments broadcast.

    >>> n, mean, sd = merge_scores(100, 100 * SCORE_UNIT, 200 * SCORE_UNIT**2, n0=100)
    >>> int(n), float(mean), round(float(sd), 3)
    (200, 0.5, 1.118)
    """
    old, new = np.asarray(n0, dtype=np.int64), np.asarray(n1, dtype=np.int64)
    n = old + new
    if (n < 1).any() or (old < 0).any() or (new < 0).any():
        raise ValueError("a reference of no values")
    mean_old, sd_old = np.asarray(mean0, np.float64), np.asarray(sd0, np.float64)
    total = old * mean_old + np.asarray(x1, np.float64) / SCORE_UNIT
    squares = old * (sd_old**2 + mean_old**2) + np.asarray(xx1, np.float64) / SCORE_UNIT**2
    mean = total / n
    variance = squares / n - mean**2
    if (variance < -1e-6 * (1.0 + mean**2)).any():
        raise ValueError("squares smaller than their mean demands")
    return n, mean, np.sqrt(np.maximum(variance, 0.0))
