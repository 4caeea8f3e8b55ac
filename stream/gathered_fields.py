"""The values of one field of many events, gathered a few hundred at a time.

Objects that were just made are in the processor's cache: they become numbers, codes and hashes
there and are gone, instead of being kept until the batch is read and looked at once more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.columns import (
    LARGEST_NUMBER,
    NULL,
    NUMBER,
    OTHER,
    TEXT,
    Column,
    column,
    doubles,
    number_column,
    text_hash,
    text_shown,
)
from stream.events import LATEST_MS
from stream.identity import Hashes, digests, hashes
from stream.moments import moments_alike_ms, moments_ms
from stream.times import UNCERTAIN

_FEW = 256  # values that fit into a byte


class Field(Protocol):
    def add(self, cells: Sequence[Any]) -> None:
        """The next values, one at least."""

    def add_same(self, cell: Any, count: int) -> None:
        """So many times."""

    def made(self) -> Any:
        """Of all of them, in their order."""


@dataclass(frozen=True, slots=True)
class Coded:
    """Values, each as a place among the distinct ones."""

    code: NDArray[np.int64]
    distinct: list[Any]


class Listed:
    """As they are."""

    def __init__(self) -> None:
        self._cells: list[Any] = []

    def add(self, cells: Sequence[Any]) -> None:
        self._cells += cells

    def add_same(self, cell: Any, count: int) -> None:
        self._cells += [cell] * count

    def made(self) -> list[Any]:
        return self._cells


class _Places(dict[Any, int]):
    """Of distinct values, in the order in which they come."""

    def __missing__(self, value: Any) -> int:
        place = self[value] = len(self)
        return place


class Texts:
    """Texts and nulls, or integers and nulls: of values that are equal one is kept."""

    def __init__(self) -> None:
        self._places = _Places()
        self._parts: list[NDArray[Any]] = []

    def add(self, cells: Sequence[Any]) -> None:
        places = map(self._places.__getitem__, cells)
        if len(self._places) <= _FEW:
            with contextlib.suppress(ValueError):  # there are more of them by now
                self._parts.append(np.frombuffer(bytes(places), np.uint8))
                return
            places = map(self._places.__getitem__, cells)
        self._parts.append(np.fromiter(places, np.int64, len(cells)))

    def add_same(self, cell: Any, count: int) -> None:
        self._parts.append(np.full(count, self._places[cell], np.int64))

    def made(self) -> Coded:
        return Coded(np.concatenate(self._parts).astype(np.int64, copy=False), list(self._places))


class Ids:
    """Hashes of prediction ids, (n, 2)."""

    def __init__(self) -> None:
        self._digests: list[bytes] = []

    def add(self, cells: Sequence[str]) -> None:
        self._digests.append(digests(cells))

    def add_same(self, cell: str, count: int) -> None:
        self._digests.append(digests([cell]) * count)

    def made(self) -> Hashes:
        return hashes(b"".join(self._digests))


class Times:
    """Epoch milliseconds, UNCERTAIN where one is."""

    def __init__(self, length: int | None) -> None:
        """`length`: of the texts that they are, 0 of integers; None where that is not known."""
        self._length = length
        self._cells: list[Any] = []
        self._parts: list[str] = []
        self._count = 0

    def add(self, cells: Sequence[Any]) -> None:
        self._count += len(cells)
        if self._length:
            self._parts.append("".join(cells))
        else:
            self._cells += cells

    def add_same(self, cell: Any, count: int) -> None:
        self.add([cell] * count)

    def made(self) -> NDArray[np.int64]:
        if self._length and self._count:
            return moments_alike_ms("".join(self._parts), self._count)
        types = set(map(type, self._cells))
        if types == {str}:
            return moments_ms(self._cells)
        if types == {int} and min(self._cells) >= 0 and max(self._cells) < LATEST_MS:
            return np.array(self._cells, np.int64)
        return np.full(self._count, UNCERTAIN, np.int64)


class Doubles:
    """Doubles; nan for None."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add(self, cells: Sequence[float | None]) -> None:
        if cells[0] is None and cells.count(None) == len(cells):
            self.add_same(None, len(cells))
        else:
            self._parts.append(doubles(cells))

    def add_same(self, cell: float | None, count: int) -> None:
        self._parts.append(doubles([cell]) * count)

    def made(self) -> NDArray[np.float64]:
        return np.frombuffer(bytearray().join(self._parts), np.float64)


class Constants:
    """Values of one numpy type that are nearly always the same."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._dtype = dtype
        self._parts: list[NDArray[Any]] = []

    def add(self, cells: Sequence[Any]) -> None:
        if cells.count(cells[0]) == len(cells):
            self.add_same(cells[0], len(cells))
        else:
            self._parts.append(np.array(cells, self._dtype))

    def add_same(self, cell: Any, count: int) -> None:
        self._parts.append(np.full(count, cell, self._dtype))

    def made(self) -> NDArray[Any]:
        return np.concatenate(self._parts)


class NumberCells(Doubles):
    """A column of doubles and nulls."""

    def made(self) -> Column:  # type: ignore[override]
        numbers = super().made()
        size = np.abs(numbers)
        if float(size.max()) <= LARGEST_NUMBER:  # nan is not
            return number_column(numbers)
        kind = np.where(size <= LARGEST_NUMBER, np.uint8(NUMBER), np.uint8(OTHER))
        kind[np.isnan(numbers)] = NULL
        return number_column(numbers, kind)


class TextCells(Texts):
    """A column of texts."""

    def __init__(self, texts: dict[int, str]) -> None:
        """Texts met are added to `texts`."""
        super().__init__()
        self._texts = texts

    def made(self) -> Column:  # type: ignore[override]
        return _text_column(super().made(), self._texts)

    def seen(self) -> list[str]:
        """The texts that there were."""
        return list(self._places)


class KnownCells(Doubles):
    """A column of texts that are known beforehand, and come as their places."""

    def __init__(self, known: Sequence[str], texts: dict[int, str]) -> None:
        """They are added to `texts`."""
        super().__init__()
        self._known, self._texts = known, texts

    def made(self) -> Column:  # type: ignore[override]
        places = super().made().astype(np.intp)
        return _text_column(Coded(places, list(self._known)), self._texts)


def _text_column(coded: Coded, texts: dict[int, str]) -> Column:
    hashed = list(map(text_hash, coded.distinct))
    texts.update(zip(hashed, map(text_shown, coded.distinct, hashed), strict=True))
    bits = np.array(hashed, np.uint64)[coded.code]
    return Column(np.full(len(bits), TEXT, np.uint8), bits)


class Cells:
    """A column of anything."""

    def __init__(self, texts: dict[int, str]) -> None:
        """Texts met are added to `texts`."""
        self._texts = texts
        self._parts: list[Column] = []

    def add(self, cells: Sequence[Any]) -> None:
        self._parts.append(column(cells, self._texts))

    def add_same(self, cell: Any, count: int) -> None:
        self.add([cell] * count)

    def made(self) -> Column:
        kinds, bits = zip(*((part.kind, part.bits) for part in self._parts), strict=True)
        return Column(np.concatenate(kinds), np.concatenate(bits))
