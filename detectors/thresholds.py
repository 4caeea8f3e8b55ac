"""How high an account may stand by chance: thresholds of CUSUMs from a false alarm rate.

A CUSUM with drift -|μ| under "no change" reaches h once in ARL(h) values on average. With w the
conjugate root (E exp(w z) = 1 for one step z; w = 1 where the reference is exact),

    rate(h) = w D / (exp(w h') - 1 - w h'),  h' = h + c,

D the drift of the tilted walk and c what a step overshoots both ends by. It holds for every sign
of w, so also where the reference came out so badly that the account drifts upwards: w < 0 is a
certain alarm after h / μ. Averaged over what the reference may have missed the truth by, that is
the rate an owner sees, over many references; a threshold solves it for the budget.

Source: Siegmund, Sequential Analysis, 1985 (chapter II.6, X.2); Jones, Champ & Rigdon,
Technometrics 46, 2004, for the estimated reference. tests/bench/detection.py measures the rates.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NODES = 41  # of the average over the reference's error
_REACH = 6.5  # standard errors to either side that it covers
_LOWEST, _HIGHEST = 0.25, 200.0  # nats searched

OFFSETS: Floats = np.linspace(-_REACH, _REACH, NODES)


def normal_error() -> Floats:
    """Weights of OFFSETS standard errors, for an estimate that errs normally: shape (NODES,)."""
    weight: Floats = np.exp(-0.5 * OFFSETS**2)
    weight /= weight.sum()
    return weight


def overshoot(p0: Floats, win: Floats) -> Floats:
    """c of a Bernoulli walk: 2 ln(1 / ζ), ζ = E exp(-overshoot) of the tilted walk; nats.

    Args:
        p0: probability of the step upwards without a change.
        win: size of that step, nats.

    -ln ζ / win goes from 1/3 (rare steps up: Poisson) to 1/2 (rare steps down: the account arrives
    in small steps); a fit to simulated walks, on the safe side by up to 0.1 win for large win.

    >>> overshoot(np.array([1e-4, 0.5]), np.array([0.1, 0.1])).round(3)
    array([0.066, 0.091])
    """
    return 2.0 * win * (1.0 / 3.0 + p0 / 3.0 - p0**2 / 6.0) / (1.0 + win / 36.0)


def alarm_rate(height: Floats, root: Floats, half_variance: Floats) -> Floats:
    """Alarms per value of a CUSUM with threshold `height` (c included): rate(h) above.

    Args:
        height: h', positive.
        root: w, of any sign.
        half_variance: D / w, positive.
    """
    y = np.clip(root * height, -1e6, 700.0)
    small = np.abs(y) < 1e-2
    safe = np.where(small, 1.0, y)
    bend = np.where(small, 2.0 - 2.0 * y / 3.0, safe**2 / (np.expm1(safe) - safe))
    return half_variance * bend / height**2


def solve(rate: Floats, c: Floats, root: Floats, half_variance: Floats, weight: Floats) -> Floats:
    """Thresholds h whose alarm rate, averaged over the reference's error, is `rate`.

    Args:
        rate: per value, shape (...).
        c: overshoot, shape (...).
        root, half_variance, weight: shape (..., NODES), or what broadcasts to it.

    Returns:
        h in nats, shape (...); infinite where 200 nats are not enough.
    """
    low = np.full(rate.shape, _LOWEST)
    high = np.full(rate.shape, _HIGHEST)
    for _ in range(40):
        middle = 0.5 * (low + high)
        seen = (weight * alarm_rate((middle + c)[..., None], root, half_variance)).sum(axis=-1)
        low, high = np.where(seen > rate, middle, low), np.where(seen > rate, high, middle)
    return np.where(high >= _HIGHEST, np.inf, high)


def bernoulli_roots(p: Floats, win: Floats, loss: Floats) -> tuple[Floats, Floats]:
    """w and D / w of steps +win with probability p, else -loss (both positive).

    Newton's method on the convex ln E exp(w z), from outside its root: it cannot overshoot.
    """
    drift = p * win - (1.0 - p) * loss
    start_up = -np.log(p) / win
    start_down = np.log1p(-p) / loss
    w = np.where(drift < 0.0, start_up, start_down)
    for _ in range(60):
        up, down = p * np.exp(w * win), (1.0 - p) * np.exp(-w * loss)
        total = up + down
        slope = (up * win - down * loss) / total
        step = np.log(total) / np.where(np.abs(slope) < 1e-300, 1e-300, slope)
        w = w - step
        if (np.abs(step) <= 1e-9 * (1.0 + np.abs(w))).all():
            break
    up, down = p * np.exp(w * win), (1.0 - p) * np.exp(-w * loss)
    tilted = np.where(w > 0.0, up * win - down * loss, np.abs(drift))
    flat = np.abs(w) < 1e-4  # the drift vanishes, and with it w: half the variance of a step
    half = 0.5 * (p * win**2 + (1.0 - p) * loss**2)
    return w, np.where(flat, half, np.abs(tilted) / np.where(flat, 1.0, np.abs(w)))
