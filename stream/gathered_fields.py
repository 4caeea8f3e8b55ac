"""The values of one field of many events, gathered a few hundred at a time.

Objects that were just made are in the processor's cache: they become numbers, codes and hashes
there and are gone, instead of being kept until the batch is read and looked at once more.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    number_column,
    numbers_of,
    text_hash,
    text_shown,
)
from stream.identity import Hashes, hash_ids


class Field(Protocol):
    def add(self, cells: Sequence[Any]) -> None:
        """The next values, one at least."""

    def made(self) -> Any:
        """Of all of them, in their order."""


class Listed:
    """As they are."""

    def __init__(self) -> None:
        self._cells: list[Any] = []

    def add(self, cells: Sequence[Any]) -> None:
        """Of texts that are all alike one is kept."""
        first = cells[0]
        alike = type(first) is str and cells.count(first) == len(cells)
        self._cells += [first] * len(cells) if alike else cells

    def made(self) -> list[Any]:
        return self._cells


class Ids:
    """Hashes of prediction ids, (n, 2)."""

    def __init__(self) -> None:
        self._hashes: list[Hashes] = []

    def add(self, cells: Sequence[str]) -> None:
        self._hashes.append(hash_ids(cells))

    def made(self) -> Hashes:
        return np.concatenate(self._hashes)


class Doubles:
    """Doubles; nan for None."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float64]] = []

    def add(self, cells: Sequence[float | None]) -> None:
        nowhere = cells[0] is None and cells.count(None) == len(cells)
        self._parts.append(np.full(len(cells), np.nan) if nowhere else numbers_of(cells))

    def made(self) -> NDArray[np.float64]:
        return np.concatenate(self._parts)


class Constants:
    """Values of one numpy type that are nearly always the same."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._dtype = dtype
        self._parts: list[NDArray[Any]] = []

    def add(self, cells: Sequence[Any]) -> None:
        first = cells[0]
        alike = cells.count(first) == len(cells)
        n, dtype = len(cells), self._dtype
        self._parts.append(np.full(n, first, dtype) if alike else np.array(cells, dtype))

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


class TextCells:
    """A column of texts."""

    def __init__(self, texts: dict[int, str]) -> None:
        """Texts met are added to `texts`."""
        self._codes = _Codes(texts)
        self._bits: list[NDArray[np.uint64]] = []

    def add(self, cells: Sequence[str]) -> None:
        codes = map(self._codes.__getitem__, cells)
        self._bits.append(np.fromiter(codes, np.uint64, len(cells)))

    def made(self) -> Column:
        bits = np.concatenate(self._bits)
        return Column(np.full(len(bits), TEXT, np.uint8), bits)


class _Codes(dict[str, int]):
    """Hashes of texts, each made once."""

    def __init__(self, texts: dict[int, str]) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, text: str) -> int:
        code = self[text] = text_hash(text)
        self._texts[code] = text_shown(text, code)
        return code


class Cells:
    """A column of anything."""

    def __init__(self, texts: dict[int, str]) -> None:
        """Texts met are added to `texts`."""
        self._texts = texts
        self._parts: list[Column] = []

    def add(self, cells: Sequence[Any]) -> None:
        self._parts.append(column(cells, self._texts))

    def made(self) -> Column:
        kinds, bits = zip(*((part.kind, part.bits) for part in self._parts), strict=True)
        return Column(np.concatenate(kinds), np.concatenate(bits))
