"""Reads `alerts.state` back while this worker owns stage 3, and puts right what a former owner
overwrote (see `last_states`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from stream.alert_stage import AlertStage
from stream.journal import TopicTail
from stream.worker_host import Host
from stream.worker_routes import Outgoing, Sender, alert_headers
from stream.worker_slot import Slot

log = logging.getLogger(__name__)

_TICK_S = 0.5
_AGAIN_S = 5.0


class AlertStates:
    """Reads the topic, in no group, while this worker owns stage 3."""

    def __init__(self, host: Host, connection: Mapping[str, Any]) -> None:
        self._host = host
        self._states = host.alert_states
        self._topic = host.settings.topics.alerts_state
        self._connection = connection

    async def run(self, partitions: int) -> None:
        while True:
            for slot in list(self._host.alerts.values()):
                try:
                    await self._keep(slot, partitions)
                except (KafkaError, TimeoutError) as error:
                    if isinstance(error, TopicAuthorizationFailedError):
                        raise
                    log.warning("%s is read from its beginning again: %s", self._topic, error)
                    await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(_TICK_S)

    async def _keep(self, slot: Slot[AlertStage], partitions: int) -> None:
        self._states.own(slot.core.epoch)
        tail = TopicTail(self._topic, self._connection, self._heard)
        try:
            await tail.start(partitions)
            reading = asyncio.create_task(tail.run())
            try:
                while self._host.alerts.get(slot.partition) is slot and not reading.done():
                    await asyncio.sleep(_TICK_S)
                    if self._states.has_stale and await _is_at_end(tail):
                        await self._repair(slot)
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading  # an error of the reader stops the worker
        finally:
            await tail.stop()

    async def _heard(self, record: Any) -> None:
        if record.key is not None:
            self._states.heard(record.key, record.value, dict(record.headers))

    async def _repair(self, slot: Slot[AlertStage]) -> None:
        async with self._host.changing(slot) as is_ours:
            if not is_ours:
                return
            stale = self._states.take_stale()
            host = self._host
            sender = Sender(host.worker, slot.partition, slot.core.epoch, host.now_ms())
            again = [
                Outgoing(
                    self._topic, None, key, state.value,
                    alert_headers(state.sequence, sender, host.settings.app),
                )
                for key, state in stale
            ]  # fmt: skip
            await slot.emit(host.send, again)
        if stale:
            self._host.metrics.alert_states_repaired(len(stale))
            log.warning("%d states on %s were overwritten by a former owner and are written again",
                        len(stale), self._topic)  # fmt: skip


async def _is_at_end(tail: TopicTail) -> bool:
    """What stands last is known only there."""
    ends = await tail.end()
    return all(tail.positions[partition] >= end for partition, end in ends.items())
