"""The batch transport: Faust carries one message per fetched batch of a source partition.

Stock Faust spends about 150 µs on every message it carries; with a batch as the message that is
nothing per event. Topics whose channel has a `BatchSchema` are carried so, all others as ever.
The broker URL `leeway://host:9092` names this driver (entry point group `faust.transports`).

Three rules of the design live here:
- committed is the longest acknowledged prefix of what was delivered (`longest_acked_prefix`);
- after a rebalance positions come from the manifests (`Owner.assigned`), not from the group;
- only committed transactions are read.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections import OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableSet
from itertools import pairwise
from typing import Any, Protocol

import faust
from aiokafka.consumer.fetcher import FetchResult
from faust.exceptions import ImproperlyConfigured
from faust.serializers.schemas import Schema
from faust.transport.consumer import ensure_TP, ensure_TPset
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage

from stream.events import Records

log = logging.getLogger(__name__)

_PART_RECORDS = 2_000  # the loop breathes between parts of a batch
_STALE_FETCH_MS = 5_000  # a poll answered longer ago says nothing about the end of the partition


class Owner(Protocol):
    """Who is told of assignments: the worker's host."""

    async def revoked(self) -> None: ...

    async def assigned(self, assigned: Collection[Any]) -> Mapping[Any, int]: ...


class RecordBatch:
    """Consecutive records of one partition; each has offset, timestamp (ms), key and value."""

    __slots__ = ("first", "last", "partition", "records", "topic")

    def __init__(self, tp: Any, records: list[Any]) -> None:
        self.topic: str = tp.topic
        self.partition: int = tp.partition
        self.records = records
        self.first: int = records[0].offset
        self.last: int = records[-1].offset

    def __len__(self) -> int:
        return len(self.records)

    def parts(self, from_offset: int, cut_at: Iterable[int] = ()) -> Iterator[Records]:
        """The records from an offset on; no part reaches over one of the offsets `cut_at`."""
        offsets = [record.offset for record in self.records]
        first, end = bisect_left(offsets, from_offset), len(offsets)
        cuts = {bisect_left(offsets, at) for at in cut_at} | set(range(first, end, _PART_RECORDS))
        for start, stop in pairwise(sorted({cut for cut in cuts if first <= cut < end} | {end})):
            part = self.records[start:stop]
            yield Records(
                self.topic,
                self.partition,
                offsets[start:stop],
                [record.timestamp for record in part],
                [record.value for record in part],
            )


class BatchSchema(Schema):
    """Marks a topic that is carried in batches; the value of its events is a RecordBatch."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key_serializer="raw", value_serializer="raw", **kwargs)

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 theirs
            return app.create_event(None, message.value, None, message)

        return decode


def longest_acked_prefix(inflight: deque[int], acked: MutableSet[int]) -> int | None:
    """The offset to commit: one past the last acknowledged delivery without a gap before it.

    `inflight` holds the last offset of each delivery, in order of delivery. What is passed leaves
    both arguments. None: the first delivery is not acknowledged yet. O(passed).
    """
    last = None
    while inflight and inflight[0] in acked:
        last = inflight.popleft()
        acked.discard(last)
    return None if last is None else last + 1


def _keep_raw(_tp: Any, record: Any) -> Any:
    return record


class RawRecordBuffer(OrderedDict[Any, Any]):
    """aiokafka's fetch buffer, in which batched topics keep their Cython records.

    A frozen ConsumerRecord costs 3 µs and nobody here reads it. CRC checks, control batches and
    aborted transactions stay aiokafka's. Private API: see tests/stream/test_transport.py.
    """

    def __init__(self, is_batched: Any) -> None:
        super().__init__()
        self._is_batched = is_batched

    def __setitem__(self, tp: Any, result: Any) -> None:
        if type(result) is FetchResult and self._is_batched(tp.topic):
            records: Any = getattr(result, "_partition_records", None)
            if hasattr(records, "_consumer_record"):
                records._consumer_record = _keep_raw
        super().__setitem__(tp, result)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks for it only under exactly_once. The fetcher is made from this at start.
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        fetcher: Any = getattr(self._consumer, "_fetcher", None)
        if type(getattr(fetcher, "_records", None)) is OrderedDict:
            fetcher._records = RawRecordBuffer(self.consumer.batched)
        else:
            log.warning("aiokafka's fetch buffer is not as known: records are read the slow way")


class Consumer(driver.Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._inflight: dict[Any, deque[int]] = defaultdict(deque)
        self._batched: dict[str, bool] = {}
        self._held: set[Any] = set()
        self._restored = False
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _owner(self) -> Owner:
        owner: Owner = self.app.owner
        return owner

    def batched(self, topic: str) -> bool:
        """Whether this topic is carried in batches. Raises if its channels disagree."""
        if topic not in self._batched:
            channels = [channel for channel in self.app.topics if topic in channel.topics]
            if not channels:
                return False  # nobody listens yet
            kinds = {isinstance(channel.schema, BatchSchema) for channel in channels}
            if len(kinds) > 1:
                raise ImproperlyConfigured(f"topic {topic}: every channel must have BatchSchema")
            self._batched[topic] = True in kinds
        return self._batched[topic]

    # Fetching

    def hold(self, tps: Collection[Any]) -> None:
        """Fetch nothing more from exactly these partitions; what was fetched is still delivered.

        Faust's own pause drops records that were fetched and not yet delivered.
        """
        self._held = set(ensure_TPset(tps))

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 theirs
        wanted = {tp for tp in active_partitions if self._may_fetch(tp)}
        if not wanted:  # aiokafka reads an empty set as every partition
            await asyncio.sleep(0.1)
            return {}
        fetched = await super()._getmany(wanted, timeout)
        return {
            tp: [RecordBatch(tp, records)] if records and self.batched(tp.topic) else records
            for tp, records in fetched.items()
        }

    def _may_fetch(self, tp: Any) -> bool:
        """Changelogs always; others once restored: Faust would deliver from the old positions."""
        return self._is_changelog_tp(tp) or (self._restored and tp not in self._held)

    def _to_message(self, tp: Any, record: Any) -> Any:
        if type(record) is not RecordBatch:
            if not self._is_changelog_tp(tp):
                self._inflight[tp].append(record.offset)
            return super()._to_message(tp, record)
        self._inflight[tp].append(record.last)
        head = record.records[0]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.last,
            (head.timestamp or 0) / 1000.0,
            head.timestamp_type,
            None,
            None,
            record,
            None,
            0,
            len(record),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def is_at_end(self, tp: Any, now_ms: int) -> bool:
        """Whether the last poll was answered lately and left nothing to read."""
        thread_consumer = getattr(self._thread, "_consumer", None)
        assignment = thread_consumer and thread_consumer._subscription.subscription.assignment
        if tp in self._held or not assignment or ensure_TP(tp) not in assignment.tps:
            return False
        state = assignment.state_value(ensure_TP(tp))
        if state.highwater is None or not state.has_valid_position or state.timestamp is None:
            return False
        fresh = now_ms - state.timestamp < _STALE_FETCH_MS
        return bool(fresh and state.position >= state.highwater)

    # Committing

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Gaps (compaction, transaction markers) need no account: deliveries are counted."""

    def _new_offset(self, tp: Any) -> int | None:
        acked = self._acked_index[tp]
        offset = longest_acked_prefix(self._inflight[tp], acked)
        if offset is not None:
            self._acked[tp][:] = sorted(acked)
        return offset

    # Positions: what was in flight is void as soon as they move

    async def on_partitions_revoked(self, revoked: Any) -> None:
        self._restored = False
        await self._owner.revoked()
        self._inflight.clear()
        self._batched.clear()
        self._held.clear()
        self._buffered_partitions.clear()
        recovery = self.app.tables.recovery
        for tp in revoked:
            # Recovery then reads the whole changelog again: nothing of it is kept in memory.
            recovery.revoke(tp)
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Faust calls this when its recovery is complete: claim, restore, seek."""
        if not self.flow_active:
            return  # a fetch was caught by a rebalance; the recovery that follows seeks
        assigned = {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        offsets = await self._owner.assigned(assigned)
        self._inflight.clear()
        for tp in offsets:
            self._acked[tp].clear()
            self._acked_index[tp].clear()
        await self.seek_wait({ensure_TP(tp): offset for tp, offset in offsets.items()})
        for tp, offset in offsets.items():
            self._read_offset[ensure_TP(tp)] = offset or None
            self._committed_offset[ensure_TP(tp)] = offset or None
        self._restored = set(offsets) == assigned

    async def seek(self, partition: Any, offset: int) -> None:
        self._inflight.pop(ensure_TP(partition), None)
        await super().seek(partition, offset)


class App(faust.App):
    """A Faust app whose transport tells `owner` of assignments."""

    owner: Owner

    async def on_first_start(self) -> None:
        """Faust would make a data directory; the state is in the changelogs alone."""


class Transport(driver.Transport):
    Consumer = Consumer
