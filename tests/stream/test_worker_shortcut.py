"""Stages of one worker hear each other in the order of the topic, whichever way a record comes."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.events import Effect
from stream.refusals import TruncatedTopicError
from stream.snapshot import Part
from stream.worker_host import Host
from stream.worker_routes import Outgoing
from stream.worker_slot import MODELS, Slot
from tests.stream.test_worker_host import Broker, new_host, run

PANES = "leeway-panes"
CROWD = bytes(1_000_000)


class Topic(Broker):
    """Acknowledges at the loop's next turn; others write to it too."""

    def append(self, value: bytes) -> int:
        self.sent.append(Outgoing(PANES, 0, None, value))
        return len(self.sent) - 1

    async def send(self, record: Outgoing) -> asyncio.Future[Any]:
        assert record.value is not None
        loop = asyncio.get_running_loop()
        promise = loop.create_future()
        place = SimpleNamespace(topic=PANES, partition=0, offset=self.append(record.value))
        loop.call_soon(promise.set_result, place)
        return promise


class Hears:
    """A stage that only remembers."""

    epoch = 0

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.takes_s = 0.0

    def handle(self, value: bytes) -> list[Effect]:
        time.sleep(self.takes_s)
        self.heard.append(value)
        return []

    def snapshot(self) -> list[Part]:
        return []


def hearing() -> tuple[Host, Slot[Hears], Topic]:
    topic = Topic()
    host, _, _ = new_host(topic)
    slot = Slot(MODELS, 0, Hears(), {PANES: 0}, "leeway-panes-changelog")
    host.models[0] = slot  # type: ignore[assignment]
    slot.has_spoken = True
    return host, slot, topic


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_what_the_broker_has_is_heard_before_the_consumer_brings_it() -> None:
    async def scenario() -> None:
        host, slot, _ = hearing()
        running = asyncio.create_task(host.shortcut.run())
        for value in (b"a", b"b", b"c"):
            await host.send(Outgoing(PANES, 0, None, value))
        await turns()
        assert slot.core.heard == [b"a", b"b", b"c"]
        assert slot.offsets == {PANES: 3}
        running.cancel()

    run(scenario())


class Consumer:
    """Brings what is on the topic, each record once."""

    def __init__(self, host: Host, topic: Topic) -> None:
        self._host, self._topic = host, topic
        self._brought = 0
        self.acknowledged: list[int] = []

    @property
    def is_at_end(self) -> bool:
        return self._brought == len(self._topic.sent)

    async def bring(self) -> None:
        offset, self._brought = self._brought, self._brought + 1

        async def ack() -> None:
            self.acknowledged.append(offset)

        value = self._topic.sent[offset].value or b""
        await self._host.model_record(0, offset, value, ack)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["say", "other", "bring", "turn", "crowd"]), max_size=30))
def test_each_record_is_applied_once_in_the_order_of_the_topic(steps: list[str]) -> None:
    async def scenario() -> None:
        host, slot, topic = hearing()
        running = asyncio.create_task(host.shortcut.run())
        consumer = Consumer(host, topic)

        async def take(step: str, value: bytes) -> None:
            match step:
                case "say":
                    await host.send(Outgoing(PANES, 0, None, value))
                case "other":
                    topic.append(value)
                case "bring" if not consumer.is_at_end:
                    await consumer.bring()
                case "turn":
                    await turns()
                case "crowd":  # more than are kept waiting
                    for _ in range(20):
                        host.shortcut.acknowledged(slot, PANES, -1, CROWD)

        for number, step in enumerate(steps):
            await take(step, f"{step} {number}".encode())
        while not consumer.is_at_end:
            await consumer.bring()
        await turns()
        assert slot.core.heard == [record.value for record in topic.sent]
        assert slot.offsets == {PANES: len(topic.sent)}
        for ack in slot._acks:
            await ack()
        assert consumer.acknowledged == list(range(len(topic.sent)))
        assert not slot.ahead
        running.cancel()

    run(scenario())


def test_a_record_that_the_broker_lost_and_gave_its_place_to_another_is_refused() -> None:
    async def scenario() -> None:
        host, slot, topic = hearing()
        running = asyncio.create_task(host.shortcut.run())
        for value in (b"a", b"b"):
            await host.send(Outgoing(PANES, 0, None, value))
        await turns()
        topic.sent[1] = Outgoing(PANES, 0, None, b"another")
        consumer = Consumer(host, topic)
        await consumer.bring()
        with pytest.raises(TruncatedTopicError, match="has lost records"):
            await consumer.bring()
        assert not slot.ahead
        running.cancel()

    run(scenario())


def test_others_have_their_turn_while_much_is_heard() -> None:
    async def scenario() -> None:
        host, slot, _ = hearing()
        slot.core.takes_s = 0.01
        for number in range(40):
            await host.send(Outgoing(PANES, 0, None, b"%d" % number))
        await turns()  # all of it is acknowledged
        running, heard = asyncio.create_task(host.shortcut.run()), [0]
        while heard[-1] < 40:
            await asyncio.sleep(0)
            heard.append(len(slot.core.heard))
        assert max(np.diff(heard)) < 20
        running.cancel()

    run(scenario())


def test_what_was_said_to_a_slot_that_is_no_longer_ours_is_not_heard() -> None:
    async def scenario() -> None:
        host, slot, _ = hearing()
        await host.send(Outgoing(PANES, 0, None, b"a"))
        await turns()
        host.models.clear()
        running = asyncio.create_task(host.shortcut.run())
        await turns()
        assert slot.core.heard == []
        assert slot.offsets == {PANES: 0}
        running.cancel()

    run(scenario())


def test_a_new_owner_hears_nothing_this_way_before_it_has_spoken() -> None:
    async def scenario() -> None:
        host, slot, topic = hearing()
        running = asyncio.create_task(host.shortcut.run())
        consumer = Consumer(host, topic)
        slot.has_spoken = False
        await host.send(Outgoing(PANES, 0, None, b"a"))
        await turns()
        slot.has_spoken = True
        await host.send(Outgoing(PANES, 0, None, b"b"))
        await turns()
        assert slot.core.heard == []
        await consumer.bring()
        await host.send(Outgoing(PANES, 0, None, b"c"))
        await turns()
        assert slot.core.heard == [b"a"], "b waits for the consumer, and c behind it"
        await consumer.bring()
        await consumer.bring()
        await host.send(Outgoing(PANES, 0, None, b"d"))
        await turns()
        assert slot.core.heard == [b"a", b"b", b"c", b"d"]
        running.cancel()

    run(scenario())
