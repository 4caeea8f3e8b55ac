"""Normal scores of ranks: any numeric series on one scale, whatever its tails."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from detectors import native

SCORE_UNIT = 2**14
"""A score z is the integer nearest to z * SCORE_UNIT, so that sums of scores are exact."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Scores = npt.NDArray[np.int32] | npt.NDArray[np.int64]

_NORMAL = NormalDist()
_FEW = 1024  # values, up to which the quantiles of all ranks are held: many models have as many
_ABOVE = (
    2.5090809287301226727e3,
    3.3430575583588128105e4,
    6.7265770927008700853e4,
    4.5921953931549871457e4,
    1.3731693765509461125e4,
    1.9715909503065514427e3,
    1.3314166789178437745e2,
    3.3871328727963666080e0,
)
_BELOW = (
    5.2264952788528545610e3,
    2.8729085735721942674e4,
    3.9307895800092710610e4,
    2.1213794301586595867e4,
    5.3941960214247511077e3,
    6.8718700749205790830e2,
    4.2313330701600911252e1,
    1.0,
)


def normal_quantiles(share: Floats) -> Floats:
    """As `NormalDist().inv_cdf` has them, bit for bit: in (0, 1), shape (n,).

    Between 7.5 and 92.5 % they are a quotient of polynomials, here of all at once; the tails, which
    take logarithms, are asked of Python one by one, where there is no extension.

    >>> normal_quantiles(np.array([0.025, 0.5])).round(2)
    array([-1.96,  0.  ])

    Source: Wichura, Applied Statistics 37, 1988 (AS 241).
    """
    if native.IN_USE:
        made = np.empty_like(share)
        native.EXTENSION.quantiles((np.ascontiguousarray(share), made))
        return made
    middle = share - 0.5
    r = 0.180625 - middle * middle
    above, below = np.full_like(share, _ABOVE[0]), np.full_like(share, _BELOW[0])
    for a, b in zip(_ABOVE[1:], _BELOW[1:], strict=True):
        above *= r
        above += a
        below *= r
        below += b
    above *= middle
    above /= below
    quantiles: Floats = above
    tails = np.flatnonzero(np.abs(middle) > 0.425)
    asked = map(_NORMAL.inv_cdf, share[tails].tolist())
    quantiles[tails] = np.fromiter(asked, np.float64, len(tails))
    return quantiles


class Table(Protocol):
    """Holds what the scores of many references follow from."""

    def counts(self, slot: int) -> Ints: ...

    def scores(self, slot: int, places: npt.NDArray[np.intp] | None = None) -> Ints: ...


_NO_COUNTS = np.zeros(0, np.uint8)
_BESIDE = 16  # references whose exponentials are made at once
Elsewhere = tuple[Table, int]
"""Where counts are, and in which slot."""


class RankScores:
    """Scores of values by their place in a frozen reference.

    Intuition: a value counts by where it ranks in the reference, not by its size. The rank, as a
    share, becomes the normal quantile of that share: the median scores 0, the 97.7 % point about 2.
    Outliers, infinite variances and units have no say, and where the data are normal little is
    lost: a shift of the mean by d σ moves the mean score by almost d.

    Values are counted in cells, in ascending order: distinct values, or buckets. A value in a cell
    has its mid-rank (c_below + c / 2) / n; one between two cells has rank c_below / n, kept within
    [1 / 2n, 1 - 1 / 2n], so anything beyond the reference scores as its extremes. All scores are
    standardised by the reference's own mean and variance, which are exact, so atoms (zeros, a few
    categories) need no care: over the reference the mean score is 0 and the variance 1. A constant
    reference scores 0 inside, and a full clip outside.

    Memory: 8 bytes a cell, and its count in as few as hold it; of values 8 more. Where a table has
    the counts, these, mean and scale are all there is: scores are made for who asks. Time: O(cells)
    once, then a gather per value, or a quantile.

    Args:
        cell_counts: values of the reference in each cell, shape (cells,), ascending cells.
        values: the distinct values, where cells are those, ascending; None for buckets.

    Raises:
        ValueError: no value, a negative count, values not finite or not ascending.

    Example:
        >>> scores = RankScores.from_values([3.0, 1.0, 2.0, 1e300])
        >>> (scores.score(np.array([2.0, 2.5, 9e300])) / SCORE_UNIT).round(3)
        array([-0.378,  0.   ,  1.363])

    Source: van der Waerden scores (Proc. Kon. Ned. Akad. Wet. 55, 1952; 56, 1953).
    """

    __slots__ = ("_counts", "_mixed", "count", "form", "values")

    def __init__(self, cell_counts: npt.ArrayLike, values: npt.ArrayLike | None = None) -> None:
        counts = np.asarray(cell_counts, dtype=np.int64)
        if counts.ndim != 1 or (counts < 0).any() or not counts.sum():
            raise ValueError("cell_counts must be one row of counts, not negative, not all 0")
        self.values: Floats | None = (
            None if values is None else np.asarray(values, dtype=np.float64)
        )
        if self.values is not None:
            if self.values.shape != counts.shape or not np.isfinite(self.values).all():
                raise ValueError("values must be finite, one a cell")
            if (np.diff(self.values) <= 0).any():
                raise ValueError("values must ascend")
        self._counts = counts.astype(np.min_scalar_type(int(counts.max())))
        self.count = int(counts.sum())
        below = np.concatenate([[0], np.cumsum(counts)])
        both = _quantiles(np.concatenate([2 * below[:-1] + counts, 2 * below]), self.count)
        cells, gaps = both[: len(counts)], both[len(counts) :]
        share = counts / self.count
        mean, scale = self.form = _moments(share, cells)
        mixed = np.empty(2 * len(counts) + 1, dtype=np.int64)
        mixed[1::2] = np.rint((cells - mean) * scale * SCORE_UNIT)
        mixed[0::2] = np.rint((gaps - mean) * scale * SCORE_UNIT)
        self._mixed: Scores | Elsewhere = _short(mixed)

    @property
    def mixed(self) -> Scores:
        """Of gaps and cells in turn: of what is below the first cell, of the first, and so on."""
        kept = self._mixed
        return kept if isinstance(kept, np.ndarray) else kept[0].scores(kept[1])

    def at(self, places: npt.NDArray[np.intp]) -> Ints:
        """The scores at some places of `mixed`."""
        kept = self._mixed
        if isinstance(kept, np.ndarray):
            return kept[places].astype(np.int64)
        return kept[0].scores(kept[1], places)

    @property
    def cell_counts(self) -> npt.NDArray[np.integer[Any]]:
        """Of the reference."""
        kept = self._mixed
        return self._counts if isinstance(kept, np.ndarray) else kept[0].counts(kept[1])

    @classmethod
    def kept(cls, count: int, form: tuple[float, float], table: Elsewhere) -> Self:
        """Those that are in a table."""
        made = cls.__new__(cls)
        made.values, made.count, made.form = None, count, form
        made.keep_elsewhere(table)
        return made

    def keep_elsewhere(self, table: Elsewhere) -> None:
        """It has the counts and the form, by which the scores are made when they are needed."""
        self._mixed, self._counts = table, _NO_COUNTS

    @classmethod
    def from_counts(cls, cell_counts: npt.ArrayLike) -> Self:
        """From counts in ordered buckets, shape (cells,)."""
        return cls(cell_counts)

    @classmethod
    def from_all_counts(cls, counts: Ints, starts: Ints) -> list[Self]:
        """The same of many references: cells behind one another, those of each from its start on;
        each has a value. What numpy is asked for is asked once for all of them."""
        ends = np.append(starts[1:], len(counts))
        number = np.repeat(np.arange(len(starts)), ends - starts)
        total = np.add.reduceat(counts, starts)
        below = np.cumsum(counts) - counts
        below -= below[starts][number]
        # of each reference gaps and cells in turn, the gap behind the last cell included
        cell = 2 * np.arange(len(counts)) + number
        doubled = np.empty(2 * len(counts) + len(starts), dtype=np.int64)
        doubled[cell], doubled[cell + 1] = 2 * below, 2 * below + counts
        doubled[2 * ends + np.arange(len(starts))] = 2 * total
        cuts = np.append(2 * starts + np.arange(len(starts)), len(doubled))
        sizes = np.diff(cuts)
        quantiles = _all_quantiles(doubled, total, cuts)
        share, at = counts / total[number], quantiles[cell + 1]
        moments = _all_moments(share, at, np.append(starts, len(counts)))
        forms = moments.tolist()
        mean, scale = np.repeat(moments, sizes, axis=0).T
        mixed = np.rint((quantiles - mean) * scale * SCORE_UNIT).astype(np.int64)
        made = []
        for i, (low, high) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            one = cls.__new__(cls)
            one.values, one.count = None, int(total[i])
            one.form = forms[i][0], forms[i][1]
            one._counts = counts[low:high].astype(np.min_scalar_type(int(counts[low:high].max())))
            one._mixed = _short(mixed[cuts[i] : cuts[i + 1]])
            made.append(one)
        return made

    @classmethod
    def from_values(cls, values: npt.ArrayLike) -> Self:
        """From the values themselves, any order; O(n log n)."""
        distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
        return cls(counts, distinct)

    @property
    def cell_scores(self) -> Ints:
        """Of the values in each cell."""
        return self.mixed[1::2].astype(np.int64)

    @property
    def gap_scores(self) -> Ints:
        """Of the values below each cell, and of those above the last."""
        return self.mixed[0::2].astype(np.int64)

    @property
    def largest_mass(self) -> float:
        """Share of the values in the heaviest cell: how coarse the ranks are."""
        return float(self.cell_counts.max()) / self.count

    def score(self, values: npt.ArrayLike) -> Ints:
        """Scores of values, shape (n,), where cells are distinct values; O(n log cells)."""
        if self.values is None:
            raise ValueError("cells are buckets: look cell_scores and gap_scores up by bucket")
        asked = np.asarray(values, dtype=np.float64)
        if np.isnan(asked).any():
            raise ValueError("a value is not a number")
        place = np.searchsorted(self.values, asked)
        known = place < len(self.values)
        known[known] = self.values[place[known]] == asked[known]
        return np.where(known, self.cell_scores[place - ~known], self.gap_scores[place])

    def cgf(self, theta: Floats) -> Floats:
        """Cumulant generating function ln E exp(θ z) over the reference, at each θ: shape of θ.

        θ²/2 where scores are normal. O(cells) a θ. Rounded to 1e-9, below which it means nothing.
        """
        cumulants: Floats = self.all_cgf([self], np.atleast_1d(theta)[None])[0]
        return cumulants.reshape(np.shape(theta))

    @staticmethod
    def all_cgf(of: "Sequence[RankScores]", theta: Floats) -> Floats:
        """The same of several references, each at its row of θ: those of as many cells together."""
        cumulants = np.zeros(theta.shape)
        used = np.flatnonzero(theta.any(axis=0))  # of what is 0 it is 0
        alike: dict[int, list[int]] = {}
        shares = [one.cell_counts / one.count for one in of]
        for i, share in enumerate(shares):
            alike.setdefault(len(share), []).append(i)
        some = (of[i : i + _BESIDE] for of in alike.values() for i in range(0, len(of), _BESIDE))
        for which in some:
            scores = np.stack([of[i].cell_scores for i in which]) / SCORE_UNIT
            share = np.stack([shares[i] for i in which])
            grown = np.exp(theta[which][:, used, None] * scores[:, None, :])
            grown *= share[:, None, :]
            cumulants[np.array(which)[:, None], used] = (
                np.round(np.log(grown.sum(axis=-1)), 9) + 0.0
            )
        return cumulants


def _quantiles(doubled_ranks: Ints, count: int) -> Floats:
    """Normal quantiles of doubled_ranks / 2n, within half a rank of the ends."""
    if count <= _FEW:
        return _table(count)[np.clip(doubled_ranks, 1, 2 * count - 1)]
    return normal_quantiles(np.clip(doubled_ranks, 1, 2 * count - 1) / (2 * count))


def _all_quantiles(doubled_ranks: Ints, counts: Ints, cuts: Ints) -> Floats:
    """The same of many references, each between two cuts."""
    if int(counts.max()) > _FEW:
        whole = np.repeat(2 * counts, np.diff(cuts))
        return normal_quantiles(np.clip(doubled_ranks, 1, whole - 1) / whole)
    if int(counts.min()) == int(counts.max()):
        return _quantiles(doubled_ranks, int(counts[0]))
    ends = zip(counts.tolist(), cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
    return np.concatenate([_quantiles(doubled_ranks[a:b], n) for n, a, b in ends])


@lru_cache(maxsize=8)
def _table(count: int) -> Floats:
    """Of all doubled ranks: shape (2n,), the first of which nobody asks for."""
    quantiles = np.zeros(2 * count)
    quantiles[1:] = normal_quantiles(np.arange(1, 2 * count) / (2 * count))
    return quantiles


def ranked(doubled_ranks: Ints, counts: Ints, mean: Floats, scale: Floats) -> Ints:
    """Scores of doubled_ranks among so many values, of references of these forms: shape (n,)."""
    share = np.clip(doubled_ranks, 1, 2 * counts - 1) / (2 * counts)
    return np.rint((normal_quantiles(share) - mean) * scale * SCORE_UNIT).astype(np.int64)


def _all_moments(share: Floats, scores: Floats, cuts: npt.NDArray[np.int64]) -> Floats:
    """Those of many references, each between two cuts: shape (references, 2)."""
    if native.IN_USE:
        made = np.empty((len(cuts) - 1, 2))
        native.EXTENSION.moments(share, scores, cuts, made)
        return made
    return np.array([_moments(share[a:b], scores[a:b]) for a, b in pairwise(cuts.tolist())])


def _moments(share: Floats, scores: Floats) -> tuple[float, float]:
    """Mean of the scores, and what makes their variance 1."""
    mean = math.fsum((share * scores).tolist())
    spread = math.sqrt(math.fsum((share * (scores - mean) ** 2).tolist()))
    return mean, 1.0 / spread if spread > 1e-9 else 1.0


def _short(scores: Ints) -> Scores:
    """In four bytes each, if they all fit."""
    return scores.astype(np.int32) if int(np.abs(scores).max()) < 2**31 else scores.copy()
