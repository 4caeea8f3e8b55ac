"""ADWIN and Page-Hinkley at a budget: from a rate of false alarms to δ and λ, by simulation.

The tables were measured by `tests/bench/detection_calibration.py`, which prints them. They hold for
independent values in panes of one; heavier panes test less often and alarm less.
"""

import math
from itertools import pairwise

# δ: false alarms a value at clock 32; the worst of Bernoulli .5 and .05 and uniform values, which
# are 650, 262 and 366 per 1M at δ = 0.9
_ADWIN = ((0.9, 650.5e-6), (0.5, 289.0e-6), (0.2, 82.2e-6), (0.1, 36.2e-6), (0.05, 15.0e-6))
# λ in σ: false alarms a normal value, with δ = 0.01 σ or more, α = 0.9999, both directions
_PAGE_HINKLEY = (
    (25.0, 2435e-6),
    (50.0, 510e-6),
    (100.0, 107e-6),
    (200.0, 25.0e-6),
    (300.0, 7.6e-6),
    (400.0, 1.7e-6),
)

_MORE = 100.0  # σ of λ, for a rate that is lower by e


def adwin_delta(rate: float) -> float:
    """δ of `Adwin` that gives about `rate` false alarms a value on data that do not change.

    Between measured settings by logarithms; below the smallest in proportion to δ, which is slower
    than measured, so on the safe side. At most 0.9.

    >>> round(adwin_delta(1e-6), 4), round(adwin_delta(1e-4), 2)
    (0.0033, 0.23)
    """
    if not rate > 0.0:
        raise ValueError(f"rate must be positive: {rate}")
    least_delta, least_rate = _ADWIN[-1]
    if rate <= least_rate:
        return least_delta * rate / least_rate
    return _between(_ADWIN, rate)


def page_hinkley_threshold(rate: float, sd: float) -> float:
    """λ of `PageHinkley` that gives about `rate` false alarms a value on data that do not change.

    For a tolerance δ of 0.01 sd or more (measured at that: a larger one alarms less) and river's
    fading. Beyond the measured settings fewer by e with each 100 σ of λ: they fell so fast or
    faster where they were measured, and by e² in theory, exp(-2 δ λ / σ²).

    Args:
        rate: false alarms a value.
        sd: of the values, as they enter (scaled). Normal values were measured; skewed and
            heavy-tailed ones may alarm more often.

    >>> round(page_hinkley_threshold(1e-4, 1.0)), round(page_hinkley_threshold(1e-4, 0.5))
    (103, 52)
    """
    if not (rate > 0.0 and sd > 0.0):
        raise ValueError(f"rate and sd must be positive: {rate}, {sd}")
    last, least_rate = _PAGE_HINKLEY[-1]
    if rate <= least_rate:
        return sd * (last + _MORE * math.log(least_rate / rate))
    return sd * _between(_PAGE_HINKLEY, rate)


def _between(table: tuple[tuple[float, float], ...], rate: float) -> float:
    """The setting at `rate`, straight in logarithms between two rows; the first row is the limit.

    Rows go from many alarms to few.
    """
    for (s1, r1), (s2, r2) in pairwise(table):
        if rate >= r1:
            return s1
        if rate >= r2:
            share = math.log(rate / r2) / math.log(r1 / r2)
            return math.exp(math.log(s2) + share * math.log(s1 / s2))
    return table[-1][0]
