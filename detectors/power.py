"""What a budget and a reference can find, and how soon: for people who choose them."""

import numpy as np
import numpy.typing as npt

from detectors.rank_scores import SCORE_UNIT
from detectors.tilts import NATS, NEVER, Tilts

Floats = npt.NDArray[np.float64]
_SURE = 1.645  # standard errors: 19 in 20 are above


def expected_delay(tilts: Tilts, change: npt.ArrayLike) -> Floats:
    """Values until a change of the mean is told, on average and nearly: shape (series,).

    The least over the tilts of threshold / drift; what an account had before is worth about as
    much as what the last step overshoots, and both are left out. Infinite where no account drifts
    upwards. A pane adds half its values, and event time its grace.

    Args:
        change: of the mean in σ of one value (`Tilts.sd` for rates), signed, (series,) or one.

    >>> from detectors.score_tilts import score_tilts
    >>> tilts = score_tilts([50_000], rate=1e-6)
    >>> [int(expected_delay(tilts, change)[0]) for change in (0.25, 0.5, 1.0)]
    [403, 107, 29]
    """
    drift, _ = _drift(tilts, change)
    able = (tilts.threshold < NEVER) & (drift > 0.0)
    values = np.where(able, tilts.threshold / NATS / np.where(able, drift, 1.0), np.inf)
    least: Floats = values.min(axis=1)
    return least


def sure_delay(tilts: Tilts, change: npt.ArrayLike) -> Floats:
    """Values within which a change of the mean is told 19 times in 20, or more often: (series,).

    An account has at least what its steps since the change add up to: after N values a normal sum
    with N times their drift, N times their variance, and N² times that of the reference's mean,
    which errs too. Infinite where no account drifts upwards as surely as that.

    Args:
        change: as `expected_delay` has it.

    >>> from detectors.score_tilts import score_tilts
    >>> tilts = score_tilts([50_000], rate=1e-6)
    >>> [int(sure_delay(tilts, change)[0]) for change in (0.25, 0.5, 1.0)]
    [682, 189, 47]
    """
    drift, mean = _drift(tilts, change)
    height = tilts.threshold / NATS
    unit = np.where(tilts.is_rate, 1.0, SCORE_UNIT)
    one = np.where(tilts.is_rate, np.sqrt(np.maximum(mean * (1.0 - mean), 0.0)), tilts.sd)
    gain = np.abs(tilts.gain) / NATS * unit[:, None]
    of_values = (_SURE * gain * one[:, None]) ** 2 * tilts.tau[:, None]
    of_mean = (_SURE * gain * tilts.sd[:, None]) ** 2 / tilts.n_eff[:, None]
    room = drift**2 - of_mean
    able = (tilts.threshold < NEVER) & (drift > 0.0) & (room > 0.0)
    half = drift * np.where(able, height, 1.0) + of_values / 2.0
    room = np.where(able, room, 1.0)
    root = np.sqrt(np.maximum(half**2 - room * np.where(able, height, 1.0) ** 2, 0.0))
    least: Floats = np.where(able, (half + root) / room, np.inf).min(axis=1, initial=np.inf)
    return least


def _drift(tilts: Tilts, change: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Nats a value of each account, (series, tilts), and the mean it has come to, (series,)."""
    shift = np.broadcast_to(np.asarray(change, dtype=np.float64), tilts.mean.shape)
    mean = tilts.mean + shift * tilts.sd
    if (tilts.is_rate & ((mean < 0.0) | (mean > 1.0))).any():
        raise ValueError("a change that takes a rate below 0 or above 1")
    unit = np.where(tilts.is_rate, 1.0, SCORE_UNIT)
    return (tilts.gain * (mean * unit)[:, None] + tilts.cost) / NATS, mean


def smallest_change(tilts: Tilts, *, within: npt.ArrayLike, up: bool = True) -> Floats:
    """Smallest change of the mean that is told within so many values 19 times in 20: σ, (series,).

    NaN where no change is. Bisection on `sure_delay`.

    >>> from detectors.score_tilts import score_tilts
    >>> smallest_change(score_tilts([10_000, 1_000_000], rate=1e-6), within=2000).round(3)
    array([0.156, 0.14 ])
    """
    limit = np.broadcast_to(np.asarray(within, dtype=np.float64), tilts.mean.shape)
    sign = 1.0 if up else -1.0
    room = (1.0 - tilts.mean if up else tilts.mean) / tilts.sd * (1.0 - 1e-12)
    low, high = np.zeros(len(tilts)), np.where(tilts.is_rate, room, 8.0)
    found = sure_delay(tilts, sign * high) <= limit
    for _ in range(50):
        middle = 0.5 * (low + high)
        soon = sure_delay(tilts, sign * middle) <= limit
        low, high = np.where(soon, low, middle), np.where(soon, middle, high)
    return np.where(found, high, np.nan)
