"""`leeway explain` of an alert on the topic: its series is drawn from the input topics."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from stream.events import Alert
from stream.kafka_admin import admin, connection
from stream.settings import Settings, load
from stream.times import iso
from tests.stream.test_incidents import finding, told
from tests.streams import outcome, prediction, value_of

pytestmark = pytest.mark.kafka

START_MS, STEP_MS, COUNT = 1_760_000_000_000, 1_000, 600


def an_alert() -> Alert:
    """Of errors that began after two thirds."""
    (alert,) = told([finding(10_000, "ErrorRateDrift", since_ms=4_000)])
    end_ms = START_MS + COUNT * STEP_MS
    return msgspec.structs.replace(
        alert,
        evaluated_at=iso(end_ms + 60_000),
        effect=msgspec.structs.replace(alert.effect, change_at=iso(end_ms - 200 * STEP_MS)),
        window=msgspec.structs.replace(alert.window, end=iso(end_ms)),
        impact=msgspec.structs.replace(alert.impact, metric="error"),
    )


async def fill(settings: Settings, alert: Alert) -> None:
    topics = settings.topics
    async with admin(settings) as client:
        of_inputs = [NewTopic(name, 2, 1) for name in (topics.predictions, topics.outcomes)]
        await client.create_topics([*of_inputs, NewTopic(topics.alerts, 1, 1)])
    producer = AIOKafkaProducer(**connection(settings))
    await producer.start()
    try:
        await producer.send(topics.alerts, msgspec.json.encode(alert))
        for number in range(COUNT):
            at_ms, key = START_MS + number * STEP_MS, f"p{number}"
            said = value_of(prediction(key, at_ms))
            label = "yes" if number < COUNT - 200 else "no"
            true = value_of(outcome(key, at_ms + 500, actual={"label": label}))
            for topic, value in ((topics.predictions, said), (topics.outcomes, true)):
                await producer.send(topic, value, key=key.encode(), timestamp_ms=at_ms)
    finally:
        await producer.stop()


def test_what_an_alert_on_outcomes_is_of_is_drawn_from_the_topics(
    kafka: str, tmp_path: Path
) -> None:
    app = f"test-{uuid.uuid4().hex[:8]}"
    config = tmp_path / "leeway.yaml"
    names = {name: f"{app}-{name}" for name in ("predictions", "outcomes", "alerts")}
    lines = [f"app: {app}", f"kafka: {{bootstrap: '{kafka}'}}", "topics:"]
    lines += [f"  {name}: {topic}" for name, topic in names.items()]
    config.write_text("\n".join(lines), encoding="utf-8")
    alert = an_alert()
    asyncio.run(fill(load(config), alert))
    command = [sys.executable, "-m", "stream", "explain", alert.id[:12], "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  series ")]
    bars = line.removeprefix("  series      ")[:60]
    assert (set(bars[:35]) - {" "}, set(bars[36:60])) == ({"▁"}, {"█"})
    assert line.endswith("0 to 1")
