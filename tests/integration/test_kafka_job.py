"""The whole job on a real Apache Kafka: two workers, crashes, rebalances, shutdown."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from stream.partitioning import partition_of
from tests.integration.job import PARTITIONS, Job, assert_equal_to_pipeline, messages

pytestmark = pytest.mark.kafka


def new_job(folder: Path, bootstrap: str, workers: int, idle: str = "1h") -> Job:
    return Job(folder, f"test-{uuid.uuid4().hex[:8]}", bootstrap, workers, idle)


def test_killed_in_mid_stream_and_restarted_the_alerts_equal_the_pipelines(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = new_job(tmp_path, kafka, workers=2)
        sent = messages(4_000)
        try:
            await job.create_topics()
            for worker in job.workers:
                worker.start()
            await job.ready()
            sending = asyncio.create_task(job.send(sent, chunk=100, pause_s=0.2))
            # The second time the drift has begun: alerts are under way.
            for worker, consumed in zip(job.workers, (0.25, 0.72), strict=True):
                await job.consumed(int(len(sent) * consumed))
                worker.kill()
                await asyncio.sleep(0.5)
                worker.start()
            assert not sending.done(), "the stream ended before the second kill"
            await sending
            await job.send_end(sent[-1][0])
            await job.finished()
            assert all("after checkpoint" in worker.log() for worker in job.workers)
            await assert_equal_to_pipeline(job, sent)
            assert job.idle_entries() == 0
        finally:
            job.stop()

    asyncio.run(scenario())


def test_sigterm_loses_nothing_and_the_next_worker_goes_on_where_it_stopped(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = new_job(tmp_path, kafka, workers=1)
        sent = messages(2_500)
        half = len(sent) // 2
        try:
            await job.create_topics()
            job.workers[0].start()
            await job.send(sent[:half])
            await job.consumed(half // 2)
            assert job.workers[0].terminate() == 0
            job.workers[0].start()
            await job.send(sent[half:])
            await job.send_end(sent[-1][0])
            await job.finished()
            await assert_equal_to_pipeline(job, sent)
            assert job.idle_entries() == 0
        finally:
            job.stop()

    asyncio.run(scenario())


def test_what_idleness_decided_is_replayed_after_a_kill_from_the_journal(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = new_job(tmp_path, kafka, workers=2, idle="1s")
        sent = messages(2_500)
        half = len(sent) // 2
        # One partition falls silent while the others go on; what it brings later is late.
        silent = [m for m in sent[half // 2 : half] if partition_of(m[2], PARTITIONS) == 0]
        prompt = [m for m in sent[half // 2 : half] if partition_of(m[2], PARTITIONS) != 0]
        try:
            await job.create_topics()
            for worker in job.workers:
                worker.start()
            await job.ready()
            await job.send(sent[: half // 2])
            await job.send(prompt, chunk=50, pause_s=0.2)
            await job.consumed(half - len(silent))
            await asyncio.sleep(2.5)
            for worker in job.workers:
                worker.kill()
            await job.send(silent)
            for worker in job.workers:
                worker.start()
            await job.ready()
            await job.send(sent[half:], chunk=500)
            await job.consumed(len(sent))
            await job.send_end(sent[-1][0])
            await job.finished()
            pipeline = await assert_equal_to_pipeline(job, sent)
            assert job.idle_entries() > 0
            late = [ledger["predictions"]["late"] for ledger in pipeline.ledger()["partitions"]]
            assert late[0] > 100, "the silent partition was held to what the journal says"
        finally:
            job.stop()

    asyncio.run(scenario())
