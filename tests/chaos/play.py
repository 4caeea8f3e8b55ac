"""One kind of traffic, played to real workers: what went in, what came out, what it took."""

from __future__ import annotations

import asyncio
import math
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka_admin import connection
from tests.chaos.broker import killable_kafka, lasting_port
from tests.chaos.judge import judge
from tests.chaos.kills import create_topics
from tests.chaos.settle import settled
from tests.integration.java_broker import JavaBroker
from tests.integration.job import Job

_SAMPLE_S = 0.5


@dataclass
class Ground:
    """Where a scenario is played. `scale`: 1 is the short form."""

    broker: JavaBroker
    proxy_port: int  # of a proxy that is started when it is wanted
    proxied_port: int  # where it hands on to
    folder: Path
    scale: float = 1.0

    def count(self, short: int, most: float = math.inf) -> int:
        return int(min(short * self.scale, most))

    @property
    def patience_s(self) -> float:
        """How long the end of the input may take to go through."""
        return 120.0 + 30.0 * self.scale


@contextmanager
def traffic_ground(folder: Path, scale: float = 1.0) -> Iterator[Ground]:
    """A broker with a way by which a proxy can be put before it. Raises NoKafka."""
    proxy_port, proxied_port = lasting_port(), lasting_port()
    with killable_kafka((proxy_port, proxied_port)) as broker:
        yield Ground(broker, proxy_port, proxied_port, folder, scale)


@dataclass
class Row:
    """What one scenario showed; `wrong` is empty if everything was as it must be."""

    name: str
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mb: float = 0.0
    note: str = ""

    def line(self) -> str:
        events, alerts = self.figures.get("events", 0), self.figures.get("alerts", 0)
        verdict = "ok" if not self.wrong else f"WRONG ({len(self.wrong)})"
        return (
            f"{self.name:14} {events:8} events  {alerts:5} alerts  {self.seconds:6.1f} s  "
            f"peak {self.peak_mb:4.0f} MB  {verdict:9} {self.note}"
        )

    def expect(self, holds: bool, what: str) -> None:
        """What the scenario is about must have happened, or it shows nothing."""
        if not holds:
            self.wrong.append(f"not so: {what}")


class Play:
    """The job of one scenario."""

    def __init__(self, name: str, job: Job) -> None:
        self.job = job
        self.row = Row(name)

    async def finish(self, end_ms: int, within_s: float) -> None:
        """Until all that was sent went through; then it is judged, the workers being gone."""
        job = self.job
        job.ends = await committed_ends(job)
        await job.send_end(end_ms)
        ledgers, until_ms = await settled(job, within_s)
        self.row.expect(all(w.is_running for w in job.workers), "every worker has run to the end")
        for worker in job.workers:
            worker.signal(signal.SIGKILL)
        found = await judge(job, ledgers, end_ms, until_ms)
        self.row.wrong += found.wrong
        self.row.figures = found.figures


@asynccontextmanager
async def play(
    ground: Ground,
    name: str,
    *,
    idle: str = "1h",
    workers: int = 1,
    changed: Mapping[str, Any] | None = None,
    by_way_of: str | None = None,
    max_peak_mb: float = 400.0,
) -> AsyncIterator[Play]:
    """Topics, and workers that are ready; `by_way_of`: the address at which these find the broker.
    When the block ends everything of it is gone, and the row is complete."""
    folder = ground.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    app = f"traffic-{uuid.uuid4().hex[:8]}"
    job = Job(folder, app, by_way_of or ground.broker.bootstrap, workers, idle, changed=changed)
    direct = job.settings.kafka.model_copy(update={"bootstrap": ground.broker.bootstrap})
    job.settings = job.settings.model_copy(update={"kafka": direct})
    one = Play(name, job)
    began_s = time.monotonic()
    sampling: asyncio.Task[None] | None = None
    try:
        await create_topics(job)
        for worker in job.workers:
            worker.start()
        await job.ready()
        sampling = asyncio.create_task(_sample(one))
        yield one
    finally:
        if sampling is not None:
            sampling.cancel()
        job.stop()
        one.row.seconds = time.monotonic() - began_s
    one.row.expect(one.row.peak_mb < max_peak_mb, f"a worker holds less than {max_peak_mb:.0f} MB")


async def _sample(one: Play) -> None:
    while True:
        peaks = [worker.peak_mb() for worker in one.job.workers]
        one.row.peak_mb = max(one.row.peak_mb, *peaks)
        await asyncio.sleep(_SAMPLE_S)


async def committed_ends(job: Job) -> dict[str, dict[int, int]]:
    """Behind the last record of each source partition, and behind markers."""
    client = AIOKafkaConsumer(**connection(job.settings))
    await client.start()
    try:
        tps = [TopicPartition(t, p) for t in job.sources for p in range(job.partitions)]
        found: dict[str, dict[int, int]] = {topic: {} for topic in job.sources}
        for tp, offset in (await client.end_offsets(tps)).items():
            found[tp.topic][tp.partition] = offset
        return found
    finally:
        await client.stop()
