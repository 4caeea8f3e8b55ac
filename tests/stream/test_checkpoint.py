"""Checkpoints: what counts, what is refused, and in which order promises are kept."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.checkpoint import (
    BLOB_BYTES,
    Checkpoint,
    CheckpointError,
    Key,
    Layout,
    encode,
    keys_of,
    latest,
)
from stream.snapshot import Part
from stream.worker_routes import Outgoing
from stream.worker_slot import Slot

LAYOUT = Layout(state_hash="abc", partitions=4, inputs=("predictions", "outcomes"))
STATE = {"state": random.Random(1).randbytes(2 * BLOB_BYTES + 1)}
ONE = Checkpoint(
    stage=1,
    partition=2,
    epoch=10,
    sequence=3,
    offsets={"predictions": 5, "outcomes": 7},
    journal_position=11,
    state=STATE,
)


def _records(*checkpoints: Checkpoint, layout: Layout = LAYOUT) -> dict[bytes, bytes | None]:
    records: dict[bytes, bytes | None] = {}
    for each in checkpoints:
        written = encode(each, layout)
        records |= dict(written.blobs) | dict([written.manifest])
    return records


def test_a_checkpoint_comes_back_as_it_was_written() -> None:
    assert latest(_records(ONE), 1, 2, LAYOUT) == ONE
    assert len(encode(ONE, LAYOUT).blobs) == 3


@given(st.binary(max_size=2_000), st.integers(0, 2**63), st.integers(0, 2**63))
def test_any_state_and_place_comes_back(state: bytes, epoch: int, offset: int) -> None:
    some = replace(ONE, state={"state": state}, epoch=epoch, offsets={"predictions": offset})
    assert latest(_records(some), 1, 2, LAYOUT) == some


def test_blobs_are_below_the_record_limit_of_a_broker() -> None:
    assert all(len(blob) <= BLOB_BYTES for _, blob in encode(ONE, LAYOUT).blobs)


def test_the_highest_epoch_counts_whatever_an_older_owner_still_writes() -> None:
    zombie = replace(ONE, sequence=99, state={"state": b"zombie"})
    mine = replace(ONE, epoch=11, sequence=1, state={"state": b"mine"})
    found = latest(_records(zombie, mine), 1, 2, LAYOUT)
    assert found == mine


def test_in_an_epoch_the_highest_sequence_counts() -> None:
    later = replace(ONE, sequence=4, state={"state": b"later"})
    assert latest(_records(later, ONE), 1, 2, LAYOUT) == later


@pytest.mark.parametrize("missing", range(4))
def test_an_incomplete_checkpoint_does_not_exist_and_the_one_before_counts(missing: int) -> None:
    later = replace(ONE, sequence=4)
    records = _records(ONE)
    written = encode(later, LAYOUT)
    parts = [*written.blobs, written.manifest]
    records |= dict(parts[:missing] + parts[missing + 1 :])
    assert latest(records, 1, 2, LAYOUT) == ONE


def test_a_tombstone_is_a_missing_record() -> None:
    records = _records(ONE)
    records[encode(ONE, LAYOUT).blobs[0][0]] = None
    assert latest(records, 1, 2, LAYOUT) is None


def test_other_stages_and_partitions_are_none_of_mine() -> None:
    records = _records(replace(ONE, stage=2), replace(ONE, partition=3))
    assert latest(records, 1, 2, LAYOUT) is None
    assert keys_of(records, 1, 2) == []


@pytest.mark.parametrize(
    ("layout", "what"),
    [
        (replace(LAYOUT, state_hash="other"), "state_hash"),
        (replace(LAYOUT, partitions=8), "partitions"),
        (replace(LAYOUT, inputs=("renamed", "outcomes")), "input topics"),
    ],
)
def test_state_that_means_something_else_now_is_refused(layout: Layout, what: str) -> None:
    with pytest.raises(CheckpointError, match=f"{what} was .* and is now .*start afresh"):
        latest(_records(ONE), 1, 2, layout)


def test_a_damaged_blob_is_refused() -> None:
    records = _records(ONE)
    key, blob = encode(ONE, LAYOUT).blobs[1]
    records[key] = blob[:-1] + bytes([blob[-1] ^ 1])
    with pytest.raises(CheckpointError, match="damaged"):
        latest(records, 1, 2, LAYOUT)


@pytest.mark.parametrize(("at", "what"), [(1, "version"), (-1, "checksum"), (0, "expected a")])
def test_an_unknown_or_damaged_manifest_is_refused(at: int, what: str) -> None:
    key, manifest = encode(ONE, LAYOUT).manifest
    broken = bytearray(manifest)
    broken[at] ^= 0x40
    with pytest.raises(CheckpointError, match=what):
        latest(_records(ONE) | {key: bytes(broken)}, 1, 2, LAYOUT)


def test_a_manifest_under_a_foreign_key_is_refused() -> None:
    _, manifest = encode(replace(ONE, partition=3), LAYOUT).manifest
    key, _ = encode(ONE, LAYOUT).manifest
    with pytest.raises(CheckpointError, match="belongs to"):
        latest({key: manifest}, 1, 2, LAYOUT)


def test_a_key_of_another_program_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not of this program"):
        latest({b"session-42": b""}, 1, 2, LAYOUT)


@given(st.tuples(*[st.integers(0, 2**n - 1) for n in (8, 32, 64, 64, 32)]))
def test_keys_come_back(fields: tuple[int, int, int, int, int]) -> None:
    assert Key.decode(Key(*fields).encode()) == Key(*fields)


def test_deletion_begins_with_the_manifest() -> None:
    written = encode(ONE, LAYOUT)
    assert written.keys()[0] == written.manifest[0]
    assert keys_of(reversed([*_records(ONE)]), 1, 2) == written.keys()


# -- the order of promises


class FakeStage:
    epoch = 10

    def snapshot(self) -> list[Part]:
        return [Part("state", None, lambda: STATE["state"])]


class FakeBroker:
    """Acknowledges when told to; remembers in which order records came and were acknowledged."""

    def __init__(self) -> None:
        self.sent: list[tuple[Outgoing, asyncio.Future[Any]]] = []
        self.history: list[str] = []

    async def send(self, record: Outgoing) -> asyncio.Future[Any]:
        promise = asyncio.get_running_loop().create_future()
        self.sent.append((record, promise))
        self.history.append(f"sent {self._name(record)}")
        return promise

    async def acknowledge_all(self) -> None:
        """One after the other, the last sent first: order must not come from luck."""
        for record, promise in reversed([s for s in self.sent if not s[1].done()]):
            self.history.append(f"acked {self._name(record)}")
            promise.set_result(None)
        for _ in range(10):
            await asyncio.sleep(0)

    @staticmethod
    def _name(record: Outgoing) -> str:
        if record.topic == "panes":
            return "output"
        part = Key.decode(record.key or b"").part
        kind = "manifest" if part == 0xFFFF_FFFF else "blob"
        return kind if record.value is not None else f"tombstone of {kind}"


def test_outputs_then_blobs_then_manifest_then_sources_then_tombstones() -> None:
    async def scenario() -> list[str]:
        broker = FakeBroker()
        slot = Slot(1, 2, FakeStage(), {"predictions": 0, "outcomes": 0}, "changelog")
        slot.stale_keys = encode(replace(ONE, epoch=9, state={}), LAYOUT).keys()

        async def ack() -> None:
            broker.history.append("acked source")

        await slot.emit(broker.send, [Outgoing("panes", 0, None, b"block")])
        slot.applied("predictions", 5, 100, ack)
        writing = asyncio.create_task(slot.write(broker.send, LAYOUT, 0))
        for _ in range(10):
            await asyncio.sleep(0)
        while not writing.done():
            await broker.acknowledge_all()
        assert await writing
        return broker.history

    assert asyncio.run(scenario()) == [
        "sent output",
        "acked output",
        *["sent blob"] * 3,
        *["acked blob"] * 3,
        "sent manifest",
        "acked manifest",
        "acked source",
        "sent tombstone of manifest",
        "sent tombstone of blob",
    ]


def test_what_fails_on_the_way_acknowledges_no_source() -> None:
    async def scenario() -> None:
        broker = FakeBroker()
        slot = Slot(1, 2, FakeStage(), {"predictions": 0, "outcomes": 0}, "changelog")
        acked = False

        async def ack() -> None:
            nonlocal acked
            acked = True

        await slot.emit(broker.send, [Outgoing("panes", 0, None, b"block")])
        slot.applied("predictions", 5, 100, ack)
        broker.sent[0][1].set_exception(ConnectionError("gone"))
        with pytest.raises(ConnectionError):
            await slot.write(broker.send, LAYOUT, 0)
        assert not acked
        assert len(broker.sent) == 1, "no blob was written"

    asyncio.run(scenario())


def test_a_slot_without_news_writes_nothing() -> None:
    async def scenario() -> None:
        broker = FakeBroker()
        slot = Slot(1, 2, FakeStage(), {"predictions": 0}, "changelog")
        assert await slot.write(broker.send, LAYOUT, 0) is None
        assert broker.sent == []
        assert not slot.is_due(0, 1)

    asyncio.run(scenario())
