"""A claim that came late takes a partition from its owner, to whom the group still assigns it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry

from stream.metrics import Metrics
from stream.refusals import OvertakenError
from stream.settings import Settings
from stream.worker_host import Host
from stream.worker_overtaken import Overtaken

Scenario = Callable[[Host, Overtaken, list[int]], Awaitable[None]]


def run(scenario: Scenario, **changes: Any) -> None:
    async def running() -> None:
        async def send(_record: object) -> asyncio.Future[object]:
            raise AssertionError("nothing is sent")

        host = Host(Settings(partitions=1, **changes), send, Metrics(CollectorRegistry()), "me")
        rejoined: list[int] = []

        async def rejoin() -> None:
            rejoined.append(host.generation)

        await scenario(host, Overtaken(host, rejoin), rejoined)

    asyncio.run(running())


def test_what_is_still_assigned_when_the_group_must_have_told_is_assigned_anew_once() -> None:
    async def scenario(host: Host, overtaken: Overtaken, rejoined: list[int]) -> None:
        host.overtaken[1, 0] = 100.0
        await overtaken.check(101.0)
        assert rejoined == [], "a worker that was replaced hears of it at its next heartbeat"
        await overtaken.check(104.0)
        await overtaken.check(105.0)
        assert rejoined == [0]
        assert host.failure is None

    run(scenario)


def test_a_rebalance_settles_it() -> None:
    async def scenario(host: Host, overtaken: Overtaken, rejoined: list[int]) -> None:
        host.overtaken[1, 0] = 100.0
        await host.revoked()
        await overtaken.check(200.0)
        assert rejoined == []

    run(scenario)


def test_without_a_rebalance_the_worker_stops() -> None:
    async def scenario(host: Host, overtaken: Overtaken, rejoined: list[int]) -> None:
        host.overtaken[1, 0] = 100.0
        await overtaken.check(104.0)
        await overtaken.check(131.0)
        assert rejoined == [0]
        assert isinstance(host.failure, OvertakenError)
        assert "stage 1 partition 0" in str(host.failure)

    run(scenario)


def test_taken_again_and_again_the_worker_stops() -> None:
    async def scenario(host: Host, overtaken: Overtaken, rejoined: list[int]) -> None:
        for round_s in (100.0, 200.0, 300.0):
            host.overtaken[2, 0] = round_s
            await overtaken.check(round_s + 4)
            await host.revoked()
        assert rejoined == [0, 1, 2]
        assert host.failure is None
        host.overtaken[2, 0] = 400.0
        await overtaken.check(404.0)
        assert rejoined == [0, 1, 2]
        assert "3 times in a row" in str(host.failure)

    run(scenario)


def test_seldom_it_may_happen_for_ever() -> None:
    async def scenario(host: Host, overtaken: Overtaken, rejoined: list[int]) -> None:
        for day in range(10):
            host.overtaken[2, 0] = day * 86_400.0
            await overtaken.check(day * 86_400.0 + 4)
            await host.revoked()
        assert len(rejoined) == 10
        assert host.failure is None

    run(scenario)


def test_under_a_name_that_another_worker_has_too_it_stops_and_names_it() -> None:
    async def scenario(host: Host, overtaken: Overtaken, _rejoined: list[int]) -> None:
        for second in range(3):
            assert host.failure is None
            host.overtaken[1, 0] = float(second)
            await overtaken.check(float(second))
            await overtaken.check(second + 0.25)
            await host.revoked()
        assert "the same kafka.instance_id, leeway-0" in str(host.failure)

    run(scenario, kafka={"instance_id": "leeway-0"})


def test_without_a_name_heartbeats_tell_who_is_who() -> None:
    async def scenario(host: Host, overtaken: Overtaken, rejoined: list[int]) -> None:
        for second in range(9):
            host.overtaken[1, 0] = float(second)
            await overtaken.check(float(second))
            await host.revoked()
        assert host.failure is None
        assert rejoined == []

    run(scenario)
