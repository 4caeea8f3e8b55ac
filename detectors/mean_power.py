"""What ADWIN and Page-Hinkley can find, and how soon: by what their statistics are on average."""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SURE = 1.645  # standard errors: 19 in 20 are above
_PER_TEST = 32  # values between the delays that are tried
_BEFORE = 1.4  # what came since, over what lies behind the cut that ADWIN tests


def adwin_changes(
    n0: float, sd: float, *, delta: float, clock: int, tau: float, within: int
) -> tuple[Floats, Floats]:
    """(values, change): the smallest change of the mean, in scaled units, that ADWIN tells 19 times
    in 20 within so many values, in steps up to `within`.

    |mean0 - mean1| less 1.645 of its standard errors is beyond ε_cut where the window holds n0
    values of before and those of now. A cut lies between two buckets: some of these are lost.

    Args:
        n0: values of before in the window.
        sd: of one value, in scaled units.
        delta, clock, tau: of `Adwin`.

    >>> values, change = adwin_changes(
    ...     10_000, 1.0, delta=0.002, clock=32, tau=1.0, within=2_000
    ... )
    >>> [float(change[values >= n][0].round(2)) for n in (100, 500, 1_900)]
    [0.7, 0.33, 0.18]
    """
    step = max(_PER_TEST, int(clock * tau))
    values = np.arange(step, max(within, step) + 1, step, dtype=np.float64)
    n1 = values / _BEFORE
    old, new = n0 / tau, n1 / tau
    least = 5.0
    able = (new > least) & (old > least)
    m = 1.0 / np.where(able, old - least + 1.0, 1.0) + 1.0 / np.where(able, new - least + 1.0, 1.0)
    log_term = math.log(2.0 * math.log(max((n0 + within) / tau, 3.0)) / delta)
    error = _SURE * sd * np.sqrt(1.0 / np.maximum(old, 1.0) + 1.0 / new)
    apart = old * new / (old + new) ** 2  # what the change adds to the variance of the window
    change = np.zeros(len(values))
    for _ in range(8):
        variance = sd * sd + apart * change * change
        change = np.sqrt(2.0 * m * variance * log_term) + 2.0 / 3.0 * log_term * m + error
    return values, np.where(able, change, np.inf)


def page_hinkley_changes(
    n0: float, sd: float, *, delta: float, threshold: float, alpha: float, tau: float, within: int
) -> tuple[Floats, Floats]:
    """The same of Page-Hinkley.

    Its sum climbs by the change less δ and less what the running mean has followed, and fades; its
    noise is that of n values that depend.

    >>> values, change = page_hinkley_changes(
    ...     10_000, 1.0, delta=0.01, threshold=400.0, alpha=0.9999, tau=1.0, within=20_000
    ... )
    >>> [float(change[values >= n][0].round(2)) for n in (500, 2_000, 20_000)]
    [0.93, 0.29, 0.15]
    """
    n = np.arange(1, within + 1, dtype=np.float64)
    fade = -n * math.log(alpha) if alpha < 1.0 else np.zeros(within)
    faded = np.exp(fade)
    climbed = np.cumsum(faded * n0 / (n0 + n)) / faded
    tolerated = delta * np.cumsum(faded) / faded
    noise = sd * np.sqrt(tau * np.cumsum(faded * faded)) / faded
    change = (threshold + tolerated + _SURE * noise) / climbed
    return n, change


def promised(values: Floats, change: Floats, floor: float) -> tuple[float, float] | None:
    """(smallest change, values): the smallest that is found at all but none below the floor, and
    within how many values one of that size is. None: there is none."""
    smallest = max(float(change.min(initial=math.inf)), floor)
    if not math.isfinite(smallest):
        return None
    return smallest, float(values[change <= smallest][0])
