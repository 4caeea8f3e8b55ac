"""A worker's checkpoints: whose slot it is by the journal, and input that waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream import worker_checkpoints
from stream.metrics import Metrics
from stream.model_stage import ModelStage
from stream.settings import Settings
from stream.wire import Claim
from stream.worker_host import Host
from stream.worker_routes import Outgoing
from stream.worker_slot import MODELS, Slot


class Reader:
    """A journal whose end is heard of when it is waited for."""

    def __init__(self, host: Host, *claims: int) -> None:
        self.positions = {0: 0}
        self._host, self._claims = host, claims

    async def end(self) -> dict[int, int]:
        return {0: 1 + max(self._claims, default=0)}

    async def reached(self, targets: Mapping[int, int]) -> None:
        assert targets == await self.end()
        for offset in self._claims:
            self._host.journal.add(offset, Claim(MODELS, 0, "other"))


def host(sent: list[Outgoing], **changes: Any) -> tuple[Host, Slot[ModelStage]]:
    async def send(record: Outgoing) -> asyncio.Future[Any]:
        sent.append(record)
        promise = asyncio.get_running_loop().create_future()
        promise.set_result(None)
        return promise

    made = Host(Settings(partitions=1, **changes), send, Metrics(CollectorRegistry()), "me")
    made.journal.add(5, Claim(MODELS, 0, "me"))
    core = ModelStage(made.rules, 0, 1)
    core.epoch = 5
    slot = made.models[0] = Slot(MODELS, 0, core, {"leeway-panes": 0}, "changelog")
    return made, slot


def deleted(sent: list[Outgoing]) -> int:
    return sum(record.value is None for record in sent)


def test_what_a_checkpoint_replaces_is_deleted_while_the_last_claim_is_the_own() -> None:
    async def scenario() -> None:
        sent: list[Outgoing] = []
        owner, slot = host(sent)
        owner.reader = Reader(owner)
        await owner.checkpoint(slot, force=True)
        assert deleted(sent) == 0, "there was nothing before"
        await owner.checkpoint(slot, force=True)
        assert deleted(sent) >= 1

    asyncio.run(scenario())


def test_a_claim_that_the_journal_has_by_then_keeps_everything() -> None:
    async def scenario() -> None:
        sent: list[Outgoing] = []
        owner, slot = host(sent)
        owner.reader = Reader(owner)
        await owner.checkpoint(slot, force=True)
        owner.reader = Reader(owner, 9)
        await owner.checkpoint(slot, force=True)
        assert deleted(sent) == 0

    asyncio.run(scenario())


def test_input_waits_until_a_checkpoint_that_is_late_is_there() -> None:
    async def scenario() -> None:
        sent: list[Outgoing] = []
        owner, slot = host(sent, checkpoint={"bytes": "100B", "bytes_per_s": "1GB"})
        owner.reader = Reader(owner)
        slot.applied("leeway-panes", 1, 200, None)
        waiting = asyncio.create_task(owner.checkpoints.room(slot))
        await asyncio.sleep(0.12)
        assert not waiting.done()
        await owner.checkpoint(slot)
        await asyncio.wait_for(waiting, 5)

    asyncio.run(scenario())


def test_nothing_waits_once_the_worker_has_failed() -> None:
    async def scenario() -> None:
        owner, slot = host([], checkpoint={"bytes": "100B", "bytes_per_s": "1GB"})
        slot.applied("leeway-panes", 1, 200, None)
        owner.fail(RuntimeError("gone"))
        await asyncio.wait_for(owner.checkpoints.room(slot), 5)

    asyncio.run(scenario())


def test_memory_is_given_back_more_rarely_where_that_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for took_s, until_next_s in ((0.004, 60.0), (0.5, 500.0)):
        times = iter([1_000.0, 1_000.0 + took_s])
        monkeypatch.setattr(worker_checkpoints.time, "monotonic", partial(next, times))
        monkeypatch.setattr(worker_checkpoints, "give_back", lambda: True)
        due_s = worker_checkpoints._given_back()
        monkeypatch.undo()
        assert due_s == pytest.approx(1_000.0 + took_s + until_next_s)
