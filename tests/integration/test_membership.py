"""Who owns what, on a real Apache Kafka: static membership, claims and states that come late."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer

from stream.journal import journal_key
from stream.kafka_admin import connection
from stream.wire import Claim, encode_journal
from stream.worker_routes import Sender, alert_headers
from tests.integration.job import Job, Message, assert_equal_to_pipeline, messages
from tests.integration.reading import read_topic

pytestmark = pytest.mark.kafka


def new_job(folder: Path, bootstrap: str, workers: int, **kafka: Any) -> Job:
    changed = {"kafka": {"bootstrap": bootstrap, **kafka}}
    return Job(folder, f"test-{uuid.uuid4().hex[:8]}", bootstrap, workers, changed=changed)


def name_workers(job: Job) -> None:
    """As a StatefulSet names its pods."""
    for worker in job.workers:
        settings = yaml.safe_load(worker.file.read_text())
        settings["kafka"]["instance_id"] = worker.name
        worker.file.write_text(yaml.safe_dump(settings))


def epochs(job: Job, number: int) -> dict[tuple[int, int], int]:
    """Of what a worker owns."""
    slots = job.workers[number].get("/status").get("slots", [])
    return {(slot["stage"], slot["partition"]): slot["epoch"] for slot in slots}


async def until(holds: Callable[[], Any], what: str, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not await asyncio.to_thread(holds):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


async def end(job: Job, sent: list[Message]) -> None:
    await job.send_end(sent[-1][0])
    await job.finished()
    await assert_equal_to_pipeline(job, sent)


def test_a_named_worker_that_restarts_within_the_session_moves_nothing_of_the_others(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = new_job(tmp_path, kafka, 2, session_timeout="30s")
        name_workers(job)
        sent = messages(2_500)
        half = len(sent) // 2
        try:
            await job.create_topics()
            for worker in job.workers:
                worker.start()
            await job.ready()
            await until(lambda: epochs(job, 0) and epochs(job, 1), "one worker has nothing")
            await job.send(sent[:half])
            await job.consumed(half)
            before, restarted = epochs(job, 0), epochs(job, 1)
            for stop in (job.workers[1].terminate, job.workers[1].kill):
                stop()
                job.workers[1].start()
                await job.ready()
                assert epochs(job, 0) == before, "it was revoked from the worker that went on"
                again = epochs(job, 1)
                assert again.keys() == restarted.keys(), "the same partitions are its own again"
                assert all(again[key] > restarted[key] for key in again), "claimed anew"
            await job.send(sent[half:])
            await end(job, sent)
            assert epochs(job, 0) == before
        finally:
            job.stop()

    asyncio.run(scenario())


def test_of_two_workers_with_one_name_one_stops_and_says_why(kafka: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        job = new_job(tmp_path, kafka, 2, instance_id="the-same")
        try:
            await job.create_topics()
            for worker in job.workers:
                worker.start()
            await until(
                lambda: not all(worker.is_running for worker in job.workers),
                "both go on, taking everything from each other",
                60,
            )
            (stopped,) = [worker for worker in job.workers if not worker.is_running]
            (number,) = [n for n, worker in enumerate(job.workers) if worker.is_running]
            assert stopped.exit_code(within_s=1) == 1
            assert "under the same kafka.instance_id, the-same" in stopped.log(), stopped.log()
            await until(lambda: len(epochs(job, number)) == 9, "the other does not own it all", 60)
        finally:
            job.stop()

    asyncio.run(scenario())


def test_a_claim_that_comes_late_is_claimed_over_and_the_alerts_are_the_pipelines(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = new_job(tmp_path, kafka, 1)
        sent = messages(2_500)
        half = len(sent) // 2
        try:
            await job.create_topics()
            job.workers[0].start()
            await job.ready()
            await job.send(sent[:half])
            await job.consumed(half)
            before = epochs(job, 0)
            claims = [Claim(1, 0, "frozen"), Claim(2, 1, "frozen"), Claim(3, 0, "frozen")]
            await write(
                job,
                job.settings.internal_topic("journal"),
                [(c.partition, journal_key(c, 1), encode_journal(c), {}) for c in claims],
            )
            await job.send(sent[half:])
            await until(lambda: epochs(job, 0).get((1, 0), 0) > before[1, 0], "not claimed anew")
            await job.ready()
            await end(job, sent)
            assert "still assigned here" in job.workers[0].log()
            assert job.workers[0].terminate() == 0
        finally:
            job.stop()

    asyncio.run(scenario())


def test_what_a_former_owner_writes_late_does_not_stay_the_last_state_of_an_alert(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = new_job(tmp_path, kafka, 1)
        topic, sent = job.settings.topics.alerts_state, messages(5_000, drift_percent=(30, 32))
        try:
            await job.create_topics()
            job.workers[0].start()
            await job.send(sent)
            await job.send_end(sent[-1][0])
            await job.finished()
            truth = await last_states(job)
            resolved = sum(json.loads(value)["status"] == "resolved" for value in truth.values())
            assert resolved >= 2, "what fires, a new owner says again in any case"
            assert len(truth) >= 4
            late = dict(alert_headers(1, Sender("former", 0, 0, 0), job.settings.app))
            stale = [(0, key, b'{"status": "late"}', late) for key in truth]
            await write(job, topic, stale)
            assert (await last_states(job)).keys() == truth.keys()
            await settled(job, truth, "an owner that is there")
            await counted(job, len(truth))

            assert job.workers[0].terminate() == 0
            await write(job, topic, stale)
            assert await last_states(job) != truth
            job.workers[0].start()
            await job.ready()
            await settled(job, truth, "a new owner")
            await counted(job, resolved)
        finally:
            job.stop()

    async def counted(job: Job, repaired: int) -> None:
        """The counter follows the acknowledgement, which a reader may be quicker than."""
        deadline = time.monotonic() + 20
        while f"leeway_alert_states_repaired_total {float(repaired)}" not in (
            metrics := job.workers[0].text("/metrics")
        ):
            assert time.monotonic() < deadline, metrics
            await asyncio.sleep(0.1)

    async def settled(job: Job, truth: dict[bytes, bytes], by: str) -> None:
        deadline = time.monotonic() + 20
        while await last_states(job) != truth:
            assert time.monotonic() < deadline, f"not put right by {by}: {job.workers[0].log()}"

    asyncio.run(scenario())


async def last_states(job: Job) -> dict[bytes, bytes]:
    """As any reader of the compacted topic sees it."""
    records = (await read_topic(job.settings, job.settings.topics.alerts_state, 1))[0]
    return {record.key: record.value for record in records}


async def write(
    job: Job, topic: str, records: list[tuple[int, bytes, bytes, dict[str, bytes]]]
) -> None:
    """Partition, key, value and headers of each record."""
    producer = AIOKafkaProducer(**connection(job.settings), acks="all")
    await producer.start()
    try:
        for partition, key, value, headers in records:
            await producer.send_and_wait(
                topic, value, key, partition=partition, headers=list(headers.items())
            )
    finally:
        await producer.stop()
