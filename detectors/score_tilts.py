"""Tilts of numeric series, whose values enter as normal scores of their ranks."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from detectors import native, thresholds
from detectors.known_rows import KnownRows, columns_of, keys_of
from detectors.rank_scores import SCORE_UNIT, RankScores
from detectors.tilts import (
    DOUBT,
    NATS,
    SIDE,
    TILTS,
    Floats,
    Tilts,
    are_clear,
    check_budget,
    each_of,
    grids,
    per_tilt,
    reach,
)

_LARGEST = 1.2  # σ: the largest tilt; larger shifts lose little by it
_OTHER_SPREAD = 0.1  # of ln sd: of another form than the reference
_BEYOND = 8.0  # σ: no mean of scores moves so far, so a smallest tilt beyond it is none
_BEYOND_KNOWN = 3.0  # σ, of values that depend: a stretch of them beyond all of few is no wonder


def score_tilts(
    count: npt.ArrayLike,
    *,
    rate: npt.ArrayLike,
    tau: npt.ArrayLike = 1.0,
    floor: npt.ArrayLike = 0.1,
    mean: npt.ArrayLike = 0.0,
    sd: npt.ArrayLike = 1.0,
    scores: Sequence[RankScores] | None = None,
) -> Tilts:
    """Tilts of series of scores against references of `count` values, shape (series,).

    Intuition: the exponential family through the reference: a score z pays θ z - ψ(θ), with ψ the
    cumulant generating function of the reference's scores, or its normal form θ²/2. The normal form
    is for scores that are nearly normal: where a few values are far from all others (losses of a
    model that is nearly always right), an account would rise by chance many times as often.

    Guarantee: for independent values about `rate` false alarms a value and series, averaged over
    references: thresholds are those of normal steps, averaged over a normal error of the
    reference's mean; checked by simulation (`scripts/bench detection`), not a proof.

    Args:
        count: values of the reference, at least 1.
        rate: false alarms per value, in (0, 0.01].
        tau: at least 1, variance of a sum of values against independent ones.
        floor: smallest change of the mean score worth finding, in σ.
        mean: of the scores in a working reference, in z (0 of the reference that gave the ranks).
        sd: of the scores in a working reference, in z.
        scores: exact cumulants, of the same form about mean and sd. Where these have moved by more
            than the floor the form is not known: the dearer of it and the normal one is paid.

    Raises:
        ValueError: an argument out of range.

    O(series x tilts x 41) numbers, and O(cells) exponentials a tilt with `scores`. Source:
    `thresholds`, and `rank_scores` of the scores.

    >>> tilts = score_tilts([10_000], rate=1e-6)
    >>> tilts.theta[0, :3].round(2), (tilts.threshold[0, :3] / NATS).round(1)
    (array([0.15, 0.25, 0.42]), array([12.1, 12.5, 13.1]))
    """
    n = np.asarray(count, dtype=np.float64)
    if n.ndim != 1 or (n < 1).any():
        raise ValueError("count must be a row of at least 1 each")
    rates, taus, floors, means, sds = (each_of(v, n) for v in (rate, tau, floor, mean, sd))
    check_budget(rates, taus, floors)
    if not (sds > 0.0).all() or not np.isfinite(means).all():
        raise ValueError("sd must be positive, mean finite")
    if scores is not None and len(scores) != len(n):
        raise ValueError("exact cumulants: one RankScores a series")
    n_eff = n / taus
    columns = (n, rates, taus, floors, sds)
    known = _KNOWN.of(keys_of(columns))
    gain: Floats = np.ascontiguousarray(known["gain"])
    theta = gain / _unit(sds)  # what the rounded gain bets on
    bent = 0.5 * theta**2
    if scores is not None:
        exact = RankScores.all_cgf(scores, theta)
        off = (np.abs(means) > floors) | (np.abs(np.log(sds)) > _OTHER_SPREAD)
        bent = np.where(off[:, None], np.maximum(exact, bent), exact)
    cost = -np.ceil((theta * (means / sds)[:, None] + bent) * NATS)
    return Tilts(
        gain=gain.astype(np.int64),
        cost=cost.astype(np.int64),
        threshold=np.ascontiguousarray(known["threshold"]),
        theta=theta,
        mean=means.copy(),
        sd=sds.copy(),
        n_eff=n_eff,
        tau=taus.copy(),
        rate=rates.copy(),
        is_rate=np.zeros(len(n), dtype=np.bool_),
    )


def _unit(sd: Floats) -> Floats:
    """Of gains: what a tilt of 1 σ gains from a score of 1 / SCORE_UNIT."""
    unit: Floats = NATS / SCORE_UNIT / sd[:, None]
    return unit


def _made(keys: Sequence[bytes]) -> npt.NDArray[np.void]:
    """What is looked for, and how high."""
    n, rate, tau, floor, sd = columns_of(keys)
    n_eff = n / tau
    least = np.maximum(floor, DOUBT / np.sqrt(n_eff))
    beyond = np.where(tau > 1.0, _BEYOND_KNOWN, _BEYOND)
    theta = np.zeros((len(n), TILTS))
    some = np.flatnonzero(least <= beyond)
    theta[some, :SIDE] = grids(least[some], np.maximum(_LARGEST, least[some]))
    theta[:, SIDE:] = -theta[:, :SIDE]
    made = np.zeros(len(n), _FORM)
    made["gain"] = np.rint(theta * _unit(sd))
    theta = made["gain"] / _unit(sd)
    made["threshold"] = reach(theta, heights(theta, n_eff, tau, rate), tau)
    return made


_FORM = np.dtype([("gain", np.float64, TILTS), ("threshold", np.int64, TILTS)])
_KNOWN = KnownRows(_FORM, _made)


def heights(theta: Floats, n_eff: Floats, tau: Floats, rate: Floats) -> Floats:
    """Thresholds in nats per effective value: a walk of steps θ z - θ²/2 whose mean may be off."""
    height = np.full(theta.shape, np.inf)
    series, tilt = np.nonzero(theta)
    size, error = np.abs(theta[series, tilt]), 1.0 / np.sqrt(n_eff)
    c = 1.166 * size / tau[series]
    share = (per_tilt(theta, rate) * tau[:, None])[series, tilt]
    found, normal = np.full(len(series), np.nan), thresholds.normal_error()
    if native.IN_USE:
        columns = share, c, size, error[series], thresholds.OFFSETS, normal
        native.EXTENSION.normal_heights(*map(np.ascontiguousarray, columns), found)
    left = np.flatnonzero(~are_clear(found, tau[series], n_eff[series]))
    if len(left):
        off = (thresholds.OFFSETS / np.sqrt(n_eff)[:, None])[series[left]]
        root = 1.0 - 2.0 * off / size[left, None]
        half = np.broadcast_to((0.5 * size[left] ** 2)[:, None], root.shape)
        weight = np.broadcast_to(normal, root.shape)
        found[left] = thresholds.solve(share[left], c[left], root, half, weight)
    height[series, tilt] = found
    return height
