"""Sampled rows as bytes: exact, and a third of their size, for what lies in memory and is read
only when something is told.

Numbers are stored as integers with a decimal exponent where that gives back every bit, as it does
for what was written with up to nine digits; else as they are. A process reads what it has packed
itself: these bytes are no format of records or checkpoints.
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
_AS_THEY_ARE = -1
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()


def packed(rows: Rows) -> bytes:
    """O(cells)."""
    kinds = _stacked([column.kind for column in rows.columns.values()], np.uint8, len(rows))
    bits = _stacked([column.bits for column in rows.columns.values()], np.uint64, len(rows))
    digits = _digits(kinds, bits)
    short = np.flatnonzero(digits != _AS_THEY_ARE)
    powers = _POWERS[digits[short], None]
    whole = np.rint(bits[short].view(np.float64) * powers).astype(np.int32)
    plain = [
        len(rows),
        _shuffled(rows.pane_end),
        _shuffled(rows.hash),
        list(rows.columns),
        kinds.tobytes(),
        digits.tobytes(),
        _shuffled(whole),
        _shuffled(bits[digits == _AS_THEY_ARE]),
        rows.texts,
    ]
    return bytes(cramjam.zstd.compress(_encoder.encode(plain), _LEVEL))


def unpacked(stored: bytes) -> Rows:
    """The rows that `packed` was given."""
    plain: list[Any] = _decoder.decode(bytes(cramjam.zstd.decompress(stored)))
    count, ends, hashes, names, kinds, digit, short, long, texts = plain
    digits = np.frombuffer(digit, np.int8)
    bits = np.empty((len(names), count), np.uint64)
    is_short = digits != _AS_THEY_ARE
    numbers = _restored(short, np.int32).reshape(int(is_short.sum()), count)
    bits[is_short] = (numbers / _POWERS[digits[is_short], None]).view(np.uint64)
    bits[~is_short] = _restored(long, np.uint64).reshape(int((~is_short).sum()), count)
    kind = np.frombuffer(kinds, np.uint8).reshape(len(names), count)
    columns = {name: Column(kind[i], bits[i]) for i, name in enumerate(names)}
    return Rows(_restored(ends, np.int64), _restored(hashes, np.uint64), columns, texts)


def _stacked(arrays: list[NDArray[Any]], dtype: type, count: int) -> NDArray[Any]:
    return np.stack(arrays) if arrays else np.zeros((0, count), dtype)


def _digits(kinds: NDArray[np.uint8], bits: NDArray[np.uint64]) -> NDArray[np.int8]:
    """Of each column the decimal exponent that makes all its cells integers of 32 bits."""
    found = np.full(len(kinds), _AS_THEY_ARE, np.int8)
    # a cell without a number is 0, but for texts
    left = np.flatnonzero(((kinds == NUMBER) | (bits == 0)).all(axis=1))
    for digits, power in enumerate(_POWERS):
        scaled = np.rint(bits[left].view(np.float64) * power)
        fits = (np.abs(scaled) <= _MOST).all(axis=1)
        back = (scaled + 0.0) / power  # no zero below 0: an integer has none
        exact = fits & (back.view(np.uint64) == bits[left]).all(axis=1)
        found[left[exact]] = digits
        left = left[fits & ~exact]
        if not len(left):
            break
    return found


def _shuffled(array: NDArray[Any]) -> bytes:
    """First bytes first: what is alike lies together."""
    whole = np.ascontiguousarray(array)
    return whole.view(np.uint8).reshape(whole.size, whole.itemsize).T.tobytes()


def _restored(data: bytes, dtype: type) -> NDArray[Any]:
    size = np.dtype(dtype).itemsize
    parts = np.frombuffer(data, np.uint8).reshape(size, len(data) // size)
    return np.ascontiguousarray(parts.T).reshape(-1).view(dtype)
