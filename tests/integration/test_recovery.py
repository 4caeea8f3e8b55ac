"""A state of megabytes, made by many checkpoints, is restored; the long form measures 200 MB."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.kafka_admin import admin, connection, create, topic_plan
from stream.settings import load
from stream.worker_changelogs import Changelogs
from tests.integration.recovery import measure_on

pytestmark = pytest.mark.kafka


def test_a_state_of_megabytes_is_restored_from_blobs_of_many_checkpoints(
    kafka: str, tmp_path: Path
) -> None:
    found = asyncio.run(measure_on(tmp_path, kafka, megabytes=8, starts=1))
    assert found.megabytes >= 8
    assert found.written_mb < 1.5 * found.megabytes, "several checkpoints, and hardly a part twice"
    assert found.beyond_s < 60, "the worker was ready: how soon is for the long form"


def test_a_changelog_is_read_to_its_end_and_what_was_deleted_is_gone(
    kafka: str,
) -> None:
    async def scenario() -> None:
        app = f"test-{uuid.uuid4().hex[:8]}"
        settings = load(None, {"app": app, "kafka": {"bootstrap": kafka}, "partitions": 2})
        changelogs = {f"{app}-{name}-changelog" for name in ("sources", "panes", "findings")}
        async with admin(settings) as client:
            plan = topic_plan(settings)
            await create(client, [spec for spec in plan if spec.name in changelogs], 1)
        sources = f"{app}-sources-changelog"
        producer = AIOKafkaProducer(**connection(settings), acks="all")
        await producer.start()
        for key, value in ((b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", b"3")):
            await producer.send_and_wait(sources, key=key, value=value, partition=0)
        await producer.send_and_wait(sources, key=b"d", value=b"4", partition=1)
        await producer.stop()
        changelogs_of = Changelogs(settings, connection(settings))
        read = await changelogs_of.read([(1, 0), (1, 1), (2, 0), (3, 0)])
        assert {key: value for key, value in read[1].items() if value is not None} == {
            b"a": b"2",
            b"c": b"3",
            b"d": b"4",
        }
        assert not read[2]
        assert not read[3]
        assert changelogs_of.bytes_read == 5
        assert await changelogs_of.earliest([TP(sources, 0)]) == {TP(sources, 0): 0}

    asyncio.run(scenario())
