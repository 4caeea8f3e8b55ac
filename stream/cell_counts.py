"""How often each bucket of numbers, and each text, occurs in each pane.

Where what may occur is of a small range, it is counted in its place there; else integers are
sorted: to sort values takes a tenth of what it takes to find an order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.log_buckets import MANTISSA_BITS, bucket_of
from detectors.ordered import distinct
from stream.feature_table import Counts, Ints

_PLACES_PER_CELL = 4  # up to which counting in places costs less than sorting
_SLOT_BITS = 16  # the first ones of hashes: few texts have the same
_WORTH_SLOTS = 1 << 11  # texts


def runs(of: Ints) -> tuple[NDArray[np.intp], Ints]:
    """(where each run of the same begins, how many there are in it)"""
    is_first = np.ones(len(of), np.bool_)
    np.not_equal(of[1:], of[:-1], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    lengths = np.empty(len(starts), np.int64)
    lengths[:-1] = starts[1:]
    lengths[-1:] = len(of)
    lengths -= starts
    return starts, lengths


def bucket_counts(pane: Ints, numbers: NDArray[np.float64]) -> Counts:
    """Of each pane the logarithmic buckets of its numbers, as `bucket_of` numbers them. Panes rise.

    >>> counts = bucket_counts(np.array([0, 0, 0, 2]), np.array([-1.0, 0.0, -1.0, 5e-324]))
    >>> counts.pane.tolist(), counts.key.tolist(), counts.count.tolist()
    ([0, 0, 2], [-32737, 0, 1], [2, 1, 1])
    """
    if not len(pane):
        return Counts(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    place, beyond = _near_zero(numbers)
    low, high = int(place.min()), int(place.max())
    of, found, count = _counted(pane, place - low, high - low + 1)
    found += low
    return Counts(of, found + beyond * np.sign(found), count)


def _near_zero(numbers: NDArray[np.float64]) -> tuple[Ints, int]:
    """(buckets, all of them but 0 moved towards 0, by how much)"""
    bits = numbers.view(np.int64)
    size = bits >> (52 - MANTISSA_BITS)
    size &= (1 << (11 + MANTISSA_BITS)) - 1
    beyond = int(size.min())
    if not beyond:
        is_some = size > 0
        if np.count_nonzero(is_some) < np.count_nonzero(numbers):  # some are closest to 0
            return bucket_of(numbers), 0
        beyond = int(size.min(where=is_some, initial=1 << 17))
        size -= beyond - 1
        np.maximum(size, 0, out=size)
    else:
        size -= beyond - 1
    if numbers.min() < 0:
        sign = bits >> 63
        size ^= sign
        size -= sign
    return size, beyond


def text_counts(pane: Ints, hashes: NDArray[np.uint64]) -> Counts:
    """Of each pane its texts by their hashes. Panes rise."""
    if not len(pane):
        return Counts(np.zeros(0, np.int64), hashes, np.zeros(0, np.int64))
    texts, place = _in_slots(hashes) if len(hashes) >= _WORTH_SLOTS else (None, None)
    if texts is None or place is None:
        texts = distinct(hashes)
        place = np.searchsorted(texts, hashes)
    of, found, count = _counted(pane, place, len(texts))
    return Counts(of, texts[found], count)


def _in_slots(
    hashes: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], Ints] | tuple[None, None]:
    """(those that differ, rising; the place there of each); none where two have one slot."""
    slot = (hashes >> np.uint64(64 - _SLOT_BITS)).view(np.int64)
    held = np.zeros(1 << _SLOT_BITS, np.uint64)
    held[slot] = hashes
    if not np.array_equal(held[slot], hashes):
        return None, None
    is_met = np.zeros(1 << _SLOT_BITS, np.bool_)
    is_met[slot] = True
    met = np.flatnonzero(is_met)
    number = np.zeros(1 << _SLOT_BITS, np.int64)
    number[met] = np.arange(len(met))
    return held[met], number[slot]


def _counted(pane: Ints, place: Ints, places: int) -> tuple[Ints, Ints, Ints]:
    """(pane, place, how often it occurs there), sorted."""
    pairs = pane * places
    pairs += place
    most = (int(pane[-1]) + 1) * places
    if most <= _PLACES_PER_CELL * len(pairs):
        counts = np.bincount(pairs, minlength=most)
        filled = np.flatnonzero(counts != 0)
        count = counts[filled]
    else:
        pairs.sort()
        starts, count = runs(pairs)
        filled = pairs[starts]
    of = filled // places  # by one number: far faster than `divmod`
    return of, filled - of * places, count
