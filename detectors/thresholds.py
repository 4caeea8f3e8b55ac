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
_SHORT = 1e-5  # a turn that goes less far: the next one would go its square at most
_TURNS = 30
_FAR = 10  # every so many nodes say where a threshold about is
_CUBED = 2e-4  # of a root: a turn of Halley's method that goes less far is cubed by the next

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


def _alarms(height: Floats, root: Floats) -> tuple[Floats, Floats]:
    """rate(h) h'² w / D; and that times -h' d ln rate / dh.

    Args:
        height: h', positive.
        root: w, of any sign.
    """
    y = np.clip(root * height, -1e6, 700.0)
    small = np.abs(y) < 1e-2
    flat = bool(small.any())
    grown = np.expm1(y)
    beyond = grown - y
    if flat:
        beyond[small] = 1.0
    share = np.divide(y, beyond, out=beyond)
    fall = np.multiply(grown, share, out=grown)
    bend = np.multiply(share, y, out=share)
    if flat:
        straight = 2.0 * y[small] / 3.0
        bend[small], fall[small] = 2.0 - straight, 2.0 + straight
    fall *= bend
    return bend, fall


def solve(rate: Floats, c: Floats, root: Floats, half_variance: Floats, weight: Floats) -> Floats:
    """Thresholds h whose alarm rate, averaged over the reference's error, is `rate`.

    The logarithm of the rate is convex in h and nearly straight: Newton's method on it is there in
    about two turns from where a few of the nodes say. Each threshold is found by itself, whatever
    others are asked for.

    Args:
        rate: per value, shape (n,).
        c: overshoot, shape (n,).
        root, half_variance, weight: shape (n, NODES).

    Returns:
        h in nats, shape (n,); infinite where 200 nats are not enough.
    """
    each = weight * half_variance
    height, some = np.full(len(rate), _MIDDLE), slice(None, None, _FAR)
    share = rate * weight[:, some].sum(axis=1)
    for _ in range(3):
        height = _moved(height, c, share, root[:, some], each[:, some])
    found, left = np.where(np.isnan(height), _MIDDLE, height), np.arange(len(rate))
    for _ in range(_TURNS):
        height = found[left]
        found[left] = moved = _moved(height, c[left], rate[left], root[left], each[left])
        left = left[~(np.abs(moved - height) < _SHORT)]
        if not len(left):
            break
    for i in left.tolist():
        found[i] = _halved(rate[i], c[i], root[i], each[i])
    return np.where(found >= _HIGHEST, np.inf, found)


def _moved(height: Floats, c: Floats, rate: Floats, root: Floats, each: Floats) -> Floats:
    """Where Newton's method goes from there."""
    above = height + c
    bend, fall = _alarms(above[:, None], root)
    seen, falls = (bend * each).sum(axis=1), (fall * each).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = height + np.log(seen / (rate * above * above)) * seen * above / falls
    within: Floats = np.clip(moved, _LOWEST, _HIGHEST)
    return within


def _halved(rate: float, c: float, root: Floats, each: Floats) -> float:
    """The same by halving, one of them: Newton's method does not come there."""
    low, high = _LOWEST, _HIGHEST
    for _ in range(40):
        middle = 0.5 * (low + high)
        bend, _ = _alarms(np.array(middle + c), root)
        is_low = (each * bend).sum() > rate * (middle + c) ** 2
        low, high = (middle, high) if is_low else (low, middle)
    return high


def bernoulli_roots(p: Floats, win: Floats, loss: Floats) -> tuple[Floats, Floats]:
    """w and D / w of steps +win with probability p, else -loss (both positive).

    Halley's method on the convex K(w) = ln E exp(w z), which is 0 at 0 and at w: from about as far
    beyond its minimum, on w's side of it, as 0 lies before; K is lopsided by its third derivative.

    Args:
        p: shape (n, NODES).
        win, loss: shape (n, 1).
    """
    span = win + loss
    least = np.log((1.0 - p) * loss / (p * win)) / span  # where K is
    bent = least * ((win - loss) / 3.0)
    bent[np.abs(bent) > 0.5] = 0.0
    bent += 1.0
    w = _searched(least + least / bent, p, win, loss)
    won = np.exp(w * win)
    won *= p
    tilted = np.where(w > 0.0, won, p)
    tilted *= span
    tilted -= loss
    half, size = np.abs(tilted, out=tilted), np.abs(w)
    flat = size < 1e-4  # the drift vanishes, and with it w: half the variance of a step
    if flat.any():
        half[flat] = (0.5 * (p * win**2 + (1.0 - p) * loss**2))[flat]
        size[flat] = 1.0
    half /= size
    return w, half


def _searched(w: Floats, p: Floats, win: Floats, loss: Floats) -> Floats:
    """From there to the roots; a row is done when none of it has far to go."""
    left, found = np.arange(len(w)), np.empty_like(w)
    for _ in range(60):
        span = win + loss
        up = np.exp(w * win)
        up *= p
        total = np.exp(w * -loss)
        total *= 1.0 - p
        total += up
        up /= total
        value = np.log(total, out=total)
        slope = up * span
        slope -= loss
        up -= up * up
        up *= span * span  # the second derivative
        up *= value
        value *= slope
        slope *= slope
        slope -= 0.5 * up
        step = np.divide(value, slope, out=value, where=slope != 0.0)
        w = w - step
        found[left] = w
        far = np.abs(w)
        far += 1e-3
        far *= _CUBED
        going = np.flatnonzero((np.abs(step) > far).any(axis=1))
        if not len(going):
            break
        left, w, p, win, loss = left[going], w[going], p[going], win[going], loss[going]
    return found
