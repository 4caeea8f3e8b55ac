"""The batch transport: Faust carries one message per fetched batch of a source partition.

Stock Faust spends about 150 µs on every message it carries; with a batch as the message that is
nothing per event. Topics whose channel has a `BatchSchema` are carried so, all others as ever.
The broker URL `leeway://host:9092` names this driver (entry point group `faust.transports`).

Four rules of the design live here:
- committed is the longest acknowledged prefix of what was delivered (`longest_acked_prefix`);
- after a rebalance positions come from the manifests (`Owner.assigned`), not from the group;
- only committed transactions are read;
- what no record is at (transaction markers, aborted records) is passed like a record (`passed`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import faust
from faust.exceptions import ImproperlyConfigured
from faust.serializers.schemas import Schema
from faust.transport.consumer import ensure_TP, ensure_TPset
from faust.transport.drivers import aiokafka as driver
from faust.types import ConsumerMessage

from stream.consumer_thread import ConsumerThread
from stream.record_batch import RecordBatch, longest_acked_prefix
from stream.refusals import Refusal, truncated

_CUT_S = 1.0  # for a takeover to notice that it is cancelled
_STALE_FETCH_MS = 5_000  # a poll answered longer ago says nothing about the end of the partition


class Owner(Protocol):
    """Who is told of assignments and of what cannot go on: the worker's host."""

    async def revoked(self) -> None: ...

    async def assigned(self, assigned: Collection[Any]) -> Mapping[Any, int]: ...

    def fail(self, error: BaseException) -> None: ...


class BatchSchema(Schema):
    """Marks a topic that is carried in batches; the value of its events is a RecordBatch."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key_serializer="raw", value_serializer="raw", **kwargs)

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 theirs
            return app.create_event(None, message.value, None, message)

        return decode


class Consumer(driver.Consumer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._inflight: dict[Any, deque[int]] = defaultdict(deque)
        self._batched: dict[str, bool] = {}
        self._held: set[Any] = set()
        self._restored = False
        self._takeover: asyncio.Task[None] | None = None
        self._fetching = asyncio.Lock()  # positions are not sought while a fetch may move them
        self._read_to: dict[Any, int] = {}  # next offset to fetch, after the last fetch or seek
        self._next_record: dict[Any, int] = {}  # behind the last record handed out, likewise
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
        async with self._fetching:
            try:
                fetched = await super()._getmany(wanted, timeout)
            except Refusal as refusal:
                self._owner.fail(refusal)
                return {}
            if not self._restored:
                # It began before a rebalance: its records are of positions that no manifest knows.
                return {}
            self._note(wanted, fetched)
        return {
            tp: [RecordBatch(tp, records)] if records and self.batched(tp.topic) else records
            for tp, records in fetched.items()
        }

    def _note(self, wanted: set[Any], fetched: Mapping[Any, Any]) -> None:
        """Where each partition is read to. Nothing else moves positions between two fetches."""
        for tp in self._read_to.keys() & wanted:
            records = fetched.get(tp)
            if records:
                if records[0].offset < self._next_record[tp]:
                    self._owner.fail(truncated(tp, records[0].offset, self._next_record[tp]))
                self._next_record[tp] = records[-1].offset + 1
            state = self._fetch_state(tp)
            if state is not None and state.has_valid_position:
                self._read_to[tp] = state.position

    def _fetch_state(self, tp: Any) -> Any:
        return self._thread.fetch_state(tp)

    def passed(self, tp: Any, applied: int) -> int:
        """Where a partition is whose records are applied up to this offset: behind what follows
        them without being a record, once everything handed out is applied."""
        if not self._restored or applied < self._next_record.get(tp, applied):
            return applied
        return max(applied, self._read_to.get(tp, applied))

    def _may_fetch(self, tp: Any) -> bool:
        """Once restored: before that Faust would deliver from the old positions."""
        return self._restored and tp not in self._held

    def _to_message(self, tp: Any, record: Any) -> Any:
        if type(record) is not RecordBatch:
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
        """Whether the last poll was answered lately and left nothing on the broker.

        Records of an open transaction are on the broker: what will come is not the end.
        """
        state = None if tp in self._held else self._fetch_state(tp)
        if (
            state is None
            or state.highwater is None
            or not state.has_valid_position
            or state.timestamp is None
        ):
            return False
        fresh = now_ms - state.timestamp < _STALE_FETCH_MS
        return bool(fresh and state.position >= state.highwater)

    def end(self, tp: Any) -> int | None:
        """Behind the last record that can be read now: open transactions are not waited for."""
        state = self._fetch_state(tp)
        if state is None or state.highwater is None:
            return None
        # A broker without transactions may not fill it; then it lies behind the position.
        is_told = state.lso is not None and state.has_valid_position and state.lso >= state.position
        end: int = state.lso if is_told else state.highwater
        return end

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
        self._thread.may_reset(is_allowed=True)
        await self._cut_takeover()
        self._read_to.clear()
        self._next_record.clear()
        await self._owner.revoked()
        self._inflight.clear()
        self._batched.clear()
        self._held.clear()
        self._buffered_partitions.clear()
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Faust would seek what the group has committed; positions come from the manifests."""

    def resume_flow(self) -> None:
        """Faust calls this when a rebalance is through: claim, restore, seek.

        Without its own limit of `broker_request_timeout`, after which it gives up in silence: a
        takeover may take longer (a partition without leader, a long journal), so it is our own
        task; until it is done nothing is fetched.
        """
        super().resume_flow()
        is_under_way = self._takeover is not None and not self._takeover.done()
        if not (self._restored or is_under_way) and self.assignment():
            self._takeover = asyncio.create_task(self._guarded_takeover())

    async def _cut_takeover(self) -> None:
        takeover, self._takeover = self._takeover, None
        if takeover is not None and not takeover.done():
            takeover.cancel()
            await asyncio.wait([takeover], timeout=_CUT_S)

    async def _guarded_takeover(self) -> None:
        try:
            await self._take_over()
        except Exception as error:  # noqa: BLE001 assigned and never restored would be silence
            self._owner.fail(error)

    async def _take_over(self) -> None:
        assigned = set(self.assignment())
        offsets = await self._owner.assigned(assigned)
        self._inflight.clear()
        for tp in offsets:
            self._acked[tp].clear()
            self._acked_index[tp].clear()
        async with self._fetching:
            await self.seek_wait({ensure_TP(tp): offset for tp, offset in offsets.items()})
            for tp, offset in offsets.items():
                self._read_offset[ensure_TP(tp)] = offset or None
                self._committed_offset[ensure_TP(tp)] = offset or None
                self._read_to[tp] = self._next_record[tp] = offset
            self._restored = set(offsets) == assigned
            self._thread.may_reset(is_allowed=not self._restored)

    async def rejoin(self) -> None:
        """Give back what is assigned and have it assigned anew: each claim is then made again."""
        await self._thread.rejoin()

    def group_error(self) -> BaseException | None:
        error: BaseException | None = self._thread.group_error()
        return error

    def restoring(self) -> bool | None:
        """None: nothing is assigned, or all of it is restored. Else whether the takeover began."""
        thread_consumer = getattr(self._thread, "_consumer", None)
        if self._restored or thread_consumer is None or not thread_consumer.assignment():
            return None
        return self._takeover is not None and not self._takeover.done()

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
