"""What is asked for again and again stays open, up to so many cells; the rest lies packed."""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock
from typing import Protocol
from weakref import ref

MOST_CELLS = 1 << 17  # some 2 MB: rows and references of a dozen monitors


class Packable(Protocol):
    def put_away(self) -> None:
        """Pack it; it is opened when it is asked for. Others may be reading it."""


class AtHand:
    """The ones that were made or opened last. Whoever is gone is not counted any more."""

    def __init__(self, most_cells: int = MOST_CELLS) -> None:
        self._most = most_cells
        self._cells: OrderedDict[ref[Packable], int] = OrderedDict()
        self._total = 0
        self._lock = RLock()  # checkpoints are written beside; and who is gone may be so anywhere

    def keep(self, one: Packable, cells: int) -> None:
        """This one is open, and has so many cells. O(1), and what it takes to pack others."""
        place = ref(one, self._forget)
        with self._lock:
            was = self._cells.pop(place, 0)
            self._cells[place] = cells
            self._total += cells - was  # of numbers that are there: others may go while it is made
        while len(self._cells) > 1 and self._total > self._most:
            self._put_away_oldest()

    def put_away(self) -> None:
        """All of them."""
        while self._cells:
            self._put_away_oldest()

    def _put_away_oldest(self) -> None:
        with self._lock:
            if not self._cells:
                return
            place, cells = self._cells.popitem(last=False)
            self._total -= cells
        oldest = place()
        if oldest is not None:
            oldest.put_away()

    def _forget(self, gone: ref[Packable]) -> None:
        with self._lock:
            cells = self._cells.pop(gone, 0)
            self._total -= cells


AT_HAND = AtHand()
"""Of this process."""
