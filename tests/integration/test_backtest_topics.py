"""`leeway backtest --bootstrap` on a real Apache Kafka, against what workers said live."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stream.backtest_checkpoint import resume
from stream.history import HistoryError
from stream.kafka_admin import admin, connection
from stream.partitioning import partition_of
from stream.pipeline import Pipeline
from tests.integration.job import PARTITIONS, Job, Message, messages
from tests.integration.reading import read_topic

pytestmark = pytest.mark.kafka


def backtest(job: Job, folder: Path, *more: str) -> tuple[dict[str, Any], list[bytes], str]:
    """(summary, lines of the alerts, what was said on stderr)."""
    alerts, summary = folder / "alerts.ndjson", folder / "summary.json"
    command = [sys.executable, "-m", "stream", "backtest", "-c", str(job.workers[0].file)]
    command += ["--bootstrap", job.settings.kafka.bootstrap, "--alerts", str(alerts)]
    done = subprocess.run(
        [*command, "--summary", str(summary), *more], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(summary.read_text()), alerts.read_bytes().splitlines(), done.stderr


async def group_offsets(job: Job) -> dict[str, dict[Any, Any]]:
    """What every consumer group of the broker has committed."""
    async with admin(job.settings) as client:
        groups = [name for name, _ in await client.list_consumer_groups()]
        return {name: await client.list_consumer_group_offsets(name) for name in groups}


async def abort(job: Job, some: list[Message]) -> None:
    """A transaction that comes to nothing leaves a gap in the offsets of what is read."""
    producer = AIOKafkaProducer(**connection(job.settings), transactional_id=job.settings.app)
    await producer.start()
    try:
        await producer.begin_transaction()
        for at_ms, is_prediction, key, value in some:
            topic = job.sources[0 if is_prediction else 1]
            await producer.send(topic, value=value, key=key, timestamp_ms=at_ms)
        await producer.flush()
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def live_run(job: Job, sent: list[Message]) -> dict[str, bytes]:
    """Two workers, one killed; a partition that falls silent and comes back late; an aborted
    transaction. What they said, by alert id."""
    half = len(sent) // 2
    silent = [m for m in sent[half // 2 : half] if partition_of(m[2], PARTITIONS) == 0]
    prompt = [m for m in sent[half // 2 : half] if partition_of(m[2], PARTITIONS) != 0]
    await job.create_topics()
    for worker in job.workers:
        worker.start()
    await job.ready()
    await job.send(sent[: half // 2])
    await abort(job, sent[:50])
    await job.send(prompt, chunk=50, pause_s=0.2)
    await job.consumed(half - len(silent))
    await asyncio.sleep(2.5)
    job.workers[0].kill()
    await job.send(silent)
    job.workers[0].start()
    await job.ready()
    await job.send(sent[half:])
    await job.consumed(len(sent))
    await job.send_end(sent[-1][0])
    await job.finished()
    return await job.alerts()


def test_a_replay_of_the_whole_log_says_what_was_said_live_and_touches_no_offset(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = Job(tmp_path, f"test-{uuid.uuid4().hex[:8]}", kafka, workers=2, idle="1s")
        sent = messages(2_500)
        try:
            live = await live_run(job, sent)
            ledgers = job.ledgers()
            assert [worker.terminate() for worker in job.workers] == [0, 0]
            committed = await group_offsets(job)
            assert committed[job.settings.app], "the workers committed, or this proves nothing"

            facts, lines, said = backtest(job, tmp_path)
            assert len(lines) == len(live) >= 4
            assert sorted(lines) == sorted(live.values())
            of_partitions = facts["ledger"]["partitions"]
            assert {str(p): ledger for p, ledger in enumerate(of_partitions)} == ledgers
            assert of_partitions[0]["predictions"]["late"] > 100, "the journal decided that"
            assert facts["journal"]["decisions"] > 0
            assert facts["events"] == len(sent)
            assert facts["end_of_input"] is True
            assert facts["warm_up"] is None
            assert "warm-up" not in said

            without, _, _ = backtest(job, tmp_path, "--journal", "/dev/null")
            assert without["ledger"]["partitions"][0]["predictions"]["late"] == 0

            began_ms = sent[len(sent) // 8][0]  # references are sealed before the drift
            part, lines, said = backtest(
                job, tmp_path, "--from", str(began_ms), "--to", str(sent[-400][0])
            )
            inside = sum(began_ms <= message[0] < sent[-400][0] for message in sent)
            assert abs(part["events"] - inside) < 300  # records are not in timestamp order
            assert part["end_of_input"] is False
            assert part["warm_up"]["until"] > part["from"]
            assert part["warm_up"]["models"].keys() == {"fraud", "churn"}
            assert part["warm_up"]["models"]["fraud"].keys() == {"prediction", "cohort"}
            assert "warm-up: this is not the beginning of the log" in said
            assert lines
            assert await group_offsets(job) == committed
        finally:
            job.stop()

    asyncio.run(scenario())


async def checkpointed(job: Job) -> int:
    """A moment (ms) that every stage has a checkpoint of: they wait for alerts on their way."""
    deadline, last = time.monotonic() + 30, HistoryError("checkpoints of no input")
    while time.monotonic() < deadline:
        moment_ms = int(time.time() * 1000)
        try:
            pipeline = Pipeline(job.settings.rules(), PARTITIONS)
            resumed = await resume(job.settings, pipeline, moment_ms)
            if min(resumed.offsets.values()) > 0:
                return moment_ms
        except HistoryError as error:  # mostly that one is not there yet
            last = error
        await asyncio.sleep(0.2)
    raise AssertionError("no checkpoint of every stage in time") from last


def test_a_replay_from_checkpoints_says_what_was_said_live_since(
    kafka: str, tmp_path: Path
) -> None:
    """Checkpoints of the stages are of different moments, and of two workers."""

    async def scenario() -> None:
        job = Job(tmp_path, f"test-{uuid.uuid4().hex[:8]}", kafka, workers=2, idle="1s")
        sent = messages(2_500)
        begins_at = [len(sent) * tenths // 10 for tenths in (4, 6)]  # drift follows both
        moments_ms: list[int] = []
        try:
            await job.create_topics()
            for worker in job.workers:
                worker.start()
            await job.ready()
            for start, stop in pairwise([0, *begins_at]):
                await job.send(sent[start:stop], chunk=50, pause_s=0.2)
                moments_ms.append(await checkpointed(job))  # in the midst of it
            await job.send(sent[begins_at[-1] :], chunk=50, pause_s=0.2)
            await job.consumed(len(sent))
            await job.send_end(sent[-1][0])
            await job.finished()
            live = await read_topic(job.settings, job.settings.topics.alerts, 1)
            said = {record.value: record.timestamp for record in live[0]}
            assert [worker.terminate() for worker in job.workers] == [0, 0]
            whole, _, _ = backtest(job, tmp_path)
            for moment_ms in moments_ms:
                facts, lines, told = backtest(job, tmp_path, "--from-checkpoint", str(moment_ms))
                assert facts["ledger"] == whole["ledger"]
                assert 0 < facts["events"] < whole["events"] == len(sent)
                assert facts["warm_up"] is None
                assert "warm-up" not in told
                starts = [start for of in facts["offsets"].values() for start, _ in of.values()]
                assert min(starts) > 0, "this is no checkpoint"
                assert set(lines) <= said.keys()
                since = {value for value, at_ms in said.items() if at_ms >= moment_ms}
                assert len(since) >= 4
                assert since <= set(lines)
        finally:
            job.stop()

    asyncio.run(scenario())
