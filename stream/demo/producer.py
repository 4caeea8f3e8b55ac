"""Sends the events in the order of their arrival, then says where the input ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice

import orjson
from aiokafka import AIOKafkaProducer

from stream.demo.events import Event, interleaved
from stream.kafka_admin import connection
from stream.settings import Settings

CHUNK = 2_000
"""Events sent before their acknowledgements are awaited: the topics drift apart no further."""

EndOffsets = dict[str, dict[str, int]]
"""Topic, partition (as text) to the offset behind its last record."""


@asynccontextmanager
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    # Its default partitioner is Kafka's: murmur2 of the key.
    client = AIOKafkaProducer(
        **connection(settings), acks="all", linger_ms=5, max_batch_size=1 << 18
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def send_all(
    client: AIOKafkaProducer,
    settings: Settings,
    predictions: list[Event],
    outcomes: list[Event],
    sent: Callable[[int], None] = lambda _count: None,
) -> EndOffsets:
    """Sends every event with its arrival as record timestamp; calls sent(so many more)."""
    topics = settings.topics
    ends: dict[str, dict[int, int]] = {
        topic: dict.fromkeys(range(settings.partitions), 0)
        for topic in (topics.predictions, topics.outcomes)
    }
    for chunk in _chunks(interleaved(predictions, outcomes)):
        acks = [
            await client.send(
                topics.predictions if is_prediction else topics.outcomes,
                value=event.value,
                key=event.key,
                timestamp_ms=event.arrival_ms,
            )
            for is_prediction, event in chunk
        ]
        for ack in await asyncio.gather(*acks):
            ends[ack.topic][ack.partition] = max(ends[ack.topic][ack.partition], ack.offset + 1)
        sent(len(chunk))
    return {topic: {str(p): end for p, end in of.items()} for topic, of in ends.items()}


async def send_end_of_input(
    client: AIOKafkaProducer, settings: Settings, ends: EndOffsets, effective_at: str
) -> None:
    """Says that nothing comes behind these offsets; effective_at: the greatest event time."""
    record = {"type": "end_of_input", "effective_at": effective_at, "offsets": ends}
    await client.send_and_wait(settings.topics.control, orjson.dumps(record))


def greatest_event_time(predictions: list[Event], outcomes: list[Event]) -> str:
    """The last predicted_at or observed_at (RFC 3339, so all of one width that text order fits)."""
    fields = ((predictions, "predicted_at"), (outcomes, "observed_at"))
    return max(str(orjson.loads(event.value)[at]) for events, at in fields for event in events)


def _chunks(events: Iterable[tuple[bool, Event]]) -> Iterator[list[tuple[bool, Event]]]:
    remaining = iter(events)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk
