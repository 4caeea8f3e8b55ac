"""Bare readers of both input topics, for the worker to be compared with: a process each.

    python -m tests.bench.readers aiokafka BOOTSTRAP PREDICTIONS OUTCOMES PARTITIONS EVENTS FEATURES

`aiokafka`: getmany, msgspec into fixed Structs, numpy columns. `confluent`: librdkafka's consume,
and the same Structs, no columns. Both stop after EVENTS records. Nothing of Leeway is imported, so
that they run in environments of their own.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from tests.bench.typed import typed

_MOST = 5_000  # records of one call, as the worker asks for


class Decoder:
    def __init__(self, features: int) -> None:
        forms = typed(features)
        self.prediction = msgspec.json.Decoder(forms["predictions"]).decode
        self.outcome = msgspec.json.Decoder(forms["outcomes"]).decode
        self._floats = [attrgetter(f"features.f{j}") for j in range(features)]
        self._floats += [attrgetter("prediction.score"), attrgetter("latency_ms")]
        self._others = [attrgetter(f"features.c{j}") for j in range(2)]
        self._others += [attrgetter("prediction_id"), attrgetter("model_id")]

    def predictions(self, values: list[bytes]) -> list[Any]:
        """Columns: floats and times as arrays, texts as lists."""
        events = [*map(self.prediction, values)]
        n = len(events)
        columns: list[Any] = [np.fromiter(map(of, events), np.float64, n) for of in self._floats]
        columns.append(np.array([e.predicted_at.timestamp() for e in events]))
        return columns + [[*map(of, events)] for of in self._others]

    def outcomes(self, values: list[bytes]) -> list[Any]:
        events = [*map(self.outcome, values)]
        return [
            np.array([e.observed_at.timestamp() for e in events]),
            np.fromiter((e.actual.label for e in events), np.int64, len(events)),
            [e.prediction_id for e in events],
            [e.model_id for e in events],
        ]


async def with_aiokafka(
    bootstrap: str, topics: tuple[str, str], partitions: int, events: int, decoder: Decoder
) -> float:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    client = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await client.start()
    try:
        client.assign([TopicPartition(topic, p) for topic in topics for p in range(partitions)])
        began_s, seen = time.process_time(), 0
        while seen < events:
            for tp, records in (await client.getmany(timeout_ms=500, max_records=_MOST)).items():
                values = [record.value for record in records]
                is_prediction = tp.topic == topics[0]
                (decoder.predictions if is_prediction else decoder.outcomes)(values)
                seen += len(values)
        return time.process_time() - began_s
    finally:
        await client.stop()


def with_confluent(
    bootstrap: str, topics: tuple[str, str], partitions: int, events: int, decoder: Decoder
) -> float:
    from confluent_kafka import Consumer, TopicPartition

    client = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-confluent",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    first = -2  # the earliest
    began_s, seen = time.process_time(), 0
    client.assign([TopicPartition(t, p, first) for t in topics for p in range(partitions)])
    while seen < events:
        for message in client.consume(_MOST, 0.5):
            parse = decoder.prediction if message.topic() == topics[0] else decoder.outcome
            parse(message.value())
            seen += 1
    took_s = time.process_time() - began_s
    client.close()
    return took_s


def main() -> None:
    which, bootstrap, predictions, outcomes, *numbers = sys.argv[1:]
    partitions, events, features = map(int, numbers)
    given = bootstrap, (predictions, outcomes), partitions, events, Decoder(features)
    began_s = time.perf_counter()
    took_s = asyncio.run(with_aiokafka(*given)) if which == "aiokafka" else with_confluent(*given)
    found = {
        "cpu_s": took_s,
        "wall_s": time.perf_counter() - began_s,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
