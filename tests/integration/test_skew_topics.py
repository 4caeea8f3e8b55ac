"""`leeway skew` over topics of a real Apache Kafka: what is committed, in no group."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from stream.kafka_admin import admin, connection
from stream.settings import Settings, load

pytestmark = pytest.mark.kafka

START_MS, COUNT = 1_760_000_000_000, 200


def event(number: int, amount: float) -> bytes:
    return orjson.dumps(
        {
            "prediction_id": f"p{number}", "model_id": "fraud", "model_version": "1",
            "predicted_at": START_MS + number * 1000, "features": {"amount": amount, "n": number},
            "prediction": {"score": 0.5},
        }
    )  # fmt: skip


def values(number: int, amount: float) -> bytes:
    return orjson.dumps({"prediction_id": f"p{number}", "features": {"amount": amount}})


async def fill(settings: Settings, online: str, offline: str) -> None:
    """Of each fourth prediction the model was given another amount. Two records are no use, one is
    a tombstone, and an aborted transaction says otherwise of all."""
    async with admin(settings) as client:
        await client.create_topics([NewTopic(online, 3, 1), NewTopic(offline, 2, 1)])
    producer = AIOKafkaProducer(**connection(settings), transactional_id=settings.app)
    await producer.start()

    async def send(topic: str, number: int, value: bytes | None) -> None:
        at_ms = START_MS + number * 1000
        await producer.send(topic, value, key=f"p{number}".encode(), timestamp_ms=at_ms)

    try:
        for aborts in (True, False):
            await producer.begin_transaction()
            for number in range(COUNT):
                moved = aborts or number % 4 == 0
                await send(online, number, event(number, number + 5.0 * moved))
                await send(offline, number, values(number, float(number)))
            await send(online, COUNT, b'{"prediction_id": ')
            await send(online, COUNT, None)
            await send(offline, COUNT, b'{"features": {}}')
            await (producer.abort_transaction() if aborts else producer.commit_transaction())
    finally:
        await producer.stop()


async def groups(settings: Settings) -> set[str]:
    async with admin(settings) as client:
        return {name for name, _ in await client.list_consumer_groups()}


def skew(kafka: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stream", "skew", "--bootstrap", kafka, "-o", "json"]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False)


def test_topics_and_files_are_compared_alike_and_no_group_is_left(
    kafka: str, tmp_path: Path
) -> None:
    app = f"test-{uuid.uuid4().hex[:8]}"
    config = tmp_path / "leeway.yaml"
    config.write_text(f"app: {app}\nkafka: {{bootstrap: '{kafka}'}}\n")
    settings = load(config)
    online, offline = f"{app}-online", f"{app}-offline"
    asyncio.run(fill(settings, online, offline))
    before = asyncio.run(groups(settings))
    files = {"online": tmp_path / "online.ndjson", "offline": tmp_path / "offline.ndjson"}
    lines = [event(n, n + 5.0 * (n % 4 == 0)) for n in range(COUNT)]
    files["online"].write_bytes(b"\n".join([*lines, b'{"prediction_id": ']))
    lines = [values(n, float(n)) for n in range(COUNT)]
    files["offline"].write_bytes(b"\n".join([*lines, b'{"features": {}}']))

    sides = {
        "predictions": (("--predictions-topic", online), ("--predictions", str(files["online"]))),
        "offline": (("--offline-topic", offline), ("--offline", str(files["offline"]))),
    }
    said: list[dict[str, Any]] = []
    for here in sides["predictions"]:
        for there in sides["offline"]:
            done = skew(kafka, *here, *there)
            assert done.returncode == 1, done.stderr
            said.append(json.loads(done.stdout))
    assert said == [said[0]] * 4
    (amount,) = said[0]["features"]
    assert (said[0]["matched"], said[0]["skewed"]) == (COUNT, ["amount"])
    assert (amount["differing"], amount["mean_difference"]) == (COUNT // 4, 5.0)
    assert said[0]["dead_letters"] == {"predictions": 1, "offline": 1}

    part = ("--from", str(START_MS + 40_000), "--to", str(START_MS + 100_000))
    done = skew(kafka, "--predictions-topic", online, "--offline-topic", offline, *part)
    found = json.loads(done.stdout)
    assert (found["matched"], found["only_offline"]) == (60, COUNT - 60)
    assert found["features"][0]["differing"] == 15

    assert not asyncio.run(groups(settings)) - before  # those of others end by themselves


def test_a_topic_that_is_not_there_is_a_failure_of_one_line(kafka: str, tmp_path: Path) -> None:
    file = tmp_path / "offline.ndjson"
    file.write_bytes(values(0, 0.0))
    done = skew(kafka, "--predictions-topic", "nowhere", "--offline", str(file))
    assert done.returncode == 1
    assert "topic nowhere does not exist" in done.stderr
    assert "Traceback" not in done.stderr
