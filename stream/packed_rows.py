"""Sampled rows as bytes: exact, and a quarter of their size, for what lies in memory and is read
only when something is told.

Numbers are stored as integers with a decimal exponent where that gives back every bit, as it does
for what was written with up to nine digits, in as many bits as their range takes; cells of a few
kinds, such as texts, by their place among these; others as they are. A process reads what it has
packed itself: these bytes are no format of records or checkpoints.
"""

from __future__ import annotations

from typing import Any

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.columns import NUMBER, Column, Rows

_LEVEL = 1  # of zstd
_POWERS = np.array([float(10**digits) for digits in range(10)])  # exact
_MOST = float(2**31 - 1)
_AS_THEY_ARE, _BY_PLACE = -1, -2
_MOST_NAMES = 10_000
_last: dict[str, int] = {}  # by name of a column, exponents that were the least
_FEW = 8  # times as many cells as kinds of them: by their place
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()


def packed(rows: Rows) -> bytes:
    """O(cells)."""
    kinds = _stacked([column.kind for column in rows.columns.values()], np.uint8, len(rows))
    bits = _stacked([column.bits for column in rows.columns.values()], np.uint64, len(rows))
    digits = _digits(list(rows.columns), kinds, bits)
    other, known = np.flatnonzero(digits == _AS_THEY_ARE).tolist(), list[bytes]()
    whole = np.rint(bits.view(np.float64) * _POWERS[np.maximum(digits, 0), None])
    whole[other] = 0
    for column in other:
        found, at = np.unique(bits[column], return_inverse=True)
        if len(found) * _FEW <= len(rows):
            digits[column], whole[column] = _BY_PLACE, at
        else:
            found = bits[column]
        known.append(shuffled(found))
    integers = whole.astype(np.int64)
    lows = integers.min(axis=1, initial=int(_MOST)) if len(rows) else np.zeros(len(bits), np.int64)
    plain = [
        len(rows),
        shuffled(rows.pane_end),
        shuffled(rows.hash),
        list(rows.columns),
        kinds.tobytes(),
        digits.tobytes(),
        lows.tolist(),
        *_narrow(integers - lows[:, None]),
        known,
        rows.texts,
    ]
    return bytes(cramjam.zstd.compress(_encoder.encode(plain), _LEVEL))


def unpacked(stored: bytes) -> Rows:
    """The rows that `packed` was given."""
    plain: list[Any] = _decoder.decode(bytes(cramjam.zstd.decompress(stored)))
    count, ends, hashes, names, kinds, exponents, lows, widths, data, known, texts = plain
    digits = np.frombuffer(exponents, np.int8)
    integers = _widened(np.array(widths, np.int64), data, count) + np.array(lows, np.int64)[:, None]
    bits = (integers / _POWERS[np.maximum(digits, 0), None]).view(np.uint64)
    for column, found in zip(np.flatnonzero(digits < 0).tolist(), known, strict=True):
        values = restored(found, np.uint64)
        bits[column] = values[integers[column]] if digits[column] == _BY_PLACE else values
    kind = np.frombuffer(kinds, np.uint8).reshape(len(names), count)
    cells = {name: Column(kind[i], bits[i]) for i, name in enumerate(names)}
    return Rows(restored(ends, np.int64), restored(hashes, np.uint64), cells, texts)


def _narrow(values: NDArray[np.int64]) -> tuple[list[int], bytes]:
    """Of integers from 0 on below 2^32, (columns, rows): in how many bits each column's, and all
    of these."""
    widths = [most.bit_length() for most in values.max(axis=1, initial=0).tolist()]
    every = np.unpackbits(values.astype(">u4").view(np.uint8), axis=1).reshape(*values.shape, 32)
    taken = [of[:, 32 - width :].ravel() for of, width in zip(every, widths, strict=True)]
    return widths, np.packbits(np.concatenate([*taken, every.ravel()[:0]])).tobytes()


def _widened(widths: NDArray[np.int64], data: bytes, count: int) -> NDArray[np.int64]:
    every = np.zeros((len(widths), count, 32), np.uint8)
    some = np.frombuffer(data, np.uint8)
    every[_taken(widths, count)] = np.unpackbits(some, count=int(widths.sum()) * count)
    return np.packbits(every, axis=2).view(">u4").reshape(len(widths), count).astype(np.int64)


def _taken(widths: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Which of 32 bits, (columns, rows, 32)."""
    taken = np.arange(32) >= 32 - widths[:, None]
    return np.broadcast_to(taken[:, None], (len(widths), count, 32))


def _stacked(arrays: list[NDArray[Any]], dtype: type, count: int) -> NDArray[Any]:
    return np.stack(arrays) if arrays else np.zeros((0, count), dtype)


def _digits(
    names: list[str], kinds: NDArray[np.uint8], bits: NDArray[np.uint64]
) -> NDArray[np.int8]:
    """Of each column a decimal exponent that makes all its cells integers of 32 bits: the one that
    did last, or the least."""
    found = np.full(len(kinds), _AS_THEY_ARE, np.int8)
    # a cell without a number is 0, but for texts
    left = np.flatnonzero(((kinds == NUMBER) | (bits == 0)).all(axis=1))
    last = np.array([_last.get(names[column], 0) for column in left.tolist()], np.int8)
    exact = _fit(bits[left], last)[1]
    found[left[exact]], left = last[exact], left[~exact]
    for digits in range(len(_POWERS)):
        if not len(left):
            break
        fits, exact = _fit(bits[left], np.full(len(left), digits, np.int8))
        found[left[exact]] = digits
        for column in left[exact].tolist():
            _last[names[column]] = digits
        left = left[fits & ~exact]
    if len(_last) > _MOST_NAMES:
        _last.clear()
    return found


def _fit(
    bits: NDArray[np.uint64], digits: NDArray[np.int8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the columns, by these exponents, are within 32 bits, and exact too."""
    numbers, power = bits.view(np.float64), _POWERS[digits, None]
    scaled = np.rint(numbers * power)
    fits = (np.abs(scaled) <= _MOST).all(axis=1)
    back = (scaled + 0.0) / power  # no zero below 0: an integer has none
    return fits, fits & (back.view(np.uint64) == bits).all(axis=1)


def shuffled(array: NDArray[Any]) -> bytes:
    """First bytes first: what is alike lies together."""
    whole = np.ascontiguousarray(array)
    return whole.view(np.uint8).reshape(whole.size, whole.itemsize).T.tobytes()


def restored(data: bytes, dtype: np.dtype[Any] | type) -> NDArray[Any]:
    """What `shuffled` was given."""
    size = np.dtype(dtype).itemsize
    parts = np.frombuffer(data, np.uint8).reshape(size, len(data) // size)
    return np.ascontiguousarray(parts.T).reshape(-1).view(dtype)
