"""From a pane's last event on the broker to its alert on the topic, at half of the maximum rate.

    scripts/bench latency                   about a minute and a half
    scripts/bench latency --seconds 120 --rate 20000

First the worker catches up with filled topics: its rate by the clock is the maximum. Then events
are produced as they happen, half as many a second, and 20 models drift one after another. An alert
is due at its `evaluated_at`, the end of its pane plus grace (of a cohort also maturity); it is
there when the broker has appended it (LogAppendTime). What the producer takes to send the first
event behind the pane is in the figure. Producer, broker and worker share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from aiokafka import AIOKafkaProducer

from stream.kafka_admin import connection
from stream.partitioning import partition_of
from tests.bench.kafka_job import create_topics, end_ms, job, produce, work
from tests.bench.measure import table
from tests.bench.workload import Workload, generate
from tests.integration.job import Job
from tests.integration.kafka import real_kafka

PANE_MS, GRACE_MS = 5_000, 1_000
_MODELS = 20
_CALM_S = 15.0  # before the first model drifts
_TICK_S = 0.02
_VARIANTS = 1_000
_OUTCOME_S = 2.0  # after its prediction
_SETTLE_S = 10.0
LIVE: dict[str, Any] = {
    "pane": f"{PANE_MS}ms",
    "grace": f"{GRACE_MS}ms",
    "outcomes": {"maturity": "4s", "horizon": "1m"},
    "reference": {"predictions": 500, "span": "5s"},
    "alerts": {"resolve_after": 3},
    "checkpoint": {"interval": "2s"},
}


class Bodies:
    """Everything of a prediction but its id, model and time: calm and drifted variants."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._calm = [self._body(row, 0.0) for row in rng.normal(size=(_VARIANTS, 10))]
        self._drifted = [self._body(row, 3.0) for row in rng.normal(size=(_VARIANTS, 10))]

    def _body(self, row: Any, shift: float) -> bytes:
        moved = row + shift * (np.arange(len(row)) < 3)
        features = {f"f{j}": round(float(x), 6) for j, x in enumerate(moved)}
        features |= {"c0": f"cat_{int(abs(row[0]) * 10) % 20}", "c1": "val"}
        score = round(float(1 / (1 + np.exp(-row[1]))), 6)
        said = {"features": features, "prediction": {"score": score}, "latency_ms": 12.5}
        return orjson.dumps(said)[1:]

    def of(self, number: int, *, is_drifted: bool) -> bytes:
        return (self._drifted if is_drifted else self._calm)[number % _VARIANTS]


@dataclass
class Producer:
    """Events as they happen: `rate` a second, half of them predictions."""

    made: Job
    rate: float
    seconds: float
    late_s: float = 0.0  # the most that it was behind its own schedule

    def __post_init__(self) -> None:
        self._count = int(self.rate / 2 * self.seconds)
        self._ids = [b"live-%d" % i for i in range(self._count)]
        self._partition = [partition_of(key, self.made.partitions) for key in self._ids]
        self._bodies = Bodies(np.random.default_rng(7))

    async def run(self) -> None:
        client = AIOKafkaProducer(**connection(self.made.settings), acks="all")
        await client.start()
        try:
            began_s, sent, labelled = time.time(), 0, 0
            while labelled < self._count:
                now_s = time.time() - began_s
                upto = min(self._count, int(now_s * self.rate / 2))
                due = min(upto, max(0, int((now_s - _OUTCOME_S) * self.rate / 2)))
                now_ms = int((began_s + now_s) * 1_000)
                await self._send(client, 0, range(sent, upto), now_ms, now_s)
                await self._send(client, 1, range(labelled, due), now_ms, now_s)
                sent, labelled = upto, due
                spent_s = time.time() - began_s - now_s
                self.late_s = max(self.late_s, spent_s - _TICK_S)
                await asyncio.sleep(max(0.0, _TICK_S - spent_s))
        finally:
            await client.stop()

    async def _send(
        self, client: AIOKafkaProducer, side: int, numbers: range, now_ms: int, now_s: float
    ) -> None:
        batches = [client.create_batch() for _ in range(self.made.partitions)]
        for i in numbers:
            value = self._outcome(i, now_ms) if side else self._prediction(i, now_ms, now_s)
            partition = self._partition[i]
            record = {"key": self._ids[i], "value": value, "timestamp": now_ms}
            if batches[partition].append(**record) is None:
                await client.send_batch(
                    batches[partition], self.made.sources[side], partition=partition
                )
                batches[partition] = client.create_batch()
                batches[partition].append(**record)
        for partition, batch in enumerate(batches):
            if batch.record_count():
                await client.send_batch(batch, self.made.sources[side], partition=partition)

    def _prediction(self, i: int, now_ms: int, now_s: float) -> bytes:
        model = i % _MODELS
        span_s = self.seconds - _CALM_S - _SETTLE_S
        is_drifted = now_s > _CALM_S + span_s * model / _MODELS
        head = b'{"prediction_id":"%s","model_id":"m%d","model_version":"1","predicted_at":%d,'
        return head % (self._ids[i], model, now_ms) + self._bodies.of(i, is_drifted=is_drifted)

    def _outcome(self, i: int, now_ms: int) -> bytes:
        form = b'{"prediction_id":"%s","model_id":"m%d","observed_at":%d,"actual":{"label":%d}}'
        return form % (self._ids[i], i % _MODELS, now_ms, i % 3 == 0)


async def maximum(folder: Path, bootstrap: str, predictions: int) -> float:
    """Events a second by the clock, while a worker catches up."""
    topics = generate(Workload(predictions=predictions, models=_MODELS, per_second=5_000))
    with job(folder, "latency-maximum", bootstrap, changed=LIVE) as made:
        await create_topics(made)
        made.ends = await produce(made.settings, topics)
        taken = await work(made, end_ms(topics))
    return taken.events / taken.wall_s


async def measure(folder: Path, bootstrap: str, rate: float | None, s: float) -> dict[str, Any]:
    most = await maximum(folder, bootstrap, 100_000) if rate is None else 2 * rate
    with job(folder, "latency", bootstrap, changed=LIVE) as made:
        await create_topics(made, broker_time=made.settings.topics.alerts)
        for worker in made.workers:
            worker.start()
        await made.ready()
        producer = Producer(made, most / 2, s)
        await producer.run()
        await asyncio.sleep(_SETTLE_S)
        records = (await made.read(made.settings.topics.alerts, 1))[0]
    beyond_ms = np.array([r.timestamp - _due_ms(orjson.loads(r.value)) for r in records])
    p50, p99 = np.quantile(beyond_ms, [0.5, 0.99], method="higher").tolist()
    return {
        "maximum_events_per_s": most,
        "events_per_s": most / 2,
        "pane_ms": PANE_MS,
        "grace_ms": GRACE_MS,
        "alerts": len(beyond_ms),
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": int(beyond_ms.max()),
        "producer_late_ms": producer.late_s * 1e3,
    }


def _due_ms(alert: dict[str, Any]) -> float:
    return datetime.fromisoformat(alert["evaluated_at"]).timestamp() * 1e3


def told(found: dict[str, Any]) -> str:
    rows = [
        ("events a second", "alerts", "p50 ms", "p99 ms", "most ms"),
        (
            f"{found['events_per_s']:,.0f}",
            f"{found['alerts']:,}",
            *(f"{found[name]:,.0f}" for name in ("p50_ms", "p99_ms", "max_ms")),
        ),
    ]
    return (
        f"{table(rows)}\nbeyond pane and grace (of {found['pane_ms'] / 1e3:.0f} and "
        f"{found['grace_ms'] / 1e3:.0f} s), at half of the maximum rate; the producer was at most "
        f"{found['producer_late_ms']:.0f} ms late"
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="of events that happen")
    parser.add_argument("--rate", type=float, help="events a second, instead of half the maximum")


def main(given: argparse.Namespace) -> dict[str, Any]:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader at first
    with tempfile.TemporaryDirectory() as folder, real_kafka() as bootstrap:
        return asyncio.run(measure(Path(folder), bootstrap, given.rate, given.seconds))
