"""The one pane of a reference, packed: read when something begins to be compared, or is told."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import cramjam
import numpy as np
from numpy.typing import NDArray

from stream.columns import Rows
from stream.packed_rows import packed, restored, shuffled, unpacked
from stream.panes import PaneTable
from stream.plain_panes import table_apart, table_together
from stream.snapshot import pack, unpack

_MAGIC, _VERSION = b"Z", 1  # of bytes that this process alone reads
_LEVEL = 3  # of zstd: written once
_AT_HAND = 4  # tables
_MANY, _RISING = 64, 0.9
_NO_ROWS = Rows(np.zeros(0, np.int64), np.zeros(0, np.uint64), {}, {})


class FrozenTable:
    """Takes a third of what the table takes."""

    __slots__ = ("_sample", "_sums", "count", "names")

    def __init__(self, table: PaneTable) -> None:
        self.count = int(table.rows[0])
        self.names = frozenset(table.features)
        self._sample = packed(table.sample)
        sums = replace(table, sample=replace(_NO_ROWS, texts=table.texts))
        plain = pack(_MAGIC, _VERSION, _smaller(table_together(sums)))
        self._sums = bytes(cramjam.zstd.compress(plain, _LEVEL))
        _keep_at_hand(self, table)

    def open(self) -> PaneTable:
        """The table; nobody may change it. The last ones made or asked for are at hand."""
        table = _at_hand.get(self)
        if table is None:
            plain = unpack(_MAGIC, _VERSION, bytes(cramjam.zstd.decompress(self._sums)))
            table = replace(table_apart(_as_before(plain)), sample=unpacked(self._sample))
            _keep_at_hand(self, table)
        return table


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


_at_hand: OrderedDict[FrozenTable, PaneTable] = OrderedDict()


def _keep_at_hand(frozen: FrozenTable, table: PaneTable) -> None:
    _at_hand[frozen] = table
    if len(_at_hand) > _AT_HAND:
        _at_hand.popitem(last=False)
