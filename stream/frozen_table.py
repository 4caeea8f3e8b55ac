"""The one pane of a reference, packed: read when something begins to be compared, or is told."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import cramjam
import numpy as np
from numpy.typing import NDArray

from stream.columns import NO_ROWS
from stream.packed_rows import packed, restored, shuffled, unpacked
from stream.panes import PaneTable
from stream.plain_panes import table_apart, table_together
from stream.snapshot import pack, unpack

_MAGIC, _VERSION = b"Z", 1  # of bytes that this process alone reads
_LEVEL = 3  # of zstd: written once
_MANY, _RISING = 64, 0.9


class FrozenTable:
    """Takes a third of what the table takes."""

    __slots__ = ("_sample", "_sums", "count", "names")

    def __init__(self, table: PaneTable) -> None:
        self.count = int(table.rows[0])
        self.names = _known(frozenset(table.features))
        self._sample = packed(table.sample)
        sums = replace(table, sample=replace(NO_ROWS, texts=table.texts))
        plain = pack(_MAGIC, _VERSION, _smaller(table_together(sums)))
        self._sums = bytes(cramjam.zstd.compress(plain, _LEVEL))

    def open(self) -> PaneTable:
        """The table; nobody may change it. The last two of the process are at hand."""
        return _opened(self._sums, self._sample)


@lru_cache(maxsize=2)  # of the two kinds of a group: features are compared one after the other
def _opened(sums: bytes, sample: bytes) -> PaneTable:
    plain = unpack(_MAGIC, _VERSION, bytes(cramjam.zstd.decompress(sums)))
    return replace(table_apart(_as_before(plain)), sample=unpacked(sample))


@lru_cache(maxsize=256)
def _known(names: frozenset[str]) -> frozenset[str]:
    """Those that are equal are one: versions, segments and models are often alike."""
    return names


def _smaller(plain: dict[str, Any]) -> dict[str, Any]:
    """Of many integers first bytes first, as differences where they rise: zstd finds no more."""
    return plain | {"whole": [[_small(array) for array in arrays] for arrays in plain["whole"]]}


def _as_before(plain: dict[str, Any]) -> dict[str, Any]:
    return plain | {"whole": [[_large(array) for array in arrays] for arrays in plain["whole"]]}


def _small(array: NDArray[Any]) -> Any:
    if len(array) < _MANY or array.dtype.kind != "i" or array.ndim != 1:
        return array
    steps = np.diff(array, prepend=array.dtype.type(0))  # around the end, if need be
    rises = bool((steps >= 0).mean() > _RISING)
    return [array.dtype.str, rises, shuffled(steps if rises else array)]


def _large(stored: Any) -> NDArray[Any]:
    if isinstance(stored, np.ndarray):
        return stored
    dtype, rises, data = stored
    array = restored(data, np.dtype(dtype))
    return np.cumsum(array, dtype=array.dtype) if rises else array
