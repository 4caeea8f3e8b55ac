"""Arrays behind one another in one piece of memory: an object for each may be larger than it."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_ALIGNED = 8
_KINDS = [np.dtype(c) for c in ("?", "u1", "u2", "u4", "i4", "i8", "f4", "f8")]
_CODE = {kind: code for code, kind in enumerate(_KINDS)}


def packed(arrays: Sequence[npt.NDArray[Any]]) -> bytes:
    """Of one dimension each.

    >>> [of.tolist() for of in views(packed([np.arange(3), np.array([True])]))]
    [[0, 1, 2], [True]]
    """
    head = [struct.pack("=BI", _CODE[of.dtype], len(of)) for of in arrays]
    parts = [bytes([len(arrays)]), *head]
    size = 1 + 5 * len(arrays)
    for of in arrays:
        parts += [bytes(-size % _ALIGNED), of.tobytes()]
        size += -size % _ALIGNED + of.nbytes
    return b"".join(parts)


def views(block: bytes) -> list[npt.NDArray[Any]]:
    """Inverse of `packed`; read-only, and of no use to another process."""
    at = 1 + 5 * block[0]
    found: list[npt.NDArray[Any]] = []
    for code, count in struct.iter_unpack("=BI", block[1:at]):
        at += -at % _ALIGNED
        kind = _KINDS[code]
        found.append(np.frombuffer(block, kind, count, at))
        at += count * kind.itemsize
    return found
