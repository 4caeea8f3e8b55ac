"""The broker, or a topic, goes away under a running worker: it says so and ends."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from stream.broker import EmbeddedBroker
from stream.kafka_admin import admin, create, topic_plan
from tests.integration.job import PARTITIONS, Job, messages

_STOPS_S = 75.0


async def lose_the_broker(job: Job, broker: EmbeddedBroker) -> None:
    """In mid-stream, outputs under way."""
    await job.create_topics()
    job.workers[0].start()
    await job.ready()
    await job.send(messages(500))
    await job.consumed(1)
    broker.stop()


@pytest.mark.embedded
def test_without_a_broker_a_worker_says_so_and_ends_and_sigterm_ends_it_sooner(
    tmp_path: Path,
) -> None:
    async def left_alone(folder: Path) -> None:
        with EmbeddedBroker() as broker:
            job = Job(folder, "alone", broker.bootstrap, workers=1)
            try:
                await lose_the_broker(job, broker)
                await asyncio.sleep(20)
                assert job.workers[0].status("/health") == 503
                assert await asyncio.to_thread(job.workers[0].exit_code, _STOPS_S) == 1
                said = job.workers[0].log()
                assert "the worker stops: " in said
                assert said.count("\n") < 200, "the libraries' lines drown the worker's"
            finally:
                job.stop()

    async def asked_to_stop(folder: Path) -> None:
        with EmbeddedBroker() as broker:
            job = Job(folder, "asked", broker.bootstrap, workers=1)
            try:
                await lose_the_broker(job, broker)
                code = await asyncio.to_thread(job.workers[0].terminate)
                assert code in {0, 1}, "it had to be killed"
            finally:
                job.stop()

    async def scenario() -> None:
        folders = [tmp_path / "alone", tmp_path / "asked"]
        for folder in folders:
            folder.mkdir()
        await asyncio.gather(left_alone(folders[0]), asked_to_stop(folders[1]))

    asyncio.run(scenario())


@pytest.mark.kafka
def test_a_topic_that_was_made_anew_under_its_state_stops_the_worker(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = Job(tmp_path, f"test-{uuid.uuid4().hex[:8]}", kafka, 1)
        sent = messages(1_200)
        predictions = job.sources[0]
        try:
            await job.create_topics()
            job.workers[0].start()
            await job.ready()
            await job.send(sent[:1_500])
            await job.consumed(1_500)
            assert job.workers[0].terminate() == 0
            async with admin(job.settings) as client:
                await client.delete_topics([predictions])
                await asyncio.sleep(2)
                anew = [
                    replace(spec, config={**spec.config, "retention.ms": "-1"})
                    for spec in topic_plan(job.settings)
                    if spec.name == predictions
                ]
                await create(client, anew, 1)
            job.ends[predictions] = dict.fromkeys(range(PARTITIONS), 0)
            job.workers[0].start()
            await job.send([message for message in sent[1_500:] if message[1]])
            assert await asyncio.to_thread(job.workers[0].exit_code, 30) == 1
            assert f"{predictions} was made anew" in job.workers[0].log()
        finally:
            job.stop()

    asyncio.run(scenario())
