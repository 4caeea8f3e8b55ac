"""What stages of one worker say to each other is heard once the broker has it, not once it comes.

An alert passes two topics between stages, and each fetch waits for the records that came with the
one before. Once the broker has acknowledged a record, its place in the topic is known: where it is
the next one that its stage is to apply, it is applied. The consumer brings it as well, and whatever
is applied already is passed over: so what does not go this way (others have written in between, or
too many wait) comes that way, in the same order.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from stream.worker_slot import Slot

if TYPE_CHECKING:
    from stream.worker_host import Host

_LONGEST_S = 0.05  # without a turn for others, but for a single record
_MOST_BYTES = 8_000_000  # that wait; a worker that is so far behind has no use for it


class _Said(NamedTuple):
    slot: Slot[Any]
    topic: str
    offset: int
    value: bytes


class Shortcut:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: asyncio.Queue[_Said] = asyncio.Queue()
        self._bytes = 0

    def acknowledged(self, slot: Slot[Any], topic: str, offset: int, value: bytes) -> None:
        """The broker has this record of a topic that the slot reads. A new owner hears nothing
        before it has spoken."""
        if slot.has_spoken and self._bytes + len(value) <= _MOST_BYTES:
            self._bytes += len(value)
            self._waiting.put_nowait(_Said(slot, topic, offset, value))

    async def run(self) -> None:
        since_s = time.monotonic()
        while True:
            if self._waiting.empty() or time.monotonic() - since_s > _LONGEST_S:
                await asyncio.sleep(0)  # others have their turn, which nothing below gives them
                since_s = time.monotonic()
            said = await self._waiting.get()
            self._bytes -= len(said.value)
            is_next = said.offset == said.slot.offsets[said.topic]
            if is_next and self._host.owns(said.slot) and self._host.failure is None:
                await self._host.stage_record(said.slot, said.offset, said.value)
