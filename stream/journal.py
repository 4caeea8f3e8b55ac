"""Reading the journal: whose decisions count, and the group-less readers of whole topics.

A claim's offset is its epoch. A decision counts only if its epoch is the latest claim of its
stage and partition before it in the journal: what a former owner still writes is void, for every
reader and in every replay alike.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka_admin import connection
from stream.refusals import unreadable
from stream.settings import Settings
from stream.snapshot import BrokenRecordError
from stream.wire import (
    Accepted,
    Activation,
    Claim,
    Founding,
    Idle,
    JournalEntry,
    MaturityDecision,
    Noticed,
    Renewed,
    Shed,
)

_POLL_MS = 200
_METADATA_WAIT_S = 30.0


class Journal:
    """What the journal says so far. Pure: entries in, in the order of each partition."""

    def __init__(self) -> None:
        self.decisions: dict[str, MaturityDecision] = {}
        self._early: dict[str, MaturityDecision] = {}
        self.idle_entries = 0
        self.founding: Founding | None = None
        self._activations: dict[tuple[int, int], dict[int, Activation]] = defaultdict(dict)
        self._accepted: dict[int, dict[tuple[str, int], Accepted]] = defaultdict(dict)
        self._renewed: dict[int, dict[int, Renewed]] = defaultdict(dict)
        self._noticed: dict[int, dict[int, Noticed]] = defaultdict(dict)
        self._epochs: dict[tuple[int, int], int] = {}
        self._idle: dict[int, dict[tuple[str, int], Idle]] = defaultdict(dict)
        self._sheds: dict[int, dict[tuple[str, int, str], Shed]] = defaultdict(dict)

    def add(self, offset: int, entry: JournalEntry) -> bool:
        """Take the entry at this offset of its partition; False: it is void. What an owner says
        again of what counts already (`stream.worker_again`) changes nothing."""
        if isinstance(entry, Founding):  # anybody's: no owner, no epoch
            is_first = self.founding is None
            self.founding = self.founding or entry
            return is_first
        owner = (entry.stage, entry.partition)
        if isinstance(entry, Claim):
            self._epochs[owner] = offset
            return True
        if self._epochs.get(owner) != entry.epoch:
            return False
        match entry:
            case MaturityDecision():
                # The first counts: a later owner decides alike, from the same panes.
                of = self.decisions if entry.until_ms is None else self._early
                of.setdefault(entry.model_id, entry)
            case Idle():
                self._add_idle(entry)
            case Shed():
                place = entry.side, entry.at_offset, entry.what
                self._sheds[entry.partition][place] = entry  # of one place the last counts
            case Activation():
                self._activations[owner].setdefault(entry.announced_at, entry)
            case Accepted():
                announced = entry.side, entry.announced_at
                self._accepted[entry.partition].setdefault(announced, entry)
            case Renewed():
                self._renewed[entry.partition].setdefault(entry.announced_at, entry)
            case Noticed():
                self._noticed[entry.partition].setdefault(entry.announced_at, entry)
        return True

    def _add_idle(self, entry: Idle) -> None:
        self.idle_entries += 1
        # of one silence only how far it went matters
        place = (entry.side, entry.at_offset)
        known = self._idle[entry.partition].get(place)
        if known is None or known.watermark_ms < entry.watermark_ms:
            self._idle[entry.partition][place] = entry

    def maturities(self) -> list[MaturityDecision]:
        """In the order in which they are to be learned: the early ones first."""
        return [*self._early.values(), *self.decisions.values()]

    def activations_of(self, stage: int, partition: int) -> list[Activation]:
        """In the order in which they were decided."""
        return list(self._activations[stage, partition].values())

    def accepted_of(self, partition: int) -> list[Accepted]:
        return list(self._accepted[partition].values())

    def renewed_of(self, partition: int) -> list[Renewed]:
        """Of the models of a partition of stage 2, in the order in which they were decided."""
        return list(self._renewed[partition].values())

    def noticed_of(self, partition: int) -> list[Noticed]:
        """Of stage 3, in the order in which they were decided."""
        return list(self._noticed[partition].values())

    def is_in_force_everywhere(self, announced_at: int, partitions: int) -> bool:
        """Whether all owners of stages 2 and 3 have decided from when on."""
        owners = [(3, 0), *((2, q) for q in range(partitions))]
        return all(announced_at in self._activations[owner] for owner in owners)

    def epoch(self, stage: int, partition: int) -> int | None:
        return self._epochs.get((stage, partition))

    def idle_of(self, partition: int) -> list[Idle]:
        """How far each silence of a source partition went, oldest first."""
        return list(self._idle[partition].values())

    def sheds_of(self, partition: int) -> list[Shed]:
        """What was decided of a source partition's caps, oldest first."""
        return list(self._sheds[partition].values())


def journal_key(entry: JournalEntry, moment: int = 0) -> bytes:
    """The journal is compacted: of one silence, and of one decision, the last entry is enough.
    Every claim stays (`moment`, when it was made, tells those of one owner apart): what an epoch
    said counts only behind its claim."""
    parts: list[object]
    match entry:
        case Claim():
            parts = ["claim", entry.stage, entry.partition, entry.owner, moment]
        case Idle():
            parts = ["idle", entry.partition, entry.epoch, entry.side, entry.at_offset]
        case Shed():
            place = [entry.side, entry.at_offset, entry.what]
            parts = ["shed", entry.partition, entry.epoch, *place]
        case MaturityDecision():
            early = [] if entry.until_ms is None else ["early"]
            parts = ["maturity", entry.partition, entry.epoch, entry.model_id, *early]
        case Founding():
            parts = ["founding", entry.config_hash, moment]
        case Activation():
            parts = ["activation", entry.stage, entry.partition, entry.epoch, entry.announced_at]
        case Accepted():
            place = [entry.partition, entry.epoch, entry.side]
            parts = ["accepted", *place, entry.announced_at]
        case Renewed():
            parts = ["renewed", entry.partition, entry.epoch, entry.announced_at]
        case Noticed():
            parts = ["noticed", entry.partition, entry.epoch, entry.announced_at]
    return msgspec.json.encode(parts)


Apply = Callable[[Any], Awaitable[None]]
"""Takes a record: partition, offset, key, value (None: a tombstone), headers."""


class TopicTail:
    """Reads all partitions of a topic from their beginning, in no group, for ever."""

    def __init__(self, topic: str, connection: Mapping[str, Any], apply: Apply) -> None:
        """`apply` is awaited for each record, in partition order."""
        self.topic = topic
        self.positions: dict[int, int] = {}
        self._apply = apply
        self._moved = asyncio.Event()
        self._connection = connection
        self._consumer: Any = None
        self._asker: Any = None  # of ends: an answer must not wait behind a fetch for records
        self._asking = asyncio.Lock()

    async def start(self, partitions: int) -> None:
        """Raises TimeoutError if the topic has not this many partitions."""
        self._consumer = AIOKafkaConsumer(
            **self._connection,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await self._consumer.start()
        tps = [TopicPartition(self.topic, partition) for partition in range(partitions)]
        self._consumer.assign(tps)
        try:
            async with asyncio.timeout(_METADATA_WAIT_S):
                await self._consumer.seek_to_beginning(*tps)
                self.positions = {tp.partition: await self._consumer.position(tp) for tp in tps}
        except TimeoutError:
            raise TimeoutError(
                f"topic {self.topic} with {partitions} partitions not found"
            ) from None

    async def run(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
            for records in fetched.values():
                for record in records:
                    await self._take(record)
            for partition in self.positions:
                tp = TopicPartition(self.topic, partition)
                self.positions[partition] = await self._consumer.position(tp)
            self._moved.set()
            self._moved = asyncio.Event()

    async def _take(self, record: Any) -> None:
        try:
            await self._apply(record)
        except BrokenRecordError as error:
            raise unreadable(self.topic, record.partition, record.offset, error) from error

    async def end(self) -> dict[int, int]:
        """The offset behind the last record of each partition, now."""
        tps = [TopicPartition(self.topic, partition) for partition in self.positions]
        async with self._asking:
            if self._asker is None:
                self._asker = AIOKafkaConsumer(**self._connection, group_id=None)
                await self._asker.start()
        ends = await self._asker.end_offsets(tps)
        return {tp.partition: offset for tp, offset in ends.items()}

    def last_answer_ms(self) -> int | None:
        """When a broker last answered a poll of any partition, Unix time; None: never."""
        answers_ms = [
            self._consumer.last_poll_timestamp(TopicPartition(self.topic, partition))
            for partition in self.positions
        ]
        return max((ms for ms in answers_ms if ms is not None), default=None)

    async def reached(self, targets: Mapping[int, int]) -> None:
        """Waits until every record before these offsets is applied."""
        while any(self.positions[partition] < offset for partition, offset in targets.items()):
            await self._moved.wait()

    async def stop(self) -> None:
        for consumer in (self._consumer, self._asker):
            if consumer is not None:
                with contextlib.suppress(Exception):
                    await consumer.stop()


async def read_whole(
    settings: Settings, topic: str, partitions: int | None = None
) -> list[tuple[int, bytes]]:
    """(offset, value) of a topic up to its end now, partition by partition, in offset order;
    `partitions`: of a topic that has not as many as the sources."""
    consumer = AIOKafkaConsumer(**connection(settings), group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        count = settings.partitions if partitions is None else partitions
        tps = [TopicPartition(topic, partition) for partition in range(count)]
        consumer.assign(tps)
        values: dict[TopicPartition, list[tuple[int, bytes]]] = {tp: [] for tp in tps}
        left = {tp: end for tp, end in (await consumer.end_offsets(tps)).items() if end}
        while any([await consumer.position(tp) < end for tp, end in left.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                values[tp] += [(r.offset, r.value) for r in records if r.value is not None]
        return [placed for tp in tps for placed in values[tp]]
    finally:
        await consumer.stop()
