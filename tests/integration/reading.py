"""Whole topics, read by a test."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka_admin import connection
from stream.settings import Settings


async def read_topic(settings: Settings, topic: str, partitions: int) -> dict[int, list[Any]]:
    """All committed records of a topic that nobody writes to any more, by partition."""
    found: dict[int, list[Any]] = {partition: [] for partition in range(partitions)}
    client = AIOKafkaConsumer(
        **connection(settings),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await client.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in range(partitions)]
        client.assign(tps)
        await client.seek_to_beginning(*tps)
        ends = await client.end_offsets(tps)
        # The embedded broker says ends that are too low: silence is asked for as well.
        while True:
            fetched = await client.getmany(timeout_ms=500)
            for tp, records in fetched.items():
                found[tp.partition] += records
            if not fetched and not [tp for tp in tps if await client.position(tp) < ends[tp]]:
                return found
    finally:
        await client.stop()
