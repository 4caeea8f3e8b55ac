"""The one pane of a reference, packed: read when something begins to be compared, or is told."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import cramjam
import numpy as np

from stream.columns import Rows
from stream.packed_rows import packed, unpacked
from stream.panes import PaneTable
from stream.plain_panes import table_apart, table_together
from stream.snapshot import pack, unpack

_MAGIC, _VERSION = b"Z", 1  # of bytes that this process alone reads
_LEVEL = 3  # of zstd: written once
_AT_HAND = 4  # tables
_NO_ROWS = Rows(np.zeros(0, np.int64), np.zeros(0, np.uint64), {}, {})


class FrozenTable:
    """Takes a third of what the table takes."""

    __slots__ = ("_sample", "_sums", "count", "names")

    def __init__(self, table: PaneTable) -> None:
        self.count = int(table.rows[0])
        self.names = frozenset(table.features)
        self._sample = packed(table.sample)
        sums = replace(table, sample=replace(_NO_ROWS, texts=table.texts))
        plain = pack(_MAGIC, _VERSION, table_together(sums))
        self._sums = bytes(cramjam.zstd.compress(plain, _LEVEL))
        _keep_at_hand(self, table)

    def open(self) -> PaneTable:
        """The table; nobody may change it. The last ones made or asked for are at hand."""
        table = _at_hand.get(self)
        if table is None:
            plain = unpack(_MAGIC, _VERSION, bytes(cramjam.zstd.decompress(self._sums)))
            table = replace(table_apart(plain), sample=unpacked(self._sample))
            _keep_at_hand(self, table)
        return table


_at_hand: OrderedDict[FrozenTable, PaneTable] = OrderedDict()


def _keep_at_hand(frozen: FrozenTable, table: PaneTable) -> None:
    _at_hand[frozen] = table
    if len(_at_hand) > _AT_HAND:
        _at_hand.popitem(last=False)
