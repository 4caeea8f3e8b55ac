"""Checkpoints: what counts, what is refused, and in which order promises are kept."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.blobs import BLOB_BYTES, Kept
from stream.checkpoint import (
    Checkpoint,
    CheckpointError,
    Key,
    Layout,
    Point,
    Writing,
    keys_of,
    latest,
)
from stream.refusals import TruncatedTopicError
from stream.snapshot import Part
from stream.worker_routes import Outgoing
from stream.worker_slot import BrokenSlotError, Pace, Slot

LAYOUT = Layout(state_hash="abc", partitions=4, inputs=("predictions", "outcomes"))
LARGE = random.Random(1).randbytes(2 * BLOB_BYTES + 1)
ONE = Point(
    stage=1,
    partition=2,
    epoch=10,
    sequence=3,
    offsets={"predictions": 5, "outcomes": 7},
    journal_position=11,
)
Records = dict[bytes, bytes | None]


def _part(name: str, version: int | None, body: bytes) -> Part:
    return Part(name, version, lambda: body)


def _write(
    point: Point, *parts: Part, before: Kept | None = None, layout: Layout = LAYOUT
) -> Writing:
    """All packed, as if all were sent."""
    writing = Writing(point, parts, before or Kept(), layout)
    for _ in writing.blobs():
        pass
    return writing


def _records(
    point: Point, *parts: Part, before: Kept | None = None, layout: Layout = LAYOUT
) -> tuple[Records, Kept]:
    writing = Writing(point, parts, before or Kept(), layout)
    records: Records = dict(writing.blobs())
    records |= [writing.manifest()]
    return records, writing.kept


def _found(records: Records) -> Checkpoint:
    found = latest(records, 1, 2, LAYOUT)
    assert found is not None
    return found


WHOLE, _ = _records(ONE, _part("state", None, LARGE))


def test_a_checkpoint_comes_back_as_it_was_written() -> None:
    records, kept = _records(ONE, _part("state", None, LARGE), _part("empty", 4, b""))
    assert _found(records) == Checkpoint(ONE, {"state": LARGE, "empty": b""}, kept)
    assert len(records) == 3 + 1


@given(
    st.dictionaries(st.text(), st.tuples(st.none() | st.integers(0, 2**63), st.binary())),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63),
)
def test_any_state_and_place_comes_back(
    state: dict[str, tuple[int | None, bytes]], epoch: int, offset: int
) -> None:
    some = replace(ONE, epoch=epoch, offsets={"predictions": offset})
    parts = [_part(name, version, body) for name, (version, body) in state.items()]
    found = _found(_records(some, *parts)[0])
    assert found.point == some
    assert found.state == {name: body for name, (_, body) in state.items()}


def test_records_are_below_the_limit_of_a_broker_with_10_000_parts_and_with_a_large_one() -> None:
    many = [_part(f"model {n} version {n % 7} reference", n, b"x" * 40) for n in range(10_000)]
    records, kept = _records(ONE, _part("state", None, LARGE), *many)
    assert max(len(value or b"") for value in records.values()) < 900_000
    found = _found(records)
    assert len(found.state) == 10_001
    assert found.kept == kept
    small, _ = _records(replace(ONE, sequence=4), *many, before=kept)
    assert sum(len(value or b"") for value in small.values()) < 300_000, "the table of the parts"


def test_a_table_too_large_for_a_manifest_lies_in_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.checkpoint._LARGEST_TABLE", 100)
    monkeypatch.setattr("stream.checkpoint.BLOB_BYTES", 300)
    many = [_part(f"{n} {random.Random(n).random()}", n, b"x") for n in range(100)]
    records, kept = _records(ONE, *many)
    assert len(records) > 1 + 1 + 5
    assert _found(records).kept == kept
    assert set(_write(ONE, *many).keys()) == set(records)
    for key in [key for key in records if Key.decode(key).part in {1, 2}]:
        with pytest.raises(CheckpointError, match="of its table is missing or damaged"):
            latest(records | {key: None}, 1, 2, LAYOUT)


def test_a_part_of_the_same_version_is_not_written_again_and_another_version_is() -> None:
    first, kept = _records(ONE, _part("a", 1, b"old a"), _part("b", 1, b"old b"))
    later = replace(ONE, sequence=4)

    def unexpected() -> bytes:
        raise AssertionError("packed again")

    second, _ = _records(later, Part("a", 1, unexpected), _part("b", 2, b"new b"), before=kept)
    assert len(second) == 2
    found = _found(first | second)
    assert (found.point, found.state) == (later, {"a": b"old a", "b": b"new b"})


def test_a_new_owner_refers_to_blobs_of_the_epochs_before() -> None:
    first, kept = _records(ONE, _part("a", 1, LARGE))
    new = replace(ONE, epoch=99, sequence=1)
    second, _ = _records(new, _part("a", 1, LARGE), before=_found(first).kept)
    assert len(second) == 1, "a manifest, and nothing else"
    assert sum(len(value or b"") for value in second.values()) < 1_000
    assert _found(first | second) == Checkpoint(new, {"a": LARGE}, kept)


def test_a_part_without_a_version_is_written_anew() -> None:
    first, kept = _records(ONE, _part("a", None, b"old"))
    second, _ = _records(replace(ONE, sequence=4), _part("a", None, b"new"), before=kept)
    assert _found(first | second).state == {"a": b"new"}


def test_the_highest_epoch_counts_whatever_an_older_owner_still_writes() -> None:
    zombie, _ = _records(replace(ONE, sequence=99), _part("a", None, b"zombie"))
    mine, _ = _records(replace(ONE, epoch=11, sequence=1), _part("a", None, b"mine"))
    assert _found(zombie | mine).state == {"a": b"mine"}


def test_in_an_epoch_the_highest_sequence_counts() -> None:
    later, _ = _records(replace(ONE, sequence=4), _part("a", None, b"later"))
    assert _found(later | WHOLE).state == {"a": b"later"}


def test_without_its_manifest_a_checkpoint_does_not_exist_and_the_one_before_counts() -> None:
    writing = Writing(replace(ONE, sequence=4), [_part("a", None, b"later")], Kept(), LAYOUT)
    assert _found(WHOLE | dict(writing.blobs())).state == {"state": LARGE}
    assert latest(dict(writing.blobs()), 1, 2, LAYOUT) is None


@pytest.mark.parametrize("at", range(3))
def test_a_manifest_without_one_of_its_blobs_is_refused(at: int) -> None:
    blob = [key for key in WHOLE if Key.decode(key).part == at]
    with pytest.raises(CheckpointError, match=f"blob {at} .* is missing. Restore the changelog"):
        latest({k: v for k, v in WHOLE.items() if k not in blob}, 1, 2, LAYOUT)
    with pytest.raises(CheckpointError, match=f"blob {at} .* is missing. Restore the changelog"):
        latest(WHOLE | dict.fromkeys(blob), 1, 2, LAYOUT)


def test_a_deleted_manifest_is_none() -> None:
    (manifest,) = [key for key in WHOLE if Key.decode(key).part == 0xFFFF_FFFF]
    assert latest(WHOLE | {manifest: None}, 1, 2, LAYOUT) is None


def test_other_stages_and_partitions_are_none_of_mine() -> None:
    one, _ = _records(replace(ONE, stage=2), _part("a", None, b"x"))
    other, _ = _records(replace(ONE, partition=3), _part("a", None, b"x"))
    assert latest(one | other, 1, 2, LAYOUT) is None
    assert keys_of(one | other, 1, 2) == []


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
        latest(WHOLE, 1, 2, layout)


def test_state_of_a_topic_that_was_made_anew_is_refused_where_brokers_tell_ids() -> None:
    ids = {"predictions": "one", "outcomes": "two"}
    part = _part("state", None, b"x")
    records, _ = _records(ONE, part, layout=replace(LAYOUT, topic_ids=ids))
    for known in (ids, {}, {"outcomes": "two"}):
        assert latest(records, 1, 2, replace(LAYOUT, topic_ids=known)) is not None
    anew = replace(LAYOUT, topic_ids=ids | {"outcomes": "three"})
    with pytest.raises(TruncatedTopicError, match="outcomes was made anew"):
        latest(records, 1, 2, anew)
    without, _ = _records(ONE, part)
    assert latest(without, 1, 2, anew) is not None, "written where no id was known"


def test_a_damaged_blob_is_refused() -> None:
    key = Key(1, 2, 10, 3, 1).encode()
    blob = WHOLE[key] or b""
    with pytest.raises(CheckpointError, match="damaged"):
        latest(WHOLE | {key: blob[:-1] + bytes([blob[-1] ^ 1])}, 1, 2, LAYOUT)


@pytest.mark.parametrize(("at", "what"), [(1, "version"), (-1, "checksum"), (0, "expected a")])
def test_an_unknown_or_damaged_manifest_is_refused(at: int, what: str) -> None:
    key, manifest = _write(ONE).manifest()
    broken = bytearray(manifest)
    broken[at] ^= 0x40
    with pytest.raises(CheckpointError, match=what):
        latest(WHOLE | {key: bytes(broken)}, 1, 2, LAYOUT)


def test_a_manifest_under_a_foreign_key_is_refused() -> None:
    _, manifest = _write(replace(ONE, partition=3)).manifest()
    key, _ = _write(ONE).manifest()
    with pytest.raises(CheckpointError, match="belongs to"):
        latest({key: manifest}, 1, 2, LAYOUT)


def test_a_key_of_another_program_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not of this program"):
        latest({b"session-42": b""}, 1, 2, LAYOUT)


@given(st.tuples(*[st.integers(0, 2**n - 1) for n in (8, 32, 64, 64, 32)]))
def test_keys_come_back(fields: tuple[int, int, int, int, int]) -> None:
    assert Key.decode(Key(*fields).encode()) == Key(*fields)


def test_deletion_begins_with_the_manifest() -> None:
    keys = _write(ONE, _part("state", None, LARGE)).keys()
    assert [Key.decode(key).part for key in keys] == [0xFFFF_FFFF, 0, 1, 2]
    assert keys_of(reversed([*WHOLE]), 1, 2) == keys


# -- the order of promises


class FakeStage:
    epoch = 10

    def snapshot(self) -> list[Part]:
        return [Part("state", None, lambda: LARGE)]


async def ours() -> bool:
    return True


async def taken() -> bool:
    return False


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
        slot.known_keys = _write(replace(ONE, epoch=9), _part("a", None, b"x")).keys()

        async def ack() -> None:
            broker.history.append("acked source")

        await slot.emit(broker.send, [Outgoing("panes", 0, None, b"block")])
        slot.applied("predictions", 5, 100, ack)
        writing = asyncio.create_task(slot.write(broker.send, ours, LAYOUT, 0))
        for _ in range(10):
            await asyncio.sleep(0)
        while not writing.done():
            await broker.acknowledge_all()
        assert await writing
        return broker.history

    history = asyncio.run(scenario())
    manifest = history.index("sent manifest")
    blobs = [what for what in history[:manifest] if "blob" in what]
    assert sorted(blobs) == ["acked blob"] * 3 + ["sent blob"] * 3, "before the manifest"
    assert [what for what in history[:manifest] if "blob" not in what] + history[manifest:] == [
        "sent output",
        "acked output",
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
            await slot.write(broker.send, ours, LAYOUT, 0)
        assert not acked
        assert len(broker.sent) == 1, "no blob was written"

    asyncio.run(scenario())


def test_a_slot_without_news_writes_nothing() -> None:
    async def scenario() -> None:
        broker = FakeBroker()
        slot = Slot(1, 2, FakeStage(), {"predictions": 0}, "changelog")
        assert await slot.write(broker.send, ours, LAYOUT, 0) is None
        assert broker.sent == []
        assert not slot.is_due(Pace(0, 1, 1))

    asyncio.run(scenario())


class PromptBroker(FakeBroker):
    """Acknowledges at once."""

    async def send(self, record: Outgoing) -> asyncio.Future[Any]:
        promise = await super().send(record)
        promise.set_result(None)
        return promise

    def deleted(self) -> list[bytes | None]:
        return [record.key for record, _ in self.sent if record.value is None]


def _slot(**offsets: int) -> Slot[FakeStage]:
    return Slot(1, 2, FakeStage(), offsets or {"predictions": 0}, "changelog")


def test_a_slot_that_somebody_claimed_deletes_nothing_and_forgets_no_garbage() -> None:
    async def scenario() -> None:
        broker, slot = PromptBroker(), _slot()
        slot.known_keys = garbage = _write(replace(ONE, epoch=9), _part("a", None, b"x")).keys()
        assert await slot.write(broker.send, taken, LAYOUT, 0, force=True)
        assert broker.deleted() == []
        assert await slot.write(broker.send, ours, LAYOUT, 0, force=True)
        (first, *_), (_, *blobs) = garbage, garbage
        assert broker.deleted()[: len(garbage)] == [first, *blobs]
        assert len(broker.deleted()) == len(garbage) + 1 + 3, "and the checkpoint between"

    asyncio.run(scenario())


def test_whether_it_is_ours_is_asked_behind_the_manifest() -> None:
    async def scenario() -> None:
        broker, slot = PromptBroker(), _slot()
        slot.known_keys = _write(replace(ONE, epoch=9)).keys()

        async def asked() -> bool:
            broker.history.append("asked")
            return True

        await slot.write(broker.send, asked, LAYOUT, 0, force=True)
        asked_at = broker.history.index("asked")
        assert broker.history[asked_at - 1] == "sent manifest", "which was acknowledged at once"
        assert broker.history[asked_at + 1 :] == ["sent tombstone of manifest"]
        assert await slot.write(broker.send, ours, LAYOUT, 0) is None, "deletion is no news"

    asyncio.run(scenario())


def test_a_tombstone_that_fails_breaks_the_slot_at_its_next_checkpoint() -> None:
    async def scenario() -> None:
        broker, slot = FakeBroker(), _slot()
        slot.known_keys = _write(replace(ONE, epoch=9)).keys()
        writing = asyncio.create_task(slot.write(broker.send, ours, LAYOUT, 0, force=True))
        while not writing.done():
            for record, promise in broker.sent:
                if record.value is not None and not promise.done():
                    promise.set_result(None)
            await asyncio.sleep(0)
        broker.sent[-1][1].set_exception(ConnectionError("gone"))
        with pytest.raises(ConnectionError):
            await slot.write(broker.send, ours, LAYOUT, 0, force=True)
        with pytest.raises(BrokenSlotError):
            slot.must_be_whole()

    asyncio.run(scenario())


# -- when a checkpoint is due


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr("stream.worker_slot.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_checkpoint_is_due_by_age_or_by_input(clock: list[float]) -> None:
    pace = Pace(interval_s=2, input_bytes=100, written_per_s=1e9)
    slot = _slot()
    slot.applied("predictions", 1, 99, None)
    assert not slot.is_due(pace)
    clock[0] += 2
    assert slot.is_due(pace)
    young = _slot()
    young.applied("predictions", 1, 100, None)
    assert young.is_due(pace)


def test_however_much_comes_in_no_more_is_written_than_the_bound(clock: list[float]) -> None:
    """As is_due is asked twenty times a second."""
    pace = Pace(interval_s=2, input_bytes=100, written_per_s=100_000)

    async def scenario() -> None:
        broker, slot = PromptBroker(), _slot()
        written = 0
        for _ in range(20 * 60):
            clock[0] += 0.05
            slot.applied("predictions", 1, 100, None)
            if slot.is_due(pace):
                written += await slot.write(broker.send, ours, LAYOUT, 0) or 0
        assert written > 3 * len(LARGE)
        assert written < 60 * pace.written_per_s + 2 * len(LARGE)

    asyncio.run(scenario())


def test_input_waits_for_a_checkpoint_that_is_late_and_not_for_one_that_may_not_be_yet(
    clock: list[float],
) -> None:
    async def scenario() -> None:
        broker, slot = FakeBroker(), _slot()
        pace = Pace(interval_s=2, input_bytes=100, written_per_s=1_000)
        slot.applied("predictions", 1, 10, None)
        writing = asyncio.create_task(slot.write(broker.send, ours, LAYOUT, 0))
        await asyncio.sleep(0.01)
        slot.applied("predictions", 2, 199, None)
        assert not slot.is_full(pace)
        slot.applied("predictions", 3, 1, None)
        assert slot.is_full(pace), "the broker does not answer"
        while not writing.done():
            await broker.acknowledge_all()
        assert not slot.is_full(pace), "what was written must be paid first"
        assert not slot.is_due(pace)
        clock[0] += len(LARGE) / 1_000 + 1
        assert slot.is_full(pace)
        assert slot.is_due(pace)

    asyncio.run(scenario())


def test_acknowledgements_that_wait_are_bounded_whatever_a_checkpoint_costs(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.worker_slot._MOST_ACKS", 3)

    async def scenario() -> None:
        broker, slot = PromptBroker(), _slot()
        await slot.write(broker.send, ours, LAYOUT, 0, force=True)
        pace = Pace(interval_s=2, input_bytes=100, written_per_s=1)
        for offset in range(1, 7):
            slot.applied("predictions", offset, 0, ours)  # type: ignore[arg-type]
            assert slot.is_due(pace) == (offset >= 3)
            assert slot.is_full(pace) == (offset >= 6)

    asyncio.run(scenario())


def test_outputs_that_are_acknowledged_are_forgotten_however_late_a_checkpoint_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream.worker_slot._MANY_OUTPUTS", 100)

    async def scenario() -> None:
        broker, slot = PromptBroker(), _slot()
        for _ in range(1_000):
            await slot.emit(broker.send, [Outgoing("panes", 0, None, b"block")])
            assert len(slot._outputs) <= 100

    asyncio.run(scenario())


def test_an_output_that_is_not_acknowledged_is_still_awaited() -> None:
    async def scenario() -> None:
        broker, slot = FakeBroker(), _slot()
        slot._many_outputs = 2
        for _ in range(5):
            await slot.emit(broker.send, [Outgoing("panes", 0, None, b"block")])
        assert len(slot._outputs) == 5
        broker.sent[0][1].set_exception(ConnectionError("gone"))
        await asyncio.sleep(0)
        with pytest.raises(BrokenSlotError):
            await slot.write(broker.send, ours, LAYOUT, 0)

    asyncio.run(scenario())
