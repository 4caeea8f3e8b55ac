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
_MIDDLE = 10.0  # where the search begins
_NEAR = 1e-9  # nats: the next turn would find nothing
_TURNS = 30

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


def alarm_rate(height: Floats, root: Floats, half_variance: Floats) -> tuple[Floats, Floats]:
    """Alarms per value of a CUSUM with threshold `height` (c included): rate(h) above; and the part
    of them by which they become fewer a nat.

    Args:
        height: h', positive.
        root: w, of any sign.
        half_variance: D / w, positive.
    """
    y = np.clip(root * height, -1e6, 700.0)
    small = np.abs(y) < 1e-2
    safe = np.where(small, 1.0, y)
    grown = np.expm1(safe)
    bend = np.where(small, 2.0 - 2.0 * y / 3.0, safe**2 / (grown - safe))
    fall = np.where(small, 2.0 + 2.0 * y / 3.0, safe * grown / (grown - safe))
    return half_variance * bend / height**2, fall / height


def solve(rate: Floats, c: Floats, root: Floats, half_variance: Floats, weight: Floats) -> Floats:
    """Thresholds h whose alarm rate, averaged over the reference's error, is `rate`.

    The logarithm of the rate is convex in h and nearly straight: Newton's method on it is there in
    about five turns. Each threshold is found by itself, whatever others are asked for.

    Args:
        rate: per value, shape (n,).
        c: overshoot, shape (n,).
        root, half_variance, weight: shape (n, NODES).

    Returns:
        h in nats, shape (n,); infinite where 200 nats are not enough.
    """
    found = np.full(rate.shape, np.nan)
    height, left = np.full(rate.shape, _MIDDLE), np.arange(len(rate))
    for _ in range(_TURNS):
        if not len(left):
            break
        alarms, fall = alarm_rate((height + c[left])[:, None], root[left], half_variance[left])
        alarms = weight[left] * alarms
        seen = alarms.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = height + np.log(seen / rate[left]) * seen / (alarms * fall).sum(axis=1)
        moved = np.clip(moved, _LOWEST, _HIGHEST)
        there = np.abs(moved - height) < _NEAR
        found[left[there]] = moved[there]
        height, left = moved[~there], left[~there]
    for i in left.tolist():
        found[i] = _halved(rate[i], c[i], root[i], half_variance[i], weight[i])
    return np.where(found >= _HIGHEST, np.inf, found)


def _halved(rate: float, c: float, root: Floats, half_variance: Floats, weight: Floats) -> float:
    """The same by halving, one of them: Newton's method does not come there."""
    low, high = _LOWEST, _HIGHEST
    for _ in range(40):
        middle = 0.5 * (low + high)
        alarms, _ = alarm_rate(np.array(middle + c), root, half_variance)
        low, high = (middle, high) if (weight * alarms).sum() > rate else (low, middle)
    return high


def bernoulli_roots(p: Floats, win: Floats, loss: Floats) -> tuple[Floats, Floats]:
    """w and D / w of steps +win with probability p, else -loss (both positive): rows of one shape.

    Newton's method on the convex ln E exp(w z), which is 0 at 0 and at w: from twice the place of
    its minimum, which is on w's side of it, and nearly w.
    """
    w = 2.0 * np.log((1.0 - p) * loss / (p * win)) / (win + loss)
    drift = p * win - (1.0 - p) * loss
    left = np.arange(len(w))
    some = p, win, loss
    for _ in range(60):
        now = w[left]
        up, down = some[0] * np.exp(now * some[1]), (1.0 - some[0]) * np.exp(-now * some[2])
        total = up + down
        slope = (up * some[1] - down * some[2]) / total
        step = np.log(total) / np.where(np.abs(slope) < 1e-300, 1e-300, slope)
        w[left] = now - step
        going = ~(np.abs(step) <= 1e-9 * (1.0 + np.abs(w[left]))).all(axis=1)
        if not going.any():
            break
        left, some = left[going], (some[0][going], some[1][going], some[2][going])
    up, down = p * np.exp(w * win), (1.0 - p) * np.exp(-w * loss)
    tilted = np.where(w > 0.0, up * win - down * loss, np.abs(drift))
    flat = np.abs(w) < 1e-4  # the drift vanishes, and with it w: half the variance of a step
    half = 0.5 * (p * win**2 + (1.0 - p) * loss**2)
    return w, np.where(flat, half, np.abs(tilted) / np.where(flat, 1.0, np.abs(w)))
