"""A run: immutable columns sorted by key, with a small filter of its keys, and marks beside them.

Keys are hashes, so their first bits are spread evenly: a bitmap of the prefixes that occur, 8 to
16 bits a row, tells seven misses in eight or more apart without touching the keys. A column whose
values are all alike takes eight bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream import native
from stream.snapshot import Part, pack, unpack

Columns = dict[str, NDArray[Any]]
AnyColumns = Mapping[str, NDArray[Any]]
Keys = NDArray[np.uint64]
Mask = NDArray[np.bool_]
Facts = TypeVar("Facts")

RUN_VERSION = 1
_UNFILTERED_ROWS = 512  # a search in so few rows costs no more than the filter
_FILTER_BITS = 8  # per row, rounded up to a power of two
_UNMARKED = np.uint8(0)
Filter = tuple[np.uint64, NDArray[np.uint8] | None]
"""The shift that leaves a key's prefix; a bitmap of those that occur, None for a small run."""


class Run(Generic[Facts]):
    __slots__ = ("_are_marks_shared", "_bitmap", "_rows", "_shift", "columns", "facts", "marks",
                 "marks_version", "number")  # fmt: skip

    def __init__(
        self,
        number: int,
        columns: Columns,
        facts: Facts,
        marks: NDArray[np.uint8] | None = None,
        marks_version: int = 0,
        *,
        known: Filter | None = None,
    ) -> None:
        """`columns` are sorted by key. `marks`: None where none is set. `known`: the filter,
        of columns that were made by `in_one`."""
        self.number = number
        self._rows = len(columns["key"])
        self.columns = columns
        if known is None:
            self.columns = {name: _narrow(values) for name, values in columns.items()}
        self.facts = facts
        self.marks = marks if marks is not None and marks.any() else None
        self.marks_version = marks_version if self.marks is None else max(1, marks_version)
        self._are_marks_shared = True
        self._shift, self._bitmap = known or _filter(self.columns["key"])

    def __len__(self) -> int:
        return self._rows

    def take(self, rows: NDArray[np.signedinteger[Any]]) -> Columns:
        return {name: picked(values, rows) for name, values in self.columns.items()}

    @property
    def filter(self) -> tuple[NDArray[np.uint8] | None, int]:
        """The bitmap of prefixes that occur, and the shift that leaves one."""
        return self._bitmap, int(self._shift)

    def search(self, needles: Keys) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(index into the sorted needles, row): all pairs of equal keys."""
        keys = self.columns["key"]
        if native.IN_USE and keys.strides == (8,):
            found = native.EXTENSION.search(needles, keys, self._bitmap, int(self._shift))
            return np.frombuffer(found[0], np.int64), np.frombuffer(found[1], np.int64)
        maybe: NDArray[np.intp] | None = None
        if self._bitmap is not None:
            slot = (needles >> self._shift).view(np.int64)
            hit = (self._bitmap[slot >> 3] >> (slot & 7).astype(np.uint8)) & 1
            maybe = hit.nonzero()[0]
            needles = needles[maybe]
        first = keys.searchsorted(needles)
        last = len(keys) - 1
        there = (keys[np.minimum(first, last)] == needles).nonzero()[0]
        if len(there) < len(first):
            first, needles = first[there], needles[there]
            if maybe is not None:
                there = maybe[there]
        elif maybe is not None:
            there = maybe
        again = keys[np.minimum(first + 1, last)] == needles
        if not (again & (first < last)).any():
            return there, first
        count = keys.searchsorted(needles, "right") - first
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(there, count), np.repeat(first, count) + offset

    # -- marks

    def marks_or_zeros(self) -> NDArray[np.uint8]:
        return np.zeros(len(self), np.uint8) if self.marks is None else self.marks

    def mark(self, rows: NDArray[np.intp], bits: int) -> None:
        """Set bits in the marks of these rows; what a part has captured stays as it was."""
        if len(rows):
            self.own_marks()[rows] |= bits

    def own_marks(self) -> NDArray[np.uint8]:
        """To be changed; they are another version from now on."""
        if self.marks is None or self._are_marks_shared:
            self.marks = np.array(self.marks_or_zeros())
            self._are_marks_shared = False
            self.marks_version += 1
        return self.marks

    # -- state

    def parts(self, name: str) -> list[Part]:
        columns = {n: _packable(values) for n, values in self.columns.items()}
        rows = len(self)
        body = Part(
            f"{name}/{self.number}",
            0,
            lambda: pack(b"1", RUN_VERSION, {"rows": rows, "columns": columns}),
        )
        marks = self.marks
        if marks is None:
            return [body]
        self._are_marks_shared = True
        marked = Part(
            f"{name}/{self.number}/marks",
            self.marks_version,
            lambda: pack(b"1", RUN_VERSION, marks),
        )
        return [body, marked]

    @staticmethod
    def read(
        name: str, number: int, marks_version: int, state: Mapping[str, bytes], empty: Columns
    ) -> tuple[Columns, NDArray[np.uint8] | None]:
        plain = unpack(b"1", RUN_VERSION, state[f"{name}/{number}"])
        rows: int = plain["rows"]
        stored = plain["columns"]
        columns = {
            n: np.broadcast_to(stored[n] if n in stored else np.zeros(1, of.dtype), rows)
            for n, of in empty.items()  # a column that is newer than what was stored is 0
        }
        if not marks_version:
            return columns, None
        return columns, unpack(b"1", RUN_VERSION, state[f"{name}/{number}/marks"])


@dataclass(frozen=True, slots=True, eq=False)
class Portion:
    """Rows that go into a run: of some columns all, or these; their marks, if any is set. `order`:
    one that sorts the columns, where it is known and no key comes twice."""

    columns: Columns
    rows: NDArray[np.intp] | None = None
    marks: NDArray[np.uint8] | None = None
    order: NDArray[np.intp] | None = None

    def all_marks(self) -> NDArray[np.uint8]:
        if self.marks is None:
            return alike(_UNMARKED, len(self.columns["key"]))
        return self.marks

    def taken(self) -> tuple[Columns, NDArray[np.uint8]]:
        marks = self.all_marks()
        if self.rows is None:
            return self.columns, marks
        columns = {name: picked(values, self.rows) for name, values in self.columns.items()}
        return columns, marks[self.rows]


def in_one(
    portions: Sequence[Portion],
) -> tuple[Columns, NDArray[np.uint8] | None, Filter | None]:
    """All rows sorted by key, those of equal keys as they come: columns, marks, the filter (None
    where it has yet to be made)."""
    if native.IN_USE:
        return _in_one_natively(portions)
    if portions[0].order is not None:
        return arranged([portions[0].columns], portions[0].order), None, None
    parts, marks = zip(*(portion.taken() for portion in portions), strict=True)
    columns, order = concatenate(parts)
    return columns, np.concatenate(marks)[order], None


def gathered_rows(portions: Sequence[Portion]) -> Columns:
    """The rows as they come, without their marks."""
    if not native.IN_USE:
        return gathered([portion.taken()[0] for portion in portions])
    first = portions[0].columns
    made = native.EXTENSION.together_of(*_laid_out(portions, list(first)))
    return _columns(first, made, portions)


def _in_one_natively(
    portions: Sequence[Portion],
) -> tuple[Columns, NDArray[np.uint8] | None, Filter]:
    first = portions[0].columns
    columns, sizes, lengths, rows = _laid_out(portions, list(first))
    columns.append([portion.all_marks() for portion in portions])
    sizes.append(1)
    limits = _UNFILTERED_ROWS, _FILTER_BITS
    made, bitmap, shift = native.EXTENSION.run_of(columns, sizes, lengths, rows, *limits)
    kept = _columns(first, made, portions)
    marks = np.frombuffer(made[-1], np.uint8)
    if len(marks) != len(kept["key"]):
        marks = np.full(len(kept["key"]), marks[0])
    known = np.uint64(shift), None if bitmap is None else np.frombuffer(bitmap, np.uint8)
    return kept, marks, known


def _laid_out(portions: Sequence[Portion], names: list[str]) -> tuple[list[Any], ...]:
    """Columns of all parts, the bytes of a cell of each, and of each part the rows, and those taken
    of it."""
    first = portions[0].columns
    if names[0] != "key":
        raise ValueError("the key comes first")
    return (
        [[portion.columns[name] for portion in portions] for name in names],
        [values.dtype.itemsize for values in first.values()],
        [len(portion.columns["key"]) for portion in portions],
        [portion.rows for portion in portions],
    )


def _columns(first: Columns, made: Sequence[bytes], portions: Sequence[Portion]) -> Columns:
    count = sum(len(p.columns["key"] if p.rows is None else p.rows) for p in portions)
    columns: Columns = {}
    for (name, values), cell in zip(first.items(), made, strict=False):
        kind = values.dtype
        if len(cell) == kind.itemsize * count:
            columns[name] = np.frombuffer(cell, kind)
        else:
            columns[name] = _alike(cell, kind, count)
    return columns


def concatenate(parts: Sequence[Columns]) -> tuple[Columns, NDArray[np.intp]]:
    """(all rows sorted by key, the order that sorted them); one column at a time."""
    if len(parts) == 1:
        (part,) = parts
        order = np.argsort(part["key"])  # quicker, and the same where no key comes twice
        keys = part["key"][order]
        if (keys[1:] == keys[:-1]).any():
            order = np.argsort(part["key"], kind="stable")
    else:
        order = np.argsort(np.concatenate([part["key"] for part in parts]), kind="stable")
    return arranged(parts, order), order


def arranged(parts: Sequence[Columns], order: NDArray[np.intp]) -> Columns:
    """All rows in this order; a column in one cell where all are alike, bit for bit."""
    return {n: picked(_in_a_cell(whole([part[n] for part in parts])), order) for n in parts[0]}


def cells(values: NDArray[Any]) -> NDArray[Any]:
    """All of them, or one where they are alike: as the extension takes a column."""
    return values[:1] if values.strides == (0,) else np.ascontiguousarray(values)


def alike(value: np.generic, count: int) -> NDArray[Any]:
    """So many of this value, in one cell."""
    return _alike(value.tobytes(), value.dtype, count)


def _alike(cell: bytes, kind: Any, count: int) -> NDArray[Any]:
    """So many of this cell, read-only: without what numpy.broadcast_to looks after."""
    return np.ndarray((count,), kind, cell, strides=(0,))


def whole(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One column of several; in one cell where all are, and alike."""
    if len(parts) == 1:
        return parts[0]
    if all(part.strides == (0,) for part in parts):
        cells = {part[:1].tobytes() for part in parts}
        if len(cells) == 1:
            return _alike(parts[0][:1].tobytes(), parts[0].dtype, sum(map(len, parts)))
    return np.concatenate(parts)


def picked(values: NDArray[Any], rows: NDArray[np.signedinteger[Any]]) -> NDArray[Any]:
    if values.strides == (0,):
        return _alike(values[:1].tobytes(), values.dtype, len(rows))
    picked: NDArray[Any] = values[rows]
    return picked


def gathered(parts: Sequence[Columns]) -> Columns:
    return {name: whole([part[name] for part in parts]) for name in parts[0]}


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Read-only; in one cell where all are alike, bit for bit."""
    values = _in_a_cell(values)
    values.flags.writeable = False
    return values


def _in_a_cell(values: NDArray[Any]) -> NDArray[Any]:
    """The same, or one cell where all are alike, bit for bit."""
    if values.strides == (0,):
        return values
    bits = values.view(np.int64) if values.dtype.itemsize == 8 else values
    if len(values) > 1 and bits[0] == bits[-1] and (bits == bits[0]).all():
        return _alike(values[:1].tobytes(), values.dtype, len(values))
    return values


def _packable(values: NDArray[Any]) -> NDArray[Any]:
    return values[:1] if values.strides == (0,) else values


def _filter(keys: Keys) -> Filter:
    if len(keys) < _UNFILTERED_ROWS:
        return np.uint64(0), None
    bits = (_FILTER_BITS * len(keys) - 1).bit_length()
    shift = np.uint64(64 - bits)
    occurs = np.zeros(1 << bits, np.bool_)
    occurs[(keys >> shift).view(np.int64)] = True
    return shift, np.packbits(occurs, bitorder="little")
