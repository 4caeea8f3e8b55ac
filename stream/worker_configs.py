"""What is announced comes into force: in the stages that this worker owns, by the journal.

As with idleness: first the entry, acknowledged and read back (a claim before it would void it),
then the change. Stages 2 and 3 take the announced ready time, or the first that they have not
released yet. Stage 1 takes the models of a configuration once all of stages 2 and 3 know it, when
a side has reached the announced time, from the next record on that is not in the log yet. A new
reference that was accepted is a matter of the partition of stage 2 that has the model, and a notice
(an acknowledgement, say) of stage 3.

A former owner may have been further than its last checkpoint, and told others so. So stages 2 and
3 decide once they have applied what it can have been heard on, and stage 1 behind all it can read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaProducer

from stream.alert_stage import AlertStage
from stream.control_refusals import ControlRefusals
from stream.idle import SIDES, Side
from stream.journal import TopicTail, journal_key
from stream.kafka_admin import connection
from stream.notices import Notice
from stream.partitioning import partition_of
from stream.refusals import UnannouncedConfigError
from stream.renewals import Renewal
from stream.rule_book import ConfigChange, RefusedConfigError, RuleBook
from stream.rules import Rules
from stream.settings import Settings
from stream.source_stage import SourceStage
from stream.wire import Accepted, Activation, Founding, Noticed, Renewed, encode_journal
from stream.worker_host import Host
from stream.worker_routes import Outgoing
from stream.worker_slot import ALERTS, MODELS, SOURCES, Slot

log = logging.getLogger(__name__)

_LOOK_S = 0.25

Announced = ConfigChange | Renewal | Notice
End = Callable[[str, int], Awaitable[int]]
"""The offset behind the last record of a topic's partition, as the broker has it now."""


class Configs:
    def __init__(self, host: Host, journal: TopicTail, control: TopicTail, end: End) -> None:
        self._host, self._journal, self._control = host, journal, control
        self._end = end
        self._book: RuleBook | None = None
        self.refusals = ControlRefusals(host)
        self._heard: list[tuple[int, Announced]] = []  # not judged: the founding is not known
        self._changes: list[tuple[int, ConfigChange]] = []  # offset of the announcement
        self._renewals: list[tuple[int, Renewal]] = []
        self._notices: list[tuple[int, Notice]] = []

    # -- the beginning

    async def begin(self) -> None:
        """Before anything is owned: the rules with which this app began, and what was announced.

        Raises UnannouncedConfigError where this worker's own configuration is neither."""
        founding = await self._found()
        self._host.rules = founding
        self._book = RuleBook(founding)
        await self._control.reached(await self._control.end())
        self._judge()
        own = self._host.settings.rules()
        if own.config_hash() not in self._book:
            raise _refused(own, self._book)

    async def _found(self) -> Rules:
        """The first entry of its kind in the journal counts, whichever worker wrote it."""
        host = self._host
        await self._journal.reached(await self._journal.end())
        if host.journal.founding is None:
            own = host.settings.rules()
            entry = Founding(own.config_hash(), own.to_plain())
            topic = host.settings.internal_topic("journal")
            key, value = journal_key(entry, time.time_ns()), encode_journal(entry)
            offset = await publish(host.settings, topic, key, value)
            await self._journal.reached({0: offset + 1})
        found = host.journal.founding
        assert found is not None
        try:
            return ConfigChange.of_plain(0, found.config_hash, found.rules).rules
        except RefusedConfigError as error:
            raise UnannouncedConfigError(f"the journal cannot be continued: {error}") from None

    # -- announcements

    def announce(self, offset: int, change: Announced) -> None:
        self._heard.append((offset, change))
        if self._book is not None:
            self._judge()

    def _judge(self) -> None:
        """In the order of the topic, so that every worker refuses the same."""
        heard, self._heard = self._heard, []
        for offset, change in heard:
            why = self._take(offset, change)
            if why:
                self.refusals.refuse(offset, "control_refused", why)
            else:
                self.refusals.used(offset)

    def _take(self, offset: int, change: Announced) -> str:
        """Why it cannot come into force; empty: it will."""
        assert self._book is not None
        if isinstance(change, Notice):
            self._notices.append((offset, change))
            return ""
        if isinstance(change, Renewal):
            before = self._changes[-1][1].rules if self._changes else self._book.founding
            misfits = change.misfits(before)
            if misfits:
                of = f"{change.model_id} v{change.version}"
                return f"no reference of {of}: {'; '.join(misfits)}"
            self._renewals.append((offset, change))
            done = "deployed" if change.references else "accepted"
            log.info("a new reference of model %s was %s", change.model_id, done)
            return ""
        try:
            self._book.announce(change)
        except RefusedConfigError as error:
            return str(error)
        self._changes.append((offset, change))
        log.info("config %s was announced", change.rules.config_hash())
        return ""

    async def rules(self, config_hash: str, announced_at: int) -> Rules:
        """Of an entry in the journal; waits until the announcement is read here too."""
        await self._control.reached({0: announced_at + 1})
        assert self._book is not None
        return self._book[config_hash]

    # -- coming into force

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        host = self._host
        for offset, change in list(self._changes):
            slots: list[Slot[Any]] = [*host.models.values(), *host.alerts.values()]
            for slot in slots:
                if not slot.core.has_activated(offset) and await self._has_caught_up(slot):
                    await self._activate(slot, offset, change)
            if host.journal.is_in_force_everywhere(offset, host.settings.partitions):
                for source in list(host.sources.values()):
                    await self._accept(source, offset, change)

        for offset, renewal in list(self._renewals):
            partition = partition_of(renewal.model_id.encode(), host.settings.partitions)
            owned = host.models.get(partition)
            if owned is None or owned.core.has_activated(offset):
                continue
            if await self._has_caught_up(owned):
                await self._renew(owned, offset, renewal)

        await self._look_at_notices()
        await self.refusals.send()

    async def _look_at_notices(self) -> None:
        for slot in list(self._host.alerts.values()):
            for offset, notice in list(self._notices):
                is_new = not slot.core.has_activated(offset)
                if is_new and await self._has_caught_up(slot):
                    await self._notice(slot, offset, notice)

    async def _has_caught_up(self, slot: Slot[Any]) -> bool:
        """What a former owner has released must not be judged again by other rules."""
        if slot.spoken_at is None and slot.has_spoken:
            slot.spoken_at = {t: await self._end(t, slot.partition) for t in slot.offsets}
        return slot.has_caught_up

    async def _activate(self, slot: Slot[Any], offset: int, change: ConfigChange) -> None:
        async with self._host.changing(slot) as is_ours:
            if not is_ours or self._host.is_draining or slot.core.has_activated(offset):
                return
            core, rules = slot.core, change.rules
            entry = Activation(
                stage=slot.stage,
                partition=slot.partition,
                epoch=core.epoch,
                announced_at=offset,
                config_hash=rules.config_hash(),
                at_ms=max(change.effective_at_ms, core.next_ready_ms()),
                rules=rules.to_plain() if slot.stage == ALERTS else None,
            )
            if await self._is_journaled(slot, entry):
                core.activate(entry.at_ms, rules, offset)
                slot.touched()

    async def _renew(self, slot: Slot[Any], offset: int, renewal: Renewal) -> None:
        async with self._host.changing(slot) as is_ours:
            if not is_ours or self._host.is_draining or slot.core.has_activated(offset):
                return
            entry = Renewed(
                stage=MODELS,
                partition=slot.partition,
                epoch=slot.core.epoch,
                announced_at=offset,
                at_ms=max(renewal.effective_at_ms, slot.core.next_ready_ms()),
                model_id=renewal.model_id,
                version=renewal.version,
                references=list(renewal.references),
            )
            if await self._is_journaled(slot, entry):
                slot.core.renew(entry)
                slot.touched()

    async def _notice(self, slot: Slot[AlertStage], offset: int, notice: Notice) -> None:
        async with self._host.changing(slot) as is_ours:
            if not is_ours or self._host.is_draining or slot.core.has_activated(offset):
                return
            next_ms = slot.core.next_ready_ms()
            entry = Noticed(
                stage=ALERTS,
                partition=slot.partition,
                epoch=slot.core.epoch,
                announced_at=offset,
                at_ms=max(notice.effective_at_ms or next_ms, next_ms),
                notice=notice,
            )
            if await self._is_journaled(slot, entry):
                slot.core.notice(entry)
                slot.touched()

    async def _accept(self, slot: Slot[SourceStage], offset: int, change: ConfigChange) -> None:
        for side in SIDES:
            async with self._host.changing(slot) as is_ours:
                if (
                    not is_ours
                    or self._host.is_draining
                    or not slot.has_spoken
                    or not _is_time(slot, side, offset, change)
                ):
                    continue
                rules, topic = change.rules, self._host.topics[side]
                at_offset = max(slot.offsets[topic], await self._end(topic, slot.partition))
                entry = Accepted(
                    stage=SOURCES,
                    partition=slot.partition,
                    epoch=slot.core.epoch,
                    side=side,
                    at_offset=at_offset,
                    announced_at=offset,
                    config_hash=rules.config_hash(),
                )
                if await self._is_journaled(slot, entry):
                    slot.due_accepted.setdefault(side, []).append((entry, rules))
                    await self._host.apply_idle(slot, side, slot.offsets[topic])
                    slot.touched()

    async def _is_journaled(
        self, slot: Slot[Any], entry: Activation | Accepted | Renewed | Noticed
    ) -> bool:
        topic = self._host.settings.internal_topic("journal")
        record = Outgoing(topic, slot.partition, journal_key(entry), encode_journal(entry))
        written = await (await self._host.send(record))
        await self._host.reader.reached({slot.partition: written.offset + 1})
        return self._host.owns(slot)  # else claimed by another before this entry: it is void

    # -- taking over

    async def restore(self, slot: Slot[Any]) -> None:
        """What the journal says of a partition, and the state that was restored may not know."""
        journal = self._host.journal
        for activation in journal.activations_of(slot.stage, slot.partition):
            rules = await self.rules(activation.config_hash, activation.announced_at)
            slot.core.activate(activation.at_ms, rules, activation.announced_at)
        if slot.stage == MODELS:
            for renewed in journal.renewed_of(slot.partition):
                slot.core.renew(renewed)
        if slot.stage == ALERTS:
            for noticed in journal.noticed_of(slot.partition):
                slot.core.notice(noticed)
        if slot.stage != SOURCES:
            return
        for entry in journal.accepted_of(slot.partition):
            if entry.at_offset >= slot.offsets[self._host.topics[entry.side]]:
                rules = await self.rules(entry.config_hash, entry.announced_at)
                slot.due_accepted.setdefault(entry.side, []).append((entry, rules))
        for due in slot.due_accepted.values():
            due.sort(key=lambda accepted: accepted[0].at_offset)


def _is_time(slot: Slot[SourceStage], side: Side, offset: int, change: ConfigChange) -> bool:
    is_due = any(entry.announced_at == offset for entry, _ in slot.due_accepted.get(side, ()))
    if is_due or slot.core.has_accepted(side, offset):
        return False
    reached_ms = slot.core.watermark_ms(side)
    return reached_ms is None or reached_ms >= change.effective_at_ms


def _refused(own: Rules, book: RuleBook) -> UnannouncedConfigError:
    reasons = own.cannot_follow(book.founding)
    known = f"this app runs under config {', '.join(book.hashes())}"
    if reasons:
        return UnannouncedConfigError(
            f"{known}, and the configuration given, {own.config_hash()}, cannot follow: "
            f"{'; '.join(reasons)}. Restore the former one, or start afresh with another `app`"
        )
    return UnannouncedConfigError(
        f"{known}; the configuration given, {own.config_hash()}, was not announced. Announce it, "
        "and workers change over at the same pane: leeway config activate -c FILE"
    )


async def publish(settings: Settings, topic: str, key: bytes | None, value: bytes) -> int:
    """A record to partition 0, by a producer of its own; its offset."""
    producer = AIOKafkaProducer(**connection(settings), acks="all")
    await producer.start()
    try:
        written = await producer.send_and_wait(topic, value, key=key, partition=0)
    finally:
        await producer.stop()
    return int(written.offset)
