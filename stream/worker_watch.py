"""What a clock may influence, kept in one loop: idleness, alignment, lag and liveness.

Idleness reaches the stages only through the journal: first the entry, acknowledged and read back
(a claim before it would void it), then the advance and its outputs, no record in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any, Protocol

from faust.types import TP

from stream.idle import SIDES, Idleness, Side, SourceView
from stream.journal import journal_key
from stream.source_stage import SourceStage
from stream.wire import Idle, encode_journal
from stream.worker_host import Host
from stream.worker_overtaken import Overtaken
from stream.worker_routes import Outgoing
from stream.worker_slot import SOURCES, Slot

_WATCH_S = 0.25
_MAX_COMMIT_AGE_S = 60.0  # of a partition with records to read: beyond it the worker is ill


class Positions(Protocol):
    """What the consumer knows."""

    def is_at_end(self, tp: Any, now_ms: int) -> bool: ...

    def end(self, tp: Any) -> int | None: ...

    def passed(self, tp: Any, applied: int) -> int: ...

    def hold(self, tps: Collection[Any]) -> None: ...

    async def rejoin(self) -> None: ...


class Watch:
    def __init__(self, host: Host, positions: Positions) -> None:
        self._host = host
        self._positions = positions
        self._idleness = Idleness(
            idle_s=host.settings.idle.total_seconds(), pane_ms=host.rules.pane_ms
        )
        self._overtaken = Overtaken(host, positions.rejoin)
        self._generation = -1
        self._held: set[tuple[int, Side]] = set()
        self.oldest_commit_s = 0.0  # age of the oldest commit of a partition that lags

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            if self._generation != self._host.generation:
                self._generation = self._host.generation
                self._idleness.forget()
                self._held.clear()
            await self._overtaken.check(time.monotonic())
            await self._pass_gaps()
            await self._advance_idle()
            self._align()
            self._report()

    @property
    def is_progressing(self) -> bool:
        return self.oldest_commit_s < _MAX_COMMIT_AGE_S

    # -- what is not a record

    async def _pass_gaps(self) -> None:
        """Behind the last applied record there may be transaction markers and aborted records:
        a partition is at its end only once they are passed too."""
        for slot in list(self._host.sources.values()):
            for topic in self._host.topics.values():
                if self._passed(slot, topic) > slot.offsets[topic]:
                    async with self._host.changing(slot) as is_ours:
                        passed = self._passed(slot, topic)
                        if is_ours and passed > slot.offsets[topic]:
                            slot.applied(topic, passed, 0, None)
                            await self._host.end_input(slot)

    def _passed(self, slot: Slot[SourceStage], topic: str) -> int:
        return self._positions.passed(TP(topic, slot.partition), slot.offsets[topic])

    # -- idleness

    async def _advance_idle(self) -> None:
        views = [self._view(p) for p in range(self._host.settings.partitions)]
        for advance in self._idleness.decide(time.monotonic(), views):
            slot = self._host.sources.get(advance.partition)
            if slot is not None and not self._host.is_draining:
                await self._journal_then_advance(slot, advance.side, advance.watermark_ms)

    async def _journal_then_advance(
        self, slot: Slot[SourceStage], side: Side, watermark_ms: int
    ) -> None:
        async with self._host.changing(slot) as is_ours:
            if not is_ours or not self._is_at_end(slot, side):
                return  # a record came while this waited
            at_offset = slot.offsets[self._host.topics[side]]
            epoch = slot.core.epoch
            entry = Idle(SOURCES, slot.partition, epoch, side, at_offset, watermark_ms)
            topic = self._host.settings.internal_topic("journal")
            record = Outgoing(topic, slot.partition, journal_key(entry), encode_journal(entry))
            written = await (await self._host.send(record))
            await self._host.reader.reached({slot.partition: written.offset + 1})
            if self._host.sources.get(slot.partition) is not slot:
                return  # claimed by another before this entry: it is void
            await self._host.perform(slot, slot.core.advance(side, watermark_ms))
            slot.touched()

    def _view(self, partition: int) -> SourceView:
        slot = self._host.sources.get(partition)
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
        """As stage 2 was told; idle if its owner journaled so and it has not moved since."""
        heard = [
            at_ms
            for model in self._host.models.values()
            if (at_ms := model.core.source_watermark_ms(partition, "predictions")) is not None
        ]
        at_ms = max(heard, default=None)
        entries = [e for e in self._host.journal.idle_of(partition) if e.side == "predictions"]
        is_idle = bool(entries) and at_ms is not None and entries[-1].watermark_ms >= at_ms
        return SourceView(
            partition, is_local=False, predictions_ms=at_ms, is_idle_elsewhere=is_idle
        )

    def _is_at_end(self, slot: Slot[SourceStage], side: Side) -> bool:
        tp = TP(self._host.topics[side], slot.partition)
        end = self._positions.end(tp)
        is_applied = end is not None and slot.offsets[tp.topic] >= end
        return is_applied and self._positions.is_at_end(tp, self._host.now_ms())

    # -- alignment

    def _align(self) -> None:
        """Hold the sides that ran ahead of what stage 2 has merged, until half is merged."""
        limit = self._host.settings.alignment
        for slot in self._host.sources.values():
            ahead = self._unmerged(slot.core)
            if ahead > limit:
                self._held.add((slot.partition, "predictions"))
                # Outcomes behind their predictions are what the merge waits for: they go on.
                predictions_ms = slot.core.watermark_ms("predictions")
                outcomes_ms = slot.core.watermark_ms("outcomes")
                if None not in {predictions_ms, outcomes_ms} and outcomes_ms >= predictions_ms:  # type: ignore[operator]
                    self._held.add((slot.partition, "outcomes"))
            elif ahead * 2 < limit:
                self._held -= {(slot.partition, side) for side in SIDES}
        topics = self._host.topics
        self._positions.hold([TP(topics[side], partition) for partition, side in self._held])
        for slot in self._host.sources.values():
            for side in SIDES:
                is_held = (slot.partition, side) in self._held
                self._host.metrics.paused(topics[side], slot.partition, is_held)

    def _is_held(self, topic: str, partition: int) -> bool:
        return any(
            topic == self._host.topics[side] and partition == held for held, side in self._held
        )

    def _unmerged(self, stage: SourceStage) -> int:
        merged = [model.core.merged_until_ms() for model in self._host.models.values()]
        known = [ms for ms in merged if ms is not None]
        return stage.unmerged_panes(min(known)) if known else 0

    # -- liveness

    def _report(self) -> None:
        metrics, now_s = self._host.metrics, time.monotonic()
        oldest_s = 0.0
        for slot in self._host.slots():
            for topic, offset in slot.offsets.items():
                end = self._positions.end(TP(topic, slot.partition))
                lag = max(0, end - offset) if end is not None else 0
                is_held = slot.stage == SOURCES and self._is_held(topic, slot.partition)
                age_s = now_s - slot.progressed_s if lag and not is_held else 0.0
                oldest_s = max(oldest_s, age_s)
                metrics.lag(topic, slot.partition, lag)
                metrics.committed_age(topic, slot.partition, age_s)
        self.oldest_commit_s = oldest_s
