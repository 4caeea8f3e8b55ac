"""Ranges of the input topics, fixed before anything is read, and read in no group.

Interleaving changes no byte of what comes out; the partition and side that is behind in event
time is read first, so that little has to be held.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.events import Records
from stream.history import BEFORE_ALL_MS, SIDES, HistoryError, Meter
from stream.kafka_admin import connection
from stream.pipeline import Pipeline
from stream.replay import ReplayedJournal
from stream.settings import Settings
from stream.source_stage import Side

_CHUNK = 4_096  # records taken before the partitions are compared
_FETCH_BYTES = 4 << 20  # held per partition, beside the chunk
_POLL_MS = 200
_STALLED_S = 30.0

Place = tuple[Side, int]
"""A side of a source partition."""


@dataclass(slots=True)
class Range:
    """Offsets [start, end) of one side of a source partition, and how far they were fed."""

    tp: TopicPartition
    start: int
    end: int
    reached: int
    fetched: list[Any] = field(default_factory=list)  # not fed yet


def new_consumer(settings: Settings) -> Any:
    """In no group: it knows no committed offsets and leaves none."""
    return AIOKafkaConsumer(
        **connection(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",  # what retention deletes meanwhile must not be passed over
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )


async def find_ranges(
    consumer: Any,
    settings: Settings,
    from_ms: int | None,
    to_ms: int | None,
    offsets: Mapping[tuple[str, int], int] | None = None,
) -> dict[Place, Range]:
    """From the first record with a timestamp of `from_ms` or later (None: the first there is) to
    before the first with `to_ms` or later (None: the last stable offset now). `offsets`: begin
    there, by topic and partition. Raises HistoryError where retention has deleted that."""
    topics = {"predictions": settings.topics.predictions, "outcomes": settings.topics.outcomes}
    tps = {
        (side, partition): TopicPartition(topics[side], partition)
        for side in SIDES
        for partition in range(settings.partitions)
    }
    assign_paused(consumer, list(tps.values()))
    first = await consumer.beginning_offsets(list(tps.values()))
    last = await consumer.end_offsets(list(tps.values()))
    starts = await first_at(consumer, from_ms, first, last)
    if offsets is not None:
        starts = {tp: offsets[tp.topic, tp.partition] for tp in last}
        for tp, start in starts.items():
            must_be_there(tp, start, first[tp], last[tp])
    stops = await first_at(consumer, to_ms, last, last)
    ranges = {}
    for place, tp in tps.items():
        start = max(starts[tp], first[tp])
        end = max(start, min(stops[tp], last[tp]))
        ranges[place] = Range(tp, start, end, reached=start)
        consumer.seek(tp, start)
        if start < end:
            consumer.resume(tp)
    return ranges


def must_be_there(tp: Any, start: int, first: int, last: int) -> None:
    """Raises HistoryError."""
    if start < first:
        raise HistoryError(
            f"{tp.topic} partition {tp.partition}: retention has deleted the records from offset "
            f"{start} to {first - 1}"
        )
    if start > last:
        raise HistoryError(
            f"{tp.topic} partition {tp.partition} ends at offset {last}, before {start}, which was "
            "applied: the topic was made anew, or cut"
        )


def assign_paused(consumer: Any, tps: list[Any]) -> None:
    """Nothing is fetched yet, and no position asked for: there is none to reset to."""
    consumer.assign(tps)
    for tp in tps:
        consumer.seek(tp, 0)
    consumer.pause(*tps)


async def first_at(
    consumer: Any, time_ms: int | None, unless: Mapping[Any, int], last: Mapping[Any, int]
) -> Mapping[Any, int]:
    """The first offset at this record timestamp or later, the last one where there is none."""
    if time_ms is None:
        return unless
    found = await consumer.offsets_for_times(dict.fromkeys(last, time_ms))
    return {
        tp: end
        if (at := found.get(tp)) is None
        else await _record_at(consumer, tp, at, time_ms, end)
        for tp, end in last.items()
    }


async def _record_at(consumer: Any, tp: Any, at: Any, time_ms: int, end: int) -> int:
    """The broker finds transaction markers and aborted records too; a marker's timestamp is that
    of a clock, and where the records are older than that, it comes before them."""
    consumer.seek(tp, at.offset)
    consumer.resume(tp)
    offset = end
    while offset == end and (records := await fetch(consumer, tp, end)):
        offset = next((r.offset for r in records if r.timestamp >= time_ms), end)
    consumer.pause(tp)
    return offset


async def fetch(consumer: Any, tp: Any, end: int) -> list[Any]:
    """The next records before `end`; none: there are no more. Raises HistoryError."""
    position = await consumer.position(tp)
    try:
        async with asyncio.timeout(_STALLED_S):
            while position < end:
                fetched = await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_CHUNK)
                if within := [record for record in fetched.get(tp, []) if record.offset < end]:
                    return within
                position = await consumer.position(tp)
    except TimeoutError:
        raise HistoryError(
            f"{tp.topic} partition {tp.partition}: nothing came for {_STALLED_S:.0f} s at offset "
            f"{position}, and the range goes to {end}"
        ) from None
    return []


class Reader:
    """Feeds ranges into the pipeline, and what the journal decided at their offsets."""

    def __init__(
        self,
        consumer: Any,
        ranges: Mapping[Place, Range],
        pipeline: Pipeline,
        journal: ReplayedJournal,
        meter: Meter,
    ) -> None:
        self._consumer = consumer
        self._ranges = ranges
        self._pipeline = pipeline
        self._journal = journal
        self._meter = meter
        self.fed = 0  # records
        self._total = sum(r.end - r.start for r in ranges.values())
        for (side, partition), r in ranges.items():
            journal.skip(side, partition, r.start)

    async def read(self, targets: Mapping[Place, int]) -> None:
        """Feed each range up to its target offset. Raises HistoryError, KafkaError."""
        left = set(self._ranges)
        while left:
            place = min(left, key=lambda p: (self._reached_ms(p), p))
            r = self._ranges[place]
            if r.reached < targets[place]:
                await self._step(place, r, targets[place])
            if r.reached >= targets[place]:
                # at once: a partition that is silent for the rest must not hold the others back
                self._journal.rest(self._pipeline, *place, r.reached)
                left.remove(place)

    async def _step(self, place: Place, r: Range, target: int) -> None:
        if not r.fetched:
            r.fetched = await fetch(self._consumer, r.tp, r.end)
            if not r.fetched:
                r.reached = r.end
                self._consumer.pause(r.tp)
                return
        cut = bisect_left(r.fetched, target, key=lambda record: record.offset)
        records, r.fetched = r.fetched[:cut], r.fetched[cut:]
        if records:
            self._feed(place, r, records)
        # Offsets that are no records lie between: markers, aborted records.
        r.reached = target if r.fetched else records[-1].offset + 1

    def _feed(self, place: Place, r: Range, records: list[Any]) -> None:
        side, partition = place
        batch = Records(
            r.tp.topic,
            partition,
            [record.offset for record in records],
            [record.timestamp for record in records],
            [record.value for record in records],
        )
        for part in self._journal.before(self._pipeline, side, batch):
            (self._pipeline.predictions if side == "predictions" else self._pipeline.outcomes)(part)
        self.fed += len(records)
        self._meter(len(records), self._total)

    def _reached_ms(self, place: Place) -> int:
        side, partition = place
        reached_ms = self._pipeline.watermark_ms(partition, side)
        return BEFORE_ALL_MS if reached_ms is None else reached_ms
