"""Control records that cannot be used: dead letters, sent by the owner of stage 3.

Every worker reads the control topic from its beginning and refuses the same records. Stage 3, of
which there is one owner, remembers up to which of them the dead letters were sent.
"""

from __future__ import annotations

import logging
from bisect import insort
from typing import Literal

from stream.events import Records, ToDeadLetters
from stream.records import letter_of
from stream.worker_host import Host

log = logging.getLogger(__name__)

Reason = Literal["empty", "control_malformed", "control_unknown", "control_refused"]


class ControlRefusals:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._read: dict[int, Records] = {}  # by offset: not judged yet
        self._letters: list[tuple[int, ToDeadLetters]] = []

    def read(self, partition: int, offset: int, timestamp_ms: int | None, value: bytes) -> None:
        """A record, that is to be used or refused next."""
        topic = self._host.settings.topics.control
        self._read[offset] = Records(topic, partition, [offset], [timestamp_ms], [value])

    def used(self, offset: int) -> None:
        self._read.pop(offset, None)

    def refuse(self, offset: int, reason: Reason, why: str) -> None:
        log.error("control record %d ignored: %s", offset, why)
        records = self._read.pop(offset, None)
        if records is not None:
            payload = self._host.settings.dead_letters.payload
            letter = letter_of(records, 0, reason, why, payload)
            # what cannot be read is refused before what waits for the founding to be judged
            insort(self._letters, (offset, letter), key=lambda one: one[0])

    async def send(self) -> None:
        """Those that no owner of stage 3 has sent before its last checkpoint."""
        for slot in list(self._host.alerts.values()):
            if not slot.has_spoken or not self._due(slot.core.refused_until):
                continue
            async with self._host.changing(slot) as is_ours:
                due = self._due(slot.core.refused_until)
                if is_ours and due and not self._host.is_draining:
                    await self._host.perform(slot, [letter for _, letter in due])
                    slot.core.refused_until = due[-1][0] + 1

    def _due(self, since: int) -> list[tuple[int, ToDeadLetters]]:
        return [one for one in self._letters if one[0] >= since]
