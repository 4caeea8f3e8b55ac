"""Changes between features that no single feature shows: contrasts of rows, each a series."""

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from detectors.base import State
from detectors.rank_scores import SCORE_UNIT, RankScores

Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.unsignedinteger[Any]]

PAIRS = 64  # products of two features at most, unless told otherwise
PROJECTIONS = 8  # sums of all features, but for the first with random signs
_SIDE = np.array([0.03, 0.08, 0.16, 0.26, 0.4, 0.55, 0.75, 1.0, 1.3, 1.7, 2.2, 2.9, 3.9, 5.5, 8.0])
_OF_PRODUCTS = np.rint(np.concatenate([-_SIDE[::-1], [0.0], _SIDE]) * SCORE_UNIT**2).astype(
    np.int64
)
_OF_SUMS = np.rint(np.geomspace(0.06, 8.0, 31) * SCORE_UNIT).astype(np.int64)  # of one feature
CELLS = 32  # that values of a contrast are counted in: their edges are the same for all
_LARGEST = 2**31  # of a row's scores: keeps products and sums within 64 bits


class JointScores:
    """Scores of contrasts between the features of whole rows, by their place in a reference.

    Intuition: two features that each keep their distribution may still stop going together. Their
    product tells: its mean is their correlation. So do sums of all features, by how far they lie
    from 0: the plain one sees a cause that moves all of them, those with random signs see a little
    of every correlation. Each contrast is an ordinary
    numeric series, ranked through its own reference (so products' heavy tails do no harm) and
    watched by a `CusumBank` with `score_tilts`, whose budget the contrasts share in equal parts.

    Which features make contrasts is fixed by hashes of their names: all pairs where there are no
    more than `pairs`, else those with the smallest hashes; 7 rows of signs. With many features most
    pairs are left to the projections, which see a change of one pair among d features only d / 2
    times fainter in variance.

    Guarantee: that of `score_tilts`, for independent rows: the rate asked for, over all contrasts.

    The reference of a contrast is counts in fixed cells, so more rows of it may join at any time
    (`join`), and merge in any order; a distribution is known to a few percent of its width.

    Memory: about 0.5 KB a contrast. Time: O(contrasts) a row, O(features) a row and projection.

    Args:
        names: of the features, each once, at least 2.
        rows: integer scores of the reference (`RankScores`), shape (rows, features); 0 where a
            feature is missing.
        pairs: of two features at most.

    Raises:
        ValueError: fewer than 2 features, no row, names that repeat, scores out of range.

    Example:
        >>> rng = np.random.default_rng(12345)
        >>> def rows(correlation, count):
        ...     one, two = rng.standard_normal((2, count))
        ...     other = correlation * one + (1 - correlation**2) ** 0.5 * two
        ...     return np.rint(np.stack([one, other], axis=1) * 2**14).astype(np.int64)
        >>> joint = JointScores(["age", "income"], rows(0.7, 5000))
        >>> joint.contrasts[0], (joint.score(rows(0.7, 2000))[:, 0].mean() / 2**14).round(1)
        (('age', 'income'), np.float64(0.0))
        >>> (joint.score(rows(0.0, 2000))[:, 0].mean() / 2**14).round(1)
        np.float64(-0.8)

    Source: the pairs are what Székely & Rizzo's energy or a covariance test would sum up; signs by
    Achlioptas, J. Computer and System Sciences 66, 2003.
    """

    def __init__(self, names: Sequence[str], rows: npt.ArrayLike, *, pairs: int = PAIRS) -> None:
        self._choose(names, pairs)
        self._counts: Counts = np.zeros((len(self._pairs) + PROJECTIONS, CELLS), np.uint8)
        scores = _checked(rows, len(names))
        if not len(scores):
            raise ValueError("a reference has at least one row")
        self.join(self.tally(self.cells(scores)))

    def _choose(self, names: Sequence[str], most: int) -> None:
        self.names, self._most = tuple(names), most
        if len(set(self.names)) != len(self.names) or len(self.names) < 2:
            raise ValueError("at least 2 features, each named once")
        pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
        if len(pairs) > most:
            pairs = sorted(pairs, key=lambda p: _hash(*sorted((names[p[0]], names[p[1]]))))[:most]
            pairs.sort()
        self._pairs: Ints = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        bits = np.array([_hash(name) for name in names], dtype=np.uint64)
        place = np.arange(PROJECTIONS, dtype=np.uint64)[:, None]
        self._signs: Ints = 1 - 2 * ((bits >> place) & np.uint64(1)).astype(np.int64)
        self._signs[0] = 1

    def join(self, counts: npt.NDArray[np.integer[Any]]) -> None:
        """More rows of the reference, as `tally` counts them: ranks follow."""
        joined = self.counts + counts.astype(np.int32)
        self._counts = joined.astype(np.min_scalar_type(int(joined.max())))
        self._scores = np.stack([of.cell_scores for of in self.ranks()]).astype(np.int32)

    def ranks(self) -> list[RankScores]:
        """Of each contrast its scores by rank, by the reference there is now."""
        return list(_ranks(self._counts.astype(np.int64).tobytes()))

    @property
    def counts(self) -> npt.NDArray[np.int32]:
        """Rows of the reference in each cell of each contrast, (contrasts, CELLS)."""
        return self._counts.astype(np.int32)

    @property
    def contrasts(self) -> list[tuple[str, ...]]:
        """What each contrast is made of: two features, or all of them for a projection."""
        pairs = [(self.names[i], self.names[j]) for i, j in self._pairs.tolist()]
        return [*pairs, *[self.names] * PROJECTIONS]

    def score(self, rows: npt.ArrayLike) -> Ints:
        """Integer scores (rows, contrasts) of rows of features' scores (rows, features)."""
        return self.scores_of(self.cells(_checked(rows, len(self.names))))

    def cells(self, scores: Ints) -> Ints:
        """The cell of each row in each contrast, (rows, contrasts): whatever joins, it stays."""
        products = scores[:, self._pairs[:, 0]] * scores[:, self._pairs[:, 1]]
        sums = np.abs(scores @ self._signs.T) / math.sqrt(len(self.names))
        return np.concatenate(
            [np.searchsorted(_OF_PRODUCTS, products), np.searchsorted(_OF_SUMS, sums)], axis=1
        )

    def scores_of(self, cells: Ints) -> Ints:
        """Of the contrasts of `cells`, by the reference there is now."""
        scores: Ints = self._scores[np.arange(len(self._scores)), cells].astype(np.int64)
        return scores

    def tally(self, cells: Ints) -> Ints:
        """Rows in each cell of each contrast, (contrasts, CELLS)."""
        contrasts = len(self._pairs) + PROJECTIONS
        flat = cells + CELLS * np.arange(contrasts)
        return np.bincount(flat.ravel(), minlength=contrasts * CELLS).reshape(contrasts, CELLS)

    def means_of_products(self) -> dict[tuple[str, str], float]:
        """Of the scores of two features in the reference, to the width of a cell."""
        inside = (_OF_PRODUCTS[:-1] + _OF_PRODUCTS[1:]) / 2.0
        middle = np.concatenate([_OF_PRODUCTS[:1], inside, _OF_PRODUCTS[-1:]]) / SCORE_UNIT**2
        found = {}
        for (i, j), counts in zip(self._pairs.tolist(), self.counts, strict=False):
            mean = float((counts * middle).sum() / max(int(counts.sum()), 1))
            found[self.names[i], self.names[j]] = float(f"{mean:.2g}")
        return found

    def snapshot(self) -> State:
        """Names and counts: all else follows."""
        return {"names": list(self.names), "pairs": self._most, "counts": self.counts}

    @classmethod
    def restore(cls, state: State) -> Self:
        """The scores `snapshot` described."""
        joint = cls.__new__(cls)
        joint._choose(state["names"], state["pairs"])
        counts = np.asarray(state["counts"], dtype=np.int32)
        joint._counts = np.zeros(counts.shape, np.uint8)
        joint.join(counts)
        return joint


@lru_cache(maxsize=1)  # who has joined rows asks again at once
def _ranks(counts: bytes) -> tuple[RankScores, ...]:
    cells = np.frombuffer(counts, np.int64)
    return tuple(RankScores.from_all_counts(cells, np.arange(0, len(cells), CELLS)))


def _hash(*names: str) -> int:
    told = "\0".join(names).encode()
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big")


def _checked(rows: npt.ArrayLike, features: int) -> Ints:
    scores = np.asarray(rows, dtype=np.int64)
    if scores.ndim != 2 or scores.shape[1] != features:
        raise ValueError(f"rows of {features} features: {scores.shape}")
    if (np.abs(scores).sum(axis=1) >= _LARGEST).any():
        raise ValueError("scores too large: are they of RankScores?")
    return scores
