"""The records of the changelogs, read whole by every takeover, behind its claim.

Faust's own recovery of tables is not used: it reads before the claim, and what is still in its
queue when a rebalance begins makes it pass over what it then reads again (seen on a real broker).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from stream.kafka_admin import changelog_topic
from stream.settings import Settings
from stream.worker_slot import STAGES

_POLL_MS = 200
_PARTITION_FETCH_BYTES = 16 << 20  # state comes in records of half a megabyte
_FETCH_BYTES = 64 << 20

Records = dict[bytes, bytes | None]


class Changelogs:
    """See `worker_assign.Changelogs`."""

    def __init__(self, settings: Settings, options: Mapping[str, Any]) -> None:
        """`options` of a connection to the brokers."""
        self._settings, self._options = settings, options
        self.bytes_read = 0  # ever: what does not move is stuck

    async def read(self, owned: Collection[tuple[int, int]]) -> Mapping[int, Records]:
        """What each stage's changelog says now of these (stage, partition), from its beginning."""
        stage_of = {changelog_topic(self._settings, name): s for s, name in STAGES.items()}
        topic_of = {stage: topic for topic, stage in stage_of.items()}
        tps = [TopicPartition(topic_of[stage], partition) for stage, partition in owned]
        found: dict[int, Records] = {stage: {} for stage in STAGES}
        async with self._reader() as reader:
            starts = await reader.beginning_offsets(tps)
            left = dict(await reader.end_offsets(tps))
            reader.assign(tps)
            for tp, offset in starts.items():
                reader.seek(tp, offset)
            while left := {tp: end for tp, end in left.items() if await reader.position(tp) < end}:
                for tp, records in (await reader.getmany(*left, timeout_ms=_POLL_MS)).items():
                    for record in records:
                        self.bytes_read += len(record.value or b"")
                        found[stage_of[tp.topic]][record.key] = record.value
        return found

    async def earliest(self, tps: Collection[Any]) -> Mapping[Any, int]:
        async with self._reader() as reader:
            found = await reader.beginning_offsets([TopicPartition(*tp) for tp in tps])
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def end(self, topic: str, partition: int) -> int:
        """The offset behind the last record of any topic, now."""
        tp = TopicPartition(topic, partition)
        async with self._reader() as reader:
            found = await reader.end_offsets([tp])
        return int(found[tp])

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[Any]:
        """In no group, and on a connection of its own: an answer of the broker about offsets would
        wait for half a second behind a fetch that waits for records."""
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()
