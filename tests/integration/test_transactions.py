"""A producer with transactions on a real Apache Kafka: markers, aborted and open transactions."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.kafka_admin import connection
from tests.integration.job import PARTITIONS, Job, Message, messages

pytestmark = pytest.mark.kafka


async def send(job: Job, producer: AIOKafkaProducer, some: list[Message]) -> None:
    for at_ms, is_prediction, key, value in some:
        topic = job.sources[0 if is_prediction else 1]
        await producer.send(topic, value=value, key=key, timestamp_ms=at_ms)


async def end_offsets(job: Job) -> dict[str, dict[int, int]]:
    """What ListOffsets says: behind the markers."""
    client = AIOKafkaConsumer(**connection(job.settings))
    await client.start()
    try:
        tps = [TopicPartition(t, p) for t in job.sources for p in range(PARTITIONS)]
        found: dict[str, dict[int, int]] = {topic: {} for topic in job.sources}
        for tp, offset in (await client.end_offsets(tps)).items():
            found[tp.topic][tp.partition] = offset
        return found
    finally:
        await client.stop()


def lags(job: Job) -> list[float]:
    lines = job.workers[0].text("/metrics").splitlines()
    of_sources = [
        line for line in lines if re.match(rf"leeway_lag_records.*{job.settings.app}\.", line)
    ]
    assert len(of_sources) == 2 * PARTITIONS
    return [float(line.split()[-1]) for line in of_sources]


async def until(holds: object, what: str) -> None:
    deadline = time.monotonic() + 20
    while not await asyncio.to_thread(holds):  # type: ignore[arg-type]
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


def test_markers_and_aborted_records_are_passed_and_never_applied(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = Job(tmp_path, f"test-{uuid.uuid4().hex[:8]}", kafka, 1, idle="1s")
        some = messages(400)
        third = len(some) // 3
        producer = AIOKafkaProducer(**connection(job.settings), transactional_id=job.settings.app)
        try:
            await job.create_topics()
            await producer.start()
            async with producer.transaction():
                await send(job, producer, some[:third])
            await producer.begin_transaction()
            await send(job, producer, some[third : 2 * third])
            await producer.flush()
            job.workers[0].start()  # not before: a slow producer would be idle in between
            await job.ready()
            await job.consumed(third)
            await asyncio.sleep(2.5)  # longer than idle: what is under way is not the end
            assert job.idle_entries() == 0, "a partition was idle under an open transaction"
            await producer.abort_transaction()
            async with producer.transaction():
                await send(job, producer, some[2 * third :])
            await producer.begin_transaction()
            await send(job, producer, some[:third])
            await producer.abort_transaction()  # so that the log ends with what is no record

            committed = third + len(some) - 2 * third
            await job.consumed(committed)
            await until(lambda: max(lags(job)) == 0, "markers count as lag")
            await until(lambda: job.idle_entries() > 0, "never idle behind a marker")
            job.ends = await end_offsets(job)
            await job.send_end(some[-1][0])
            await job.finished()
            ledgers = job.ledgers()
            consumed = sum(t["consumed"] for sides in ledgers.values() for t in sides.values())
            assert consumed == committed
            assert job.workers[0].get("/health")["healthy"] is True
            assert job.workers[0].terminate() == 0
        finally:
            await producer.stop()
            job.stop()

    asyncio.run(scenario())
