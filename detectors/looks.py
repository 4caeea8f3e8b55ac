"""Two groups of subjects compared at looks, whose errors add up to α whenever one stops."""

import math
from dataclasses import dataclass
from statistics import NormalDist

from detectors.confidence_sequence import Between

_NORMAL = NormalDist()


def alpha_of_look(alpha: float, look: int) -> float:
    """The part of α that the k-th look has, k = 1, 2, ...: all of them add up to α."""
    return alpha * 6.0 / (math.pi * look) ** 2


@dataclass(slots=True)
class Group:
    """Sums over subjects, of each its number of values n and their sum x."""

    subjects: float = 0
    n: float = 0
    x: float = 0.0
    nn: float = 0
    nx: float = 0.0
    xx: float = 0.0

    def add(self, n: float, x: float) -> None:
        self.subjects += 1
        self.n += n
        self.x += x
        self.nn += n * n
        self.nx += n * x
        self.xx += x * x

    def add_singles(self, count: int, total: float, squares: float) -> None:
        """So many subjects of one value each."""
        self.subjects += count
        self.n += count
        self.nn += count
        self.x += total
        self.nx += total
        self.xx += squares

    def with_doubt(self, largest: float) -> tuple[float, float]:
        """(mean, variance of it) of all values, with one subject more at either end of what values
        may be: where none has failed yet, none is not what is known."""
        both = Group(self.subjects, self.n, self.x, self.nn, self.nx, self.xx)
        if largest > 0.0:
            both.add(1, 0.0)
            both.add(1, largest)
        mean = both.x / both.n
        spread = max(both.xx - 2.0 * mean * both.nx + mean * mean * both.nn, 0.0)
        return mean, spread / both.n**2 * both.subjects / max(both.subjects - 1, 1)


def difference(one: Group, other: Group, *, alpha: float, largest: float) -> Between:
    """The mean of one group's values less that of the other's, with an interval at 1 - α.

    Subjects are independent, their values may depend on each other: the variance of a ratio of sums
    over subjects (linearised), normal for some hundred of them. `largest`: values lie between 0 and
    it; 0: they may be anything.

    >>> a, b = Group(), Group()
    >>> a.add_singles(1_000, 100.0, 100.0)
    >>> b.add_singles(1_000, 150.0, 150.0)
    >>> between = difference(b, a, alpha=0.05, largest=1.0)
    >>> [round(v, 3) for v in (between.estimate, between.low, between.high)]
    [0.05, 0.021, 0.079]

    Source: Agresti & Caffo, The American Statistician 54, 2000, for the two subjects more; Deng,
    Knoblich & Lu, KDD 2018, for ratios over subjects.
    """
    (mean, variance), (mean_0, variance_0) = (of.with_doubt(largest) for of in (one, other))
    wide = _NORMAL.inv_cdf(1.0 - alpha / 2.0) * math.sqrt(variance + variance_0)
    return Between(mean - mean_0, mean - mean_0 - wide, mean - mean_0 + wide)
