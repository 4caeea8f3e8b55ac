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
_FEW = 8  # times as many cells as kinds of them: by their place
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()


def packed(rows: Rows) -> bytes:
    """O(cells)."""
    kinds = _stacked([column.kind for column in rows.columns.values()], np.uint8, len(rows))
    bits = _stacked([column.bits for column in rows.columns.values()], np.uint64, len(rows))
    digits = _digits(kinds, bits)
    columns: list[Any] = []
    for place, exponent in enumerate(digits.tolist()):
        if exponent != _AS_THEY_ARE:
            whole = np.rint(bits[place].view(np.float64) * _POWERS[exponent]).astype(np.int64)
            low = int(whole.min(initial=0))
            columns.append([low, *_narrow(whole - low)])
            continue
        found, at = np.unique(bits[place], return_inverse=True)
        if len(found) * _FEW <= len(rows):
            digits[place] = _BY_PLACE
            columns.append([shuffled(found), *_narrow(at.astype(np.int64))])
        else:
            columns.append(shuffled(bits[place]))
    plain = [
        len(rows),
        shuffled(rows.pane_end),
        shuffled(rows.hash),
        list(rows.columns),
        kinds.tobytes(),
        digits.tobytes(),
        columns,
        rows.texts,
    ]
    return bytes(cramjam.zstd.compress(_encoder.encode(plain), _LEVEL))


def unpacked(stored: bytes) -> Rows:
    """The rows that `packed` was given."""
    plain: list[Any] = _decoder.decode(bytes(cramjam.zstd.decompress(stored)))
    count, ends, hashes, names, kinds, digits, columns, texts = plain
    bits = np.empty((len(names), count), np.uint64)
    for place, exponent in enumerate(np.frombuffer(digits, np.int8).tolist()):
        column = columns[place]
        if exponent == _AS_THEY_ARE:
            bits[place] = restored(column, np.uint64)
        elif exponent == _BY_PLACE:
            found, width, at = column
            bits[place] = restored(found, np.uint64)[_widened(width, at, count)]
        else:
            low, width, above = column
            whole = _widened(width, above, count) + low
            bits[place] = (whole / _POWERS[exponent]).view(np.uint64)
    kind = np.frombuffer(kinds, np.uint8).reshape(len(names), count)
    cells = {name: Column(kind[i], bits[i]) for i, name in enumerate(names)}
    return Rows(restored(ends, np.int64), restored(hashes, np.uint64), cells, texts)


def _narrow(values: NDArray[np.int64]) -> tuple[int, bytes]:
    """Of integers from 0 on below 2^32: in how many bits each, and these."""
    width = int(values.max(initial=0)).bit_length()
    every = np.unpackbits(values.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    return width, np.packbits(every[:, 32 - width :]).tobytes()


def _widened(width: int, data: bytes, count: int) -> NDArray[np.int64]:
    every = np.zeros((count, 32), np.uint8)
    some = np.unpackbits(np.frombuffer(data, np.uint8), count=count * width)
    every[:, 32 - width :] = some.reshape(count, width)
    return np.packbits(every, axis=1).view(">u4").reshape(-1).astype(np.int64)


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


def shuffled(array: NDArray[Any]) -> bytes:
    """First bytes first: what is alike lies together."""
    whole = np.ascontiguousarray(array)
    return whole.view(np.uint8).reshape(whole.size, whole.itemsize).T.tobytes()


def restored(data: bytes, dtype: np.dtype[Any] | type) -> NDArray[Any]:
    """What `shuffled` was given."""
    size = np.dtype(dtype).itemsize
    parts = np.frombuffer(data, np.uint8).reshape(size, len(data) // size)
    return np.ascontiguousarray(parts.T).reshape(-1).view(dtype)
