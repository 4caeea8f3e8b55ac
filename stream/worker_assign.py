"""Taking over partitions: claim, read the journal to its end, restore the manifest, continue.

The changelogs are read whole, behind the claim; only the checkpoint of the highest epoch is used,
and the positions come from its manifest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from stream import checkpoint
from stream.alert_stage import AlertStage
from stream.checkpoint import Checkpoint
from stream.journal import TopicTail, journal_key
from stream.model_stage import ModelStage
from stream.refusals import journal_began_again, partition_count
from stream.source_stage import SourceStage
from stream.wire import Claim, encode_journal
from stream.worker_again import say_again
from stream.worker_host import Host
from stream.worker_positions import positions
from stream.worker_routes import Outgoing, Sender, route
from stream.worker_shed import shed_again
from stream.worker_slot import ALERTS, MODELS, SOURCES, STAGES, Slot

log = logging.getLogger(__name__)

Owned = tuple[int, int]
"""A stage and a partition of it."""


class Changelogs(Protocol):
    """The records of each stage's changelog, and where topics begin."""

    async def read(
        self, owned: Collection[Owned]
    ) -> Mapping[int, Mapping[bytes, bytes | None]]: ...

    async def earliest(self, tps: Collection[Any]) -> Mapping[Any, int]: ...


class Takeover:
    def __init__(self, changelogs: Changelogs, journal: TopicTail) -> None:
        self._changelogs = changelogs
        self._journal = journal

    async def assigned(self, host: Host, assigned: Collection[Any]) -> Mapping[Any, int]:
        """The offset of each assigned partition to continue at; empty if revoked meanwhile."""
        generation = host.generation
        owned = _owned(host, assigned)
        epochs = await self._claim(host, owned)
        # Behind the claim: a former owner deletes what only manifests before its last refer to,
        # and nothing once it sees the claim.
        records = await self._changelogs.read(owned)
        earliest = await self._changelogs.earliest(assigned)
        first = {(tp.topic, tp.partition): offset for tp, offset in earliest.items()}
        slots = [
            await self._restore(host, key, epochs[key], first, records[key[0]]) for key in owned
        ]
        del records
        await say_again(host, slots)
        if host.configs is not None:
            for slot in slots:
                await host.configs.restore(slot)
        if generation != host.generation:
            return {}
        # Sealed under the new epoch before a word is said under it: what a former owner may still
        # write is then of a lower epoch than the newest, whoever dies next.
        ours = [slot for slot in slots if host.journal.epoch(*slot.key) == slot.core.epoch]
        await asyncio.gather(*[host.checkpoint(slot, force=True) for slot in ours])
        if generation != host.generation:
            return {}
        host.sources = {slot.partition: slot for slot in slots if slot.stage == SOURCES}
        host.models = {slot.partition: slot for slot in slots if slot.stage == MODELS}
        host.alerts = {slot.partition: slot for slot in slots if slot.stage == ALERTS}
        host.drop_overtaken()
        await self._begin(host)
        if generation != host.generation:
            return {}
        by_key = {slot.key: slot for slot in slots}
        stage_of = {topic: stage for stage in STAGES for topic in host.inputs(stage)}
        return {tp: by_key[stage_of[tp.topic], tp.partition].offsets[tp.topic] for tp in assigned}

    async def _claim(self, host: Host, owned: Iterable[Owned]) -> dict[Owned, int]:
        """Append a claim for each; its offset is the epoch. Returns when the journal is read."""
        topic = host.settings.internal_topic("journal")
        promises = {}
        for stage, partition in owned:
            claim = Claim(stage, partition, host.worker)
            key = journal_key(claim, time.time_ns())
            record = Outgoing(topic, partition, key, encode_journal(claim))
            promises[stage, partition] = await host.send(record)
        epochs = {key: (await promise).offset for key, promise in promises.items()}
        targets = await self._journal.end()
        for (_, partition), epoch in epochs.items():
            targets[partition] = max(targets[partition], epoch + 1)
        await self._journal.reached(targets)
        return epochs

    async def _restore(
        self,
        host: Host,
        key: Owned,
        epoch: int,
        earliest: Mapping[tuple[str, int], int],
        records: Mapping[bytes, bytes | None],
    ) -> Slot[Any]:
        stage, partition = key
        layout = host.layout(stage)  # in a thread: of a large state it takes a second
        found = await asyncio.to_thread(checkpoint.latest, records, stage, partition, layout)
        core = _core(host, stage, partition, found)
        core.epoch = epoch
        if found is not None and found.point.epoch >= epoch:
            raise journal_began_again(stage, partition, found.point.epoch, epoch)
        applied = None if found is None else found.point.offsets
        offsets = positions(host, stage, partition, applied, earliest)
        began = "at the beginning" if found is None else f"after checkpoint {found.point.sequence}"
        log.info("stage %d partition %d continues %s: %s", stage, partition, began, offsets)
        changelog = f"{host.settings.app}-{STAGES[stage]}-changelog"
        slot = Slot(stage, partition, core, offsets, changelog)
        slot.known_keys = checkpoint.keys_of(records, stage, partition)
        if found is not None:
            slot.kept = found.kept
        if stage == SOURCES:
            slot.due_idle = _due_idle(host, partition, offsets)
            shed_again(host, slot)
        return slot

    async def _begin(self, host: Host) -> None:
        """Speak under the new epoch, and wait until it is heard."""
        said: list[asyncio.Future[Any]] = []
        for source in list(host.sources.values()):
            async with source.changing():
                for decision in host.journal.maturities():
                    await host.learn(source, decision)
                await host.perform(source, source.core.announce())
                for side, topic in host.topics.items():
                    await host.apply_idle(source, side, source.offsets[topic])
                await host.end_input(source)
                said += source.waiting_outputs()
            for side, topic in host.topics.items():
                host.metrics.assigned(topic, source.partition, source.core.judged(side))
        for model in list(host.models.values()):
            async with model.changing():
                repeated = model.core.repeat_decisions(host.journal.maturities())
                await host.perform(model, [*model.core.announce(), *repeated])
                said += model.waiting_outputs()
        for alerts in list(host.alerts.values()):
            async with alerts.changing():
                await _reassert(host, alerts)
                said += alerts.waiting_outputs()
        await asyncio.gather(*said)
        for slot in host.slots():
            slot.has_spoken = True


def _owned(host: Host, assigned: Collection[Any]) -> list[Owned]:
    stage_of = {topic: stage for stage in STAGES for topic in host.inputs(stage)}
    owned = sorted({(stage_of[tp.topic], tp.partition) for tp in assigned})
    have = {(tp.topic, tp.partition) for tp in assigned}
    for tp in assigned:
        if tp.partition >= host.settings.partitions:
            raise partition_count(tp.topic, tp.partition + 1, host.settings.partitions)
    for stage, partition in owned:
        apart = [topic for topic in host.inputs(stage) if (topic, partition) not in have]
        if apart:
            raise RuntimeError(
                f"partition {partition} of {apart[0]} was assigned to another worker than its "
                "sibling: the topics must have the same partition count (leeway topics)"
            )
    return owned


def _core(host: Host, stage: int, partition: int, found: Checkpoint | None) -> Any:
    rules, partitions = host.rules, host.settings.partitions
    payload = host.settings.dead_letters.payload
    match stage, found:
        case 1, None:
            return SourceStage(rules, partition, partitions, include_payload=payload)
        case 1, Checkpoint():
            return SourceStage.restore(
                rules, partition, partitions, found.state, include_payload=payload
            )
        case 2, None:
            return ModelStage(rules, partition, partitions)
        case 2, Checkpoint():
            return ModelStage.restore(rules, partition, partitions, found.state)
        case 3, None:
            return AlertStage(rules, partitions)
        case _, Checkpoint():
            return AlertStage.restore(rules, partitions, found.state)
    raise AssertionError(stage)


def _due_idle(
    host: Host, partition: int, offsets: Mapping[str, int]
) -> dict[str, list[tuple[int, int]]]:
    """Idle entries at or beyond the restored positions, to be applied again in their place."""
    due: dict[str, list[tuple[int, int]]] = {side: [] for side in host.topics}
    for entry in host.journal.idle_of(partition):
        if entry.at_offset >= offsets[host.topics[entry.side]]:
            due[entry.side].append((entry.at_offset, entry.watermark_ms))
    return {side: sorted(entries) for side, entries in due.items()}


async def _reassert(host: Host, slot: Slot[AlertStage]) -> None:
    """A former owner may have written `alerts.state` after its claim was overtaken."""
    sender = Sender(host.worker, slot.partition, slot.core.epoch, host.now_ms())
    routed = [out for e in slot.core.announce() for out in route(e, sender, host.settings)]
    state_topic = host.settings.topics.alerts_state
    await slot.emit(host.send, [out for out in routed if out.topic == state_topic])
