"""Thresholds of another budget, for the same bets."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from detectors import bernoulli_tilts, score_tilts
from detectors.tilts import Tilts, check_budget, reach


def rethreshold(tilts: Tilts, rate: npt.ArrayLike) -> Tilts:
    """These tilts with the thresholds of another rate of false alarms, (series,) or one for all.

    O(series x tilts x 41) numbers.

    Raises:
        ValueError: a rate outside (0, 0.01].

    >>> from detectors.score_tilts import score_tilts
    >>> tilts = score_tilts([10_000], rate=1e-6)
    >>> float((rethreshold(tilts, 1e-7).threshold - tilts.threshold)[0, 0] / 2**28).__round__(1)
    2.9
    """
    rates = np.broadcast_to(np.asarray(rate, dtype=np.float64), tilts.rate.shape).copy()
    check_budget(rates, tilts.tau, np.zeros_like(rates))
    threshold = tilts.threshold.copy()
    for kind, module in ((tilts.is_rate, bernoulli_tilts), (~tilts.is_rate, score_tilts)):
        some = np.flatnonzero(kind)
        one = tilts.take(some)
        if module is bernoulli_tilts:
            shifts = one.theta * one.sd[:, None]
            height = bernoulli_tilts.heights(one.mean, one.n_eff, one.tau, rates[some], shifts)
        else:
            height = score_tilts.heights(one.theta, one.n_eff, one.tau, rates[some])
        threshold[some] = reach(one.theta, height, one.tau)
    return replace(tilts, threshold=threshold, rate=rates)
