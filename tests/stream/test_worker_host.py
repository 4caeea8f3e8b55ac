"""The host with real stages and a broker that only remembers: no Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from faust.exceptions import ProducerSendError
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from stream.control import EndOfInput
from stream.events import DeadLetter
from stream.journal import Journal
from stream.metrics import Metrics
from stream.misplaced import Misplaced
from stream.model_stage import ModelStage
from stream.numbering import Speaker
from stream.partitioning import partition_of
from stream.record_batch import RecordBatch
from stream.records import encode
from stream.refusals import UnreadableRecordError
from stream.settings import Settings
from stream.source_stage import SourceStage
from stream.wire import Claim, Idle, Learned, MaturityDecision, encode_pane_record
from stream.worker_dead_letters import send_dead_letter
from stream.worker_host import Host
from stream.worker_routes import Outgoing, Sender, alert_headers
from stream.worker_slot import MODELS, SOURCES, BrokenSlotError, Slot

START_MS = 1_760_000_000_000
PREDICTIONS, OUTCOMES = "leeway.predictions", "leeway.outcomes"


class Reader:
    positions: dict[int, int] = {0: 0}  # noqa: RUF012 a fake

    async def end(self) -> dict[int, int]:
        return {0: 0}

    async def reached(self, targets: Mapping[int, int]) -> None: ...


class Broker:
    """Acknowledges at once."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    async def send(self, record: Outgoing) -> asyncio.Future[Any]:
        self.sent.append(record)
        promise = asyncio.get_running_loop().create_future()
        place = SimpleNamespace(topic=record.topic, partition=0, offset=len(self.sent))
        promise.set_result(place)
        return promise


def new_host(
    broker: Broker | None = None, **changes: Any
) -> tuple[Host, Slot[SourceStage], Broker]:
    configured = Settings(partitions=1, **changes)
    broker = Broker() if broker is None else broker
    host = Host(configured, broker.send, Metrics(CollectorRegistry()), "me")
    host.reader = Reader()
    core = SourceStage(host.rules, 0, 1)
    core.epoch = 10
    slot = Slot(SOURCES, 0, core, {PREDICTIONS: 0, OUTCOMES: 0}, "leeway-sources-changelog")
    host.sources[0] = slot
    return host, slot, broker


def batch(
    first: int, values: list[bytes], topic: str = PREDICTIONS, key: bytes | None = None
) -> RecordBatch:
    records = [
        SimpleNamespace(timestamp_type=0, offset=first + i, timestamp=None, key=key, value=value)
        for i, value in enumerate(values)
    ]
    return RecordBatch(TopicPartition(topic, 0), records)


def prediction(number: int, at_ms: int | None = None) -> bytes:
    return orjson.dumps(
        {
            "prediction_id": f"p{number}", "model_id": "m", "model_version": "1",
            "predicted_at": START_MS + number * 1_000 if at_ms is None else at_ms,
            "features": {"x": number}, "prediction": {"score": 0.5},
        }
    )  # fmt: skip


def run(scenario: Awaitable[None]) -> None:
    async def running() -> None:
        await scenario

    asyncio.run(running())


async def _no_ack() -> None: ...


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 19)), st.integers(0, 20))
def test_a_journaled_advance_comes_before_the_record_at_its_offset_however_batched(
    cuts: set[int], at_offset: int
) -> None:
    async def scenario() -> None:
        host, slot, _ = new_host()
        far_ms = START_MS + 86_400_000  # all that comes behind it is late
        slot.due_idle = {"predictions": [(at_offset, far_ms)]}
        values = [prediction(i) for i in range(20)]
        edges = [0, *sorted(cuts), 20]
        for start, stop in pairwise(edges):
            await host.source_batch("predictions", batch(start, values[start:stop]), _no_ack)
        assert slot.core.ledger()["predictions"]["late"] == 20 - at_offset
        assert slot.core.watermark_ms("predictions") == far_ms

    run(scenario())


def test_records_before_the_restored_position_are_not_applied_again() -> None:
    async def scenario() -> None:
        host, slot, _ = new_host()
        values = [prediction(i) for i in range(10)]
        await host.source_batch("predictions", batch(0, values[:6]), _no_ack)
        await host.source_batch("predictions", batch(3, values[3:]), _no_ack)
        ledger = slot.core.ledger()["predictions"]
        assert (ledger["consumed"], ledger["duplicate"]) == (10, 0)
        assert slot.offsets[PREDICTIONS] == 10

    run(scenario())


def test_a_batch_of_a_partition_that_was_revoked_is_neither_applied_nor_acknowledged() -> None:
    async def scenario() -> None:
        host, slot, broker = new_host()
        acked: list[int] = []

        async def ack() -> None:
            acked.append(1)

        host.sources.clear()
        await host.source_batch("predictions", batch(0, [prediction(0)]), ack)
        assert slot.offsets[PREDICTIONS] == 0
        assert broker.sent == []
        assert acked == []

    run(scenario())


def test_leaving_writes_a_checkpoint_and_acknowledges_what_was_applied() -> None:
    async def scenario() -> None:
        host, _, broker = new_host()
        acked: list[int] = []

        async def ack() -> None:
            acked.append(1)

        await host.source_batch("predictions", batch(0, [prediction(0)]), ack)
        assert acked == [], "not before a checkpoint covers it"
        await host.revoked()
        assert acked == [1]
        assert host.slots() == []
        assert [r.topic for r in broker.sent].count("leeway-sources-changelog") >= 2

    run(scenario())


def test_after_a_failure_nothing_is_remembered_as_done() -> None:
    async def scenario() -> None:
        host, slot, broker = new_host()
        await host.source_batch("predictions", batch(0, [prediction(0)]), _no_ack)
        host.fail(RuntimeError("half-way"))
        before = len(broker.sent)
        await host.checkpoint(slot, force=True)
        await host.drain()
        assert len(broker.sent) == before
        assert host.stopped.is_set()

    run(scenario())


class FailsAt(Broker):
    """Refuses one record: what the producer does when it is too large."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    async def send(self, record: Outgoing) -> asyncio.Future[Any]:
        if len(self.sent) == self._number:
            raise RuntimeError("refused")
        return await super().send(record)


def manifests(broker: Broker) -> list[bytes]:
    return [r.value or b"" for r in broker.sent if r.topic.endswith("-changelog")]


def test_a_checkpoint_that_waited_for_a_part_that_failed_seals_nothing() -> None:
    async def scenario() -> None:
        broker = FailsAt(1)
        host, slot, _ = new_host(broker, dead_letters={"limit": {"minimum": 1_000}})
        failing = host.source_batch("predictions", batch(0, [b"{", b"{"]), _no_ack)
        batching = asyncio.create_task(failing)
        async with slot.lock:  # so that both wait, in this order
            await asyncio.sleep(0)
            sealing = asyncio.create_task(host.checkpoint(slot, force=True))
            await asyncio.sleep(0)
        results = await asyncio.gather(batching, sealing, return_exceptions=True)
        assert [type(result) for result in results] == [RuntimeError, BrokenSlotError]
        assert len(broker.sent) == 1, "the first dead letter, and nothing after it"
        assert manifests(broker) == []

    run(scenario())


def test_a_part_that_was_cancelled_half_way_is_never_sealed_and_nothing_comes_after_it() -> None:
    async def scenario() -> None:
        host, slot, broker = new_host()
        await host.source_batch("predictions", batch(0, [prediction(0)]), _no_ack)

        async def stuck() -> None:
            async with host.changing(slot) as is_ours:
                assert is_ours
                await asyncio.sleep(3_600)

        cut = asyncio.create_task(stuck())
        await asyncio.sleep(0)
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
        with pytest.raises(BrokenSlotError, match="stage 1 partition 0 was cut short"):
            await host.checkpoint(slot)
        with pytest.raises(BrokenSlotError):
            await host.source_batch("outcomes", batch(0, [b"{"], OUTCOMES), _no_ack)
        await host.revoked()
        assert manifests(broker) == []

    run(scenario())


def test_a_checkpoint_whose_outputs_failed_is_not_followed_by_one_that_forgets_them() -> None:
    async def scenario() -> None:
        host, slot, broker = new_host()
        lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        lost.set_exception(RuntimeError("not acknowledged"))

        async def send(_record: Outgoing) -> asyncio.Future[Any]:
            return lost

        async with host.changing(slot):
            await slot.emit(send, [Outgoing("leeway-panes", 0, None, b"")])
        with pytest.raises((RuntimeError, BrokenSlotError), match="not acknowledged"):
            await host.checkpoint(slot)
        slot.touched()
        with pytest.raises(BrokenSlotError, match="not acknowledged"):
            await host.source_batch("predictions", batch(0, [b"{"]), _no_ack)
        assert broker.sent == [], "nothing follows an output that failed"
        with pytest.raises(BrokenSlotError):
            await host.checkpoint(slot)
        assert manifests(broker) == []

    run(scenario())


def test_a_slot_that_was_cut_short_and_then_taken_over_by_another_fails_nobody() -> None:
    async def scenario() -> None:
        host, slot, _ = new_host()
        with pytest.raises(RuntimeError):
            async with host.changing(slot):
                raise RuntimeError
        host.sources.clear()
        async with host.changing(slot) as is_ours:
            assert not is_ours

    run(scenario())


def test_a_claim_by_another_ends_our_say_and_our_own_does_not() -> None:
    host, _, _ = new_host()
    host.journal_entry(10, Claim(SOURCES, 0, "me"))
    assert 0 in host.sources
    host.journal_entry(11, Claim(SOURCES, 0, "another"))
    assert 0 not in host.sources


def test_too_many_dead_letters_stop_the_worker_with_what_to_do() -> None:
    async def scenario() -> None:
        limit = {"ratio": 0.5, "window": 100, "minimum": 10}
        host, _, _ = new_host(dead_letters={"limit": limit})
        await host.source_batch("predictions", batch(0, [b"{"] * 9), _no_ack)
        with pytest.raises(Exception, match=r"are dead letters .* raise the limit"):
            await host.source_batch("predictions", batch(9, [b"{"]), _no_ack)

    run(scenario())


def test_the_input_ends_once_both_topics_have_reached_the_end_offsets() -> None:
    async def scenario() -> None:
        host, slot, _ = new_host()
        await host.input_ends(EndOfInput(START_MS, {PREDICTIONS: {0: 2}, OUTCOMES: {}}))
        await host.source_batch("predictions", batch(0, [prediction(0)]), _no_ack)
        assert not slot.ended
        await host.source_batch("predictions", batch(1, [prediction(0)]), _no_ack)
        assert slot.ended == {0}
        assert slot.core.watermark_ms("outcomes") is not None

    run(scenario())


def test_a_key_in_the_wrong_partition_is_counted_per_batch_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        host, slot, _ = new_host()
        host._misplaced = Misplaced(4, host.metrics)
        keys = [f"p{i}".encode() for i in range(40)]
        wrong = next(key for key in keys if partition_of(key, 4) != 0)
        right = next(key for key in keys if partition_of(key, 4) == 0)
        for first, key in enumerate((right, wrong, None, wrong)):
            await host.source_batch("predictions", batch(first, [b"{"], key=key), _no_ack)
        (metric,) = host.metrics._misplaced.collect()
        assert [s.value for s in metric.samples if s.name.endswith("_total")] == [2]
        assert slot.offsets[PREDICTIONS] == 4
        assert caplog.text.count("partitioner=murmur2_random") == 1

    run(scenario())


# -- dead letters that their topic does not take


class Takes(Broker):
    """A broker, and a producer before it, that take values up to a size."""

    def __init__(self, producer_bytes: int, topic_bytes: int) -> None:
        super().__init__()
        self._producer_bytes, self._topic_bytes = producer_bytes, topic_bytes

    async def send(self, record: Outgoing) -> asyncio.Future[Any]:
        size = len(record.value or b"")
        if size > self._producer_bytes:
            raise ProducerSendError from MessageSizeTooLargeError()
        if size <= self._topic_bytes:
            return await super().send(record)
        refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        refused.set_exception(MessageSizeTooLargeError())
        return refused


@pytest.mark.parametrize(("producer_bytes", "topic_bytes"), [(5_000, 50_000), (50_000, 5_000)])
def test_a_dead_letter_too_large_for_its_topic_goes_without_its_payload(
    producer_bytes: int, topic_bytes: int
) -> None:
    async def scenario() -> None:
        broker = Takes(producer_bytes, topic_bytes)
        host, slot, _ = new_host(broker)
        slot.core = SourceStage(host.rules, 0, 1, include_payload=True)
        await host.source_batch("predictions", batch(0, [b"{" * 9_000, b"{"]), _no_ack)
        await host.checkpoint(slot)
        letters = [orjson.loads(r.value or b"") for r in broker.sent if "dead" in r.topic]
        assert {letter["offset"]: letter["payload_base64"] for letter in letters} == {
            0: None,
            1: "ew==",
        }
        assert len(manifests(broker)) >= 2
        assert host.failure is None

    run(scenario())


def test_a_topic_that_takes_no_dead_letter_at_all_does_not_stop_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        refuse = Takes(1, 1)
        letter = Outgoing(
            "leeway.dead-letters", None, None, encode(DeadLetter(1, "r", "d", "t", 0, 7, 0, "", 1))
        )
        done = await send_dead_letter(refuse.send, letter)
        assert await done is None
        assert "takes no dead letter for t partition 0 offset 7" in caplog.text

    run(scenario())


def test_a_dead_letter_that_fails_for_another_cause_fails() -> None:
    async def scenario() -> None:
        letter = Outgoing("leeway.dead-letters", None, None, b"{}")
        with pytest.raises(RuntimeError, match="refused"):
            await send_dead_letter(FailsAt(0).send, letter)

    run(scenario())


# -- whose decisions count


def test_entries_of_an_older_epoch_are_void_behind_a_newer_claim() -> None:
    journal = Journal()
    journal.add(0, Claim(SOURCES, 0, "old"))
    before = Idle(SOURCES, 0, 0, "predictions", 5, START_MS)
    assert journal.add(1, before)
    journal.add(2, Claim(SOURCES, 0, "new"))
    assert not journal.add(3, Idle(SOURCES, 0, 0, "predictions", 6, START_MS + 1))
    assert not journal.add(4, MaturityDecision(SOURCES, 0, 0, "m", 1, 2))
    after = Idle(SOURCES, 0, 2, "predictions", 6, START_MS + 2)
    assert journal.add(5, after)
    assert journal.idle_of(0) == [before, after]
    assert journal.decisions == {}


def test_entries_before_any_claim_are_void() -> None:
    assert not Journal().add(0, Idle(SOURCES, 0, 0, "predictions", 0, START_MS))


def test_claims_of_one_stage_say_nothing_of_another() -> None:
    journal = Journal()
    journal.add(0, Claim(1, 0, "a"))
    journal.add(1, Claim(2, 0, "b"))
    assert journal.add(2, MaturityDecision(2, 0, 1, "m", 1, 2))
    assert journal.add(3, Idle(1, 0, 0, "outcomes", 0, START_MS))
    assert (journal.epoch(1, 0), journal.epoch(2, 0), journal.epoch(3, 0)) == (0, 1, None)


def test_a_record_between_stages_that_is_damaged_is_named_and_never_skipped() -> None:
    async def scenario() -> None:
        host, _, _ = new_host()
        slot = Slot(MODELS, 0, ModelStage(host.rules, 0, 1), {"leeway-panes": 7}, "changelog")
        host.models[0] = slot
        with pytest.raises(
            UnreadableRecordError, match=r"leeway-panes partition 0 offset 7: .*cut"
        ):
            await host.model_record(0, 7, b"N", _no_ack)
        assert slot.offsets == {"leeway-panes": 7}
        with pytest.raises(BrokenSlotError):
            await host.checkpoint(slot, force=True)

    run(scenario())


def test_a_record_of_a_later_build_is_named_with_its_version() -> None:
    async def scenario() -> None:
        host, _, _ = new_host()
        slot = Slot(MODELS, 0, ModelStage(host.rules, 0, 1), {"leeway-panes": 0}, "changelog")
        host.models[0] = slot
        speaker = Speaker(0)
        later = bytearray(speaker.say(0, encode_pane_record(Learned(0, 1, "m"))))
        later[len(speaker.say(0, b"")) + 1] += 1  # the version behind the number's header
        with pytest.raises(
            UnreadableRecordError, match=r"offset 0: .*version 2; this build reads 1"
        ):
            await host.model_record(0, 0, bytes(later), _no_ack)

    run(scenario())


def test_records_of_alerts_state_are_remembered_as_they_are_handed_to_the_producer() -> None:
    async def scenario() -> None:
        host, _, _ = new_host()
        headers = alert_headers(1, Sender("me", 0, 4, 0), host.settings.app)
        now, old = (
            b'{"evaluated_at":"2026-01-0%d","starts_at":"2026-01-01","sequence":1}' % day
            for day in (2, 1)
        )
        await host.send(Outgoing("leeway.alerts.state", None, b"k", now, headers))
        host.alert_states.heard(b"k", old, dict(alert_headers(2, Sender("z", 0, 3, 0), "leeway")))
        assert [(k, s.value) for k, s in host.alert_states.take_stale()] == [(b"k", now)]

    run(scenario())
