"""Rows of numbers that follow from a few parameters, made once for all that ask for the same."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Row = npt.NDArray[np.void]
_ALL: list["KnownRows"] = []


class KnownRows:
    """The rows of keys, each made when it is first asked for.

    Intuition: a thousand models have references of the same size, and most of their series nothing
    that is special (a fault that never was, ranks as they begin), so that most of what one asks for
    another has asked for.

    Guarantee: what is returned depends on the keys alone, as far as `make` does: it must make each
    row by itself, whatever others it is asked for.

    Memory: at most `most` rows; when they are full all of them are forgotten.

    Args:
        form: dtype of a row.
        make: rows of new keys, in their order.
        most: rows that are kept.

    Example:
        >>> squares = KnownRows(np.dtype([("of", "f8")]), lambda keys: np.array(
        ...     [(k * k,) for k in keys], [("of", "f8")]), most=2)
        >>> squares.of([3, 2, 3])["of"]
        array([9., 4., 9.])
    """

    def __init__(
        self, form: np.dtype[Any], make: Callable[[Sequence[Any]], Row], most: int = 256
    ) -> None:
        self._make = make
        _ALL.append(self)
        self._rows: Row = np.zeros(most, form)
        self._place: dict[Hashable, int] = {}

    def of(self, keys: Sequence[Hashable]) -> Row:
        """Shape (keys,). O(keys), and what the new ones cost."""
        place = self._place
        found = [place.get(key, -1) for key in keys]
        if -1 not in found:
            return self._rows[found]
        new = list(dict.fromkeys(key for key, at in zip(keys, found, strict=True) if at < 0))
        made = self._make(new)
        if len(place) + len(new) <= len(self._rows):
            self._rows[len(place) : len(place) + len(new)] = made
            place.update(zip(new, range(len(place), len(place) + len(new)), strict=True))
            return self._rows[[place[key] for key in keys]]
        at = {key: i for i, key in enumerate(new)}
        kept = self._rows[found]
        for i, key in enumerate(keys):
            if found[i] < 0:
                kept[i] = made[at[key]]
        self._place = {}
        return kept


def keys_of(columns: Sequence[npt.NDArray[Any]]) -> list[bytes]:
    """Of parallel columns of numbers: a tuple of objects would be larger than the row it finds."""
    rows = np.stack(columns, axis=1, dtype=np.float64)
    data, size = rows.tobytes(), rows.shape[1] * rows.itemsize
    return [data[at : at + size] for at in range(0, len(data), size)]


def columns_of(keys: Sequence[bytes]) -> npt.NDArray[np.float64]:
    """Inverse of `keys_of`, shape (columns, keys)."""
    return np.frombuffer(b"".join(keys)).reshape(len(keys), -1).T


def forget_rows() -> None:
    """All of them, so that what is asked for next costs what it costs first."""
    for rows in _ALL:
        rows._place = {}
