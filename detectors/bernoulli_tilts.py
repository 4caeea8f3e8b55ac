"""Tilts of rates: the exact likelihood of events, and thresholds that know the reference errs."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from detectors import native, thresholds
from detectors.known_rows import KnownRows, columns_of, keys_of
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


def bernoulli_tilts(
    events: npt.ArrayLike,
    count: npt.ArrayLike,
    *,
    rate: npt.ArrayLike,
    tau: npt.ArrayLike = 1.0,
    floor: npt.ArrayLike = 0.0,
    up_only: npt.ArrayLike = False,
) -> Tilts:
    """Tilts of rates: `events` among `count` values of each reference, shape (series,).

    Intuition: an event pays ln(p1 / p0), a non-event ln((1 - p1) / (1 - p0)). p0 is the posterior
    mean (k + 1/2) / (n + 1), so a reference without events is no special case; thresholds are
    averaged over the posterior Beta(k + 1/2, n - k + 1/2) of the true rate (Jeffreys). Rates that
    rise are looked for from `floor` (or 15 standard errors) up to half of the way to 1, those that
    fall as far down as p0 / 20.

    Guarantee: for independent values about `rate` false alarms a value and series, averaged over
    references; an approximation, checked by simulation (`scripts/bench detection`), not a proof.

    Args:
        events: of the reference, 0 <= events <= count.
        count: values of the reference, at least 1.
        rate: false alarms per value, in (0, 0.01].
        tau: at least 1, variance of a sum of values against independent ones (`dependence`).
        floor: smallest change of the rate worth finding.
        up_only: look for rises only, of which series: faults.

    Raises:
        ValueError: an argument out of range.

    O(series x tilts x 41) numbers. Source: `thresholds`; Reynolds & Stoumbos, J. Quality
    Technology 31, 1999, for CUSUMs of a proportion.

    >>> tilts = bernoulli_tilts([0], [10_000], rate=1e-6, floor=0.01, up_only=True)
    >>> (tilts.threshold[0, :3] / NATS).round(1), (tilts.theta[0, :3] * tilts.sd[0]).round(3)
    (array([12.2, 12. , 12.1]), array([0.01 , 0.017, 0.029]))
    """
    k, n = np.asarray(events, dtype=np.float64), np.asarray(count, dtype=np.float64)
    if k.ndim != 1 or k.shape != n.shape or (k < 0).any() or (k > n).any() or (n < 1).any():
        raise ValueError("events and count must be rows of 0 <= events <= count, count >= 1")
    rates, taus, floors, rises = (each_of(v, k) for v in (rate, tau, floor, up_only))
    check_budget(rates, taus, floors)
    n_eff = n / taus
    p0 = (k / taus + 0.5) / (n_eff + 1.0)
    sd = np.sqrt(p0 * (1.0 - p0))
    columns = (k, n, rates, taus, floors, rises)
    known = _KNOWN.of(keys_of(columns))
    shifts: Floats = np.ascontiguousarray(known["shifts"])
    theta = shifts / sd[:, None]
    event, other = _payments(p0, shifts)
    win, loss = np.rint(event * NATS), np.rint(other * NATS)
    return Tilts(
        gain=(win - loss).astype(np.int64),
        cost=loss.astype(np.int64),
        threshold=np.ascontiguousarray(known["threshold"]),
        theta=theta,
        mean=p0,
        sd=sd,
        n_eff=n_eff,
        tau=taus.copy(),
        rate=rates.copy(),
        is_rate=np.ones(len(k), dtype=np.bool_),
    )


def _made(keys: Sequence[bytes]) -> npt.NDArray[np.void]:
    """What is looked for, and how high."""
    k, n, rate, tau, floor, rises = columns_of(keys)
    n_eff = n / tau
    p0 = (k / tau + 0.5) / (n_eff + 1.0)
    sd = np.sqrt(p0 * (1.0 - p0))
    least = np.maximum(floor, DOUBT * sd / np.sqrt(n_eff))
    shifts = np.zeros((len(k), TILTS))
    shifts[:, :SIDE] = grids(least, 0.4 * (1.0 - p0))
    both = np.flatnonzero(rises == 0.0)
    shifts[both, SIDE:] = -grids(least[both], 0.95 * p0[both])
    made = np.zeros(len(k), _FORM)
    made["shifts"] = shifts
    made["threshold"] = reach(shifts / sd[:, None], heights(p0, n_eff, tau, rate, shifts), tau)
    return made


_FORM = np.dtype([("shifts", np.float64, TILTS), ("threshold", np.int64, TILTS)])
_KNOWN = KnownRows(_FORM, _made)


def _payments(p0: Floats, shifts: Floats) -> tuple[Floats, Floats]:
    """What an event and a non-event pay each account, in nats."""
    base = p0[:, None]
    return np.log((base + shifts) / base), np.log((1.0 - base - shifts) / (1.0 - base))


def heights(p0: Floats, n_eff: Floats, tau: Floats, rate: Floats, shifts: Floats) -> Floats:
    """Thresholds per effective value in nats, averaged over the reference's posterior."""
    height = np.full(shifts.shape, np.inf)
    series, tilt = np.nonzero(shifts)
    if not len(series):
        return height
    event, other = (pays[series, tilt] for pays in _payments(p0, shifts))
    up = shifts[series, tilt] > 0.0
    # seen from the side that wins: a fall of the rate is a rise of its complement
    win, loss = np.where(up, event, other), np.where(up, -other, -event)
    of_win = np.where(up, p0[series], 1.0 - p0[series])
    c = thresholds.overshoot(of_win, win) / tau[series]
    k, m = p0 * (n_eff + 1.0), (1.0 - p0) * (n_eff + 1.0)
    logit = np.log(k / m)[:, None] + thresholds.OFFSETS * np.sqrt(1.0 / k + 1.0 / m)[:, None]
    true = 1.0 / (1.0 + np.exp(-logit))
    log_weight = k[:, None] * np.log(true) + m[:, None] * np.log1p(-true)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    share = (per_tilt(shifts, rate) * tau[:, None])[series, tilt]
    found = np.full(len(series), np.nan)
    if native.IN_USE:
        columns = map(np.ascontiguousarray, (share, c, win, loss, up, series, true, weight))
        native.EXTENSION.heights(thresholds.NODES, (*columns, found))
    left = np.flatnonzero(~are_clear(found, tau[series], n_eff[series]))
    if len(left):
        which = series[left]
        chance = np.where(up[left, None], true[which], 1.0 - true[which])
        walk = thresholds.bernoulli_roots(chance, win[left, None], loss[left, None])
        found[left] = thresholds.solve(share[left], c[left], *walk, weight[which])
    height[series, tilt] = found
    return height
