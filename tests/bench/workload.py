"""The seeded workload of the benchmarks: predictions, and as many delayed outcomes.

Ten floats, two categories, score and latency a prediction; halfway three features move by 0.3
standard deviations. Both topics are in order of arrival, dealt to partitions as producers deal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np

from stream.events import Records
from stream.partitioning import partition_of
from stream.rules import ReferenceRule, Rules
from stream.shedding import Side

BEGIN_MS = 1_760_000_000_000  # past, or a broker would refuse the records
SIDES: tuple[Side, Side] = ("predictions", "outcomes")
TOPICS = {"predictions": "leeway.predictions", "outcomes": "leeway.outcomes"}
MATURITY_MS = 60_000
HORIZON_MS = 600_000
REFERENCE = ReferenceRule(predictions=10_000, span_ms=60_000)
RULES = Rules(maturity=MATURITY_MS, horizon_ms=HORIZON_MS, reference=REFERENCE)
"""The defaults, but for labels that are there within a minute and a reference of one."""
BATCH_RECORDS = 8_000  # as the transport hands them on to who is behind
_MEAN_DELAY_MS = 20_000


@dataclass(frozen=True)
class Workload:
    predictions: int = 200_000
    models: int = 1
    features: int = 10
    per_second: int = 1_000  # of event time, over all models
    seed: int = 7

    @property
    def events(self) -> int:
        return 2 * self.predictions


@dataclass(frozen=True)
class Topic:
    """One side: values, keys and record timestamps (ms), in order of arrival."""

    values: list[bytes]
    keys: list[bytes]
    times_ms: list[int]

    def dealt(self, partitions: int) -> list[list[int]]:
        """Positions of each partition's records, by murmur2 of the key."""
        parts: list[list[int]] = [[] for _ in range(partitions)]
        for i, key in enumerate(self.keys):
            parts[partition_of(key, partitions)].append(i)
        return parts


def generate(workload: Workload) -> dict[Side, Topic]:
    """O(predictions × features); about 10 µs an event of 12 features."""
    rng = np.random.default_rng(workload.seed)
    n, span_ms = workload.predictions, 1_000 * workload.predictions / workload.per_second
    at_ms = BEGIN_MS + np.sort(rng.integers(0, max(1, int(span_ms)), n))
    floats = rng.normal(size=(n, workload.features)).round(6)
    floats[n // 2 :, :3] = (floats[n // 2 :, :3] + 0.3).round(6)
    categories = rng.integers(0, 20, n), rng.zipf(1.6, n) % 20
    score, latency = rng.beta(2, 5, n), rng.lognormal(2.5, 0.5, n).round(3)
    actual = (rng.random(n) < score).astype(np.int64)
    model = rng.integers(0, workload.models, n)
    delay_ms = rng.exponential(_MEAN_DELAY_MS, n).astype(np.int64)
    names = [f"f{j}" for j in range(workload.features)]
    key = [f"p-{i:07d}" for i in range(n)]
    predictions = [
        {
            "prediction_id": key[i],
            "model_id": f"model-{model[i]}",
            "model_version": "1",
            "predicted_at": _text(at_ms[i]),
            "features": dict(zip(names, row, strict=True))
            | {"c0": f"cat_{categories[0][i]:02d}", "c1": f"val_{categories[1][i]:02d}"},
            "prediction": {"score": round(float(score[i]), 6)},
            "latency_ms": float(latency[i]),
        }
        for i, row in enumerate(floats.tolist())
    ]
    seen_ms = at_ms + delay_ms
    arrival = np.argsort(seen_ms, kind="stable").tolist()
    outcomes = [
        {
            "prediction_id": key[i],
            "model_id": f"model-{model[i]}",
            "observed_at": _text(seen_ms[i]),
            "actual": {"label": int(actual[i])},
        }
        for i in arrival
    ]
    encode = msgspec.json.Encoder().encode
    of_arrival = [key[i].encode() for i in arrival]
    return {
        "predictions": Topic([*map(encode, predictions)], [*map(str.encode, key)], at_ms.tolist()),
        "outcomes": Topic([*map(encode, outcomes)], of_arrival, seen_ms[arrival].tolist()),
    }


def batches(
    topics: dict[Side, Topic], partitions: int, records: int = BATCH_RECORDS
) -> Iterator[tuple[Side, Records]]:
    """What a worker would be handed, in the order of each batch's last arrival."""
    made: list[tuple[int, Side, Records]] = []
    for side in SIDES:
        topic = topics[side]
        for partition, places in enumerate(topic.dealt(partitions)):
            for first in range(0, len(places), records):
                part = places[first : first + records]
                batch = Records(
                    TOPICS[side],
                    partition,
                    list(range(first, first + len(part))),
                    [topic.times_ms[i] for i in part],
                    [topic.values[i] for i in part],
                )
                made.append((topic.times_ms[part[-1]], side, batch))
    for _, side, batch in sorted(made, key=lambda of: of[0]):
        yield side, batch


def _text(at_ms: int) -> str:
    at = datetime.fromtimestamp(int(at_ms) / 1_000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
