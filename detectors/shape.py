"""Changes of distribution that leave the mean alone: rates of bins, each a Bernoulli series."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BINS = 10  # of a numeric feature, by quantiles of the reference
CATEGORIES = 10  # with a bin of their own; the others share one, unseen ones another
_MEAN_SHARE = 0.6  # of a numeric feature's budget: most changes move the mean


@dataclass(frozen=True, slots=True)
class ShapeBudget:
    """False alarms per value of a feature's series; their sum is the feature's."""

    mean: float  # of the mean score; 0 of a categorical feature, which has none
    per_bin: float


def split(rate: float, *, bins: int, numeric: bool) -> ShapeBudget:
    """The budget of a feature over its mean and its bins (rates add, however they depend).

    A numeric feature keeps 0.6 for the mean: the thresholds of its mean rise by 0.5 nats, about
    4 % of a delay. Each of its bins waits about ln(25) = 3.2 nats longer than a series alone.

    >>> split(1e-6, bins=10, numeric=True)
    ShapeBudget(mean=6e-07, per_bin=4e-08)
    """
    if bins < 1 or not rate > 0.0:
        raise ValueError(f"at least one bin and a positive rate: {bins}, {rate}")
    mean = _MEAN_SHARE * rate if numeric else 0.0
    return ShapeBudget(mean, (rate - mean) / bins)


def quantile_bins(cell_counts: npt.ArrayLike, bins: int = BINS) -> Ints:
    """Bin of each ordered cell of a reference, shape (cells,), numbered 0, 1, ... upwards.

    A cell belongs to the bin of its mid-rank; cells are never cut, so an atom (zeros) heavier than
    a bin has a bin of its own, and there may be fewer bins than asked for. O(cells).

    >>> quantile_bins([50, 1, 1, 1, 47, 50], bins=3).tolist()
    [0, 1, 1, 1, 1, 2]
    """
    counts = np.asarray(cell_counts, dtype=np.int64)
    if counts.ndim != 1 or (counts < 0).any() or not counts.sum() or bins < 2:
        raise ValueError("cells must be a row of counts, not all 0, and bins at least 2")
    some = np.flatnonzero(counts)  # an empty cell opens no bin
    edge = np.zeros(len(counts), dtype=np.int64)
    edge[some] = np.diff(quantile_bins_of(counts[some], np.zeros(1, np.int64), bins), prepend=0)
    numbers: Ints = np.cumsum(edge)
    return numbers


def quantile_bins_of(counts: Ints, starts: Ints, bins: int = BINS) -> Ints:
    """The same of many references: cells behind one another, those of each from its start on; each
    has a value, and no empty cell before it. O(cells).

    >>> quantile_bins_of(np.array([50, 1, 1, 1, 47, 50, 7, 7]), np.array([0, 6]), bins=3).tolist()
    [0, 1, 1, 1, 1, 2, 0, 1]
    """
    sizes = np.diff(starts, append=len(counts))
    total = np.repeat(np.add.reduceat(counts, starts), sizes)
    upto = np.cumsum(counts)
    upto -= np.repeat(upto[starts] - counts[starts], sizes)
    raw = (2 * upto - counts) * bins // (2 * total)
    heavy = counts * bins >= total
    edge = np.zeros(len(counts), dtype=np.bool_)
    edge[1:] = (np.diff(raw) > 0) | heavy[1:] | heavy[:-1]
    edge[starts] = False
    numbers: Ints = np.cumsum(edge)
    return numbers - np.repeat(numbers[starts], sizes)


def top_categories(counts: npt.ArrayLike, most: int = CATEGORIES) -> Ints:
    """Places of the categories that get a bin of their own: most frequent first, ties by place.

    >>> top_categories([3, 9, 0, 9, 5], most=3).tolist()
    [1, 3, 4]
    """
    seen = np.asarray(counts, dtype=np.int64)
    order = np.argsort(-seen, kind="stable")[:most]
    return order[seen[order] > 0]
