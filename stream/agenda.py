"""Which models a release has to look at: those with panes that are due, and those that wait."""

from __future__ import annotations

from heapq import heappop, heappush

from stream.wire import KINDS, PaneKind


class Agenda:
    """A release costs what is due, not what there is."""

    def __init__(self) -> None:
        self.unsettled: set[str] = set()  # when their cohorts are ready, not watermarks alone say
        self._heaps: dict[PaneKind, list[tuple[int, str]]] = {kind: [] for kind in KINDS}
        self._noted: dict[tuple[PaneKind, str], int] = {}

    def note(self, kind: PaneKind, ready_ms: int, model_id: str) -> None:
        """Panes of this model may be ready then."""
        noted = self._noted.get((kind, model_id))
        if noted is None or ready_ms < noted:
            self._noted[kind, model_id] = ready_ms
            heappush(self._heaps[kind], (ready_ms, model_id))

    def due(self, kind: PaneKind, upto_ms: int) -> set[str]:
        """Models with panes that may be ready by then; they are noted no more."""
        found: set[str] = set()
        heap = self._heaps[kind]
        while heap and heap[0][0] <= upto_ms:
            _, model_id = heappop(heap)
            if self._noted.get((kind, model_id), upto_ms + 1) <= upto_ms:
                del self._noted[kind, model_id]
                found.add(model_id)
        return found

    def forget(self, model_id: str) -> None:
        self.unsettled.discard(model_id)
        for kind in KINDS:
            self._noted.pop((kind, model_id), None)
