"""The whole job for a test: events of two models with a drift, worker processes, what they said."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from aiokafka import AIOKafkaProducer

from stream.control import EndOfInput, encode
from stream.events import Records
from stream.idle import SIDES, Side
from stream.journal import Journal
from stream.kafka_admin import admin, connection, create, topic_plan
from stream.pipeline import Pipeline, imbalance
from stream.settings import Settings, load
from stream.wire import decode_journal
from tests.integration.reading import read_topic
from tests.integration.worker_process import (
    PARTITIONS,  # noqa: F401 tests ask for it here
    Worker,
    configuration,
)

START_MS = 1_760_000_000_000
MODELS = ("fraud", "churn")
_DONE_S = 50.0

Message = tuple[int, bool, bytes, bytes]
"""Record timestamp (ms), whether it is a prediction, key, value."""


def messages(
    count: int, seed: int = 7, drift_percent: tuple[int, int] = (60, 100)
) -> list[Message]:
    """`count` predictions, one a second, and their outcomes, in order of arrival; x is higher by
    two standard deviations, and the models err more, on that part of the way. A few records are
    unusable, duplicate, revised or late, so that the ledger has something to say."""
    rng = np.random.default_rng(seed)
    begin, end = (count * percent // 100 for percent in drift_percent)
    drifted = (np.arange(count) >= begin) & (np.arange(count) < end)
    x = np.round(rng.normal(size=count) + 2.0 * drifted, 6)
    wrong = rng.random(count) < np.where(drifted, 0.45, 0.05)
    delay_ms = (rng.lognormal(4.0, 0.5, count) * 1000).astype(int)
    found: list[Message] = []
    for i in range(count):
        at_ms, key = START_MS + i * 1000, f"p{i}".encode()
        model = MODELS[i % len(MODELS)]
        value = orjson.dumps(
            {
                "prediction_id": f"p{i}", "model_id": model, "model_version": "1",
                "predicted_at": at_ms, "features": {"x": float(x[i]), "n": i % 7},
                "prediction": {"label": "yes" if i % 3 else "no"},
            }
        )  # fmt: skip
        found.append((at_ms, True, key, value))
        if i % 97 == 0:
            found.append((at_ms, True, key, value))
        if i % 211 == 0:
            found.append((at_ms, True, key, b'{"prediction_id": '))
        if i % 10 == 3:
            continue  # never labelled
        said = bool(i % 3) != bool(wrong[i])
        outcome = {
            "prediction_id": f"p{i}", "model_id": model, "observed_at": at_ms + int(delay_ms[i]),
            "actual": {"label": "yes" if said else "no"},
        }  # fmt: skip
        found.append((at_ms + int(delay_ms[i]), False, key, orjson.dumps(outcome)))
        if i % 50 == 0:
            revised = orjson.dumps(outcome | {"revision": 2, "retracted": i % 100 == 0})
            found.append((at_ms + int(delay_ms[i]) + 5_000, False, key, revised))
    return sorted(found, key=lambda message: message[0])


class Job:
    """The topics of one test and its workers."""

    def __init__(
        self,
        folder: Path,
        app: str,
        bootstrap: str,
        workers: int,
        idle: str = "1h",
        *,
        changed: Mapping[str, Any] | None = None,
    ) -> None:
        """`changed`: sections of the configuration, in place of those of `configuration`."""
        settings = {**configuration(app, bootstrap, idle), **(changed or {})}
        self.workers = [Worker(folder, f"w{number}", settings) for number in range(workers)]
        self.settings: Settings = load(self.workers[0].file)
        self.partitions = self.settings.partitions
        self.ends: dict[str, dict[int, int]] = {
            topic: dict.fromkeys(range(self.partitions), 0) for topic in self.sources
        }

    @property
    def sources(self) -> tuple[str, str]:
        return self.settings.topics.predictions, self.settings.topics.outcomes

    async def create_topics(self) -> None:
        # The events are old, and a broker deletes by the records' own timestamps.
        kept = [
            replace(spec, config={**spec.config, "retention.ms": "-1"})
            for spec in topic_plan(self.settings)
        ]
        async with admin(self.settings) as client:
            await create(client, kept, 1)

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()

    # -- sending

    async def send(self, some: Sequence[Message], *, chunk: int = 500, pause_s: float = 0) -> None:
        predictions, outcomes = self.sources
        client = AIOKafkaProducer(**connection(self.settings), acks="all", linger_ms=5)
        await client.start()
        try:
            for start in range(0, len(some), chunk):
                acks = [
                    await client.send(
                        predictions if is_prediction else outcomes,
                        value=value, key=key, timestamp_ms=at_ms,
                    )
                    for at_ms, is_prediction, key, value in some[start : start + chunk]
                ]  # fmt: skip
                for ack in await asyncio.gather(*acks):
                    of_topic = self.ends[ack.topic]
                    of_topic[ack.partition] = max(of_topic[ack.partition], ack.offset + 1)
                await asyncio.sleep(pause_s)
        finally:
            await client.stop()

    async def send_end(self, event_time_ms: int) -> None:
        client = AIOKafkaProducer(**connection(self.settings), acks="all")
        await client.start()
        try:
            record = encode(EndOfInput(event_time_ms, self.ends))
            await client.send_and_wait(self.settings.topics.control, record)
        finally:
            await client.stop()

    # -- waiting

    async def ready(self) -> None:
        """Until every partition of every stage has an owner."""
        await self._until(lambda: len(self._slots()) == 2 * self.partitions + 1, "owned")

    async def consumed(self, records: int) -> None:
        await self._until(lambda: self._consumed() >= records, f"{records} consumed")

    async def finished(self, within_s: float = _DONE_S) -> None:
        """Until the end of the input went through all stages of all workers."""
        await self._until(self.is_finished, "finished", within_s)

    async def _until(self, holds: Any, what: str, within_s: float = _DONE_S) -> None:
        deadline = time.monotonic() + within_s
        while not await asyncio.to_thread(holds):
            said = [worker.log()[-3_000:] for worker in self.workers if not worker.is_running]
            if time.monotonic() > deadline or len(said) == len(self.workers):
                states = [worker.get("/status") for worker in self.workers]
                raise AssertionError(f"not {what} in time: {states} {said}")
            await asyncio.sleep(0.1)

    def _statuses(self) -> list[dict[str, Any]]:
        return [status for worker in self.workers if (status := worker.get("/status"))]

    def _slots(self) -> list[dict[str, Any]]:
        return [slot for status in self._statuses() for slot in status["slots"]]

    def _consumed(self) -> int:
        ledgers = [worker.get("/ledger") for worker in self.workers]
        return sum(
            terms["consumed"]
            for ledger in ledgers
            for sides in ledger.get("partitions", {}).values()
            for terms in sides.values()
        )

    def is_finished(self) -> bool:
        statuses = self._statuses()
        sent: dict[str, int] = defaultdict(int)
        for status in statuses:
            for place, end in status["sent_ends"].items():
                sent[place] = max(sent[place], end)
        slots = [slot for status in statuses for slot in status["slots"]]
        applied = {
            f"{topic}/{slot['partition']}": offset
            for slot in slots
            for topic, offset in slot["offsets"].items()
        }
        return (
            len(slots) == 2 * self.partitions + 1
            and all(slot["ended"] for slot in slots if slot["stage"] == 1)
            and all(applied.get(place, 0) >= end for place, end in sent.items())
            and not any(status["open_outputs"] for status in statuses)
        )

    # -- reading

    def ledgers(self) -> dict[str, dict[str, dict[str, int]]]:
        """Of every source partition, from whichever worker owns it."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for worker in self.workers:
            for partition, ledger in worker.get("/ledger").get("partitions", {}).items():
                assert partition not in found, "two workers own one partition"
                found[partition] = ledger
        return found

    def idle_entries(self) -> int:
        return max(status["idle_entries"] for status in self._statuses())

    async def read(self, topic: str, partitions: int) -> dict[int, list[Any]]:
        return await read_topic(self.settings, topic, partitions)

    async def alerts(self) -> dict[str, bytes]:
        """The bytes of every alert by its id; the same id always has the same bytes."""
        records = (await self.read(self.settings.topics.alerts, 1))[0]
        found: dict[str, bytes] = {}
        for record in records:
            alert = orjson.loads(record.value)
            assert record.key.decode() == alert["fingerprint"]
            assert int(dict(record.headers)["sequence"]) == alert["sequence"]
            assert found.setdefault(alert["id"], record.value) == record.value
        return found

    async def journal(self, until_ms: int | None = None) -> Journal:
        """What was journaled, all of it or up to a Unix time."""
        journal = Journal()
        topic = self.settings.internal_topic("journal")
        found = await self.read(topic, self.partitions)
        for record in [record for records in found.values() for record in records]:
            if until_ms is None or record.timestamp <= until_ms:
                journal.add(record.offset, decode_journal(record.value))
        return journal

    async def expected(self, event_time_ms: int, until_ms: int | None = None) -> Pipeline:
        """The same events, partitioned alike, through all stages in this process, with what the
        journal says (up to a Unix time) of idle partitions."""
        pipeline = Pipeline(self.settings.rules(), self.partitions)
        journal = await self.journal(until_ms)
        for side, topic in zip(SIDES, self.sources, strict=True):
            for partition, records in (await self.read(topic, self.partitions)).items():
                idle = [e for e in journal.idle_of(partition) if e.side == side]
                for entry in sorted(idle, key=lambda e: e.at_offset):
                    before = [r for r in records if r.offset < entry.at_offset]
                    records = records[len(before) :]  # noqa: PLW2901 what is left
                    _feed(pipeline, side, topic, partition, before)
                    pipeline.advance(partition, side, entry.watermark_ms)
                _feed(pipeline, side, topic, partition, records)
        pipeline.end_of_input(event_time_ms)
        return pipeline


def _feed(
    pipeline: Pipeline, side: Side, topic: str, partition: int, records: Sequence[Any]
) -> None:
    feed = pipeline.predictions if side == "predictions" else pipeline.outcomes
    feed(
        Records(
            topic,
            partition,
            [record.offset for record in records],
            [record.timestamp for record in records],
            [record.value for record in records],
        )
    )


def _difference(emitted: dict[str, bytes], expected: dict[str, bytes]) -> str:
    """Both sides' differing alerts, a line each."""
    lines = [
        f"{name}: {values[key].decode()}"
        for key in sorted(emitted.keys() | expected.keys())
        for name, values in (("emitted", emitted), ("expected", expected))
        if key in values and emitted.get(key) != expected.get(key)
    ]
    return "\n".join(lines)


async def assert_equal_to_pipeline(job: Job, sent: Sequence[Message]) -> Pipeline:
    """Alerts byte for byte, ledgers term for term."""
    pipeline = await job.expected(max(message[0] for message in sent))
    expected = {alert.alert.id: alert.value for alert in pipeline.alerts}
    assert len(expected) >= 4, "the drift of two models must be seen, or this proves nothing"
    emitted = await job.alerts()
    assert emitted == expected, _difference(emitted, expected)
    ledgers = job.ledgers()
    whole = pipeline.ledger()["partitions"]
    assert ledgers == {str(partition): ledger for partition, ledger in enumerate(whole)}
    assert not [fault for ledger in ledgers.values() for fault in imbalance(ledger)]
    consumed = sum(terms["consumed"] for ledger in whole for terms in ledger.values())
    assert consumed == len(sent)
    return pipeline
