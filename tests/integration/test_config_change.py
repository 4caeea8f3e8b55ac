"""A configuration comes into force at a pane, on a real Apache Kafka."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.job import START_MS, Job, Message, messages
from tests.integration.test_backtest_topics import backtest
from tests.integration.worker_process import Worker

pytestmark = pytest.mark.kafka

COUNT = 2_500
AT_MS = START_MS + 1_660_000  # the features' drift has been told by then, the errors' has not
OWNED = {"owners": {"accountable": "risk"}, "runbook_url": "https://runbooks/risk"}
CHANGED: dict[str, Any] = {
    "models": {"fraud": OWNED, "churn": OWNED},
    "detectors": {"adwin": {"delta": 0.01}},
}


def change(worker: Worker, **sections: Any) -> None:
    settings = yaml.safe_load(worker.file.read_text())
    worker.file.write_text(yaml.safe_dump({**settings, **sections}))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "stream", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def of_another_model(at_ms: int) -> Message:
    event = {
        "prediction_id": f"other-{at_ms}", "model_id": "other", "model_version": "1",
        "predicted_at": at_ms, "features": {}, "prediction": {"label": "a"},
    }  # fmt: skip
    return at_ms, True, event["prediction_id"].encode(), json.dumps(event).encode()  # type: ignore[attr-defined]


def test_workers_with_old_and_new_files_change_over_at_one_pane_and_a_replay_with_them(
    kafka: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        job = Job(tmp_path, f"test-{uuid.uuid4().hex[:8]}", kafka, workers=2)
        others = [of_another_model(START_MS + 60_000 * i) for i in range(COUNT // 60)]
        sent = sorted([*messages(COUNT), *others], key=lambda message: message[0])
        half = len(sent) // 2
        new = job.workers[0]
        try:
            await job.create_topics()
            for worker in job.workers:
                worker.start()
            await job.ready()
            await job.send(sent[:half])
            await job.consumed(half)
            new.terminate()
            change(new, **CHANGED)
            new.start()
            assert new.exit_code(40) == 1
            assert "was not announced" in new.log()

            said = command("config", "activate", "-c", str(new.file), "--at", str(AT_MS))
            assert said.returncode == 0, said.stderr
            new.start()
            await job.ready()
            sending = asyncio.create_task(job.send(sent[half:], chunk=100, pause_s=0.2))
            await job.consumed(int(len(sent) * 0.8))
            job.workers[1].kill()
            job.workers[1].start()  # with the file of the beginning
            await sending
            await job.send_end(sent[-1][0])
            await job.finished()
            live = await job.alerts()
            dead = sum(ledger["predictions"]["dead_lettered"] for ledger in job.ledgers().values())

            alerts = [json.loads(value) for value in live.values()]
            hashes = {a["config_hash"] for a in alerts}
            assert len(hashes) == 2
            for alert in alerts:
                if alert["sequence"] == 1:
                    is_new = alert["owners"]["accountable"] == "risk"
                    assert is_new == (alert["evaluated_at"] >= "2025-10-09T09:21:00"), alert
            assert dead > sum(b"{" not in value[:-1] for *_, value in sent)

            shown = command("config", "show", "-c", str(new.file), "-o", "json")
            first, second = json.loads(shown.stdout)
            assert {first["config_hash"], second["config_hash"]} == hashes
            assert {place["from"] for place in second["in_force"]} == {"2025-10-09T09:21:00.000Z"}

            assert [worker.terminate() for worker in job.workers] == [0, 0]
            for worker in job.workers:
                job.workers[0] = worker  # under either file
                facts, lines, _ = backtest(job, tmp_path)
                assert sorted(lines) == sorted(live.values())
                assert facts["ledger"]["total"]["predictions"]["dead_lettered"] == dead
        finally:
            job.stop()

    asyncio.run(scenario())
