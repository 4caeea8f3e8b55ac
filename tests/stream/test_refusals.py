"""What a worker refuses to go on with: each stops it, and says what and where."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from prometheus_client import CollectorRegistry, generate_latest

from stream.doctor import unread
from stream.journal import TopicTail
from stream.kafka_admin import LiveTopic, topic_plan
from stream.metrics import Metrics
from stream.refusals import (
    LostRecordsError,
    PartitionCountError,
    Refusal,
    TruncatedTopicError,
    UnreadableRecordError,
)
from stream.settings import Settings
from stream.topology import build
from stream.transport import Consumer
from stream.wire import Claim, decode_journal, encode_journal
from stream.worker_assign import _owned
from stream.worker_host import Host
from stream.worker_positions import positions
from stream.worker_slot import SOURCES
from stream.worker_topics import TopicWatch

PREDICTIONS, OUTCOMES = "leeway.predictions", "leeway.outcomes"
EARLIEST = {(PREDICTIONS, 0): 30, (OUTCOMES, 0): 0}


def new_host(**changes: Any) -> tuple[Host, CollectorRegistry]:
    async def send(_record: Any) -> Any:
        raise AssertionError("nothing is sent")

    registry = CollectorRegistry()
    return Host(Settings(partitions=1, **changes), send, Metrics(registry), "me"), registry


def applied(predictions: int) -> dict[str, int]:
    return {PREDICTIONS: predictions, OUTCOMES: 7}


# -- records that are gone


def test_records_deleted_before_they_were_applied_are_refused_with_their_range() -> None:
    host, _ = new_host()
    with pytest.raises(LostRecordsError, match=r"predictions partition 0: offsets 12 to 29 are"):
        positions(host, SOURCES, 0, applied(12), EARLIEST)


def test_an_accepted_loss_is_counted_and_passed_over() -> None:
    host, registry = new_host(checkpoint={"accept_lost_records": True})
    assert positions(host, SOURCES, 0, applied(12), EARLIEST) == {PREDICTIONS: 30, OUTCOMES: 7}
    text = generate_latest(registry).decode()
    assert f'leeway_lost_records_total{{partition="0",topic="{PREDICTIONS}"}} 18.0' in text


def test_a_first_start_begins_at_what_there_is_and_a_complete_topic_at_the_checkpoint() -> None:
    host, _ = new_host()
    assert positions(host, SOURCES, 0, None, EARLIEST) == {PREDICTIONS: 30, OUTCOMES: 0}
    whole = positions(host, SOURCES, 0, applied(30), EARLIEST)
    assert whole == {PREDICTIONS: 30, OUTCOMES: 7}


# -- what the broker answers to a fetch


def fetch(monkeypatch: pytest.MonkeyPatch, error: Exception) -> BaseException:
    """What the worker stops with when a fetch of predictions 0 fails with this."""
    failed: list[BaseException] = []

    async def scenario() -> None:
        app = build(Settings(partitions=1))
        monkeypatch.setattr(app.owner, "fail", failed.append)

        async def nothing(*_: Any) -> None: ...

        consumer = Consumer(
            app.transport, callback=nothing, on_partitions_revoked=nothing,
            on_partitions_assigned=nothing,
        )  # fmt: skip
        consumer._restored = True

        async def getmany(_self: Any, _wanted: Any, _timeout: float) -> Any:
            raise error

        monkeypatch.setattr(AIOKafkaConsumerThread, "getmany", getmany)
        state = SimpleNamespace(position=41)
        monkeypatch.setattr(consumer._thread, "fetch_state", lambda _tp: state)
        assert await consumer._getmany({TopicPartition(PREDICTIONS, 0)}, 1.0) == {}

    asyncio.run(scenario())
    return failed[0]


def test_an_offset_that_the_broker_does_not_have_stops_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = OffsetOutOfRangeError({TopicPartition(PREDICTIONS, 0): 41})
    refusal = fetch(monkeypatch, error)
    assert isinstance(refusal, TruncatedTopicError)
    assert "leeway.predictions partition 0 has no offset 41" in str(refusal)


def test_a_batch_with_a_bad_checksum_stops_the_worker_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tp = TopicPartition(PREDICTIONS, 0)
    refusal = fetch(monkeypatch, CorruptRecordException(f"Invalid CRC - {tp}"))
    assert isinstance(refusal, UnreadableRecordError)
    assert "leeway.predictions partition 0 offset 41: bad CRC" in str(refusal)


# -- the journal


@pytest.mark.parametrize(
    ("byte", "added", "what"),
    [(1, 1, "version 2; this build reads 1"), (8, 1, "checksum"), (0, 1, "expected a b'J' record")],
)
def test_an_entry_of_the_journal_that_cannot_be_read_is_named_and_never_skipped(
    byte: int, added: int, what: str
) -> None:
    async def apply(record: Any) -> None:
        decode_journal(record.value)

    value = bytearray(encode_journal(Claim(1, 0, "me")))
    decode_journal(bytes(value))
    value[byte] += added
    tail = TopicTail("leeway-journal", {}, apply)
    record = SimpleNamespace(partition=2, offset=5, value=bytes(value))
    with pytest.raises(
        UnreadableRecordError, match=f"leeway-journal partition 2 offset 5: .*{what}"
    ):
        asyncio.run(tail._take(record))


# -- topics


def live(**changed: LiveTopic) -> dict[str, LiveTopic]:
    found = {spec.name: LiveTopic(spec.partitions, id="a") for spec in topic_plan(Settings())}
    return found | {name.replace("__", "."): topic for name, topic in changed.items()}


def looked(now: dict[str, LiveTopic]) -> BaseException | None:
    async def send(_record: Any) -> Any: ...

    host = Host(Settings(), send, Metrics(CollectorRegistry()), "me")
    TopicWatch(host).look(live(), now)
    return host.failure


def test_a_topic_that_got_more_partitions_stops_the_worker_and_the_way_is_named() -> None:
    failure = looked(live(leeway__predictions=LiveTopic(6, id="a")))
    assert isinstance(failure, PartitionCountError)
    assert "leeway.predictions has 6 partitions" in str(failure)
    assert "Changing the partition count" in str(failure)


def test_a_topic_made_anew_stops_the_worker() -> None:
    failure = looked(live(leeway__outcomes=LiveTopic(4, id="b")))
    assert isinstance(failure, TruncatedTopicError)
    assert "leeway.outcomes was made anew (its id was a and is b)" in str(failure)


def test_topics_as_they_were_and_others_alerts_are_no_reason_to_stop() -> None:
    assert looked(live()) is None
    assert looked(live(leeway__alerts=LiveTopic(9, id="b"))) is None, "nothing is dealt by it here"
    assert looked(live(leeway__outcomes=LiveTopic(4))) is None, "a broker that tells no ids"


def test_an_assigned_partition_beyond_the_configured_count_is_refused() -> None:
    host, _ = new_host()
    assigned = [TopicPartition(topic, 1) for topic in (PREDICTIONS, OUTCOMES)]
    with pytest.raises(PartitionCountError, match="has 2 partitions now, and partitions is 1"):
        _owned(host, assigned)


def test_the_doctor_tells_of_records_that_were_deleted_before_they_were_read() -> None:
    tps = [TopicPartition(PREDICTIONS, p) for p in range(2)]
    check = unread({tps[0]: 12, tps[1]: 40}, {tps[0]: 30, tps[1]: 40})
    assert not check.passed
    assert "leeway.predictions partition 0: 12 to 29" in check.detail
    assert "partition 1" not in check.detail
    assert unread({tps[0]: 30}, {tps[0]: 30}).passed
    assert unread({}, {}).passed


def test_every_refusal_is_one_line_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    host, _ = new_host()
    host.fail(Refusal("what and what to do"))
    (record,) = caplog.records
    assert record.exc_info is None
