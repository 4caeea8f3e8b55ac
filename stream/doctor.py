"""`leeway doctor`: what must hold outside the process, and what to do where it does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import cramjam
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.kafka_admin import (
    AdminError,
    TopicStep,
    admin,
    compare,
    connection,
    live_topics,
    topic_plan,
)
from stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` is empty where it passed."""

    name: str
    passed: bool
    detail: str
    remedy: str = ""


async def examine(settings: Settings) -> list[Check]:
    """All checks, those of the broker last. Never raises: a fault is a failed check."""
    return [owner(settings), codecs(), plaintext(settings), *await _broker(settings)]


def owner(settings: Settings) -> Check:
    if settings.has_no_owner:
        return Check(
            "owners",
            False,
            "no model is configured, alerts would be unassigned",
            "name each model under models, with owners.accountable and runbook_url",
        )
    gaps = settings.gaps()
    if gaps:
        return Check("owners", False, "; ".join(gaps), "name under responsible who acts on alerts")
    found = f"{len(settings.models)} models, each with an owner, who acts, and a runbook"
    return Check("owners", True, found)


def codecs() -> Check:
    """Round-trips each codec a producer may choose: importing it alone proves little."""
    broken = []
    for name in ("lz4", "snappy", "zstd", "gzip"):
        try:
            codec = getattr(cramjam, name)
            if bytes(codec.decompress(codec.compress(b"leeway"))) != b"leeway":
                broken.append(name)
        except (AttributeError, cramjam.CompressionError, cramjam.DecompressionError):
            broken.append(name)
    if broken:
        return Check(
            "codecs",
            False,
            f"{', '.join(broken)} cannot be read",
            "install the versions of requirements.lock (scripts/install)",
        )
    return Check("codecs", True, "lz4, snappy, zstd, gzip")


def plaintext(settings: Settings) -> Check:
    protocol = settings.kafka.security_protocol
    if settings.kafka.allow_plaintext_beyond_loopback and "PLAINTEXT" in protocol:
        return Check(
            "encryption",
            False,
            f"{protocol} is allowed beyond loopback",
            "set kafka.security_protocol to SSL or SASL_SSL",
        )
    return Check("encryption", True, protocol)


async def _broker(settings: Settings) -> list[Check]:
    bootstrap = settings.kafka.bootstrap
    plan = topic_plan(settings)
    try:
        async with admin(settings) as client:
            live = await live_topics(client, [spec.name for spec in plan])
            committed = await client.list_consumer_group_offsets(settings.app)
        at = {tp: m.offset for tp, m in committed.items() if tp.topic in live and m.offset >= 0}
        kept = unread(at, await _earliest(settings, at))
    except (AdminError, KafkaError, OSError) as error:
        remedy = "start the broker, or set kafka.bootstrap and kafka.security_protocol to match it"
        return [Check("broker", False, str(error), remedy)]
    steps = compare(plan, live)
    return [Check("broker", True, bootstrap), *map(topic, steps), kept]


async def _earliest(
    settings: Settings, tps: Collection[TopicPartition]
) -> Mapping[TopicPartition, int]:
    if not tps:
        return {}
    consumer = AIOKafkaConsumer(**connection(settings), group_id=None)
    await consumer.start()
    try:
        found: Mapping[TopicPartition, int] = await consumer.beginning_offsets(list(tps))
    finally:
        await consumer.stop()
    return found


def unread(
    committed: Mapping[TopicPartition, int], earliest: Mapping[TopicPartition, int]
) -> Check:
    """Whether retention has left what the workers have still to read."""
    gone = [
        f"{tp.topic} partition {tp.partition}: {offset} to {earliest[tp] - 1}"
        for tp, offset in sorted(committed.items())
        if offset < earliest[tp]
    ]
    if gone:
        return Check(
            "unread records",
            False,
            f"deleted before they were read: {'; '.join(gone)}",
            "restore them, or accept the loss (checkpoint.accept_lost_records); see Refusals",
        )
    return Check("unread records", True, f"of {len(committed)} partitions all are there")


def topic(step: TopicStep) -> Check:
    found = {"ok": f"{step.spec.partitions} partitions", "create": "missing"}
    detail = found.get(step.state, step.detail)
    return Check(f"topic {step.spec.name}", step.state == "ok", detail, step.remedy)
