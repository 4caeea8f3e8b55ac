"""README, "Changing the partition count", done step by step on a real Apache Kafka."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from stream.kafka_admin import AdminError, admin, compare, create, live_topics, topic_plan
from stream.settings import Settings
from stream.worker_topics import required_topics
from tests.integration.job import Job, messages

pytestmark = pytest.mark.kafka


async def apply_topics(settings: Settings) -> set[str]:
    """`leeway topics --apply`: creates what is missing; the names of those."""
    plan = topic_plan(settings)
    async with admin(settings) as client:
        steps = compare(plan, await live_topics(client, [spec.name for spec in plan]))
        assert {step.state for step in steps} <= {"ok", "create"}, steps
        missing = [step.spec for step in steps if step.state == "create"]
        # The events are old, and a broker deletes by the records' own timestamps.
        missing = [replace(s, config={**s.config, "retention.ms": "-1"}) for s in missing]
        await create(client, missing, 1)
    return {spec.name for spec in missing}


def moved(job: Job, folder: Path, kafka: str) -> Job:
    """The same job with twice the partitions: another app, other input topics."""
    (worker,) = job.workers
    settings = yaml.safe_load(worker.file.read_text())
    topics = settings["topics"]
    for side in ("predictions", "outcomes"):
        topics[side] += "-8"
    folder.mkdir()
    changed = {"topics": topics, "partitions": 8}
    return Job(folder, f"{settings['app']}-8", kafka, 1, changed=changed)


def test_moving_to_new_topics_with_more_partitions(kafka: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        folder = tmp_path / "old"
        folder.mkdir()
        old = Job(folder, f"test-{uuid.uuid4().hex[:8]}", kafka, 1)
        new = moved(old, tmp_path / "new", kafka)
        sent = messages(4_000, drift_percent=(80, 100))
        begun = len(sent) // 2
        try:
            await apply_topics(old.settings)
            old.workers[0].start()
            await old.ready()
            await old.send(sent[:begun])
            # not by the count alone
            wrong = old.settings.model_copy(update={"partitions": 8})
            with pytest.raises(AdminError, match="has 4 partitions, needs 8"):
                await required_topics(wrong)
            # step 2
            created = await apply_topics(new.settings)
            assert {*new.sources, new.settings.internal_topic("journal")} <= created
            assert new.settings.topics.alerts not in created
            # step 3: the producers send to the new topics, the old job works off what it has
            await new.send(sent[begun:])
            await old.consumed(begun)
            assert old.workers[0].terminate() == 0
            before = await old.alerts()
            # step 4
            new.workers[0].start()
            await new.ready()
            await new.send_end(sent[-1][0])
            await new.finished()
            expected = {
                alert.alert.id: alert.value
                for alert in (await new.expected(max(message[0] for message in sent))).alerts
            }
            assert len(expected) >= 2, "the drift comes behind the move, or this proves nothing"
            told = await new.alerts()
            assert {key: told[key] for key in told.keys() - before.keys()} == expected
            assert len(new.ledgers()) == 8
        finally:
            old.stop()
            new.stop()

    asyncio.run(scenario())
