"""Idleness, as `stream.worker_watch` has it: first the journal, then the advance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.idle import Idleness, SourceView
from stream.source_stage import Side
from stream.wire import Idle
from tests.simulator.slot import MODELS, SIDES, SOURCES, Slot, Steps, Task

if TYPE_CHECKING:
    from tests.simulator.worker import Worker


class Watch:
    def __init__(self, worker: Worker) -> None:
        self.is_watching = False
        self.advances = 0
        self._worker = worker
        self.forget()

    def forget(self) -> None:
        """The assignment changed."""
        scenario = self._worker.scenario
        self.is_watching = False
        self._idleness = Idleness(idle_s=scenario.idle_s or 0.0, pane_ms=scenario.rules.pane_ms)

    def begin(self, now_s: float) -> None:
        """One loop: what is due is journaled one after the other."""
        self.is_watching = True
        self._worker.tasks.append(Task(self._watch(now_s)))

    def _watch(self, now_s: float) -> Steps:
        views = [self._view(p) for p in range(self._worker.scenario.partitions)]
        for advance in self._idleness.decide(now_s, views):
            slot = self._worker.slots.get((SOURCES, advance.partition))
            if slot is not None and not slot.is_locked:
                yield from self._journal_then_advance(slot, advance.side, advance.watermark_ms)
        self.is_watching = False

    def _journal_then_advance(self, slot: Slot, side: Side, watermark_ms: int) -> Steps:
        entry = Idle(
            SOURCES, slot.partition, slot.core.epoch, side, slot.offsets[SIDES[side]], watermark_ms
        )
        if (yield from self._worker.decide(slot, entry)):
            self._worker.perform(slot, slot.core.advance(side, watermark_ms))
            self.advances += 1
            slot.is_dirty = True
            self._worker.end_input(slot)

    def _view(self, partition: int) -> SourceView:
        slot = self._worker.slots.get((SOURCES, partition))
        if slot is None:
            return self._remote_view(partition)
        return SourceView(
            partition,
            is_local=True,
            predictions_ms=slot.core.watermark_ms("predictions"),
            outcomes_ms=slot.core.watermark_ms("outcomes"),
            predictions_at_end=self._is_at_end(slot, "predictions"),
            outcomes_at_end=self._is_at_end(slot, "outcomes"),
        )

    def _remote_view(self, partition: int) -> SourceView:
        models = [slot.core for slot in self._worker.slots.values() if slot.stage == MODELS]
        heard = [core.source_watermark_ms(partition, "predictions") for core in models]
        at_ms = max((ms for ms in heard if ms is not None), default=None)
        entries = [e for e in self._worker.journal.idle_of(partition) if e.side == "predictions"]
        is_idle = bool(entries) and at_ms is not None and entries[-1].watermark_ms >= at_ms
        return SourceView(
            partition, is_local=False, predictions_ms=at_ms, is_idle_elsewhere=is_idle
        )

    def _is_at_end(self, slot: Slot, side: str) -> bool:
        return slot.offsets[SIDES[side]] >= self._worker.log.end((SIDES[side], slot.partition))
