"""A new reference is accepted while a job runs on a real Apache Kafka, and a worker is killed."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from tests.integration.job import START_MS, Job, messages
from tests.integration.test_backtest_topics import backtest
from tests.integration.test_config_change import command

pytestmark = pytest.mark.kafka

COUNT = 2_500
AT_MS = START_MS + 2_000_000  # the features' drift has been told by then, and stays


def test_what_fires_ends_at_one_pane_and_a_replay_says_the_same(kafka: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        job = Job(tmp_path, f"test-{uuid.uuid4().hex[:8]}", kafka, workers=2)
        sent = messages(COUNT)
        half = len(sent) // 2
        try:
            await job.create_topics()
            for worker in job.workers:
                worker.start()
            await job.ready()
            await job.send(sent[:half])
            await job.consumed(half)
            file = str(job.workers[0].file)
            said = command("reference", "accept", "fraud", "-c", file, "--at", str(AT_MS))
            assert said.returncode == 0, said.stderr
            assert (
                "announced: a new reference of fraud from 2025-10-09T09:26:40.000Z" in said.stderr
            )
            sending = asyncio.create_task(job.send(sent[half:], chunk=100, pause_s=0.2))
            await job.consumed(int(len(sent) * 0.85))
            job.workers[1].kill()
            job.workers[1].start()
            await sending
            await job.send_end(sent[-1][0])
            await job.finished()
            live = await job.alerts()
            alerts = [json.loads(value) for value in live.values()]
            ended = [a for a in alerts if "(a new reference was accepted)" in a["summary"]]
            assert ended, "something fired against the old one"
            assert {a["model"]["id"] for a in ended} == {"fraud"}
            assert {a["ends_at"] for a in ended if a["kind"] == "feature_drift"} == {
                "2025-10-09T09:26:40.000Z"
            }
            assert [worker.terminate() for worker in job.workers] == [0, 0]
            _, lines, _ = backtest(job, tmp_path)
            assert sorted(lines) == sorted(live.values())
        finally:
            job.stop()

    asyncio.run(scenario())
