"""A topic as the values of its records, partition by partition, in no group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream.history import HistoryError
from stream.kafka_admin import AdminError, admin, live_topics
from stream.settings import Settings
from stream.topic_reader import assign_paused, fetch, first_at, new_consumer


def topic_values(
    settings: Settings, topic: str, *, from_ms: int | None = None, to_ms: int | None = None
) -> Iterator[bytes]:
    """Those committed by now, with record timestamps in the bounds, `to_ms` exclusive; without
    tombstones. Raises HistoryError."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our one line says it
    with asyncio.Runner() as runner:
        chunks = _chunks(settings, topic, from_ms, to_ms)
        try:
            while (chunk := runner.run(_next(chunks))) is not None:
                yield from chunk
        except AdminError as error:
            raise HistoryError(str(error)) from error
        except (KafkaError, OSError) as error:
            raise HistoryError(f"{settings.kafka.bootstrap}: {error!r}") from error
        finally:
            runner.run(_close(chunks))


Chunks = AsyncIterator[list[bytes]]


async def _next(chunks: Chunks) -> list[bytes] | None:
    return await anext(chunks, None)


async def _close(chunks: Chunks) -> None:
    await chunks.aclose()  # type: ignore[attr-defined]


async def _chunks(settings: Settings, topic: str, from_ms: int | None, to_ms: int | None) -> Chunks:
    async with admin(settings) as client:
        live = await live_topics(client, [topic], with_config=False)
    if topic not in live:
        raise HistoryError(f"topic {topic} does not exist")
    consumer = new_consumer(settings)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in range(live[topic].partitions)]
        assign_paused(consumer, tps)
        first, last = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        starts = await first_at(consumer, from_ms, first, last)
        ends = await first_at(consumer, to_ms, last, last)
        for tp in tps:
            consumer.seek(tp, max(starts[tp], first[tp]))
            consumer.resume(tp)
            while records := await fetch(consumer, tp, ends[tp]):
                yield [record.value for record in records if record.value is not None]
            consumer.pause(tp)
    finally:
        await consumer.stop()
