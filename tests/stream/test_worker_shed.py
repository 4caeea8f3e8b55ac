"""Caps of a worker: journaled first, holding some way ahead, never where another owner has been."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from stream import worker_shed
from stream.identity import hash_ids
from stream.wire import Claim, Shed, decode_journal
from stream.worker_host import Host
from stream.worker_shed import shed_again
from stream.worker_slot import SOURCES
from tests.stream.test_worker_host import Broker, _no_ack, batch, new_host, prediction

COUNT, CAP, AHEAD = 60, 16, 7


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_shed, "AHEAD", AHEAD)


def small_host() -> Any:
    return new_host(limits={"pending": CAP}, outcomes={"maturity": "1d"})


def sheds(broker: Broker) -> list[Shed]:
    values = [out.value for out in broker.sent if out.topic == "leeway-journal"]
    entries = [decode_journal(value) for value in values if value is not None]
    return [entry for entry in entries if isinstance(entry, Shed)]


async def feed(host: Host, size: int) -> None:
    values = [prediction(i) for i in range(COUNT)]
    for start, stop in pairwise([*range(0, COUNT, size), COUNT]):
        await host.source_batch("predictions", batch(start, values[start:stop]), _no_ack)


def held_by(entries: list[Shed]) -> int:
    """How many of the records the levels leave, each from its offset on."""
    hashes = hash_ids(f"p{i}" for i in range(COUNT))[:, 0].tolist()
    held = 0
    for offset, row_hash in enumerate(hashes):
        level = max((e.at_offset, e.level) for e in [FIRST, *entries] if e.at_offset <= offset)[1]
        held += level < 16 and row_hash < 2 ** (64 - level)
    return held


FIRST = Shed(SOURCES, 0, 10, "predictions", 0, "pending", 0)


def test_a_level_is_journaled_and_holds_so_many_offsets_later() -> None:
    async def scenario() -> None:
        host, slot, broker = small_host()
        await feed(host, 5)
        found = sheds(broker)
        assert [entry.level for entry in found] == sorted({entry.level for entry in found})
        assert found[0].at_offset == 15 + AHEAD  # 14 of 16 are held within the third batch
        ledger = slot.core.ledger()["predictions"]
        assert ledger["pending"] == held_by(found)
        assert ledger["pending"] + ledger["unjoined"] == COUNT
        assert ledger["unjoined"] > COUNT / 3

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [1, 11, COUNT])
def test_a_successor_sheds_what_the_journal_says_whatever_its_batches(size: int) -> None:
    async def scenario() -> None:
        host, slot, broker = small_host()
        await feed(host, 5)
        later, taken, others = small_host()
        later.journal.add(10, Claim(SOURCES, 0, "one"))
        for at, entry in enumerate(sheds(broker), 11):
            later.journal.add(at, entry)
        shed_again(later, taken)
        await feed(later, size)
        added = [entry for entry in sheds(others) if entry.at_offset < COUNT]
        assert added == []  # what it wishes is decided already
        assert taken.core.ledger() == slot.core.ledger()

    asyncio.run(scenario())


def test_no_more_than_so_many_offsets_are_applied_beyond_the_last_checkpoint() -> None:
    async def scenario() -> None:
        host, slot, _ = small_host()
        values = [prediction(i) for i in range(COUNT)]
        for start in range(0, COUNT, 3):
            await host.source_batch("predictions", batch(start, values[start : start + 3]), _no_ack)
            topic = host.topics["predictions"]
            assert slot.offsets[topic] - slot.sealed[topic] <= AHEAD
        assert slot.sequence > 5

    asyncio.run(scenario())


def test_an_entry_that_a_claim_came_before_has_no_effect() -> None:
    async def scenario() -> None:
        host, slot, _ = small_host()

        async def reached(_targets: Any) -> None:
            host.sources.pop(0, None)  # fenced while the journal was read

        host.reader.reached = reached  # type: ignore[method-assign]
        values = [prediction(i) for i in range(CAP)]
        await host.source_batch("predictions", batch(0, values), _no_ack)
        assert slot.core.wishes()  # still wished for, not decided

    asyncio.run(scenario())
