"""Runs of one value: a series that has stopped varying."""

import math

FEWEST = 8
"""Values: shorter runs are told of nothing."""

_USUAL = 0.5  # share of a value that is none to wonder about
_Z = 3.0  # standard errors by which a share may be larger than it was counted


def share_at_most(count: int, values: int, commonest: int) -> float | None:
    """Of a value that came `count` times among those of the reference, bounded above; None: it is
    one to expect runs of, or the reference is of little but one value.

    >>> round(share_at_most(1_000, 10_000, 2_000), 3), share_at_most(10, 10_000, 6_000)
    (0.11, None)
    """
    if 2 * commonest > values:
        return None
    share = (count + _Z * math.sqrt(count + 1.0) + _Z) / values
    return share if share <= _USUAL else None


def statistic(count: int, share: float, *, tau: float = 1.0) -> float:
    """Nats: how unlikely it is that `count` values in a row are one, whichever that is.

    Intuition: a run of n of a value with share p is there, at a moment that has nothing to do with
    the values, with a chance of p ** n. Told where p ** (n - 1) is at most e, of whichever value,
    runs are told with a chance of at most the sum of p e over all values, which is e.

    Guarantee: at a threshold (`threshold`) of looks that come every so many values, and values that
    are independent or of which n count as n / τ, the rate asked for, as far as the share bounds the
    true one (three standard errors of the reference). Checked by simulation.

    Memory: none. Time: O(1).

    Source: Feller, An Introduction to Probability Theory and Its Applications, vol. 1, XIII.7 (runs
    of successes).

    >>> round(statistic(12, 0.1), 1), round(threshold(1e-8, 64), 1)
    (25.3, 14.3)
    """
    return (count - 1) / tau * -math.log(share)


def threshold(rate: float, every: int) -> float:
    """Nats that a statistic reaches at no more than `rate` false alarms a value, at looks `every`
    so many values."""
    return -math.log(min(rate * every, 1.0))


def fewest(share: float, nats: float, *, tau: float = 1.0) -> int:
    """Values of the shortest run that reaches so many nats.

    >>> fewest(0.5, 14.3), fewest(0.5, 14.3, tau=4.0)
    (22, 84)
    """
    return max(math.ceil(1.0 + nats * tau / -math.log(share)), FEWEST)
