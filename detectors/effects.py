"""How large a change is: estimates with intervals, and whether they lie within a floor."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from detectors.rank_scores import SCORE_UNIT

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_NORMAL = NormalDist()
_MIXED = 0.4  # of the values of the first of repeated looks: narrow there and for long after
_MOST_STEPS = 100  # towards an end: halving alone takes some sixty
_NEAR = 1e-10  # of how far the end is: nearer is as good
_erf = np.frompyfunc(math.erf, 1, 1)


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval that holds the truth at the stated level; arrays alike."""

    estimate: Floats
    low: Floats
    high: Floats


NOTHING = Interval(*np.zeros(3))


def rate_difference(
    k1: npt.ArrayLike,
    n1: npt.ArrayLike,
    k0: npt.ArrayLike,
    n0: npt.ArrayLike,
    *,
    tau: npt.ArrayLike = 1.0,
    level: float = 0.95,
    anytime: float = 0.0,
) -> Interval:
    """Rate now less rate of the reference: k1 of n1 against k0 of n0 values.

    Newcombe's hybrid of two Wilson intervals (his method 10), with n / τ values of each: sensible
    at rates of 0 too. All arguments broadcast; n1 and n0 positive. The change was looked for, so
    right after an alarm the estimate leans away from 0; the interval does not know that.

    `anytime`, the independent values of the first look, makes it wide enough to be looked at again
    and again as n1 grows, until it pleases (0: for one look):
    Robbins' normal mixture for the mean of n1 values, some 1.4 times as wide; holds for n1 large
    enough for normal sums, not for the first few values. So many standard errors are more than
    Wilson's interval is made for, which at rates near 0 is twice as wide then as what the
    likelihood leaves: this is the interval of each rate there.

    Source: Newcombe, Statistics in Medicine 17, 1998; Robbins, Annals of Mathematical Statistics
    41, 1970; for likelihoods Chernoff, ibid. 23, 1952.

    >>> found = rate_difference(30, 100, 0, 10_000)
    >>> [round(float(v), 3) for v in (found.estimate, found.low, found.high)]
    [0.3, 0.219, 0.396]
    """
    ratio = np.asarray(tau, dtype=np.float64)
    z = _width(level, np.asarray(n1, dtype=np.float64) / ratio, anytime=anytime)
    one = _likely if anytime else _wilson
    now, then = (one(k, n, ratio, z) for k, n in ((k1, n1), (k0, n0)))
    estimate = now.estimate - then.estimate
    down = np.hypot(now.estimate - now.low, then.high - then.estimate)
    up = np.hypot(now.high - now.estimate, then.estimate - then.low)
    return Interval(estimate, estimate - down, estimate + up)


def score_difference(
    x: npt.ArrayLike,
    n: npt.ArrayLike,
    n0: npt.ArrayLike,
    *,
    tau: npt.ArrayLike = 1.0,
    mean: npt.ArrayLike = 0.0,
    sd: npt.ArrayLike = 1.0,
    level: float = 0.95,
    anytime: float = 0.0,
) -> Interval:
    """Mean score of n values with sum x (`RankScores`), less that of a reference of n0; in σ.

    Args:
        mean, sd: of the scores in the reference, in z; 0 and 1 against the one that ranked them.
        anytime: for repeated looks, as of `rate_difference`.

    >>> found = score_difference(50 * SCORE_UNIT, 100, 10_000)
    >>> [round(float(v), 2) for v in (found.estimate, found.low, found.high)]
    [0.5, 0.3, 0.7]
    """
    total, count, count0, centre, spread = (
        np.asarray(v, dtype=np.float64) for v in (x, n, n0, mean, sd)
    )
    estimate: Floats = (total / SCORE_UNIT / count - centre) / spread
    ratio = np.asarray(tau, dtype=np.float64)
    z = _width(level, count / ratio, anytime=anytime)
    half = z * np.sqrt(ratio * (1.0 / count + 1.0 / count0))
    return Interval(estimate, estimate - half, estimate + half)


def mean_difference(
    now: tuple[float, float, float],
    reference: tuple[float, float, float],
    *,
    tau: float = 1.0,
    level: float = 0.95,
    anytime: float = 0.0,
) -> Interval:
    """Mean now less that of a reference, each as (mean, variance, values); in their unit.

    Normal, with n / τ values of each, so for means of many values whose variance exists. `anytime`:
    for repeated looks, as of `rate_difference`.

    >>> found = mean_difference((12.0, 4.0, 100), (10.0, 4.0, 10_000))
    >>> [round(float(v), 2) for v in (found.estimate, found.low, found.high)]
    [2.0, 1.61, 2.39]
    """
    (mean, variance, n), (mean0, variance0, n0) = now, reference
    z = _width(level, np.asarray(n / tau, dtype=np.float64), anytime=anytime)
    half = z * math.sqrt(tau * (variance / n + variance0 / n0))
    estimate = np.float64(mean - mean0)
    return Interval(*(np.asarray(v) for v in (estimate, estimate - half, estimate + half)))


def superiority(difference: Interval) -> Interval:
    """P(a value now > one of the reference), ties by half, from a difference of scores in σ.

    Φ(d / √2): exact for normal shifts, close for others. 0.5 is no change.

    >>> round(float(superiority(score_difference(0, 100, 100)).estimate), 3)
    0.5
    """

    def chance(d: Floats) -> Floats:
        share: Floats = np.array(_erf(0.5 * d), dtype=np.float64)
        return 0.5 * (1.0 + share)

    return Interval(chance(difference.estimate), chance(difference.low), chance(difference.high))


def total_variation(
    now: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    tau: float = 1.0,
    level: float = 0.95,
    anytime: float = 0.0,
) -> Interval:
    """Share of the values that would have to move for `now` to be as `reference`: counts (bins,).

    ½ Σ |p - q| of two samples is more than 0 also where nothing changed. The estimate takes the
    variance of each difference off its square; the lower end takes off what chance alone gives on
    average, which leans towards 0; the upper end takes nothing off. `anytime`: for repeated looks,
    as of `rate_difference`.

    Raises:
        ValueError: shapes differ, or an empty side.

    >>> found = total_variation([500, 300, 200], [5000, 4000, 1000])
    >>> [round(float(v), 3) for v in (found.estimate, found.low, found.high)]
    [0.099, 0.057, 0.125]
    """
    counts, counts0 = np.asarray(now, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if counts.ndim != 1 or counts.shape != counts0.shape or not (counts.sum() and counts0.sum()):
        raise ValueError(f"counts of different bins, or none: {counts.shape}, {counts0.shape}")
    n, n0 = counts.sum() / tau, counts0.sum() / tau
    p, q = counts / counts.sum(), counts0 / counts0.sum()
    raw = 0.5 * float(np.abs(p - q).sum())
    pooled = (counts + counts0) / (counts + counts0).sum()
    variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / n0)
    chance = 0.5 * float(np.sqrt(2.0 * variance / math.pi).sum())
    more = p > q
    above, below = float(p[more].sum()), float(q[more].sum())
    error = math.sqrt(above * (1.0 - above) / n + below * (1.0 - below) / n0)
    half = float(_width(level, np.asarray(n), anytime=anytime)) * error
    estimate = 0.5 * float(np.sqrt(np.maximum((p - q) ** 2 - variance, 0.0)).sum())
    ends = (estimate, max(raw - chance - half, 0.0), min(raw + half, 1.0))
    return Interval(*(np.float64(end) for end in ends))  # type: ignore[arg-type]


def within_floor(difference: Interval, floor: npt.ArrayLike) -> Bools:
    """Whether all of the interval lies within ±floor: back to normal, not merely quiet.

    The floor must leave room for the reference's own error, or nothing ever is: no less than the
    smallest change that is looked for, `Tilts.smallest` (times `Tilts.sd` for rates), which is 15
    standard errors of the reference.
    """
    limit = np.asarray(floor, dtype=np.float64)
    inside: Bools = (difference.low >= -limit) & (difference.high <= limit)
    return inside


def is_another(now: Interval, was: Interval, doubt: float = 1.0) -> bool:
    """Whether two effects differ by more than both intervals, that of now `doubt` times as wide: it
    narrows with what comes, so that a difference is known in the end, whatever the doubt.

    >>> was, now = (Interval(*map(np.float64, of)) for of in ((0.2, 0.1, 0.3), (0.5, 0.4, 0.6)))
    >>> is_another(now, was), is_another(now, was, doubt=3.0)
    (True, False)
    """
    rise = now.estimate - was.estimate
    if rise > 0.0:
        own, other = now.estimate - now.low, was.high - was.estimate
    else:
        own, other = now.high - now.estimate, was.estimate - was.low
    return bool(abs(rise) > doubt * own + other)


def _quantile(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1): {level}")
    return _NORMAL.inv_cdf(0.5 + level / 2.0)


def _width(level: float, size: Floats, *, anytime: float) -> Floats:
    """Standard errors to either side of an estimate from `size` independent values; `anytime` as
    of `rate_difference`."""
    if not anytime:
        return np.full(size.shape, _quantile(level))
    _quantile(level)  # refuses what is no level
    alpha = 1.0 - level
    mixed = _MIXED * anytime
    inside = np.log((size + mixed) / (mixed * alpha * alpha))
    errors: Floats = np.sqrt((1.0 + mixed / size) * inside)
    return errors


def _rate(k: npt.ArrayLike, n: npt.ArrayLike, tau: Floats) -> tuple[Floats, Floats]:
    """(rate, independent values)."""
    count = np.asarray(n, dtype=np.float64)
    rate = np.asarray(k, dtype=np.float64) / count
    if not ((rate >= 0.0) & (rate <= 1.0)).all():
        raise ValueError("events must lie between 0 and the number of values, which is positive")
    return rate, count / tau


def _likely(k: npt.ArrayLike, n: npt.ArrayLike, tau: Floats, z: Floats) -> Interval:
    """Rates under which what was seen is at most exp(z² / 2) times less likely than at its own."""
    rate, size = _rate(k, n, tau)
    rate, room = np.broadcast_arrays(rate, z * z / 2.0 / size)
    low, high = (np.array(_ends(rate, room, far), dtype=np.float64) for far in (0.0, 1.0))
    return Interval(rate, low, high)


def _end(rate: float, room: float, far: float) -> float:
    """The rate nearest to `far` against which a value of `rate` tells no more than `room` nats.

    By Newton's steps, each within what is left of where it must lie: most often four or five of
    them. A number at a time: there are few, and fifty halvings of arrays took some sixty times as
    long.
    """
    if rate == far:
        return far
    if rate == 1.0 - far:  # 0 or 1: -log of what is left of the other
        return abs(rate + math.expm1(-room))
    inside, outside = rate, far
    at = rate + math.copysign(math.sqrt(2.0 * rate * (1.0 - rate) * room) + room, far - rate)
    for _ in range(_MOST_STEPS):
        if not min(inside, outside) < at < max(inside, outside):
            at = 0.5 * (inside + outside)
            if at in {inside, outside}:
                break
        more = _divergence(rate, at) - room
        if more > 0.0:
            outside = at
        else:
            inside = at
        step = more * at * (1.0 - at) / (at - rate)
        if abs(step) <= _NEAR * abs(at - rate):
            break
        at -= step
    return at


_ends = np.frompyfunc(_end, 3, 1)


def _divergence(p: float, q: float) -> float:
    """Nats that a value of rate p tells against rate q; neither is 0 or 1."""
    return p * math.log(p / q) + (1.0 - p) * math.log((1.0 - p) / (1.0 - q))


def _wilson(k: npt.ArrayLike, n: npt.ArrayLike, tau: Floats, z: Floats) -> Interval:
    rate, size = _rate(k, n, tau)
    middle = (rate + z * z / (2.0 * size)) / (1.0 + z * z / size)
    half = z / (1.0 + z * z / size) * np.sqrt(rate * (1.0 - rate) / size + (z / size / 2.0) ** 2)
    return Interval(rate, np.minimum(middle - half, rate), np.maximum(middle + half, rate))
