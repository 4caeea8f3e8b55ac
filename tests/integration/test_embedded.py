"""The whole job on the embedded broker: no Docker, no Java. It proves nothing about recovery."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.job import Job, assert_equal_to_pipeline, messages

pytestmark = pytest.mark.embedded


def test_alerts_of_a_worker_equal_those_of_the_pipeline(embedded: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        job = Job(tmp_path, "embedded", embedded, workers=1)
        sent = messages(2_500)
        try:
            await job.create_topics()
            job.workers[0].start()
            await job.send(sent)
            await job.send_end(sent[-1][0])
            await job.finished()
            await assert_equal_to_pipeline(job, sent)
            assert job.idle_entries() == 0
            metrics = job.workers[0].text("/metrics")
            assert 'leeway_events_total{result="dead_lettered"' in metrics
            assert job.workers[0].get("/health")["healthy"] is True
            assert job.workers[0].terminate() == 0
        finally:
            job.stop()

    asyncio.run(scenario())
