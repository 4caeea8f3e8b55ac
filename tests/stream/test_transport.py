"""The batch transport: commits, raw records, and the private parts of aiokafka it stands on."""

from __future__ import annotations

import asyncio
from collections import deque
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult, OffsetResetStrategy, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import CorruptRecordException, KafkaConnectionError, for_code
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from stream import native
from stream.consumer_thread import FencedInstanceIdError
from stream.raw_records import RawMemoryRecords, RawRecords, records_of
from stream.record_batch import RawRecordBuffer, RecordBatch, longest_acked_prefix
from stream.settings import Settings
from stream.topology import build
from stream.transport import BatchSchema, Consumer
from stream.whole_batches import take_whole_batches

TP = TopicPartition("events", 0)


# -- commits


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Last offsets of delivered batches, with gaps, and the order in which some are acked."""
    steps = draw(st.lists(st.integers(1, 50), min_size=1, max_size=30))
    offsets = [sum(steps[: i + 1]) for i in range(len(steps))]
    acks = draw(st.permutations(offsets))
    return offsets, acks[: draw(st.integers(0, len(acks)))]


@given(deliveries())
def test_in_any_order_of_acks_the_commit_stays_before_the_first_unacked(
    case: tuple[list[int], list[int]],
) -> None:
    offsets, acks = case
    inflight, acked = deque(offsets), set[int]()
    committed = 0
    for done, ack in enumerate(acks, start=1):
        acked.add(ack)
        offset = longest_acked_prefix(inflight, acked)
        open_offsets = [o for o in offsets if o not in acks[:done]]
        if offset is not None:
            assert offset > committed
            committed = offset
        assert all(committed <= first for first in open_offsets[:1])
    if len(acks) == len(offsets):
        assert committed == offsets[-1] + 1
        assert not inflight
        assert not acked


def test_the_consumer_commits_by_that_prefix_for_batches_and_for_single_records() -> None:
    consumer = _consumer(build(Settings(partitions=1)))
    batch = RecordBatch(TP, _records(offsets=(3, 4, 9)))
    for last in (batch.last, 12):
        consumer._inflight[TP].append(last)
    consumer._acked_index[TP].add(12)
    assert consumer._new_offset(TP) is None
    consumer._acked_index[TP].add(9)
    assert consumer._new_offset(TP) == 13


# -- which topics are batched


def test_only_the_source_topics_are_carried_in_batches() -> None:
    app = build(Settings(partitions=1))
    app.finalize()
    for agent in app.agents.values():
        app.topics.add(agent.channel)  # what starting it does
    consumer = _consumer(app)
    batched = {
        topic: consumer.batched(topic)
        for topic in ("leeway.predictions", "leeway.outcomes", "leeway-panes", "leeway-findings")
    }
    assert list(batched.values()) == [True, True, False, False]


def test_a_topic_whose_channels_disagree_is_refused() -> None:
    app = faust.App("mixed", broker="leeway://127.0.0.1:1", store="memory://")
    app.topics.add(app.topic("events", schema=BatchSchema()))
    app.topics.add(app.topic("events", value_type=bytes))
    consumer = _consumer(app)
    with pytest.raises(ImproperlyConfigured, match="every channel must have BatchSchema"):
        consumer.batched("events")


def test_held_partitions_are_not_fetched_and_nothing_else_before_the_state_is_restored() -> None:
    app = build(Settings(partitions=2))
    app.finalize()
    consumer = _consumer(app)
    source = TopicPartition("leeway.predictions", 0)
    assert not consumer._may_fetch(source)
    consumer._restored = True
    assert consumer._may_fetch(source)
    consumer.hold([source])
    assert not consumer._may_fetch(source)
    assert consumer._may_fetch(TopicPartition("leeway.predictions", 1))


# -- what is not a record


class Fetched:
    """A consumer with one partition, restored at offset 5, and what its fetcher would say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = build(Settings(partitions=1))
        self.failed: list[BaseException] = []
        monkeypatch.setattr(app.owner, "fail", self.failed.append)
        self.consumer = _consumer(app)
        self.consumer._restored = True
        self.consumer._read_to[TP] = self.consumer._next_record[TP] = 5
        self.state = SimpleNamespace(position=5, has_valid_position=True, highwater=5, lso=5)
        monkeypatch.setattr(self.consumer, "_fetch_state", lambda _tp: self.state)

    def answer(self, offsets: tuple[int, ...], position: int) -> None:
        self.state.position = position
        self.consumer._note({TP}, {TP: _records(offsets)} if offsets else {})


def test_a_marker_behind_applied_records_is_passed_and_never_a_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = Fetched(monkeypatch)
    fetched.answer((5, 6, 7), position=9)
    assert [fetched.consumer.passed(TP, applied) for applied in (5, 7, 8, 9)] == [5, 7, 9, 9]


def test_an_aborted_transaction_is_passed_without_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = Fetched(monkeypatch)
    fetched.answer((), position=12)
    assert fetched.consumer.passed(TP, 5) == 12


def test_nothing_is_passed_while_an_assignment_is_not_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = Fetched(monkeypatch)
    fetched.answer((), position=12)
    fetched.consumer._restored = False
    assert fetched.consumer.passed(TP, 5) == 5


def test_the_end_is_before_an_open_transaction_and_it_is_not_the_end_of_the_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = Fetched(monkeypatch)
    fetched.state.highwater, fetched.state.lso, fetched.state.timestamp = 20, 5, 1_000
    assert fetched.consumer.end(TP) == 5
    assert not fetched.consumer.is_at_end(TP, now_ms=1_500)
    fetched.state.position = fetched.state.lso = 20
    assert fetched.consumer.is_at_end(TP, now_ms=1_500)


@pytest.mark.parametrize("lso", [None, -1, 0])
def test_a_broker_without_transactions_has_its_end_at_the_high_watermark(
    monkeypatch: pytest.MonkeyPatch, lso: int | None
) -> None:
    fetched = Fetched(monkeypatch)
    fetched.state.highwater, fetched.state.lso = 20, lso
    assert fetched.consumer.end(TP) == 20


def test_a_topic_that_begins_again_before_what_was_read_stops_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = Fetched(monkeypatch)
    fetched.answer((5, 6), position=7)
    assert fetched.failed == []
    fetched.answer((0, 1), position=2)
    assert "made anew or has lost records" in str(fetched.failed[0])


# -- taking over


def test_a_takeover_may_take_longer_than_fausts_patience_and_is_cut_by_a_revocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        app = build(Settings(partitions=1))
        consumer = _consumer(app)
        events: list[str] = []

        async def assigned(_tps: Any) -> dict[Any, int]:
            events.append("begun")
            try:
                await asyncio.sleep(3_600)
            finally:
                events.append("cut")
            return {}

        async def revoked() -> None:
            events.append("revoked")

        monkeypatch.setattr(app.owner, "assigned", assigned)
        monkeypatch.setattr(app.owner, "revoked", revoked)
        monkeypatch.setattr(consumer, "assignment", lambda: {TP})
        consumer.resume_flow()
        await asyncio.sleep(0)
        assert not consumer._may_fetch(TP)
        await consumer.on_partitions_revoked(set())
        assert events == ["begun", "cut", "revoked"]

    asyncio.run(scenario())


def test_what_is_assigned_is_being_restored_until_a_takeover_is_through() -> None:
    consumer = _consumer(build(Settings(partitions=1)))
    assert consumer.restoring() is None, "nothing is assigned"
    thread: Any = consumer._thread
    thread._consumer = SimpleNamespace(assignment=lambda: {TP})
    assert consumer.restoring() is False, "no takeover has begun"
    consumer._restored = True
    assert consumer.restoring() is None


def test_a_takeover_that_fails_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        app = build(Settings(partitions=1))
        consumer = _consumer(app)
        failed: list[BaseException] = []
        monkeypatch.setattr(app.owner, "fail", failed.append)

        async def assigned(_tps: Any) -> dict[Any, int]:
            raise RuntimeError("no state")

        monkeypatch.setattr(app.owner, "assigned", assigned)
        monkeypatch.setattr(consumer, "assignment", lambda: {TP})
        consumer.resume_flow()
        assert consumer._takeover is not None
        await consumer._takeover
        assert str(failed[0]) == "no state"

    asyncio.run(scenario())


def test_what_a_fetch_from_before_a_rebalance_brings_is_not_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        app = build(Settings(partitions=1))
        app.finalize()
        consumer = _consumer(app)
        consumer._restored = True
        source = TopicPartition("leeway.predictions", 0)
        answered, asked = asyncio.Event(), asyncio.Event()

        async def getmany(_wanted: Any, _timeout: float) -> Any:
            asked.set()
            await answered.wait()
            return {source: _records((3,))}

        async def revoked() -> None: ...

        async def assigned(_tps: Any) -> dict[Any, int]:
            return {source: 9}

        async def seek_wait(_positions: Any) -> None:
            assert answered.is_set(), "sought while a fetch could still move the position"

        monkeypatch.setattr(consumer._thread, "getmany", getmany)
        monkeypatch.setattr(app.owner, "revoked", revoked)
        monkeypatch.setattr(app.owner, "assigned", assigned)
        monkeypatch.setattr(consumer, "assignment", lambda: {source})
        monkeypatch.setattr(consumer, "seek_wait", seek_wait)
        fetching = asyncio.create_task(consumer._getmany({source}, 1.0))
        await asyncio.wait_for(asked.wait(), timeout=5)
        await consumer.on_partitions_revoked(set())
        consumer.resume_flow()
        await asyncio.sleep(0)
        answered.set()
        assert await fetching == {}
        assert consumer._takeover is not None
        await consumer._takeover
        assert consumer._restored
        assert consumer.passed(source, 9) == 9

    asyncio.run(scenario())


# -- aiokafka's private parts


@pytest.mark.parametrize("codec", range(5))
@pytest.mark.parametrize("fetched", [MemoryRecords, RawMemoryRecords])
def test_records_of_batched_topics_are_columns(fetched: type[MemoryRecords], codec: int) -> None:
    buffer = RawRecordBuffer(lambda topic: topic == "events")
    values = [b"a", None, b"c" * 200]
    buffer[TP] = _fetched(TP, _batch(values, 5, codec), 5, fetched)
    records = buffer[TP].getall()
    assert type(records) is RawRecords, "a ConsumerRecord was built: aiokafka has changed"
    assert records.offsets == [5, 6, 7]
    assert records.values == values
    assert records.timestamps == [1000, 1001, 1002]
    assert records.key == b"k"
    assert (records[0].timestamp_type, len(records)) == (0, 3)


@pytest.mark.skipif(not native.IS_BUILT, reason="no extension")
@given(
    st.lists(
        st.tuples(
            st.none() | st.binary(max_size=9),
            st.none() | st.binary(max_size=300),
            st.integers(0, 2**45),
            st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=2),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_the_extension_reads_of_a_batch_what_aiokafka_reads(records: list[Any]) -> None:
    builder = _builder(0)
    for offset, (key, value, timestamp, headers) in enumerate(records):
        builder.append(offset, timestamp=timestamp, key=key, value=value, headers=headers)
    data = b"before" + bytes(builder.build())
    batch = MemoryRecords(data[6:]).next_batch()
    found = records_of(batch, data, 6)
    assert found is not None
    expected = RawRecords.of([*batch])
    assert [getattr(found, n) for n in RawRecords.__slots__] == [
        getattr(expected, n) for n in RawRecords.__slots__
    ]
    for cut in range(7, 1, -2):  # what is not whole is left to aiokafka
        assert native.EXTENSION.records(data[67 : len(data) - cut], len(records), 0, 0, -1) is None


@pytest.mark.parametrize("codec", [0, 1])
def test_a_damaged_batch_is_refused_wherever_the_damage_is(codec: int) -> None:
    whole = _batch([b"a" * 37, None, b"c"], 5, codec)
    assert records_of_fetched(whole) == [5, 6, 7]
    for place in range(17, len(whole)):  # the CRC, and what it is of
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        with pytest.raises(CorruptRecordException):
            records_of_fetched(bytes(data))


def records_of_fetched(data: bytes) -> list[int]:
    fetched = _fetched(TP, data, 5)
    take_whole_batches(fetched)
    offsets: list[int] = fetched.getall().offsets
    return offsets


@st.composite
def fetches(draw: st.DrawFn) -> tuple[list[int], int, list[int]]:
    """Sizes of Kafka batches, an offset within the first, and how many records are asked for."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    first = draw(st.integers(0, sizes[0] - 1))
    return sizes, first, draw(st.lists(st.integers(1, 9), min_size=40, max_size=40))


@given(fetches())
def test_however_many_are_asked_for_each_raw_record_comes_once_and_positions_are_aiokafkas(
    case: tuple[list[int], int, list[int]],
) -> None:
    sizes, first, asked = case
    ours, theirs = _fetch_of(sizes, first), _fetch_of(sizes, first)
    buffer = RawRecordBuffer(lambda topic: True)
    buffer[TP] = ours
    state, known = ours._assignment.state, theirs._assignment.state
    for most in asked:
        expected = [record.offset for record in theirs.getall(most)]
        assert ours.getall(most).offsets == expected
        assert state.position == known.position
        if not theirs.has_more():
            break
    assert state.position == sum(sizes)
    assert not ours.has_more() or not ours.getall(1)


def test_records_of_other_topics_are_consumer_records_as_ever() -> None:
    buffer = RawRecordBuffer(lambda topic: False)
    buffer[TP] = _fetch_result(TP)
    assert [record.topic for record in buffer[TP].getall()] == ["events"] * 3


def test_without_the_private_name_records_come_the_slow_way() -> None:
    class Renamed:
        __slots__ = ()

    result = FetchResult(TP, assignment=None, partition_records=Renamed(), backoff=0)
    buffer = RawRecordBuffer(lambda topic: True)
    buffer[TP] = result
    assert buffer[TP] is result


def test_the_pinned_aiokafka_still_has_what_the_transport_replaces() -> None:
    import aiokafka

    async def names() -> tuple[Any, str, set[str]]:
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
        assert consumer._fetch_max_wait_ms == 500
        return consumer._subscription, consumer._isolation_level, set(vars(consumer))

    subscription, isolation_level, attributes = asyncio.run(names())
    assert isolation_level == "read_uncommitted"
    assert {"_fetcher", "_subscription"} <= attributes
    assert isinstance(subscription, SubscriptionState)
    names = aiokafka.consumer.fetcher.Fetcher._proc_fetch_request.__code__.co_names
    assert "MemoryRecords" in names
    assert "_records" in aiokafka.consumer.fetcher.Fetcher.__init__.__code__.co_names
    assert "OrderedDict" in aiokafka.consumer.fetcher.Fetcher.__init__.__code__.co_names


def test_the_pinned_aiokafka_still_has_what_the_consumers_thread_asks_of_it() -> None:
    names = set(Fetcher.__init__.__code__.co_names)
    assert "_default_reset_strategy" in names
    assert OffsetResetStrategy.from_str("none") == OffsetResetStrategy.NONE
    coordinator = set(GroupCoordinator.__init__.__code__.co_names)
    assert {"_coordination_task", "_pending_exception"} <= coordinator
    assert callable(GroupCoordinator.request_rejoin)
    assert for_code(82) is FencedInstanceIdError


class Coordinator:
    """aiokafka's, with an error that nobody has taken notice of."""

    def __init__(self, error: Exception) -> None:
        self._pending_exception: Exception | None = error
        self._coordination_task = asyncio.get_running_loop().create_future()

    def check_errors(self) -> None:
        error, self._pending_exception = self._pending_exception, None
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "is_told"), [(KafkaConnectionError(), False), (ValueError(), True)]
)
def test_a_group_error_is_told_unless_it_passes_by_itself(error: Exception, is_told: bool) -> None:
    async def scenario() -> None:
        consumer = _consumer(build(Settings(partitions=1)))
        assert consumer.group_error() is None, "not in a group yet"
        thread: Any = consumer._thread
        thread.thread_loop = asyncio.get_running_loop()
        coordinator = Coordinator(error)
        thread._consumer = SimpleNamespace(_coordinator=coordinator)
        assert consumer.group_error() is (error if is_told else None)
        await asyncio.sleep(0)
        assert coordinator._pending_exception is (error if is_told else None)
        coordinator._pending_exception = None
        assert consumer.group_error() is None
        coordinator._coordination_task.set_exception(error)
        assert consumer.group_error() is error, "the coordinator's task has ended: nobody joins"

    asyncio.run(scenario())


def test_once_restored_a_missing_offset_is_no_reason_to_begin_at_the_earliest() -> None:
    consumer = _consumer(build(Settings(partitions=1)))
    thread: Any = consumer._thread
    thread._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_default_reset_strategy=None))
    for is_allowed in (True, False):
        thread.may_reset(is_allowed=is_allowed)
        strategy = thread._consumer._fetcher._default_reset_strategy
        assert (strategy == OffsetResetStrategy.EARLIEST) is is_allowed
        assert (strategy == OffsetResetStrategy.NONE) is not is_allowed


def test_only_committed_transactions_are_read() -> None:
    app = build(Settings(partitions=1))
    app.finalize()

    async def asked() -> tuple[str, int, list[Any]]:
        thread = _consumer(app)._new_consumer_thread()
        made = thread._create_worker_consumer(app.transport)
        how = made._isolation_level, made._fetch_max_wait_ms
        return *how, made._partition_assignment_strategy

    level, wait_ms, strategy = asyncio.run(asked())
    assert level == "read_committed"
    assert wait_ms <= 100, "an alert passes four topics"
    assert strategy == [app.assignor], "siblings stay together"


def test_the_driver_is_found_by_its_url() -> None:
    app = build(Settings(partitions=1))
    assert type(app.transport).__module__ == "stream.transport"
    declared = [entry.value for entry in entry_points(group="faust.transports", name="leeway")]
    assert declared in ([], ["stream.transport:Transport"])


def _consumer(app: Any) -> Consumer:
    async def nothing(*_: Any) -> None: ...

    return Consumer(
        app.transport,
        callback=nothing,
        on_partitions_revoked=nothing,
        on_partitions_assigned=nothing,
    )


def _records(offsets: tuple[int, ...]) -> list[Any]:
    class Record:
        key = value = None
        timestamp = timestamp_type = 0

        def __init__(self, offset: int) -> None:
            self.offset = offset

    return [Record(offset) for offset in offsets]


def _fetch_of(sizes: list[int], first: int) -> FetchResult:
    """Kafka batches of so many records each, from offset 0 on, fetched from `first` on."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    data = b"".join(_batch([b"v"] * n, at) for n, at in zip(sizes, starts, strict=True))
    return _fetched(TP, data, first)


def _fetch_result(tp: TopicPartition) -> FetchResult:
    """Three records at offsets 5 to 7 as aiokafka's fetcher has them after a response."""
    return _fetched(tp, _batch([b"a", None, b"c"], 5), 5)


def _builder(codec: int) -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=10_000,
    )  # fmt: skip


def _batch(values: list[bytes | None], base_offset: int, codec: int = 0) -> bytes:
    builder = _builder(codec)
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1000 + offset, key=b"k", value=value, headers=[])
    data = bytearray(builder.build())
    data[0:8] = base_offset.to_bytes(8, "big")  # outside the CRC
    return bytes(data)


def _fetched(
    tp: TopicPartition, data: bytes, first: int, kind: type[MemoryRecords] = RawMemoryRecords
) -> FetchResult:
    records = PartitionRecords(tp, kind(data), [], first, None, None, True, 1)

    class State:
        paused = False
        position = first

        def consumed_to(self, position: int) -> None:
            self.position = position

    class Assignment:
        active = True
        state = State()

        def state_value(self, _tp: TopicPartition) -> State:
            return self.state

    return FetchResult(tp, assignment=Assignment(), partition_records=records, backoff=0)
