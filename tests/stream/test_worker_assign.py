"""A takeover on a virtual journal: what former owners said in time outlives its compaction."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.journal import Journal, journal_key
from stream.metrics import Metrics
from stream.settings import Settings
from stream.wire import (
    Accepted,
    Activation,
    Claim,
    Idle,
    JournalEntry,
    Renewed,
    Shed,
    decode_journal,
    encode_journal,
)
from stream.worker_assign import Takeover
from stream.worker_host import Host
from stream.worker_routes import Outgoing

SETTINGS = Settings(partitions=1)
SOURCES = [TP(SETTINGS.topics.predictions, 0), TP(SETTINGS.topics.outcomes, 0)]
PANES = TP(SETTINGS.internal_topic("panes"), 0)
Written = list[tuple[bytes, bytes]]


class VirtualJournal:
    """The one partition of the journal, and its reader."""

    def __init__(self) -> None:
        self.written: Written = []
        self.positions = {0: 0}
        self.host: Host

    def write(self, entry: JournalEntry, moment: int = 0) -> None:
        self.written.append((journal_key(entry, moment), encode_journal(entry)))

    async def end(self) -> dict[int, int]:
        return {0: len(self.written)}

    async def reached(self, targets: Mapping[int, int]) -> None:
        while self.positions[0] < targets[0]:
            offset = self.positions[0]
            self.positions[0] += 1
            self.host.journal_entry(offset, decode_journal(self.written[offset][1]))

    async def send(self, record: Outgoing) -> asyncio.Future[Any]:
        promise: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        offset = 0
        if record.topic == SETTINGS.internal_topic("journal"):
            assert record.key is not None
            assert record.value is not None
            offset = len(self.written)
            self.written.append((record.key, record.value))
        promise.set_result(SimpleNamespace(topic=record.topic, partition=0, offset=offset))
        return promise


class NoChangelogs:
    async def read(self, owned: Collection[Any]) -> Mapping[int, Mapping[bytes, bytes | None]]:
        return {stage: {} for stage, _ in owned}

    async def earliest(self, tps: Collection[Any]) -> Mapping[Any, int]:
        return dict.fromkeys(tps, 0)


def compacted(written: Written) -> list[tuple[int, JournalEntry]]:
    last = {key: offset for offset, (key, _) in enumerate(written)}
    return [(offset, decode_journal(written[offset][1])) for offset in sorted(last.values())]


def silences(entries: list[tuple[int, JournalEntry]]) -> list[tuple[str, int, int]]:
    journal = Journal()
    for offset, entry in entries:
        journal.add(offset, entry)
    return sorted((e.side, e.at_offset, e.watermark_ms) for e in journal.idle_of(0))


def test_what_a_zombie_says_in_vain_of_a_silence_does_not_take_away_what_was_said_in_time() -> None:
    async def scenario() -> None:
        journal = VirtualJournal()
        journal.write(Claim(1, 0, "former"))
        journal.write(Idle(1, 0, 0, "predictions", 0, 5_000))
        host = Host(SETTINGS, journal.send, Metrics(CollectorRegistry()), "successor")
        journal.host, host.reader = host, journal
        host.assigner = Takeover(NoChangelogs(), journal)  # type: ignore[arg-type]
        positions = await host.assigned(SOURCES)
        assert host.failure is None
        assert positions == dict.fromkeys(SOURCES, 0)
        assert host.sources[0].core.watermark_ms("predictions") == 5_000

        journal.write(Idle(1, 0, 0, "predictions", 0, 9_000))  # the former owner, thawed
        whole = [
            (offset, decode_journal(value)) for offset, (_, value) in enumerate(journal.written)
        ]
        assert silences(whole) == [("predictions", 0, 5_000)]
        assert len(compacted(journal.written)) < len(journal.written)
        assert silences(compacted(journal.written)) == silences(whole)

    asyncio.run(scenario())


def decided(entries: list[tuple[int, JournalEntry]]) -> list[JournalEntry]:
    """All that counts in partition 0, whichever epoch said it."""
    journal = Journal()
    for offset, entry in entries:
        journal.add(offset, entry)
    found = [*journal.idle_of(0), *journal.sheds_of(0), *journal.accepted_of(0)]
    found += [*journal.activations_of(2, 0), *journal.renewed_of(0)]
    found += journal.noticed_of(0)
    return [msgspec.structs.replace(entry, epoch=0) for entry in found]


def test_what_a_producer_sends_again_behind_a_claim_deletes_no_decision_of_any_kind() -> None:
    former: list[JournalEntry] = [
        Idle(1, 0, 0, "outcomes", 0, 5_000),
        Shed(1, 0, 0, "predictions", 9, "pending", 2),
        Accepted(1, 0, 0, "outcomes", 8, announced_at=3, config_hash="c"),
        Activation(2, 0, 1, announced_at=3, config_hash="c", at_ms=5),
        Renewed(2, 0, 1, announced_at=4, at_ms=6, model_id="m", version="1"),
    ]

    async def scenario() -> None:
        journal = VirtualJournal()
        for entry in (Claim(1, 0, "former"), Claim(2, 0, "former"), *former):
            journal.write(entry)
        host = Host(SETTINGS, journal.send, Metrics(CollectorRegistry()), "successor")
        journal.host, host.reader = host, journal
        host.assigner = Takeover(NoChangelogs(), journal)  # type: ignore[arg-type]
        await host.assigned([*SOURCES, PANES])
        assert host.failure is None
        for entry in former:
            journal.write(entry)
        whole = [
            (offset, decode_journal(value)) for offset, (_, value) in enumerate(journal.written)
        ]
        assert len(decided(whole)) == len(former)
        assert decided(compacted(journal.written)) == decided(whole)

    asyncio.run(scenario())


def test_a_state_whose_decisions_were_said_again_too_late_is_not_sealed() -> None:
    """Behind another claim they are void, and its owner would take them for said."""

    async def scenario() -> None:
        journal = VirtualJournal()
        journal.write(Claim(1, 0, "former"))
        journal.write(Idle(1, 0, 0, "predictions", 0, 5_000))
        sealed: list[str] = []

        async def send(record: Outgoing) -> asyncio.Future[Any]:
            is_said = record.value is not None and record.topic == SETTINGS.internal_topic(
                "journal"
            )
            if is_said and isinstance(decode_journal(record.value or b""), Idle):
                journal.write(Claim(1, 0, "another"))
            if record.topic.endswith("changelog"):
                sealed.append(record.topic)
            return await journal.send(record)

        host = Host(SETTINGS, send, Metrics(CollectorRegistry()), "successor")
        journal.host, host.reader = host, journal
        host.assigner = Takeover(NoChangelogs(), journal)  # type: ignore[arg-type]
        await host.assigned(SOURCES)
        assert host.failure is None
        assert sealed == []
        assert host.sources == {}

    asyncio.run(scenario())


def test_an_owner_has_spoken_once_all_that_it_says_first_is_acknowledged() -> None:
    async def scenario() -> None:
        journal = VirtualJournal()
        held: list[tuple[asyncio.Future[Any], Outgoing]] = []
        is_held = asyncio.Event()

        async def send(record: Outgoing) -> asyncio.Future[Any]:
            if record.topic != SETTINGS.internal_topic("findings"):
                return await journal.send(record)
            promise: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            held.append((promise, record))
            is_held.set()
            return promise

        host = Host(SETTINGS, send, Metrics(CollectorRegistry()), "successor")
        journal.host, host.reader = host, journal
        host.assigner = Takeover(NoChangelogs(), journal)  # type: ignore[arg-type]
        assigning = asyncio.create_task(host.assigned([*SOURCES, PANES]))
        await is_held.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not assigning.done()
        assert not any(slot.has_spoken for slot in host.slots())
        for promise, record in held:
            promise.set_result(SimpleNamespace(topic=record.topic, partition=0, offset=0))
        assert await assigning == dict.fromkeys([*SOURCES, PANES], 0)
        assert all(slot.has_spoken for slot in host.slots())

    asyncio.run(scenario())
