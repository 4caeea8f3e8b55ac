"""When the slots of a worker write checkpoints, and what waits for them."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from stream.allocator import give_back
from stream.worker_slot import STAGES, Pace, Slot, at_once

if TYPE_CHECKING:
    from stream.worker_host import Host

log = logging.getLogger(__name__)

_TICK_S = 0.05
_HELD_S = 1.0  # that checkpoints wait for alerts which may be on their way,
_MOST_HELD_S = 2.0  # where more panes leave meanwhile (predictions behind cohorts),
_HELD_EVERY_S = 4.0  # at most so often: of many models some panes always are
_GIVE_BACK_S = 60.0  # memory that is free then: milliseconds, and its pages made anew
_GIVE_BACK_SHARE = 1e-3  # of the time, at most: a gigabyte in pieces takes half a second
_REVOKE_SHARE = 2 / 3  # of the rebalance timeout, for the checkpoints of what leaves


class Checkpoints:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._held_until_s = self._longest_s = self._may_hold_s = 0.0
        self._is_leaving = False
        kafka = host.settings.kafka
        self._revoke_s = kafka.rebalance_timeout.total_seconds() * _REVOKE_SHARE

    async def run(self) -> None:
        due_s = time.monotonic() + _GIVE_BACK_S
        while True:
            await asyncio.sleep(_TICK_S)
            if time.monotonic() >= due_s:
                due_s = _given_back()
            for slot in self._host.slots():
                if slot.is_due(self._pace()):
                    await self.write(slot)

    def hold_back(self) -> None:
        """Panes have just left for stage 2: what is due by the clock alone may wait, and what is
        being written too."""
        now_s = time.monotonic()
        if now_s >= self._may_hold_s:
            self._longest_s, self._may_hold_s = now_s + _MOST_HELD_S, now_s + _HELD_EVERY_S
        self._held_until_s = min(now_s + _HELD_S, self._longest_s)

    def _pace(self) -> Pace:
        asked = self._host.settings.checkpoint
        share = asked.bytes_per_s / max(1, len(self._host.slots()))
        interval_s = math.inf if self._is_held else asked.interval.total_seconds()
        return Pace(interval_s, asked.bytes, share)

    @property
    def _is_held(self) -> bool:
        return not self._is_leaving and time.monotonic() < self._held_until_s

    async def _turn(self) -> None:
        """To pack takes what the panes on their way need; but no slot may have so much input that
        its checkpoint is due: they are written one after the other."""
        while self._is_held and not self._is_due_by_input():  # noqa: ASYNC110 a moment of the clock
            await asyncio.sleep(_TICK_S)

    def _is_due_by_input(self) -> bool:
        most = self._host.settings.checkpoint.bytes
        return any(slot.input_bytes >= most for slot in self._host.slots())

    async def room(self, slot: Slot[Any]) -> None:
        """Input waits here for a checkpoint that is late."""
        while self._is_awaited(slot):  # noqa: ASYNC110 half of what ends it is not told
            await asyncio.sleep(_TICK_S)

    def _is_awaited(self, slot: Slot[Any]) -> bool:
        host = self._host
        return slot.is_full(self._pace()) and host.failure is None and not host.is_draining

    async def write(self, slot: Slot[Any], *, force: bool = False) -> None:
        host = self._host
        if host.failure is not None:
            return  # what failed half-way must not be remembered as done
        began_s = time.perf_counter()
        journal_position = host.reader.positions[slot.partition]
        layout, is_ours = host.layout(slot.stage), partial(self._is_ours, slot)
        size_bytes = await slot.write(
            host.send, is_ours, layout, journal_position, force=force,
            turn=at_once if force else self._turn,
        )  # fmt: skip
        if size_bytes is not None:
            stage = STAGES[slot.stage]
            host.metrics.checkpoint(stage, time.perf_counter() - began_s, size_bytes)
            host.metrics.state(stage, slot.partition, slot.state_bytes)

    async def _is_ours(self, slot: Slot[Any]) -> bool:
        reader = self._host.reader
        ends = await reader.end()
        await reader.reached({slot.partition: ends[slot.partition]})
        return bool(self._host.journal.epoch(*slot.key) == slot.core.epoch)

    async def write_all(self, slots: Sequence[Slot[Any]]) -> None:
        """What is not sealed in time, or not at all, the next owner does again."""
        self._is_leaving = True  # which has no time to wait
        try:
            async with asyncio.timeout(self._revoke_s):
                writing = [self.write(slot) for slot in slots]
                results = await asyncio.gather(*writing, return_exceptions=True)
        except TimeoutError as timeout:
            results = [timeout]
        finally:
            self._is_leaving = False
        for result in results:
            if isinstance(result, Exception):
                log.warning("not checkpointed before leaving, will be replayed: %r", result)


def _given_back() -> float:
    """Free memory; when the next time is, on the clock of `time.monotonic`."""
    began_s = time.monotonic()
    give_back()
    done_s = time.monotonic()
    return done_s + max(_GIVE_BACK_S, (done_s - began_s) / _GIVE_BACK_SHARE)
