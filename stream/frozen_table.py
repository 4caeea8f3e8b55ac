"""The one pane of a reference, packed: read when something begins to be compared, or is told."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from weakref import ref

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
    """Takes a third of what the table takes, once it is not at hand any more: a provisional
    reference is often overtaken before."""

    __slots__ = ("__weakref__", "_sample", "_sums", "_table", "count", "names")

    def __init__(self, table: PaneTable) -> None:
        self.count = int(table.rows[0])
        self.names = frozenset(table.features)
        self._sample = self._sums = b""
        self._table: PaneTable | None = table
        _keep_at_hand(self)

    def open(self) -> PaneTable:
        """The table; nobody may change it. The last ones made or asked for are at hand."""
        table = self._table
        if table is None:
            plain = unpack(_MAGIC, _VERSION, bytes(cramjam.zstd.decompress(self._sums)))
            table = replace(table_apart(plain), sample=unpacked(self._sample))
            self._table = table
            _keep_at_hand(self)
        return table

    def _put_away(self) -> None:
        table = self._table
        if table is not None and not self._sums:
            self._sample = packed(table.sample)
            sums = replace(table, sample=replace(_NO_ROWS, texts=table.texts))
            plain = pack(_MAGIC, _VERSION, table_together(sums))
            self._sums = bytes(cramjam.zstd.compress(plain, _LEVEL))
        self._table = None  # last: a checkpoint is written beside, and may ask


_at_hand: OrderedDict[ref[FrozenTable], None] = OrderedDict()


def _keep_at_hand(frozen: FrozenTable) -> None:
    _at_hand[ref(frozen)] = None
    if len(_at_hand) > _AT_HAND:
        oldest = _at_hand.popitem(last=False)[0]()
        if oldest is not None:
            oldest._put_away()
