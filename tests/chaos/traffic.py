"""Kinds of traffic that break stream processors, each on a real Kafka with real workers.

After each the alerts equal those of the undisturbed pipeline byte for byte, the ledger balances
exactly, and the workers' memory has stayed below a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from aiokafka import AIOKafkaProducer

from stream.events import Records
from stream.kafka_admin import connection
from stream.partitioning import partition_of
from stream.pipeline import Pipeline
from tests.chaos.mix import Mix, events, in_order
from tests.chaos.play import Ground, Play, Row, play
from tests.chaos.slow_proxy import slow_proxy
from tests.integration.job import Job, Message

CODECS = (None, "gzip", "snappy", "lz4", "zstd")


async def slow_alerts(ground: Ground) -> Row:
    """The alert topic takes 1 kB/s: the worker waits for it and keeps its partitions."""
    sent = events(Mix(features=5), ground.count(2_500, most=12_000))
    way = f"127.0.0.1:{ground.proxy_port}"
    async with (
        slow_proxy(ground.proxy_port, ground.proxied_port, ".alerts", 1_000) as proxy,
        play(ground, "slow-alerts", by_way_of=way) as one,
    ):
        # In time, or all alerts would be in one request.
        await one.job.send(sent, chunk=max(1, len(sent) // 40), pause_s=0.2)
        await one.finish(sent[-1][0], ground.patience_s)
        one.row.note = f"{proxy.delayed} requests delayed by {proxy.delayed_s:.0f} s"
        one.row.expect(proxy.delayed_s > 5, "requests with alerts were delayed")
        slots = 2 * one.job.partitions + 1
        one.row.expect(one.row.figures["claims"] == slots, "no partition changed hands")
    return one.row


async def corrupt(ground: Ground) -> Row:
    """One record in a hundred is damaged, in ten ways."""
    random = Random(1)
    sent = events(Mix(), ground.count(4_000))
    damaged = sorted(random.sample(range(len(sent)), len(sent) // 100))
    for number, index in enumerate(damaged):
        at_ms, is_prediction, key, value = sent[index]
        sent[index] = at_ms, is_prediction, key, damage(value, number)
    async with play(ground, "corrupt") as one:
        await one.job.send(sent)
        await one.finish(sent[-1][0], ground.patience_s)
        letters = one.row.figures["dead_letters"]
        one.row.note = f"{letters} dead letters"
        one.row.expect(letters == len(damaged), f"{len(damaged)} dead letters")
    return one.row


def damage(value: bytes, number: int) -> bytes:
    ways: list[Callable[[], bytes]] = [
        lambda: value[: len(value) // 2],
        lambda: b"",
        lambda: b"\xff" + value,
        lambda: b"[" * 5_000,
        lambda: value.replace(b'"model_id"', b'"model"'),
        lambda: value.replace(b'"1"', b"1").replace(b"_at", b"_when"),
        lambda: value[:-1] + b',"n":NaN}',
        lambda: b'{"prediction_id":1e999}',
        lambda: value.replace(b'_at":', b'_at":-'),
        lambda: b"null",
    ]
    return ways[number % len(ways)]()


async def hot_model(ground: Ground) -> Row:
    """Nine events in ten are of one of ten models."""
    sent = events(Mix(models=10, hot=0.89), ground.count(5_000))
    async with play(ground, "hot-model", workers=2) as one:
        await one.job.send(sent)
        await one.finish(sent[-1][0], ground.patience_s)
    return one.row


async def flood(ground: Ground) -> Row:
    """Hundreds of models with many features at once (a thousand in the long form), and one with
    ever new feature names: the alerts of the two models that were there before are unchanged."""
    old = events(Mix(), ground.count(2_500))
    models, names = ground.count(100, most=1_000), ground.count(40, most=100)
    new = Mix(models=models, features=20, never=1.0, prefix="f", drifts=False)
    wide = Mix(models=1, never=1.0, prefix="w", drifts=False, new_names=names)
    sent = in_order([*old, *events(new, 2 * models), *events(wide, 60)])
    async with play(ground, "flood", max_peak_mb=2_000) as one:
        await one.job.send(sent)
        await one.finish(sent[-1][0], ground.patience_s)
        emitted = {v for v in (await one.job.alerts()).values() if b'"model":{"id":"m' in v}
        alone = undisturbed(one.job, old)
        one.row.note = f"{models} models more; {len(alone)} alerts of the old ones"
        one.row.expect(len(alone) > 3, "the old models drift")
        one.row.expect(emitted == alone, "alerts of the old models are unchanged")
    return one.row


def undisturbed(job: Job, sent: Sequence[Message]) -> set[bytes]:
    """The alerts of the pipeline over these events alone."""
    pipeline = Pipeline(job.settings.rules(), job.partitions)
    for is_prediction in (True, False):
        for partition in range(job.partitions):
            mine = [
                m for m in sent
                if m[1] is is_prediction and partition_of(m[2], job.partitions) == partition
            ]  # fmt: skip
            times: list[int | None] = [m[0] for m in mine]
            batch = Records("t", partition, [*range(len(mine))], times, [m[3] for m in mine])
            (pipeline.predictions if is_prediction else pipeline.outcomes)(batch)
    pipeline.end_of_input(max(m[0] for m in sent))
    return {alert.value for alert in pipeline.alerts}


async def never(ground: Ground) -> Row:
    """Three outcomes in ten never come."""
    sent = events(Mix(never=0.3), ground.count(4_000))
    async with play(ground, "never") as one:
        await one.job.send(sent)
        await one.finish(sent[-1][0], ground.patience_s)
    return one.row


async def idle_partition(ground: Ground) -> Row:
    """One partition is silent in the middle of the stream, and then brings what it held back."""
    sent = events(Mix(), ground.count(3_000))
    third = len(sent) // 3
    async with play(ground, "idle-partition", idle="1s", workers=2) as one:
        middle = sent[third : 2 * third]
        silent = [m for m in middle if partition_of(m[2], one.job.partitions) == 0]
        prompt = [m for m in middle if partition_of(m[2], one.job.partitions) != 0]
        await one.job.send(sent[:third])
        await one.job.send(prompt, chunk=max(1, len(prompt) // 20), pause_s=0.2)
        await asyncio.sleep(2)
        await one.job.send(silent)
        await one.job.send(sent[2 * third :])
        await one.finish(sent[-1][0], ground.patience_s)
        figures = one.row.figures
        one.row.note = f"{figures['idle_entries']} journaled, {figures['late']} late"
        one.row.expect(figures["idle_entries"] > 0, "idleness was journaled")
        one.row.expect(figures["late"] > 0, "what came back was late")
    return one.row


async def nightly(ground: Ground) -> Row:
    """All outcomes of a day come in one batch at its end."""
    sent = events(Mix(nightly=True), ground.count(4_000))
    changed = {"outcomes": {"horizon": "2h"}}
    async with play(ground, "nightly", changed=changed) as one:
        await one.job.send(sent)
        await one.finish(sent[-1][0], ground.patience_s)
    return one.row


async def aborted(ground: Ground) -> Row:
    """Every other transaction is aborted: its records are as good as never sent."""
    sent = events(Mix(), ground.count(2_500))
    ghosts = events(Mix(prefix="g"), ground.count(2_500))
    async with play(ground, "aborted") as one:
        client = AIOKafkaProducer(
            **connection(one.job.settings), transactional_id=one.job.settings.app
        )
        await client.start()
        try:
            for start in range(0, len(sent), 500):
                async with client.transaction():
                    await _send(one, client, sent[start : start + 500])
                await client.begin_transaction()
                await _send(one, client, ghosts[start : start + 500])
                await client.flush()
                await client.abort_transaction()
        finally:
            await client.stop()
        await one.finish(sent[-1][0], ground.patience_s)
        one.row.note = f"{len(ghosts)} records aborted"
        one.row.expect(one.row.figures["events"] == len(sent), "only the committed ones count")
    return one.row


async def codecs(ground: Ground) -> Row:
    """Every codec, in turns in the same partitions."""
    sent = events(Mix(), ground.count(4_000))
    async with play(ground, "codecs") as one:
        for number, start in enumerate(range(0, len(sent), 500)):
            codec = CODECS[number % len(CODECS)]
            client = AIOKafkaProducer(**connection(one.job.settings), compression_type=codec)
            await client.start()
            try:
                await _send(one, client, sent[start : start + 500])
                await client.flush()
            finally:
                await client.stop()
        await one.finish(sent[-1][0], ground.patience_s)
        one.row.note = ", ".join(codec or "none" for codec in CODECS)
        one.row.expect(one.row.figures["events"] == len(sent), "all are read")
    return one.row


async def _send(one: Play, client: AIOKafkaProducer, some: Sequence[Message]) -> None:
    for at_ms, is_prediction, key, value in some:
        topic = one.job.sources[0 if is_prediction else 1]
        await client.send(topic, value=value, key=key, timestamp_ms=at_ms)


SCENARIOS: dict[str, Callable[[Ground], Awaitable[Row]]] = {
    "slow-alerts": slow_alerts,
    "corrupt": corrupt,
    "hot-model": hot_model,
    "flood": flood,
    "never": never,
    "idle-partition": idle_partition,
    "nightly": nightly,
    "aborted": aborted,
    "codecs": codecs,
}
