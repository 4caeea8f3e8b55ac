"""Topics of the workload on a real Kafka, and workers that read them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from stream.kafka_admin import admin, connection, create, topic_plan
from stream.setting_sections import TopicSettings
from stream.settings import Settings
from stream.shedding import Side
from tests.bench.workload import HORIZON_MS, MATURITY_MS, REFERENCE, SIDES, Topic
from tests.integration.job import Job

_BATCH_BYTES = 1 << 18
_ASK_S = 0.5
_WITHIN_S = 300.0
CHANGED: dict[str, Any] = {
    "outcomes": {"maturity": f"{MATURITY_MS}ms", "horizon": f"{HORIZON_MS}ms"},
    "reference": {"predictions": REFERENCE.predictions, "span": f"{REFERENCE.span_ms}ms"},
    "alerts": {"resolve_after": 360},
    "floors": {},
    "checkpoint": {"interval": "2s"},
}
"""The rules of the workload; what is not named is as the tests have it, or the default."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What some workers took to apply events; `wall_s` in which they did."""

    events: int
    cpu_s: float
    wall_s: float
    peak_memory_mb: float

    @property
    def rate(self) -> float:
        return self.events / self.cpu_s


@contextmanager
def job(
    folder: Path,
    app: str,
    bootstrap: str,
    *,
    workers: int = 1,
    inputs: TopicSettings | None = None,
    changed: Mapping[str, Any] = CHANGED,
) -> Iterator[Job]:
    """A job of its own, reading the input topics of another if they are given; its workers end
    with the block. `changed`: sections of the configuration."""
    own = folder / app
    own.mkdir()
    sections = dict(changed)
    if inputs is not None:
        names = {name: f"{app}.{name}" for name in TopicSettings.model_fields}
        read = {side: getattr(inputs, side) for side in SIDES}
        sections["topics"] = names | read
    made = Job(own, app, bootstrap, workers, changed=sections)
    try:
        yield made
    finally:
        made.stop()


async def create_topics(made: Job, broker_time: str | None = None) -> None:
    """Those that are not there yet. Nothing is deleted for its age: the events are old. Records of
    the topic `broker_time` are stamped by the broker as it appends them."""

    def stamped(topic: str) -> dict[str, str]:
        return {"message.timestamp.type": "LogAppendTime"} if topic == broker_time else {}

    async with admin(made.settings) as client:
        there = set(await client.list_topics())
        lacking = [
            replace(spec, config=dict(spec.config) | {"retention.ms": "-1"} | stamped(spec.name))
            for spec in topic_plan(made.settings)
            if spec.name not in there
        ]
        await create(client, lacking, 1)


async def produce(settings: Settings, topics: dict[Side, Topic]) -> dict[str, dict[int, int]]:
    """All records, partition by partition in order; the ends of the topics."""
    names = dict(zip(SIDES, (settings.topics.predictions, settings.topics.outcomes), strict=True))
    ends: dict[str, dict[int, int]] = {}
    client = AIOKafkaProducer(
        **connection(settings), acks="all", max_batch_size=_BATCH_BYTES, max_request_size=1 << 20
    )
    await client.start()
    try:
        for side, topic in topics.items():
            dealt = topic.dealt(settings.partitions)
            ends[names[side]] = {p: len(places) for p, places in enumerate(dealt)}
            for partition, places in enumerate(dealt):
                await _send(client, names[side], partition, topic, places)
    finally:
        await client.stop()
    return ends


async def _send(
    client: AIOKafkaProducer, name: str, partition: int, topic: Topic, places: list[int]
) -> None:
    acks, batch = [], client.create_batch()
    for i in places:
        record = {"key": topic.keys[i], "value": topic.values[i], "timestamp": topic.times_ms[i]}
        if batch.append(**record) is None:
            acks.append(await client.send_batch(batch, name, partition=partition))
            batch = client.create_batch()
            batch.append(**record)
    if batch.record_count():
        acks.append(await client.send_batch(batch, name, partition=partition))
    await asyncio.gather(*acks)


def end_ms(topics: dict[Side, Topic]) -> int:
    return max(topic.times_ms[-1] for topic in topics.values())


async def work(made: Job, event_time_ms: int) -> Taken:
    """Start the workers, on topics that are filled, and wait until all of it went through."""
    await made.send_end(event_time_ms)
    for worker in made.workers:
        worker.start()
    await made.ready()
    before, cpu_s, wall_s = made._consumed(), _cpu_s(made), time.perf_counter()
    deadline_s = wall_s + _WITHIN_S
    while not await asyncio.to_thread(made.is_finished):
        assert time.perf_counter() < deadline_s, [worker.log()[-2_000:] for worker in made.workers]
        await asyncio.sleep(_ASK_S)  # to ask costs the worker too
    peak_mb = max(worker.peak_mb() for worker in made.workers)
    took_s = _cpu_s(made) - cpu_s
    return Taken(made._consumed() - before, took_s, time.perf_counter() - wall_s, peak_mb)


def _cpu_s(made: Job) -> float:
    """Processor time of the worker processes so far, user and system."""
    ticks = 0
    for worker in made.workers:
        said = Path(f"/proc/{worker.pid}/stat").read_text()
        ticks += sum(map(int, said.rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
