"""What is not kept where there is no room: a share of the predictions by their hash.

A cap has a level: of the records to come only those whose prediction's hash is below
2**64 >> level are kept, and none from level 16 on. Half of the room that is left, half of the
records: level 1 at 7/8 of the cap, 2 at 15/16, and so on; below half the cap the level falls again.
The smallest hashes are kept: those that the row samples keep, and those of the outcomes alike.

How full a cap is depends on how the two topics interleave, so a level is only wished for here.
It holds from an offset on that the journal says, in every replay alike.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["predictions", "outcomes"]
What = Literal["pending", "outcomes", "ids"]
Cap = tuple[Side, What]
CAPS: tuple[Cap, ...] = (
    ("predictions", "pending"),  # predictions waiting for their maturity: beyond it unjoined
    ("predictions", "ids"),  # remembered ids: beyond it not applied at all
    ("outcomes", "outcomes"),  # waiting outcomes: beyond it not applied at all
    ("outcomes", "ids"),
)
NONE = 16  # the level at which nothing is kept
_ALL = np.uint64(2**64 - 1)
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Wish:
    side: Side
    what: What
    level: int


def wanted(level: int, size: int, most: int) -> int:
    """The level that is wanted of a cap of `most`, now `size` full and at this level."""
    needed = next((n for n in range(NONE) if (most - size) << (n + 3) > most), NONE)
    if needed > level:
        return needed
    return level // 2 if 2 * size < most else level


class Shedding:
    def __init__(self) -> None:
        self._levels = dict.fromkeys(CAPS, 0)
        self._due: dict[Cap, list[tuple[int, int]]] = {cap: [] for cap in CAPS}  # offset, level

    def level(self, cap: Cap) -> int:
        """As decided so far, also where it does not hold yet."""
        due = self._due[cap]
        return due[-1][1] if due else self._levels[cap]

    def wish(self, cap: Cap, size: int, most: int) -> Wish | None:
        level = self.level(cap)
        now = wanted(level, size, most)
        if now == level or (now < level and self._due[cap]):
            return None  # what was decided for later has shown no effect yet: it is not taken back
        return Wish(*cap, now)

    def decide(self, cap: Cap, level: int, at_offset: int | None = None) -> None:
        """From the record at this offset on (None: from the next one on) the level is this."""
        if at_offset is None:
            self._levels[cap] = level
            return
        self._due[cap] = [due for due in self._due[cap] if due[0] != at_offset]
        insort(self._due[cap], (at_offset, level))

    def is_shedding(self, side: Side) -> bool:
        return any(self._levels[cap] or self._due[cap] for cap in CAPS if cap[0] == side)

    def kept(self, cap: Cap, offsets: NDArray[np.int64], hashes: NDArray[np.uint64]) -> Mask:
        """Which records, by offset and hash of their prediction's id, are kept."""
        levels = np.full(len(offsets), self._levels[cap])
        for at_offset, level in self._due[cap]:
            levels[offsets >= at_offset] = level
        kept: Mask = (hashes <= _ALL >> levels.astype(np.uint64)) & (levels < NONE)
        return kept

    def passed(self, side: Side, offsets: Sequence[int]) -> None:
        """The records at these offsets, rising, have been judged."""
        for cap in CAPS:
            due = self._due[cap] if cap[0] == side and offsets else []
            while due and due[0][0] <= offsets[-1]:
                self._levels[cap] = due.pop(0)[1]

    def snapshot(self) -> list[Any]:
        return [[*cap, self._levels[cap], self._due[cap]] for cap in CAPS]

    def restore(self, plain: list[Any]) -> None:
        for side, what, level, due in plain:
            self._levels[side, what] = level
            self._due[side, what] = [(at_offset, later) for at_offset, later in due]

    def levels(self) -> Mapping[Cap, int]:
        """Those that hold now."""
        return self._levels
