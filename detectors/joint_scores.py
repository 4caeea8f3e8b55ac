"""Changes between features that no single feature shows: contrasts of rows, each a series."""

import hashlib
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from detectors.base import State
from detectors.rank_scores import RankScores

Ints = npt.NDArray[np.int64]

PAIRS = 64  # products of two features at most
PROJECTIONS = 8  # sums of all features, but for the first with random signs
_CELLS = 64  # that the reference's values of a contrast are counted in
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
    more than 64, else the 64 with the smallest hashes; 7 rows of signs. With many features most
    pairs are left to the projections, which see a change of one pair among d features only d / 2
    times fainter in variance.

    Guarantee: that of `score_tilts`, for independent rows: the rate asked for, over all contrasts.

    Memory: about 1.5 KB a contrast. Time: O(contrasts) a row, O(features) a row and projection.

    Args:
        names: of the features, each once, at least 2.
        rows: integer scores of the reference (`RankScores`), shape (rows, features); 0 where a
            feature is missing.

    Raises:
        ValueError: fewer than 2 features or 200 rows, names that repeat, scores out of range.

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

    def __init__(self, names: Sequence[str], rows: npt.ArrayLike) -> None:
        scores = _checked(rows, len(names))
        if len(scores) < 200:
            raise ValueError(f"200 rows at least, not {len(scores)}")
        self._choose(names)
        values = self._values(scores)
        self._edges: Ints = np.quantile(
            values, np.arange(1, _CELLS) / _CELLS, axis=0, method="lower"
        ).T.astype(np.int64)
        cells = self._cells(values)
        self._counts: Ints = np.stack([np.bincount(c, minlength=_CELLS) for c in cells.T])
        self._rank()

    def _choose(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        if len(set(self.names)) != len(self.names) or len(self.names) < 2:
            raise ValueError("at least 2 features, each named once")
        pairs = [(i, j) for i in range(len(names)) for j in range(i + 1, len(names))]
        if len(pairs) > PAIRS:
            pairs = sorted(pairs, key=lambda p: _hash(*sorted((names[p[0]], names[p[1]]))))[:PAIRS]
            pairs.sort()
        self._pairs: Ints = np.array(pairs, dtype=np.int64)
        bits = np.array([_hash(name) for name in names], dtype=np.uint64)
        place = np.arange(PROJECTIONS, dtype=np.uint64)[:, None]
        self._signs: Ints = 1 - 2 * ((bits >> place) & np.uint64(1)).astype(np.int64)
        self._signs[0] = 1

    def _rank(self) -> None:
        self.count = int(self._counts[0].sum())
        self._cell_scores = np.stack([RankScores.from_counts(c).cell_scores for c in self._counts])

    @property
    def contrasts(self) -> list[tuple[str, ...]]:
        """What each contrast is made of: two features, or all of them for a projection."""
        pairs = [(self.names[i], self.names[j]) for i, j in self._pairs.tolist()]
        return [*pairs, *[self.names] * PROJECTIONS]

    def score(self, rows: npt.ArrayLike) -> Ints:
        """Integer scores (rows, contrasts) of rows of features' scores (rows, features)."""
        cells = self._cells(self._values(_checked(rows, len(self.names))))
        return self._cell_scores[np.arange(len(self._cell_scores)), cells]

    def _values(self, scores: Ints) -> Ints:
        products = scores[:, self._pairs[:, 0]] * scores[:, self._pairs[:, 1]]
        return np.concatenate([products, np.abs(scores @ self._signs.T)], axis=1)

    def _cells(self, values: Ints) -> Ints:
        found = [np.searchsorted(e, v) for e, v in zip(self._edges, values.T, strict=True)]
        return np.stack(found, axis=1)

    def snapshot(self) -> State:
        """Names, edges and counts: all else follows."""
        return {"names": list(self.names), "edges": self._edges, "counts": self._counts}

    @classmethod
    def restore(cls, state: State) -> Self:
        """The scores `snapshot` described."""
        joint = cls.__new__(cls)
        joint._choose(state["names"])
        joint._edges = np.asarray(state["edges"], dtype=np.int64)
        joint._counts = np.asarray(state["counts"], dtype=np.int64)
        joint._rank()
        return joint


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
