"""What a clock decides in the worker: liveness, alignment, and idleness through the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from stream.control import EndOfInput
from stream.metrics import Metrics
from stream.settings import Settings
from stream.wire import Idle, decode_journal
from stream.worker_host import Host
from stream.worker_routes import Outgoing
from stream.worker_slot import SOURCES, Slot
from stream.worker_watch import Watch

PREDICTIONS, OUTCOMES = "leeway.predictions", "leeway.outcomes"
NOW_MS = 1_760_000_000_000


class Positions:
    """Partitions that end where the test says."""

    def __init__(self, end: int) -> None:
        self._end = end
        self.records = self.read_to = 0  # behind the last record; behind what follows it
        self.held: set[tuple[str, int]] = set()

    def is_at_end(self, tp: Any, now_ms: int) -> bool:
        return True

    def end(self, tp: Any) -> int | None:
        return self._end

    def passed(self, tp: Any, applied: int) -> int:
        return self.read_to if applied == self.records else applied

    def hold(self, tps: Collection[Any]) -> None:
        self.held = {(tp.topic, tp.partition) for tp in tps}

    async def rejoin(self) -> None: ...


class Source:
    """A source stage as the watch sees it."""

    epoch = 3

    def __init__(self, predictions_ms: int | None = None, outcomes_ms: int | None = None) -> None:
        self.marks = {"predictions": predictions_ms, "outcomes": outcomes_ms}
        self.ahead = 0
        self.ended: list[int] = []
        self.advanced: list[tuple[str, int]] = []

    def watermark_ms(self, side: str) -> int | None:
        return self.marks[side]

    def unmerged_panes(self, merged_until_ms: int) -> int:
        return self.ahead

    def end_of_input(self, event_time_ms: int) -> list[Any]:
        self.ended.append(event_time_ms)
        return []

    def advance(self, side: str, watermark_ms: int) -> list[Any]:
        self.advanced.append((side, watermark_ms))
        self.marks[side] = watermark_ms
        return []


class Reader:
    def __init__(self, then: Any = None) -> None:
        self.positions: dict[int, int] = {}
        self._then = then

    async def end(self) -> dict[int, int]:
        return {0: 0}

    async def reached(self, targets: Mapping[int, int]) -> None:
        if self._then is not None:
            self._then()


def worker(
    source: Source, *, end: int = 10, offset: int = 10, **changes: Any
) -> tuple[Watch, Host, Positions, list[Outgoing]]:
    sent: list[Outgoing] = []

    async def send(record: Outgoing) -> asyncio.Future[Any]:
        sent.append(record)
        promise = asyncio.get_running_loop().create_future()
        promise.set_result(SimpleNamespace(topic=record.topic, partition=0, offset=len(sent)))
        return promise

    host = Host(Settings(partitions=1, **changes), send, Metrics(CollectorRegistry()), "me")
    host.reader = Reader()
    stage: Any = source
    offsets = {PREDICTIONS: offset, OUTCOMES: offset}
    host.sources[0] = Slot(SOURCES, 0, stage, offsets, "changelog")
    merged: Any = SimpleNamespace(
        epoch=3, merged_until_ms=lambda: NOW_MS, source_watermark_ms=lambda p, side: None
    )
    host.models[0] = Slot(2, 0, merged, {"leeway-panes": end}, "changelog")
    positions = Positions(end)
    return Watch(host, positions), host, positions, sent


def test_what_follows_the_last_record_is_passed_once_all_records_are_applied() -> None:
    async def scenario() -> None:
        watch, host, positions, _ = worker(Source(NOW_MS, NOW_MS), end=11, offset=9)
        slot = host.sources[0]
        positions.records, positions.read_to = 10, 11
        await watch._pass_gaps()
        assert slot.offsets[PREDICTIONS] == 9, "a record is still to come"
        slot.applied(PREDICTIONS, 10, 0, None)
        await watch._pass_gaps()
        assert slot.offsets[PREDICTIONS] == 11
        assert watch._is_at_end(slot, "predictions")

    asyncio.run(scenario())


def test_an_end_of_input_behind_a_transaction_marker_is_reached() -> None:
    async def scenario() -> None:
        source = Source(NOW_MS, NOW_MS)
        watch, host, positions, _ = worker(source, end=11, offset=10)
        await host.input_ends(EndOfInput(NOW_MS, {PREDICTIONS: {0: 11}, OUTCOMES: {0: 11}}))
        assert source.ended == []
        positions.records, positions.read_to = 10, 11
        await watch._pass_gaps()
        assert source.ended == [NOW_MS]

    asyncio.run(scenario())


def test_a_worker_that_lags_and_has_not_progressed_for_a_minute_is_ill() -> None:
    watch, host, _, _ = worker(Source(), offset=4)
    host.sources[0].progressed_s = time.monotonic() - 61
    watch._report()
    assert not watch.is_progressing


def test_without_lag_it_may_stand_still_for_ever() -> None:
    watch, host, _, _ = worker(Source(), offset=10)
    host.sources[0].progressed_s = time.monotonic() - 3_600
    watch._report()
    assert watch.is_progressing


def test_a_partition_too_far_ahead_is_held_until_half_is_merged() -> None:
    source = Source(NOW_MS, NOW_MS - 1)
    watch, _, positions, _ = worker(source, alignment=100)
    held = []
    for source.ahead in (100, 101, 60, 50, 49):
        watch._align()
        held.append(positions.held)
    ahead = {(PREDICTIONS, 0)}
    assert held == [set(), ahead, ahead, ahead, set()]


def test_outcomes_are_held_only_once_they_have_reached_their_predictions() -> None:
    source = Source(NOW_MS, NOW_MS - 1)
    watch, _, positions, _ = worker(source, alignment=100)
    source.ahead = 101
    watch._align()
    assert positions.held == {(PREDICTIONS, 0)}, "the merge may be waiting for them"
    source.marks["outcomes"] = NOW_MS
    watch._align()
    assert positions.held == {(PREDICTIONS, 0), (OUTCOMES, 0)}


def test_a_held_partition_is_not_ill_for_standing_still() -> None:
    source = Source(NOW_MS, NOW_MS)
    watch, host, _, _ = worker(source, offset=4, alignment=100)
    source.ahead = 101
    watch._align()
    host.sources[0].progressed_s = time.monotonic() - 61
    watch._report()
    assert watch.is_progressing
    (lag,) = [
        s.value for s in host.metrics._lag.collect()[0].samples if s.labels["topic"] == PREDICTIONS
    ]
    assert lag == 6


def test_a_later_stage_that_stands_still_is_not_excused_by_a_held_source() -> None:
    source = Source(NOW_MS, NOW_MS)
    watch, host, _, _ = worker(source, offset=10, alignment=100)
    host.models[0].offsets["leeway-panes"] = 4
    host.models[0].progressed_s = time.monotonic() - 61
    source.ahead = 101
    watch._align()
    watch._report()
    assert not watch.is_progressing


def test_an_advance_is_not_made_when_a_record_came_while_it_waited() -> None:
    async def scenario() -> None:
        source = Source(NOW_MS, NOW_MS)
        watch, host, _, sent = worker(source, end=11, offset=10)
        await watch._journal_then_advance(host.sources[0], "predictions", NOW_MS + 5)
        assert (sent, source.advanced) == ([], [])

    asyncio.run(scenario())


def test_an_advance_is_journaled_with_its_place_before_it_is_made() -> None:
    async def scenario() -> None:
        source = Source(NOW_MS, NOW_MS)
        watch, host, _, sent = worker(source)
        made_before_read: list[int] = []
        host.reader = Reader(then=lambda: made_before_read.append(len(source.advanced)))
        slot = host.sources[0]
        await watch._journal_then_advance(slot, "predictions", NOW_MS + 5)
        entry = decode_journal(sent[0].value or b"")
        assert entry == Idle(SOURCES, 0, 3, "predictions", 10, NOW_MS + 5)
        assert made_before_read == [0]
        assert source.advanced == [("predictions", NOW_MS + 5)]

    asyncio.run(scenario())


def test_an_advance_that_a_claim_voided_is_not_made() -> None:
    async def scenario() -> None:
        source = Source(NOW_MS, NOW_MS)
        watch, host, _, _ = worker(source)
        slot = host.sources[0]
        host.reader = Reader(then=host.sources.clear)  # what reading another's claim does
        await watch._journal_then_advance(slot, "predictions", NOW_MS + 5)
        assert source.advanced == []

    asyncio.run(scenario())
