"""Whether a series has jumped, or was on its way: what it is compared with may only be young."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.dependence import scan_reference

Course = Literal["jumped", "on its way", "restless"]
Floats = npt.NDArray[np.float64]

_LEVEL = 0.01  # chance of calling a calm series restless
_MORE = 1.0  # nats: what a curve's second number explains by chance


def course_of(n: npt.ArrayLike, x: npt.ArrayLike, xx: npt.ArrayLike) -> Course:
    """What a change in a stretch of panes looks like: count, sum and sum of squares, (panes,).

    A young reference cannot know what comes and goes more slowly than it has lasted. Three answers
    are told apart. *Jumped*: one level up to the likeliest change, another one from there on. *On
    its way*: a line, or a parabola, through all of it explains more than one jump does; of a real
    jump they explain four fifths at most. *Restless*: something had changed before the likeliest
    change, so that there is no level to have jumped from.

    O(panes). The scan for an earlier change is `dependence.scan_reference`.

    >>> rng = np.random.default_rng(12345)
    >>> noise, time, ones = rng.standard_normal(1000), np.arange(1000), np.ones(1000)
    >>> jump, slope = noise + (time >= 800), noise + time / 1500
    >>> course_of(ones, jump, jump**2), course_of(ones, slope, slope**2)
    ('jumped', 'on its way')
    >>> stairs = noise + time // 250
    >>> course_of(ones, stairs, stairs**2)
    'restless'
    """
    count, total, square = (np.asarray(v, dtype=np.float64) for v in (n, x, xx))
    some = count > 0
    count, total, square = count[some], total[some], square[some]
    if len(count) < 2:
        return "jumped"
    explained = _by_jump(count, total[:, None])[:, 0]
    row = int(explained.argmax())
    before = slice(0, row + 1)
    if scan_reference(count[before], total[before], square[before], level=_LEVEL).found:
        return "restless"
    level = np.empty(len(count))
    for side in (before, slice(row + 1, None)):
        level[side] = total[side].sum() / count[side].sum()
    left = np.maximum(square - 2.0 * level * total + level**2 * count, 0.0).sum() / count.sum()
    line, curve = _by_curves(count, total)
    spared = 2.0 * _MORE * left
    return "jumped" if explained[row] >= max(line, curve - spared) else "on its way"


def clearest(n: npt.ArrayLike, x: npt.ArrayLike) -> int:
    """Of columns, shape (panes, columns), the one with the clearest jump."""
    count, total = np.asarray(n, dtype=np.float64), np.asarray(x, dtype=np.float64)
    share = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1.0)
    spread = np.maximum(share * (1.0 - share), 1e-12)  # columns are counts
    best = np.zeros(total.shape[1])
    for column in range(total.shape[1]):
        some = count[:, column] > 0
        if some.sum() > 1:
            found = _by_jump(count[some, column], total[some, column][:, None])
            best[column] = found.max() / spread[column]
    return int(best.argmax())


def _by_jump(count: Floats, total: Floats) -> Floats:
    """Sum of squares that a jump behind each pane but the last one explains."""
    values, seen = count.sum(), np.cumsum(count)[:-1, None]
    apart = np.cumsum(total, axis=0)[:-1] - seen / values * total.sum(axis=0)
    found: Floats = apart**2 * values / (seen * (values - seen))
    return found


def _by_curves(count: Floats, total: Floats) -> tuple[float, float]:
    """Sum of squares that a line explains, and a parabola."""
    values = count.sum()
    place = (np.cumsum(count) - 0.5 * count) / values
    mean = total.sum() / values
    apart = total - mean * count
    line = place - (count * place).sum() / values
    size = float((count * line**2).sum())
    by_line = float((line * apart).sum()) ** 2 / size if size > 0.0 else 0.0
    bend = line**2 - (count * line**2).sum() / values
    bend = bend - (count * bend * line).sum() / size * line if size > 0.0 else bend
    size = float((count * bend**2).sum())
    if len(count) < 4 or size <= 0.0:
        return by_line, by_line
    return by_line, by_line + float((bend * apart).sum()) ** 2 / size
