"""Which models a release has to look at: those with panes that are due, and those that wait."""

from __future__ import annotations

from heapq import heappop, heappush


class Agenda:
    """A release costs what is due, not what there is."""

    def __init__(self) -> None:
        self.unsettled: set[str] = set()  # when their cohorts are ready, not watermarks alone say
        self._heaps: dict[bool, list[tuple[int, str]]] = {False: [], True: []}
        self._noted: dict[tuple[bool, str], int] = {}

    def note(self, model_id: str, ready_ms: int, *, judged: bool) -> None:
        """Panes of this model may be ready then."""
        noted = self._noted.get((judged, model_id))
        if noted is None or ready_ms < noted:
            self._noted[judged, model_id] = ready_ms
            heappush(self._heaps[judged], (ready_ms, model_id))

    def due(self, upto_ms: int, *, judged: bool) -> set[str]:
        """Models with panes that may be ready by then; they are noted no more."""
        found: set[str] = set()
        heap = self._heaps[judged]
        while heap and heap[0][0] <= upto_ms:
            _, model_id = heappop(heap)
            if self._noted.get((judged, model_id), upto_ms + 1) <= upto_ms:
                del self._noted[judged, model_id]
                found.add(model_id)
        return found

    def forget(self, model_id: str) -> None:
        self.unsettled.discard(model_id)
        for judged in self._heaps:
            self._noted.pop((judged, model_id), None)
