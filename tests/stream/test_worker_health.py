"""When a worker is ill, when it stops by itself, and what of the libraries' log is repeated."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from stream.metrics import Metrics
from stream.settings import Settings
from stream.worker_health import Health
from stream.worker_host import Host
from stream.worker_log import Unrepeated
from stream.worker_routes import Outgoing
from stream.worker_slot import SOURCES, Slot


class World:
    """A worker whose broker and recovery do what the test says."""

    def __init__(self) -> None:
        async def send(_record: Outgoing) -> asyncio.Future[Any]:
            raise AssertionError

        self.host = Host(Settings(partitions=1), send, Metrics(CollectorRegistry()), "me")
        self.is_progressing = True
        self.answer_ms: int | None = 0
        self.progress: tuple[bool, int] | None = None
        self.fell_out: BaseException | None = None
        watch: Any = self
        self.health = Health(self.host, watch, self, self)

    def last_answer_ms(self) -> int | None:
        return self.answer_ms

    def restoring(self) -> tuple[bool, int] | None:
        return self.progress

    def group_error(self) -> BaseException | None:
        return self.fell_out

    def seconds(self, count: int, *, answering: bool = True) -> None:
        for _ in range(count):
            if answering:
                self.answer_ms = (self.answer_ms or 0) + 500
            self.health.tick()


def test_a_worker_whose_broker_is_silent_is_ill_and_then_stops() -> None:
    world = World()
    world.seconds(100)
    assert world.health.ills() == []
    world.seconds(15, answering=False)
    assert world.health.ills() == ["no broker answers"]
    assert world.host.failure is None
    world.seconds(30, answering=False)
    assert "no broker of localhost:9092 has answered for 45 s" in str(world.host.failure)
    assert world.host.stopped.is_set()


def test_a_worker_that_fell_out_of_its_group_stops() -> None:
    world = World()
    world.seconds(1)
    assert world.host.failure is None
    world.fell_out = RuntimeError("the coordinator's task ended")
    world.seconds(1)
    assert "fell out of its group: the coordinator's task ended" in str(world.host.failure)


def test_a_broker_that_never_answered_is_silent_too() -> None:
    world = World()
    world.answer_ms = None
    world.seconds(46, answering=False)
    assert world.host.failure is not None


def test_a_broker_that_answers_again_was_only_slow() -> None:
    world = World()
    for _ in range(10):
        world.seconds(40, answering=False)
        world.seconds(1)
    assert world.host.failure is None
    assert world.health.ills() == []


def test_assigned_and_never_restored_is_ill_and_then_stops_the_worker() -> None:
    world = World()
    world.progress = (False, 7)
    world.seconds(121)
    assert world.health.ills() == ["assigned partitions are not being restored"]
    assert world.host.failure is None
    world.seconds(180)
    assert "nothing of their state was read for 300 s" in str(world.host.failure)


def test_a_long_recovery_that_reads_on_is_well() -> None:
    world = World()
    for read in range(100):
        world.progress = (False, read)
        world.seconds(100)
    assert world.health.ills() == []
    assert world.host.failure is None


def test_a_takeover_may_wait_longer_than_a_recovery_and_not_for_ever() -> None:
    world = World()
    world.progress = (True, 7)
    world.seconds(900)
    assert world.health.ills() == ["assigned partitions are not being restored"]
    assert world.host.failure is None
    world.seconds(1)
    assert world.host.failure is not None


def test_a_failed_worker_and_one_without_progress_are_ill() -> None:
    world = World()
    world.is_progressing = False
    world.host.fail(RuntimeError("a bug"))
    assert world.health.ills() == [
        "failed: a bug",
        "a partition with records to read does not progress",
    ]


def test_outputs_that_nobody_acknowledges_are_an_ill() -> None:
    async def scenario() -> None:
        world = World()
        core: Any = SimpleNamespace(epoch=1)
        slot = world.host.sources[0] = Slot(SOURCES, 0, core, {}, "changelog")
        promise: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def send(_record: Outgoing) -> asyncio.Future[Any]:
            return promise

        await slot.emit(send, [Outgoing("leeway-panes", 0, None, b"")])
        assert world.health.ills() == []
        slot._open_since_s -= 21
        assert world.health.ills() == ["outputs are not acknowledged"]
        promise.set_result(None)
        await asyncio.sleep(0)
        assert world.health.ills() == []

    asyncio.run(scenario())


def test_libraries_repeat_a_line_every_ten_seconds_and_the_worker_as_often_as_it_likes() -> None:
    now_s = [100.0]
    unrepeated = Unrepeated(clock=lambda: now_s[0])

    def passes(name: str, text: str) -> bool:
        return unrepeated.filter(logging.LogRecord(name, logging.ERROR, "", 0, text, (), None))

    assert passes("aiokafka.conn", "cannot connect to %s")
    assert not passes("aiokafka.conn", "cannot connect to %s")
    assert passes("aiokafka.conn", "another")
    assert [passes("stream.host", "the worker stops") for _ in range(2)] == [True, True]
    now_s[0] += 10
    assert passes("aiokafka.conn", "cannot connect to %s")
