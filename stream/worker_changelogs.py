"""The records of the changelogs: what Faust's recovery found, and what was written behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from stream.kafka_admin import changelog_topic
from stream.settings import Settings
from stream.transport import App
from stream.worker_slot import STAGES

_POLL_MS = 200


class Changelogs:
    """See `worker_assign.Changelogs`."""

    def __init__(
        self, app: App, tables: Mapping[int, Any], settings: Settings, options: Mapping[str, Any]
    ) -> None:
        """`options` of a connection to the brokers."""
        self._app, self._tables = app, tables
        self._settings, self._options = settings, options

    async def read_on(self, owned: Collection[tuple[int, int]]) -> None:
        """Behind what recovery has read, up to the end now. Most often there is nothing."""
        stage_of = {changelog_topic(self._settings, name): s for s, name in STAGES.items()}
        topic_of = {stage: topic for topic, stage in stage_of.items()}
        read = self._app.tables.recovery.active_offsets  # of the last record; None or -1: none
        starts = {}
        for stage, partition in owned:
            at = read.get(TP(topic_of[stage], partition))
            starts[topic_of[stage], partition] = 0 if at is None else at + 1
        async with _reader(self._options) as reader:
            for record in await _to_the_end(reader, starts):
                self._tables[stage_of[record.topic]].data.data[record.key] = record.value

    def records(self, stage: int) -> Mapping[bytes, bytes | None]:
        return dict(self._tables[stage].data.data)

    def forget(self) -> None:
        for table in self._tables.values():
            table.data.data.clear()

    async def earliest(self, tps: Collection[Any]) -> Mapping[Any, int]:
        async with _reader(self._options) as reader:
            found = await reader.beginning_offsets([TopicPartition(*tp) for tp in tps])
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}


@asynccontextmanager
async def _reader(options: Mapping[str, Any]) -> AsyncIterator[Any]:
    """In no group, and on a connection of its own: an answer of the broker about offsets would wait
    for half a second behind a fetch that waits for records."""
    consumer = AIOKafkaConsumer(
        **options, group_id=None, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _to_the_end(consumer: Any, starts: Mapping[tuple[str, int], int]) -> list[Any]:
    """Records of these partitions from `starts` on, up to where they end now."""
    ends = await consumer.end_offsets([TopicPartition(*place) for place in starts])
    left = {tp: end for tp, end in ends.items() if starts[tp.topic, tp.partition] < end}
    consumer.assign([*left])
    for tp in left:
        consumer.seek(tp, starts[tp.topic, tp.partition])
    found: list[Any] = []
    while left:
        for tp, records in (await consumer.getmany(*left, timeout_ms=_POLL_MS)).items():
            found += [record for record in records if record.offset < left[tp]]
        for tp in [*left]:
            if await consumer.position(tp) >= left[tp]:
                del left[tp]
    return found
