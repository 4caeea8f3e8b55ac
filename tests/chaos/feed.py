"""Events without end for a run of kills: two models whose inputs and errors shift again and again,
so that alerts fire and resolve all the time."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Sequence
from random import Random
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from stream.kafka_admin import connection
from stream.partitioning import partition_of
from tests.integration.job import MODELS, START_MS, Job, Message

_SHIFT_EVERY = 1_800  # predictions
_FEATURES = 6  # each shifts at its own time
_CHUNK = 30  # predictions
_PAUSE_S = 0.2
_SILENT_CHUNKS = (12, 24)  # longer than `idle`: what comes afterwards is judged by the journal
_SILENCE_ODDS = 0.008  # of a chunk to begin one
_SEND_S = 180.0  # a batch waits this long for a broker that is down


class Stream:
    """One prediction a second of event time, and the outcomes that fall due. A few records are
    unusable, duplicate, late or revised, so that the ledger has something to say."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._made = 0
        self._due: list[tuple[int, int, bytes, bytes]] = []  # outcomes: at, number, key, value
        self.end_ms = START_MS

    def take(self, predictions: int) -> list[Message]:
        found: list[Message] = []
        for i in range(self._made, self._made + predictions):
            found += self._prediction(i)
            while self._due and self._due[0][0] <= self.end_ms:
                found.append(self._outcome())
        self._made += predictions
        return found

    def rest(self) -> list[Message]:
        """The outcomes that are still to come."""
        return [self._outcome() for _ in range(len(self._due))]

    def _outcome(self) -> Message:
        at_ms, _, key, value = heapq.heappop(self._due)
        self.end_ms = max(self.end_ms, at_ms)
        return at_ms, False, key, value

    def _prediction(self, i: int) -> list[Message]:
        random, at_ms, key = self._random, START_MS + i * 1000, f"p{i}".encode()
        self.end_ms = max(self.end_ms, at_ms)
        drawn = {f"x{n}": random.gauss(2.0 * _is_shifted(i, n), 1) for n in range(_FEATURES)}
        event: dict[str, Any] = {
            "prediction_id": f"p{i}", "model_id": MODELS[i % len(MODELS)], "model_version": "1",
            "predicted_at": at_ms if i % 307 else at_ms - 600_000,
            "features": {name: round(x, 6) for name, x in drawn.items()} | {"n": i % 7},
            "prediction": {"label": "yes" if i % 3 else "no"},
        }  # fmt: skip
        value = orjson.dumps(event)
        found: list[Message] = [(at_ms, True, key, value)]
        if i % 97 == 0:
            found.append((at_ms, True, key, value))
        if i % 211 == 0:
            found.append((at_ms, True, key, b'{"prediction_id": '))
        if i % 10 != 3:
            share = 0.45 if _is_shifted(i, _FEATURES) else 0.05
            self._label(i, at_ms, key, event, is_wrong=random.random() < share)
        return found

    def _label(
        self, i: int, at_ms: int, key: bytes, event: dict[str, Any], *, is_wrong: bool
    ) -> None:
        seen_ms = at_ms + int(self._random.lognormvariate(4.0, 0.5) * 1000)
        outcome: dict[str, Any] = {
            "prediction_id": event["prediction_id"], "model_id": event["model_id"],
            "observed_at": seen_ms, "actual": {"label": "yes" if bool(i % 3) != is_wrong else "no"},
        }  # fmt: skip
        heapq.heappush(self._due, (seen_ms, 2 * i, key, orjson.dumps(outcome)))
        if i % 50 == 0:
            revised = orjson.dumps(outcome | {"revision": 2, "retracted": i % 100 == 0})
            heapq.heappush(self._due, (seen_ms + 5_000, 2 * i + 1, key, revised))


def _is_shifted(i: int, series: int) -> bool:
    return bool((i + series * _SHIFT_EVERY // (_FEATURES + 1)) // _SHIFT_EVERY % 2)


class Feed:
    """Sends a stream at about 290 records a second, until it is told to stop. Now and then one
    partition falls silent for a few seconds, and then brings what was held back."""

    def __init__(self, job: Job, seed: int) -> None:
        self._job = job
        self._client: AIOKafkaProducer
        self._stream = Stream(seed)
        self._random = Random(seed + 1)
        self._stopping = False
        self._silent: tuple[int, int] | None = None  # partition, chunks left
        self._held: list[Message] = []
        self.sent = 0
        self.silences = 0

    @property
    def end_ms(self) -> int:
        return self._stream.end_ms

    def stop(self) -> None:
        self._stopping = True

    async def start(self) -> None:
        """Connect, while the broker is there."""
        self._client = AIOKafkaProducer(
            **connection(self._job.settings), acks="all", enable_idempotence=True, linger_ms=5,
            request_timeout_ms=int(_SEND_S * 1000),
        )  # fmt: skip
        await self._client.start()

    async def run(self) -> None:
        """Returns when all is acknowledged. A broker that is away is waited for."""
        try:
            while not self._stopping:
                await self._send(self._spoken(self._stream.take(_CHUNK)))
                await asyncio.sleep(_PAUSE_S)
            await self._send([*self._held, *self._stream.rest()])
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._client.stop(), 30)

    def _spoken(self, some: list[Message]) -> list[Message]:
        """What is sent now, of these and of what was held back."""
        if self._silent is None:
            if self._random.random() < _SILENCE_ODDS:
                partition = self._random.randrange(self._job.partitions)
                self._silent = partition, self._random.randint(*_SILENT_CHUNKS)
                self.silences += 1
            return some
        partition, left = self._silent
        if left == 0:
            self._silent, held, self._held = None, self._held, []
            return [*held, *some]
        self._silent = partition, left - 1
        is_held = [partition_of(m[2], self._job.partitions) == partition for m in some]
        self._held += [m for m, held in zip(some, is_held, strict=True) if held]
        return [m for m, held in zip(some, is_held, strict=True) if not held]

    async def _send(self, some: Sequence[Message]) -> None:
        predictions, outcomes = self._job.sources
        acks = [
            await self._client.send(
                predictions if is_prediction else outcomes,
                value=value, key=key, timestamp_ms=at_ms,
            )
            for at_ms, is_prediction, key, value in some
        ]  # fmt: skip
        for ack in await asyncio.gather(*acks):
            of_topic = self._job.ends[ack.topic]
            of_topic[ack.partition] = max(of_topic[ack.partition], ack.offset + 1)
        self.sent += len(some)
