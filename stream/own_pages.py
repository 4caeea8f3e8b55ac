"""A table in pages of its own: what is gathered for a while, and then is gone at once.

Arrays of many sizes that many models hold for some time, and then no more, leave holes between what
is kept of each, which nobody fills. These leave none: the system has their pages back.
"""

from __future__ import annotations

import mmap
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.columns import Column, Rows
from stream.pane_features import PaneFeatures
from stream.panes import PaneTable
from stream.plain_panes import feature_from_plain, feature_to_plain, table_from_plain

_ALIGNED = 16
_GAPS = [bytes(-size % _ALIGNED) for size in range(_ALIGNED)]  # behind so many beyond a border
_FEW = 64  # rows, of which it takes longer than to summarise them
_LEAST = 1 << 16  # bytes that are worth it: a process has some 65,000 such regions
_dtypes: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # of all tables: they are few


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """Not copied when who holds them goes to sleep."""

    data: mmap.mmap | bytes


class OwnPages:
    """Opened when it is asked for: arrays that are views of the pages, and hold them."""

    __slots__ = (
        *("_columns", "_dtypes", "_features", "_pages", "_sizes", "_table", "_texts"),
        *("panes", "sampled"),
    )

    def __init__(self, table: PaneTable) -> None:
        """O(bytes)."""
        sample = table.sample
        self.panes, self.sampled = len(table), len(sample)
        self._table = table if self.sampled < _FEW else None
        if self._table is not None:
            return
        features, columns = PaneFeatures.of(table.features, len(table)), sample.columns.values()
        self._features, self._columns = features.names, tuple(sample.columns)
        self._texts = sample.texts
        arrays = [
            *(table.pane_end, table.rows, table.limit, sample.pane_end, sample.hash),
            *(array for part in feature_to_plain(features.whole) for array in part),
            *(column.kind for column in columns),
            *(column.bits for column in columns),
        ]
        first = arrays[: len(arrays) - 2 * len(self._columns)]
        dtypes = tuple(array.dtype for array in first)
        self._dtypes = _dtypes.setdefault(dtypes, dtypes)
        self._sizes = np.array([array.size for array in first])
        parts = [
            part for array in arrays for part in (array.tobytes(), _GAPS[array.nbytes % _ALIGNED])
        ]
        self._pages = _pages(b"".join(parts))

    def open(self) -> PaneTable:
        """The table; nobody may change it."""
        if self._table is not None:
            return self._table
        start = 0

        def taken(dtype: np.dtype[Any] | type, size: int) -> NDArray[Any]:
            nonlocal start
            array: NDArray[Any] = np.frombuffer(self._pages.data, dtype, size, start)
            start += -(-array.nbytes // _ALIGNED) * _ALIGNED
            return array

        pane_end, rows, limit, ends, hashes, *parts = map(taken, self._dtypes, self._sizes.tolist())
        whole = [parts[:6], *(parts[at : at + 3] for at in range(6, 18, 3))]
        kinds = [taken(np.uint8, len(ends)) for _ in self._columns]
        bits = [taken(np.uint64, len(ends)) for _ in self._columns]
        cells = map(Column, kinds, bits)
        sample = Rows(ends, hashes, dict(zip(self._columns, cells, strict=True)), self._texts)
        features = PaneFeatures(self._features, self.panes, feature_from_plain(whole))
        return PaneTable(pane_end, rows, features, sample, limit)


def pages_from_plain(plain: dict[str, Any] | None) -> OwnPages | None:
    return None if plain is None else OwnPages(table_from_plain(plain))


def _pages(data: bytes) -> Pages:
    if len(data) >= _LEAST and sys.platform != "win32":
        try:
            pages = mmap.mmap(-1, len(data), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:  # there are as many as there may be
            return Pages(data)
        pages[:] = data
        return Pages(pages)
    return Pages(data)
