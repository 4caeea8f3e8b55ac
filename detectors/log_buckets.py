"""Logarithmic buckets read off the bits of a double.

The bucket of x is its sign, its exponent and the first five bits of its mantissa, so a bucket is
at most 1/32 = 3.2 % wide relative to its lower edge, and counts of buckets merge exactly. The
scheme is DDSketch's (Masson, Rim & Lee, VLDB 2019) with the mapping by bits instead of logarithms:
no rounding of `log` decides on which side of an edge a value falls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MANTISSA_BITS = 5
_SHIFT = np.uint64(52 - MANTISSA_BITS)


def bucket_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bucket index of each finite value: 0 for zero, negative for negative values."""
    index = ((np.abs(values).view(np.uint64) >> _SHIFT) + np.uint64(1)).astype(np.int64)
    return np.where(values == 0, 0, np.where(values < 0, -index, index))


def middle_of(buckets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The middle of each bucket; off by at most 1.6 % from any value of the bucket."""
    size = np.abs(buckets)
    low = ((size - 1).astype(np.uint64) << _SHIFT).view(np.float64)
    high = (size.astype(np.uint64) << _SHIFT).view(np.float64)
    return np.where(buckets == 0, 0.0, np.sign(buckets) * (low + high) / 2)


def ends_of(low: int, high: int) -> tuple[float, float]:
    """Between which values these buckets lie, from the one to the other.

    >>> ends_of(*bucket_of(np.array([-6.1, 6.1])).tolist()), ends_of(0, 0)
    ((-6.125, 6.125), (0.0, 0.0))
    """
    sizes = np.abs([low, low - np.sign(low), high - np.sign(high), high]).astype(np.uint64)
    edges = (sizes << _SHIFT).view(np.float64).tolist()
    lowest = edges[1] if low > 0 else -edges[0] if low else 0.0
    highest = edges[3] if high > 0 else -edges[2] if high else 0.0
    return lowest, highest


def duration_edge_ms(durations_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """The upper edge of each duration's bucket: itself below 64 ms, else at most 1/32 above.

    >>> duration_edge_ms(np.array([0, 1, 63, 64, 65, 1000])).tolist()
    [1, 1, 63, 64, 66, 1008]
    """
    least = np.maximum(durations_ms, 1)
    exponent = np.frexp(least.astype(np.float64))[1].astype(np.int64)
    unit = np.int64(1) << np.maximum(exponent - (MANTISSA_BITS + 1), 0)
    edge: NDArray[np.int64] = (least + unit - 1) // unit * unit
    return edge
