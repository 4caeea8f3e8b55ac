"""How long a worker takes to restore a large state from its changelogs, on a real Kafka.

scripts/chaos recovery --megabytes 200    one job without state and one with it, workers in turn

Pending predictions are fed straight into stage 1 of every partition and checkpointed, through the
code of the worker, into the changelog. Then workers start, one at a time, each in a new process;
what is measured is from its start until it owns every stage of every partition.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from aiokafka import AIOKafkaProducer

from stream.checkpoint import Layout
from stream.events import Records
from stream.journal import journal_key
from stream.kafka_admin import changelog_topic, connection, largest_record_bytes
from stream.source_stage import SourceStage
from stream.wire import Claim, encode_journal
from stream.worker_routes import Outgoing
from stream.worker_slot import SOURCES, STAGES, Slot
from tests.integration.job import Job
from tests.integration.kafka import real_kafka

START_MS = 1_760_000_000_000
MOST_S = 5.0  # beyond the worker's own start
_BATCH = 5_000
_BATCHES_A_CHECKPOINT = 10
_READY_S = 120.0


@dataclass(frozen=True)
class Recovery:
    megabytes: float  # of state, as the parts' bytes
    predictions: int
    written_mb: float  # records of all checkpoints
    empty_s: list[float]
    full_s: list[float]
    peak_mb: float  # resident, of the worker that restored

    @property
    def beyond_s(self) -> float:
        return statistics.median(self.full_s) - statistics.median(self.empty_s)

    def told(self) -> str:
        full, empty = statistics.median(self.full_s), statistics.median(self.empty_s)
        return (
            f"{self.megabytes:.0f} MB of state ({self.predictions:,} pending predictions, "
            f"{self.written_mb:.0f} MB written): owned after {full:.2f} s, without state after "
            f"{empty:.2f} s: {self.beyond_s:.2f} s beyond the start; peak {self.peak_mb:.0f} MB"
        )


def measure(megabytes: float, starts: int) -> Recovery:
    """Raises NoKafka."""
    with real_kafka() as bootstrap, tempfile.TemporaryDirectory(prefix="leeway-") as folder:
        return asyncio.run(measure_on(Path(folder), bootstrap, megabytes, starts))


async def measure_on(folder: Path, bootstrap: str, megabytes: float, starts: int) -> Recovery:
    changed = {"outcomes": {"horizon": "30d"}}
    jobs = [
        Job(_made(folder / name), f"{name}-{uuid.uuid4().hex[:8]}", bootstrap, 1, changed=changed)
        for name in ("empty", "full")
    ]
    full = jobs[1]
    for job in jobs:
        await job.create_topics()
    filled = await _fill(full, megabytes)
    taken: list[list[float]] = [[], []]
    peak_mb = 0.0
    try:
        for _ in range(starts):  # in turn: what else the machine does disturbs both alike
            for times, job in zip(taken, jobs, strict=True):
                times.append(await _start(job))
                peak_mb = max(peak_mb, job.workers[0].peak_mb())
                job.workers[0].terminate()
        assert full.workers[0].log().count("after checkpoint") >= starts * full.partitions
    finally:
        for job in jobs:
            job.stop()
    return Recovery(*filled, taken[0], taken[1], peak_mb)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _start(job: Job) -> float:
    """Seconds until the worker owns everything."""
    (worker,) = job.workers
    began_s = time.monotonic()
    worker.start()
    while len(worker.get("/status").get("slots", [])) < 2 * job.partitions + 1:
        if time.monotonic() - began_s > _READY_S or not worker.is_running:
            raise AssertionError(f"not restored in time: {worker.log()[-3_000:]}")
        await asyncio.sleep(0.02)
    return time.monotonic() - began_s


async def _fill(job: Job, megabytes: float) -> tuple[float, int, float]:
    """State of at least so many megabytes, over all partitions; what it came to, the predictions in
    it, the megabytes that were written."""
    options = connection(job.settings)
    largest = largest_record_bytes(job.settings)
    producer = AIOKafkaProducer(**options, acks="all", max_request_size=largest)
    await producer.start()
    try:
        filled = [
            await _fill_partition(job, producer, partition, megabytes * 1e6 / job.partitions)
            for partition in range(job.partitions)
        ]
    finally:
        await producer.stop()
    state, predictions, written = (sum(some) for some in zip(*filled, strict=True))
    return state / 1e6, int(predictions), written / 1e6


async def _fill_partition(
    job: Job, producer: AIOKafkaProducer, partition: int, wanted: float
) -> tuple[float, int, float]:
    async def send(record: Outgoing) -> Any:
        return await producer.send(
            record.topic, record.value, key=record.key, partition=record.partition
        )

    async def ours() -> bool:
        return True

    claim = Claim(SOURCES, partition, "filler")
    topic = job.settings.internal_topic("journal")
    promise = await send(Outgoing(topic, partition, journal_key(claim), encode_journal(claim)))
    rules = job.settings.rules()
    core = SourceStage(rules, partition, job.partitions)
    core.epoch = (await promise).offset
    changelog = changelog_topic(job.settings, STAGES[SOURCES])
    slot = Slot(SOURCES, partition, core, dict.fromkeys(job.sources, 0), changelog)
    layout = Layout(rules.state_hash(), job.partitions, job.sources)
    predictions = written = 0
    records = batches(job.sources[0], partition)
    while slot.state_bytes < wanted:
        for _ in range(_BATCHES_A_CHECKPOINT):
            core.predictions(next(records))
            predictions += _BATCH
        written += await slot.write(send, ours, layout, 0, force=True) or 0
    return slot.state_bytes, predictions, written


def batches(topic: str, partition: int) -> Iterator[Records]:
    """One prediction a millisecond of ten models, for ever."""
    random = Random(partition)
    first = 0
    while True:
        values: list[bytes | None] = [
            b'{"prediction_id":"%016x","model_id":"m%d","model_version":"1","predicted_at":%d,'
            b'"features":{},"prediction":{"label":"%s","score":0.%06d}}'
            % (
                random.getrandbits(64), n % 10, START_MS + n, (b"yes", b"no")[n % 2],
                random.randrange(10**6),
            )
            for n in range(first, first + _BATCH)
        ]  # fmt: skip
        offsets = list(range(first, first + _BATCH))
        yield Records(topic, partition, offsets, [None] * _BATCH, values)
        first += _BATCH


def main() -> int:
    parser = argparse.ArgumentParser("recovery", description=__doc__)
    parser.add_argument("--megabytes", type=float, default=200.0)
    parser.add_argument("--starts", type=int, default=3)
    given = parser.parse_args()
    recovery = measure(given.megabytes, given.starts)
    print(recovery.told())
    return 0 if recovery.beyond_s <= MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
