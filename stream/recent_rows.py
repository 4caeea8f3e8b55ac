"""The recent window of a group: the row samples of its latest panes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream.columns import Column, Rows, concatenate
from stream.packed_rows import packed, unpacked
from stream.panes import WHOLE, PaneTable
from stream.plain_panes import rows_from_plain, rows_to_plain
from stream.snapshot import pack, unpack

_MAGIC, _VERSION = b"W", 1
_STRETCHES = 4  # in `keep` rows: a stretch is written once, what is newer with every checkpoint
_unpacked = lru_cache(maxsize=5)(unpacked)  # of one window, asked for again for each finding
_MOST_OPEN = 1 << 15  # cells, 300 kB: a stretch of more, of very many features, is packed at once
_MOST_NEWEST = 8  # tables that are not joined yet: each has arrays of its own


@dataclass(frozen=True, eq=False)
class Stretch:
    """Sampled rows of consecutive panes; ends and limits are of all their panes."""

    rows: Rows
    ends: NDArray[np.int64]
    limits: NDArray[np.uint64]

    @cached_property
    def name(self) -> str:
        """Of its content: equal names are equal stretches."""
        content = xxhash.xxh3_128()
        for array in (self.ends, self.limits, self.rows.pane_end, self.rows.hash):
            content.update(np.ascontiguousarray(array).tobytes())
        for name, cells in self.rows.columns.items():
            content.update(name.encode() + cells.kind.tobytes() + cells.bits.tobytes())
        return f"rows/{content.hexdigest()}"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def first_end_ms(self) -> int:
        return int(self.ends[0])

    @property
    def last_end_ms(self) -> int:
        return int(self.ends[-1])

    def opened(self) -> Stretch:
        return self

    def latest(self, keep: int) -> Stretch:
        """From the pane that holds the `keep`-th last row on."""
        if len(self.rows) <= keep:
            return self
        first_ms = int(self.rows.pane_end[-keep])
        fresh = self.ends >= first_ms
        rows = self.rows.between(first_ms, int(self.ends[-1]))
        return Stretch(rows, self.ends[fresh], self.limits[fresh])

    def to_plain(self) -> list[Any]:
        return [rows_to_plain(self.rows), self.ends, self.limits]

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> Stretch:
        return cls(rows_from_plain(plain[0]), plain[1], plain[2])

    def encode(self) -> bytes:
        return pack(_MAGIC, _VERSION, self.to_plain())


class FullStretch:
    """One that never changes. The latest is open from when it is made until its monitor sleeps:
    where panes come often the next one has taken its place before it is ever packed."""

    __slots__ = ("_count", "_ends", "_limits", "_open", "_packed", "name")

    def __init__(self, stretch: Stretch) -> None:
        self.name = stretch.name
        self._count = len(stretch)
        self._ends, self._limits = stretch.ends, stretch.limits
        self._open: Rows | None = _own(stretch.rows)
        self._packed = b""
        if len(stretch.rows) * len(stretch.rows.columns) > _MOST_OPEN:
            self.put_away()

    def put_away(self) -> None:
        """Packed; it is opened when it is asked for."""
        rows = self._open
        if rows is not None:
            self._packed = packed(rows)
            self._open = None  # last: a checkpoint is written beside, and may ask

    def __getstate__(self) -> list[Any]:
        """For a monitor that goes to sleep."""
        self.put_away()
        return [self.name, self._count, self._ends, self._limits, self._packed]

    def __setstate__(self, state: list[Any]) -> None:
        self.name, self._count, self._ends, self._limits, self._packed = state
        self._open = None

    def __len__(self) -> int:
        return self._count

    @property
    def first_end_ms(self) -> int:
        return int(self._ends[0])

    @property
    def last_end_ms(self) -> int:
        return int(self._ends[-1])

    @property
    def limits(self) -> NDArray[np.uint64]:
        return self._limits

    def opened(self) -> Stretch:
        rows = self._open
        return Stretch(_unpacked(self._packed) if rows is None else rows, self._ends, self._limits)

    def encode(self) -> bytes:
        return self.opened().encode()

    @classmethod
    def decode(cls, data: bytes) -> FullStretch:
        one = cls(Stretch.from_plain(unpack(_MAGIC, _VERSION, data)))
        one.put_away()
        return one


class RecentRows:
    """The row samples of the latest panes: at least `keep` rows where there were as many.

    Rows of a pane whose sample is thinner thin the others too (all below the least limit), so
    the window is a uniform sample of its predictions.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._stretches: list[FullStretch] = []  # oldest first
        self._newest: list[Stretch] = []

    def keep(self, rows: int) -> None:
        """So many from now on."""
        self._keep = rows

    def add(self, table: PaneTable) -> None:
        self._newest.append(Stretch(table.sample, table.pane_end, table.limit))

    def trim(self) -> None:
        """Forget what no window can reach any more."""
        if sum(map(len, self._newest)) * _STRETCHES >= self._keep:
            full = _joined(self._newest).latest(self._keep)
            self._stretches.append(FullStretch(full))
            self._newest = []
        elif len(self._newest) > _MOST_NEWEST:
            self._newest = [_joined(self._newest)]
        held = sum(map(len, self._parts))
        while self._stretches and held - len(self._stretches[0]) >= self._keep:
            held -= len(self._stretches.pop(0))
        for stretch in self._stretches[:-1]:
            stretch.put_away()

    @property
    def _parts(self) -> list[FullStretch | Stretch]:
        return [*self._stretches, *self._newest]

    @property
    def last_end_ms(self) -> int:
        return self._parts[-1].last_end_ms

    def window(self, since_ms: int, until_end_ms: int) -> Rows | None:
        """Sampled rows of the panes that start at or after `since_ms`, up to this pane's end."""
        parts = [part.opened() for part in self._parts if part.first_end_ms <= until_end_ms]
        if not parts:
            return None
        ends = np.concatenate([part.rows.pane_end for part in parts])
        upto = int(np.searchsorted(ends, until_end_ms, "right"))
        if not upto:
            return None
        # from the end of the pane that holds the `keep`-th last row
        first_ms = max(int(ends[max(upto - self._keep, 0)]), since_ms + 1)
        whole = _joined([part for part in parts if part.last_end_ms >= first_ms] or parts[-1:])
        inside = (whole.ends >= first_ms) & (whole.ends <= until_end_ms)
        limit = whole.limits[inside].min() if inside.any() else WHOLE
        rows = whole.rows.between(first_ms, until_end_ms)
        return rows if limit == WHOLE else rows.take(np.flatnonzero(rows.hash < limit))

    def least_limit(self) -> int:
        """Of all panes that are kept: rows with smaller hashes are in any window of their panes."""
        return min((int(part.limits.min()) for part in self._parts if len(part.limits)), default=0)

    def column(self, name: str) -> Column | None:
        """Of the latest rows: of `keep` of them, or of all there were."""
        kept: list[Column] = []
        left = self._keep
        for part in reversed(self._parts):
            if left <= 0:
                break
            cells = part.opened().rows.columns.get(name)
            if len(part) and cells is not None:
                kept.append(Column(cells.kind[-left:], cells.bits[-left:]))
            left -= len(part)
        if not kept:
            return None
        return Column(
            np.concatenate([cells.kind for cells in reversed(kept)]),
            np.concatenate([cells.bits for cells in reversed(kept)]),
        )

    def predictions_a_row(self, most: int) -> float | None:
        """Of which so many rows of a pane count at most; None: there are none."""
        rows = predictions = 0.0
        for part in self._parts:
            whole = part.opened()
            count = np.bincount(
                np.searchsorted(whole.ends, whole.rows.pane_end), minlength=len(whole.ends)
            )
            sampled = np.where(whole.limits == WHOLE, 1.0, whole.limits / float(WHOLE))
            rows += float(np.minimum(count, most).sum())
            predictions += float((count / sampled).sum())
        return predictions / rows if rows else None

    # -- state

    def snapshot(self) -> tuple[list[FullStretch], Stretch | None]:
        """The full stretches, and what is newer; nobody changes either."""
        if len(self._newest) > 1:
            self._newest = [_joined(self._newest)]
        return list(self._stretches), self._newest[0] if self._newest else None

    def restore(self, stretches: Sequence[FullStretch], newest: Stretch | None) -> None:
        self._stretches = list(stretches)
        self._newest = [] if newest is None else [newest]


def _joined(parts: Sequence[Stretch]) -> Stretch:
    if len(parts) == 1:
        return parts[0]
    rows = concatenate([part.rows for part in parts])
    used: set[int] = set()
    for cells in rows.columns.values():
        used.update(cells.texts()[1].tolist())
    rows = Rows(rows.pane_end, rows.hash, rows.columns, {c: rows.texts[c] for c in sorted(used)})
    return Stretch(
        rows,
        np.concatenate([part.ends for part in parts]),
        np.concatenate([part.limits for part in parts]),
    )


def _own(rows: Rows) -> Rows:
    """In arrays of their own: views would keep those of all groups that were merged together."""
    columns = {
        name: Column(_copied(column.kind), _copied(column.bits))
        for name, column in rows.columns.items()
    }
    return Rows(_copied(rows.pane_end), _copied(rows.hash), columns, rows.texts)


def _copied(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.base is None else array.copy()
