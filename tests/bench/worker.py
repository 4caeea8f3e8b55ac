"""The real worker on a real Kafka with everything on, against bare readers of the same topics.

    scripts/bench worker                    200,000 predictions and as many outcomes, 3 times
    scripts/bench worker --predictions 1000000 --repetitions 1

The worker is a process: join, checkpoints, alerts, metrics, state and findings on topics. xK is its
rate over that of a bare aiokafka consumer that decodes the same records with msgspec into fixed
Structs and makes numpy columns; beside it librdkafka (confluent-kafka) that only decodes. All take
turns on topics that are filled beforehand. Rates are events by processor time of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from stream.settings import Settings
from tests.bench.environments import ROOT, NotInstalledError, python_with
from tests.bench.kafka_job import Taken, create_topics, end_ms, job, produce, work
from tests.bench.measure import Spread, ratios, table
from tests.bench.workload import Workload, generate
from tests.integration.kafka import real_kafka
from tests.integration.worker_process import PARTITIONS

CONFLUENT = ("confluent-kafka==2.16.1", *(f"{n}=={version(n)}" for n in ("msgspec", "numpy")))


def read(python: Path, which: str, settings: Settings, workload: Workload) -> dict[str, float]:
    """A bare reader, in a process of its own."""
    topics = settings.topics
    command = [str(python), "-m", "tests.bench.readers", which, settings.kafka.bootstrap]
    command += [topics.predictions, topics.outcomes]
    command += map(str, (PARTITIONS, workload.events, workload.features))
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    found: dict[str, float] = msgspec.json.decode(done.stdout)
    return found


async def measure(folder: Path, bootstrap: str, workload: Workload, times: int) -> dict[str, Any]:
    readers = {"aiokafka": Path(sys.executable)}
    skipped: list[str] = []
    try:
        readers["confluent"] = python_with("confluent", CONFLUENT)
    except NotInstalledError as error:
        skipped.append(str(error))
    topics = generate(workload)
    taken: dict[str, list[float]] = {name: [] for name in (*readers, "worker")}
    ran: list[Taken] = []
    with job(folder, "bench", bootstrap) as first:
        await create_topics(first)
        ends = await produce(first.settings, topics)
        for number in range(times):
            for name, python in readers.items():
                given = python, name, first.settings, workload
                found = await asyncio.to_thread(read, *given)
                taken[name].append(workload.events / found["cpu_s"])
            with job(folder, f"bench{number}", bootstrap, inputs=first.settings.topics) as one:
                await create_topics(one)
                one.ends = ends
                ran.append(await work(one, end_ms(topics)))
                alerts = len(await one.alerts())
            taken["worker"].append(ran[-1].rate)
    return {
        "events": workload.events,
        "events_per_cpu_s": {name: Spread.of(rates).plain() for name, rates in taken.items()},
        "xK": {name: ratios(taken["worker"], taken[name]).plain() for name in readers},
        "events_per_s": Spread.of([one.events / one.wall_s for one in ran]).plain(),
        "peak_memory_mb": max(one.peak_memory_mb for one in ran),
        "alerts": alerts,
        "skipped": skipped,
    }


def told(found: dict[str, Any]) -> str:
    what = {
        "aiokafka": "aiokafka getmany, msgspec, numpy columns",
        "confluent": "librdkafka consume, msgspec, no columns",
        "worker": "the worker, everything on",
    }
    rows = [("reads the topics", "events per CPU second", "the worker's xK of it")]
    for name, rates in found["events_per_cpu_s"].items():
        share = Spread(**found["xK"][name]).told(".3f") if name in found["xK"] else ""
        rows.append((what[name], Spread(**rates).told(), share))
    lines = [table(rows), *(f"skipped: {line}" for line in found["skipped"])]
    lines.append(
        f"{found['events']:,} events, {found['alerts']} alerts on the topic; the worker at most "
        f"{found['peak_memory_mb']:.0f} MB, {Spread(**found['events_per_s']).told()} events a "
        "second by the clock, the broker on the same cores"
    )
    return "\n".join(lines)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predictions", type=int, default=200_000, help="and as many outcomes")
    parser.add_argument("--repetitions", type=int, default=3)


def main(given: argparse.Namespace) -> dict[str, Any]:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader at first
    workload = Workload(predictions=given.predictions)
    with tempfile.TemporaryDirectory() as folder, real_kafka() as bootstrap:
        return asyncio.run(measure(Path(folder), bootstrap, workload, given.repetitions))
