"""An alert is acknowledged while a job runs on a real Apache Kafka, and a worker is killed."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from tests.integration.job import Job, messages
from tests.integration.test_backtest_topics import backtest
from tests.integration.test_config_change import command

pytestmark = pytest.mark.kafka

COUNT = 2_500  # a second each; drifts begin with the 1,500th
ESCALATE = [{"after": "6m", "severity_at_least": "info", "to": ["lead"]}]


def test_what_is_acknowledged_is_not_escalated_and_a_replay_says_and_asks_the_same(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        changed = {"alerts": {"resolve_after": 20, "resolve_values": 60, "escalate": ESCALATE}}
        name = f"test-{uuid.uuid4().hex[:8]}"
        job = Job(tmp_path, name, kafka, workers=2, changed=changed)
        sent = messages(COUNT)
        most = int(len(sent) * 0.7)
        try:
            await job.create_topics()
            for worker in job.workers:
                worker.start()
            await job.ready()
            await job.send(sent[:most])
            await job.consumed(most)
            fired = await _fired(job)
            file = str(job.workers[0].file)
            said = command("acknowledge", fired["id"], "--by", "ann", "-c", file)
            assert said.returncode == 0, said.stderr
            assert "ann has taken alert id" in said.stderr
            await _noticed(job)
            sending = asyncio.create_task(job.send(sent[most:], chunk=100, pause_s=0.1))
            await job.consumed(int(len(sent) * 0.85))
            job.workers[1].kill()
            job.workers[1].start()
            await sending
            await job.send_end(sent[-1][0])
            await job.finished()
            live = await job.alerts()
            requests = {r.value for r in (await job.read(job.settings.topics.actions, 1))[0]}
            alerts = [json.loads(value) for value in live.values()]
            escalated = [a for a in alerts if "; unacknowledged for " in a["summary"]]
            assert escalated, "of what nobody has acknowledged"
            assert fired["fingerprint"] not in {a["fingerprint"] for a in escalated}
            assert all("lead" in a["owners"]["informed"] for a in escalated)
            assert requests, "values beyond the reference are a fault"
            assert [worker.terminate() for worker in job.workers] == [0, 0]
            asked = tmp_path / "requests.ndjson"
            _, lines, _ = backtest(job, tmp_path, "--actions", str(asked))
            assert sorted(lines) == sorted(live.values())
            assert {*asked.read_bytes().splitlines()} == requests
        finally:
            job.stop()

    asyncio.run(scenario())


async def _noticed(job: Job) -> None:
    """The owner of stage 3 has said from when on it knows of it."""
    for _ in range(200):
        if (await job.journal()).noticed_of(0):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("nobody took notice")


async def _fired(job: Job) -> dict[str, str]:
    """The first alert of the model fraud."""
    for _ in range(200):
        alerts = [json.loads(value) for value in (await job.alerts()).values()]
        for alert in alerts:
            if alert["model"]["id"] == "fraud" and alert["status"] == "firing":
                found: dict[str, str] = alert
                return found
        await asyncio.sleep(0.1)
    raise AssertionError("nothing fired")
