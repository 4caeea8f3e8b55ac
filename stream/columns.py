"""Rows of one group as columns: what a batch of events becomes before it is summed.

A cell is a kind (absent, null, number, text, other) and eight bytes: the bits of a double, or the
64-bit hash of a text. Rows of different batches, blocks or partitions therefore join by plain
concatenation, and a dictionary beside them gives a hash its text back.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

ABSENT, NULL, NUMBER, TEXT, OTHER = range(5)
LARGEST_NUMBER = 1e100  # beyond it a value is `other`: squares and sums of it mean nothing
SMALLEST_NUMBER = 1e-100  # closer to 0 a number is 0: its square would not be exact
FEATURE = "feature:"  # what the columns of features begin with
_TEXT_SHOWN = 64  # characters of a text that are kept to show it to a person

Group = tuple[str, str, str, str]
"""(model_id, model_version, role, segment)"""

_PLAIN_NUMBERS = frozenset({float, int, bool})


@dataclass(slots=True, eq=False)  # nobody changes one; to make a frozen one takes twice as long
class Column:
    kind: NDArray[np.uint8]
    bits: NDArray[np.uint64]

    def take(self, rows: NDArray[Any] | slice) -> Column:
        return Column(self.kind[rows], self.bits[rows])

    def numbers(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """(row, value) of the cells that hold a number."""
        rows = np.flatnonzero(self.kind == NUMBER)
        return rows, self.bits[rows].view(np.float64)

    def texts(self) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """(row, hash) of the cells that hold a text."""
        rows = np.flatnonzero(self.kind == TEXT)
        return rows, self.bits[rows]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """`hash` orders rows for the row sample: it is of the prediction id, so all features of a
    prediction are kept or dropped together."""

    pane_end: NDArray[np.int64]
    hash: NDArray[np.uint64]
    columns: dict[str, Column]
    texts: dict[int, str]

    def __len__(self) -> int:
        return len(self.pane_end)

    @property
    def first_end_ms(self) -> int:
        return int(self.pane_end.min())

    @property
    def last_end_ms(self) -> int:
        return int(self.pane_end.max())

    def between(self, first_ms: int, last_ms: int) -> Rows:
        """The rows of panes that end within [first_ms, last_ms]."""
        inside = (self.pane_end >= first_ms) & (self.pane_end <= last_ms)
        return self if inside.all() else self.take(np.flatnonzero(inside))

    def take(self, rows: NDArray[Any] | slice) -> Rows:
        return Rows(
            self.pane_end[rows],
            self.hash[rows],
            {name: column.take(rows) for name, column in self.columns.items()},
            self.texts,
        )


NO_ROWS = Rows(np.zeros(0, np.int64), np.zeros(0, np.uint64), {}, {})


def those(values: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
    """Of these rows, which ascend: the values themselves, if all are meant, as most often."""
    return values if len(rows) == len(values) else values[rows]


def texts_among(kinds: NDArray[np.uint8], bits: NDArray[np.uint64]) -> set[int]:
    """The hashes of the texts in these cells: sorted first, since to sort them takes less time than
    to make an object of each."""
    found = np.sort(bits[kinds == TEXT])
    if not len(found):
        return set()
    is_first = np.ones(len(found), np.bool_)
    np.not_equal(found[1:], found[:-1], out=is_first[1:])
    return set(found[is_first].tolist())


def text_hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


def text_shown(text: str, code: int) -> str:
    """`code`: its hash."""
    return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 18]}…{code:016x}"


def constant_column(kind: int, length: int) -> Column:
    return Column(np.full(length, kind, np.uint8), np.zeros(length, np.uint64))


def number_column(values: NDArray[np.float64], kind: NDArray[np.uint8] | None = None) -> Column:
    """Finite numbers (made here, not parsed), where `kind` does not say otherwise."""
    size = np.abs(values)
    is_plain = len(size) == 0 or bool(size.min() >= SMALLEST_NUMBER)
    if kind is None:
        kind = np.full(len(values), NUMBER, np.uint8)
        if is_plain:
            return Column(kind, values.astype(np.float64, copy=False).view(np.uint64))
    if not is_plain:
        values = np.where(size < SMALLEST_NUMBER, 0.0, values)  # one zero, not two
    bits = values.astype(np.float64, copy=False).view(np.uint64)
    is_number = kind == NUMBER
    return Column(kind, bits if is_number.all() else np.where(is_number, bits, np.uint64(0)))


def numbers_of(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Doubles; nan for None."""
    return np.frombuffer(doubles(values), np.float64)


def doubles(values: Sequence[float | None]) -> bytes:
    """Their bytes; nan for None."""
    try:
        return _packed(values)
    except struct.error:
        return np.array(values, np.float64).tobytes()


def _packed(values: Sequence[Any]) -> bytes:
    """Doubles, of numbers: 5 times as fast as numpy.array and strict. Raises struct.error for what
    is no number, OverflowError for an integer beyond the doubles."""
    return _packer(len(values))(*values)


@lru_cache(maxsize=1_024)
def _packer(count: int) -> Callable[..., bytes]:
    return struct.Struct(f"{count}d").pack


def column(values: Sequence[Any], texts: dict[int, str]) -> Column:
    """One column of parsed JSON values; texts met are added to `texts`. O(n)."""
    if type(values[0]) in _PLAIN_NUMBERS:
        try:
            numbers = np.frombuffer(_packed(values), np.float64)
        except (struct.error, OverflowError):
            return _mixed(values, texts)
        if float(np.abs(numbers).max()) <= LARGEST_NUMBER:
            return number_column(numbers)
    elif set(map(type, values)) == {str}:
        seen = {text: text_hash(text) for text in set(values)}
        for text, code in seen.items():
            texts[code] = text_shown(text, code)
        bits = np.fromiter(map(seen.__getitem__, values), np.uint64, len(values))
        return Column(np.full(len(values), TEXT, np.uint8), bits)
    return _mixed(values, texts)


def _mixed(values: Sequence[Any], texts: dict[int, str]) -> Column:
    kind = np.empty(len(values), np.uint8)
    numbers = np.zeros(len(values), np.float64)
    hashes: dict[int, int] = {}
    for i, value in enumerate(values):
        if value is None:
            kind[i] = NULL
        elif type(value) is str:
            kind[i] = TEXT
            hashes[i] = code = text_hash(value)
            texts[code] = text_shown(value, code)
        elif type(value) in _PLAIN_NUMBERS and abs(number := _as_double(value)) <= LARGEST_NUMBER:
            kind[i] = NUMBER
            numbers[i] = number
        else:
            kind[i] = OTHER
    made = number_column(numbers, kind)
    for i, code in hashes.items():
        made.bits[i] = code
    return made


def _as_double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer beyond the range of doubles
        return math.inf


def concatenate(parts: Sequence[Rows]) -> Rows:
    """All rows, in the order given; a column that a part lacks is ABSENT in its rows."""
    if len(parts) == 1:
        return parts[0]
    names = sorted(set().union(*(part.columns for part in parts)))
    texts: dict[int, str] = {}
    for part in parts:
        texts.update(part.texts)
    columns = {}
    for name in names:
        cells = [p.columns.get(name) or constant_column(ABSENT, len(p)) for p in parts]
        columns[name] = Column(
            np.concatenate([c.kind for c in cells]), np.concatenate([c.bits for c in cells])
        )
    return Rows(
        np.concatenate([p.pane_end for p in parts]),
        np.concatenate([p.hash for p in parts]),
        columns,
        texts,
    )
