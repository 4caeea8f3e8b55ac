"""What a worker refuses on a real Apache Kafka: it stops, exit 1, and names what and where."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from stream.doctor import examine
from stream.kafka_admin import AdminError, admin, connection, create, topic_plan
from tests.integration.job import PARTITIONS, Job, assert_equal_to_pipeline, messages

pytestmark = pytest.mark.kafka

SENT = messages(1_200)


def run(scenario: Callable[[Job], Any], kafka: str, folder: Path) -> None:
    async def running() -> None:
        job = Job(folder, f"test-{uuid.uuid4().hex[:8]}", kafka, 1)
        try:
            await job.create_topics()
            job.workers[0].start()
            await job.ready()
            await scenario(job)
        finally:
            job.stop()

    asyncio.run(running())


def refused(job: Job, *said: str, within_s: float = 40) -> None:
    (worker,) = job.workers
    assert worker.exit_code(within_s) == 1, worker.log()
    lines = [line for line in worker.log().splitlines() if "the worker stops" in line]
    assert len(lines) == 1, worker.log()
    for text in said:
        assert text in lines[0]
    assert "Traceback" not in worker.log()


async def delete_before(job: Job, topic: str, offset: int) -> None:
    """What retention does."""
    async with admin(job.settings) as client:
        tps = {TopicPartition(topic, p): RecordsToDelete(offset) for p in range(PARTITIONS)}
        await client.delete_records(tps)


def test_records_deleted_while_no_worker_ran_are_named_and_their_loss_can_be_accepted(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario(job: Job) -> None:
        (worker,) = job.workers
        topic = job.sources[0]
        await job.send(SENT[:800])
        await job.consumed(800)
        assert worker.terminate() == 0
        assert all(c.passed for c in await examine(job.settings) if c.name == "unread records")
        read = dict(job.ends[topic])
        await job.send(SENT[800:])
        gone = max(read.values()) + 5
        assert gone < min(job.ends[topic].values())
        await delete_before(job, topic, gone)
        (told,) = [c for c in await examine(job.settings) if c.name == "unread records"]
        assert not told.passed
        assert f"{topic} partition 0: {read[0]} to {gone - 1}" in told.detail
        worker.start()
        refused(job, topic, f"to {gone - 1} are no longer there", "accept_lost_records")
        os.environ["LEEWAY_CHECKPOINT__ACCEPT_LOST_RECORDS"] = "true"
        try:
            worker.start()
        finally:
            del os.environ["LEEWAY_CHECKPOINT__ACCEPT_LOST_RECORDS"]
        await job.send_end(SENT[-1][0])
        await job.finished()
        for partition, offset in read.items():
            lost = f'leeway_lost_records_total{{partition="{partition}",topic="{topic}"}}'
            assert f"{lost} {float(gone - offset)}" in worker.text("/metrics")
        consumed = sum(
            sides[side]["consumed"] for sides in job.ledgers().values() for side in sides
        )
        assert consumed == len(SENT) - sum(gone - offset for offset in read.values())

    run(scenario, kafka, tmp_path)


def test_records_deleted_under_a_reader_stop_it_and_the_next_start_names_them(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario(job: Job) -> None:
        (worker,) = job.workers
        topic = job.sources[0]
        await job.send(SENT[:400])
        await job.consumed(400)
        worker.signal(signal.SIGSTOP)
        await job.send(SENT[400:800])  # an answer to the fetch that is under way
        await asyncio.sleep(2.0)
        await job.send(SENT[800:])
        await delete_before(job, topic, min(job.ends[topic].values()) - 1)
        worker.signal(signal.SIGCONT)
        refused(job, topic, "has no offset")
        worker.start()
        assert worker.exit_code(40) == 1
        assert "are no longer there: retention deleted them" in worker.log()

    run(scenario, kafka, tmp_path)


def test_a_topic_made_anew_while_no_worker_ran_is_refused(kafka: str, tmp_path: Path) -> None:
    async def scenario(job: Job) -> None:
        (worker,) = job.workers
        topic = job.sources[1]
        await job.send(SENT)
        await job.consumed(len(SENT))
        assert worker.terminate() == 0
        async with admin(job.settings) as client:
            await client.delete_topics([topic])
        await until_created(job, topic)
        await job.send(SENT * 2)  # so that every offset is there again
        worker.start()
        refused(job, f"{topic} was made anew", "start afresh with another `app`")

    run(scenario, kafka, tmp_path)


async def until_created(job: Job, topic: str) -> None:
    deadline = time.monotonic() + 20
    specs = [spec for spec in topic_plan(job.settings) if spec.name == topic]
    is_there = False
    while not is_there:
        try:
            async with admin(job.settings) as client:
                await create(client, specs, 1)
            is_there = True
        except AdminError:  # the deletion is still under way
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


def test_a_topic_that_grows_under_a_worker_stops_it_and_a_new_start_is_refused(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario(job: Job) -> None:
        (worker,) = job.workers
        topic = job.sources[0]
        async with admin(job.settings) as client:
            await client.create_partitions({topic: NewPartitions(PARTITIONS + 2)})
        refused(job, f"topic {topic} has 6 partitions", "Changing the partition count")
        worker.start()
        assert worker.exit_code(30) == 1
        assert f"topic {topic} has 6 partitions, needs 4" in worker.log()

    run(scenario, kafka, tmp_path)


@pytest.mark.parametrize("name", ["panes", "findings", "journal"])
def test_a_damaged_record_between_stages_stops_the_worker_with_its_place_again_and_again(
    name: str, kafka: str, tmp_path: Path
) -> None:
    async def scenario(job: Job) -> None:
        (worker,) = job.workers
        topic = job.settings.internal_topic(name)
        await job.send(SENT[:200])
        await job.consumed(200)
        producer = AIOKafkaProducer(**connection(job.settings), acks="all")
        await producer.start()
        try:
            at = await producer.send_and_wait(topic, b"damaged", b"key", partition=0)
        finally:
            await producer.stop()
        place = f"{topic} partition 0 offset {at.offset}: "
        refused(job, place)
        worker.start()
        assert worker.exit_code(40) == 1
        assert worker.log().count(place) == 2

    run(scenario, kafka, tmp_path)


def test_after_any_of_these_starts_a_whole_log_still_gives_the_pipelines_alerts(
    kafka: str, tmp_path: Path
) -> None:
    """The checks before them refuse nothing that is sound."""

    async def scenario(job: Job) -> None:
        (worker,) = job.workers
        sent = messages(2_500)
        await job.send(sent[:1_500])
        await job.consumed(1_000)
        assert worker.terminate() == 0
        worker.start()
        await job.send(sent[1_500:])
        await job.send_end(sent[-1][0])
        await job.finished()
        await assert_equal_to_pipeline(job, sent)

    run(scenario, kafka, tmp_path)
