"""The records of the changelogs: what Faust's recovery found, and what was written behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from stream.kafka_admin import changelog_topic
from stream.settings import Settings
from stream.transport import App
from stream.worker_slot import STAGES

_POLL_MS = 200
Table = dict[bytes, bytes | None]


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
        names = {stage: name for name, stage in stage_of.items()}
        tps = [TP(names[stage], partition) for stage, partition in owned]
        ends = await self._app.consumer.highwaters(*tps)
        read = self._app.tables.recovery.active_offsets  # of the last record; None or -1: none
        starts = {tp: at + 1 if (at := read.get(tp)) is not None else 0 for tp in tps}
        behind = {tp: start for tp, start in starts.items() if start < (ends[tp] or 0)}
        if behind:
            for record in await records_between(self._options, behind, ends):
                table = self._tables[stage_of[record.topic]].data.data
                table[record.key] = record.value

    def records(self, stage: int) -> Mapping[bytes, bytes | None]:
        return dict(self._tables[stage].data.data)

    def forget(self) -> None:
        for table in self._tables.values():
            table.data.data.clear()

    async def earliest(self, tps: Collection[Any]) -> Mapping[Any, int]:
        found: Mapping[Any, int] = await self._app.consumer.earliest_offsets(*tps)
        return found


async def records_between(
    options: Mapping[str, Any], starts: Mapping[TP, int], ends: Mapping[TP, int]
) -> list[Any]:
    """Records of these partitions from `starts` to before `ends`, in the order of each; read in no
    group."""
    consumer = AIOKafkaConsumer(**options, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        left = {TopicPartition(*tp): ends[tp] for tp in starts}
        consumer.assign([*left])
        for tp, start in starts.items():
            consumer.seek(TopicPartition(*tp), start)
        found: list[Any] = []
        while left:
            for tp, records in (await consumer.getmany(*left, timeout_ms=_POLL_MS)).items():
                found += [record for record in records if record.offset < left[tp]]
            for tp in [*left]:
                if await consumer.position(tp) >= left[tp]:
                    del left[tp]
        return found
    finally:
        await consumer.stop()
