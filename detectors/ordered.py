"""What is read off values in their order.

numpy's own functions load its masked arrays, a megabyte of code, to ask whether these are some.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


def distinct(values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Each value once, ascending. None may be NaN. O(n log n).

    >>> distinct(np.array([3, 1, 3]))
    array([1, 3])
    """
    ordered = np.sort(values, axis=None)
    is_first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered[is_first]


def median(values: npt.ArrayLike) -> float:
    """At least one, none NaN. O(n log n).

    >>> median([4.0, 1.0, 2.0])
    2.0
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    half = len(ordered) // 2
    low, high = ordered[half if len(ordered) % 2 else half - 1], ordered[half]
    return float((low + high) / 2.0)
