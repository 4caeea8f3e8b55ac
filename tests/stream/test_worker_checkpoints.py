"""A worker's checkpoints: whose slot it is by the journal, and input that waits for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from stream import worker_checkpoints
from stream.columns import Rows, constant_column
from stream.events import ToPanes
from stream.metrics import Metrics
from stream.model_stage import ModelStage
from stream.numbering import Speaker
from stream.settings import Settings
from stream.wire import Announcement, Block, Claim, encode_pane_record
from stream.worker_host import Host
from stream.worker_routes import Outgoing
from stream.worker_slot import MODELS, Slot

_ROWS = Rows(np.array([1_000]), np.zeros(1, np.uint64), {"x": constant_column(1, 1)}, {})
BLOCK = Block(0, 5, "prediction", ("m", "1", "champion", ""), _ROWS, None)


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
        promise.set_result(SimpleNamespace(topic=record.topic, partition=0, offset=len(sent)))
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


def test_a_checkpoint_that_the_clock_wants_waits_a_second_or_two_for_panes_on_their_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        owner, slot = host([], checkpoint={"interval": "2s", "bytes": "1MB"})
        now_s = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now_s)
        slot.touched()
        slot._checkpointed_s = now_s
        panes = Speaker(0).say(0, encode_pane_record(BLOCK))
        for at_s, effect, is_due in (
            (1.9, None, False),
            (2.1, None, True),
            (2.2, ToPanes(0, panes), False),
            (3.1, None, False),
            (3.3, None, True),
            (3.4, ToPanes(0, panes), False),
            (4.0, ToPanes(0, panes), False),
            (4.3, None, True),  # some always are on their way, of many models
            (4.4, ToPanes(0, panes), True),
            (6.1, ToPanes(0, panes), True),
            (6.3, ToPanes(0, panes), False),
        ):
            now_s = slot._checkpointed_s + at_s
            if effect is not None:
                await owner.perform(slot, [effect])
            assert slot.is_due(owner.checkpoints._pace()) == is_due, at_s
        slot._checkpointed_s = now_s
        slot.applied("leeway-panes", 1, 2_000_000, None)
        assert slot.is_due(owner.checkpoints._pace()), "so many bytes wait for nothing"

    asyncio.run(scenario())


@pytest.mark.parametrize("ended_by", ["the clock", "input", "leaving"])
def test_a_checkpoint_that_is_being_written_waits_for_panes_on_their_way_too(
    ended_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        sent: list[Outgoing] = []
        owner, slot = host(sent, checkpoint={"interval": "2s", "bytes": "1MB"})
        owner.reader = Reader(owner)
        for name in ("_HELD_S", "_MOST_HELD_S"):
            monkeypatch.setattr(worker_checkpoints, name, 3_600.0)
        owner.checkpoints.hold_back()
        slot.touched()
        writing = asyncio.create_task(owner.checkpoint(slot))
        await asyncio.sleep(0.12)
        assert not sent, "nothing is packed"
        if ended_by == "the clock":
            owner.checkpoints._held_until_s = time.monotonic()
        elif ended_by == "input":
            slot.applied("leeway-panes", 1, 2_000_000, None)
        else:
            await owner.revoked()
        await asyncio.wait_for(writing, 5)
        assert sent

    asyncio.run(scenario())


def test_announcements_hold_no_checkpoint_back() -> None:
    async def scenario() -> None:
        owner, slot = host([], checkpoint={"interval": "2s"})
        said = encode_pane_record(Announcement(0, 1, 5, 1_000, 1_000))
        await owner.perform(slot, [ToPanes(0, Speaker(0).say(0, said))])
        assert owner.checkpoints._pace().interval_s == 2.0

    asyncio.run(scenario())
