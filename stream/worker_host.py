"""The worker's heart: hands input to the stages it owns and performs their effects.

It knows topics, offsets and promises, and nothing of what an event means. Any error stops the
worker: a bug must not skip a record. Restoring what it owns is in `worker_assign`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

from aiokafka import TopicPartition

from stream.alert_stage import AlertStage
from stream.checkpoint import CheckpointError, Layout
from stream.control import EndOfInput
from stream.dead_letter_limit import DeadLetterLimit, TooManyDeadLetters
from stream.events import Effect, Records, ToActions, ToDeadLetters, ToPanes
from stream.idle import Side
from stream.journal import Journal
from stream.last_states import LastStates
from stream.metrics import Metrics
from stream.misplaced import Misplaced
from stream.model_stage import ModelStage
from stream.numbering import content
from stream.record_batch import RecordBatch
from stream.refusals import Refusal, truncated, unreadable
from stream.settings import Settings
from stream.snapshot import BrokenRecordError, ChangedRulesError
from stream.source_stage import SourceStage
from stream.wire import Claim, JournalEntry, MaturityDecision, has_panes
from stream.worker_checkpoints import Checkpoints
from stream.worker_dead_letters import send_dead_letter
from stream.worker_routes import Outgoing, Sender, route
from stream.worker_shed import journal_wishes, stay_near
from stream.worker_shortcut import Shortcut
from stream.worker_slot import ALERTS, MODELS, SOURCES, Ack, Send, Slot

log = logging.getLogger(__name__)

_EXPECTED = (CheckpointError, ChangedRulesError, TooManyDeadLetters, Refusal)


class Assigner(Protocol):
    async def assigned(self, host: Host, assigned: Collection[Any]) -> Mapping[Any, int]: ...


class Restorer(Protocol):
    async def restore(self, slot: Slot[Any]) -> None: ...


class JournalReader(Protocol):
    positions: dict[int, int]

    async def end(self) -> dict[int, int]: ...

    async def reached(self, targets: Mapping[int, int]) -> None: ...


class Host:
    """Owns the slots of this worker. `send` hands a record to the producer."""

    def __init__(self, settings: Settings, send: Send, metrics: Metrics, worker: str) -> None:
        self.settings = settings
        self.rules = settings.rules()
        self._send = send
        self.metrics = metrics
        self.worker = worker
        self.journal = Journal()
        self.alert_states = LastStates(settings.app)
        self.reader: JournalReader
        self.configs: Restorer | None = None  # None: no configuration is ever announced
        self.topic_ids: dict[str, str] = {}  # where the broker tells them
        self.sources: dict[int, Slot[SourceStage]] = {}
        self.models: dict[int, Slot[ModelStage]] = {}
        self.alerts: dict[int, Slot[AlertStage]] = {}
        self.sent_ends: dict[tuple[str, int], int] = {}  # acknowledged, by topic and partition
        self.overtaken: dict[tuple[int, int], float] = {}  # claimed by others -> since when
        self.generation = 0  # of the assignment; what was started under another is void
        self.assigner: Assigner
        self.failure: BaseException | None = None
        self.stopped = asyncio.Event()
        self._is_draining = False
        self._decisions: asyncio.Queue[MaturityDecision] = asyncio.Queue()
        self._ends: list[EndOfInput] = []
        limit = settings.dead_letters.limit
        self._limit = DeadLetterLimit(ratio=limit.ratio, window=limit.window, minimum=limit.minimum)
        self._misplaced = Misplaced(settings.partitions, metrics)
        self._watched = {*self.inputs(MODELS), *self.inputs(ALERTS)}
        self.checkpoints = Checkpoints(self)
        self.shortcut = Shortcut(self)
        self.topics: dict[Side, str] = {
            "predictions": settings.topics.predictions,
            "outcomes": settings.topics.outcomes,
        }

    # -- input

    async def source_batch(self, side: Side, batch: RecordBatch, ack: Ack) -> None:
        """One fetched batch. It is acknowledged when a checkpoint covers it."""
        slot = self.sources.get(batch.partition)
        if slot is None or self._is_draining:
            return
        await self.checkpoints.room(slot)
        await stay_near(self, slot, batch.topic, batch.last + 1)
        async with self.changing(slot) as is_ours:
            if not is_ours:
                return  # revoked while waiting: the next owner reads it again
            began_s = time.perf_counter()
            self._misplaced.look(batch)
            cuts = [at_offset for at_offset, _ in slot.due_idle.get(side, [])]
            cuts += [entry.at_offset for entry, _ in slot.due_accepted.get(side, [])]
            for records in batch.parts(slot.offsets[batch.topic], cuts):
                await self._source_part(slot, side, records)
                await asyncio.sleep(0)
            await self.apply_idle(slot, side, batch.last + 1)
            slot.applied(batch.topic, batch.last + 1, 0, ack)
            batch.drop()  # the acknowledgement keeps the batch until a checkpoint covers it
            await self.end_input(slot)
            await journal_wishes(self, slot)
            self._measure(slot, side, time.perf_counter() - began_s)

    async def model_record(self, partition: int, offset: int, value: bytes, ack: Ack) -> None:
        await self.stage_record(self.models.get(partition), offset, value, ack)

    async def alert_record(self, partition: int, offset: int, value: bytes, ack: Ack) -> None:
        await self.stage_record(self.alerts.get(partition), offset, value, ack)

    async def stage_record(
        self, slot: Slot[Any] | None, offset: int, value: bytes, ack: Ack | None = None
    ) -> None:
        """A record between stages. `ack` comes with what the consumer brings: what was applied
        ahead of it is only acknowledged then. Raises TruncatedTopicError where that was another."""
        if slot is None or self._is_draining:
            return
        await self.checkpoints.room(slot)
        async with self.changing(slot) as is_ours:
            if not is_ours:
                return
            (topic,) = slot.offsets
            is_next = offset >= slot.offsets[topic]
            if is_next:
                await self.perform(slot, _handle(slot, topic, offset, value))
            if ack is None and is_next:
                slot.heard_ahead(offset, value)
            elif ack is not None and slot.heard_another(offset, value):
                place = TopicPartition(topic, slot.partition)
                raise truncated(place, offset, slot.offsets[topic])
            slot.applied(topic, offset + 1, len(value) if is_next else 0, ack)

    async def _source_part(self, slot: Slot[SourceStage], side: Side, records: Records) -> None:
        await self.apply_idle(slot, side, records.offsets[0])
        stage = slot.core
        effects = stage.predictions(records) if side == "predictions" else stage.outcomes(records)
        await self.perform(slot, effects)
        size_bytes = sum(map(len, filter(None, records.values)))
        slot.applied(records.topic, records.offsets[-1] + 1, size_bytes, None)
        self._limit.count(len(records.values), sum(isinstance(e, ToDeadLetters) for e in effects))

    async def apply_idle(self, slot: Slot[SourceStage], side: Side, before_offset: int) -> None:
        """What the journal has before the record at this offset."""
        accepted = slot.due_accepted.get(side, [])
        while accepted and accepted[0][0].at_offset <= before_offset:
            entry, rules = accepted.pop(0)
            slot.core.accept(side, rules, entry.announced_at)
        due = slot.due_idle.get(side, [])
        while due and due[0][0] <= before_offset:
            _, watermark_ms = due.pop(0)
            await self.perform(slot, slot.core.advance(side, watermark_ms))

    @asynccontextmanager
    async def changing(self, slot: Slot[Any]) -> AsyncIterator[bool]:
        """Holds the slot for a change of its state; False: it is not ours (any more).

        Raises BrokenSlotError if a change before was cut short.
        """
        async with slot.changing():
            is_ours = self._slots_of(slot.stage).get(slot.partition) is slot
            if is_ours:
                slot.must_be_whole()
            yield is_ours

    def _slots_of(self, stage: int) -> dict[int, Any]:
        by_stage: dict[int, dict[int, Any]] = {
            SOURCES: self.sources,
            MODELS: self.models,
            ALERTS: self.alerts,
        }
        return by_stage[stage]

    # -- effects

    async def send(self, record: Outgoing) -> asyncio.Future[Any]:
        """Hand a record to the producer; the future is the broker's acknowledgement."""
        if record.topic == self.settings.topics.dead_letters:
            return await send_dead_letter(self._send, record)
        if record.topic == self.settings.topics.alerts_state:
            self.alert_states.said(record)
        promise = await self._send(record)
        if record.topic in self._watched:
            promise.add_done_callback(partial(self._sent, record.value))
        return promise

    def _sent(self, value: bytes | None, promise: asyncio.Future[Any]) -> None:
        if promise.cancelled() or promise.exception() is not None:
            return
        at = promise.result()
        self.sent_ends[at.topic, at.partition] = at.offset + 1
        readers = self.models if at.topic == self.inputs(MODELS)[0] else self.alerts
        slot = readers.get(at.partition)
        if slot is not None and value is not None:
            self.shortcut.acknowledged(slot, at.topic, at.offset, value)

    async def perform(self, slot: Slot[Any], effects: Sequence[Effect]) -> None:
        """Hand effects to the producer, in their order; the next checkpoint awaits them."""
        if not effects:
            return
        sender = Sender(self.worker, slot.partition, slot.core.epoch, self.now_ms())
        records = [out for effect in effects for out in route(effect, sender, self.settings)]
        for effect in effects:
            if isinstance(effect, ToDeadLetters):
                self.metrics.dead_letter(effect.letter.topic, effect.letter.reason)
            elif isinstance(effect, ToActions):
                self.metrics.request(effect.request.type)
            elif isinstance(effect, ToPanes) and has_panes(content(effect.value)):
                self.checkpoints.hold_back()
        await slot.emit(self.send, records)

    @staticmethod
    def now_ms() -> int:
        return int(time.time() * 1000)

    # -- decisions of others

    def journal_entry(self, offset: int, entry: JournalEntry) -> None:
        """An entry read from the journal. It never waits: those who hold a slot's lock may be
        waiting for the journal themselves."""
        is_valid = self.journal.add(offset, entry)
        if isinstance(entry, Claim):
            self._fence(entry, offset)
        elif is_valid and isinstance(entry, MaturityDecision):
            self._decisions.put_nowait(entry)

    def _fence(self, claim: Claim, epoch: int) -> None:
        """Whoever claimed it after us owns it: what we would still say of it is void."""
        slots = self._slots_of(claim.stage)
        slot = slots.get(claim.partition)
        if slot is not None and slot.core.epoch < epoch:
            del slots[claim.partition]
            self.overtaken.setdefault(slot.key, time.monotonic())
            log.warning("stage %d partition %d was taken by %s", *slot.key, claim.owner)

    def drop_overtaken(self) -> None:
        """Of what was just restored, what somebody else has claimed meanwhile."""
        for slot in self.slots():
            if (self.journal.epoch(*slot.key) or 0) > slot.core.epoch:
                del self._slots_of(slot.stage)[slot.partition]
                self.overtaken.setdefault(slot.key, time.monotonic())

    async def run_learning(self) -> None:
        """Local source stages learn each maturity that stage 2, anywhere, has decided."""
        while True:
            decision = await self._decisions.get()
            for slot in list(self.sources.values()):
                async with self.changing(slot) as is_ours:
                    if is_ours:
                        await self.learn(slot, decision)

    async def learn(self, slot: Slot[SourceStage], decision: MaturityDecision) -> None:
        effects = slot.core.learn(decision.model_id, decision.maturity_ms, decision.until_ms)
        if effects:  # stage 2 goes on at the next announcement
            await self.perform(slot, [*effects, *slot.core.announce()])

    async def input_ends(self, end: EndOfInput) -> None:
        self._ends.append(end)
        for slot in list(self.sources.values()):
            async with self.changing(slot) as is_ours:
                if is_ours:
                    await self.end_input(slot)

    @property
    def is_draining(self) -> bool:
        return self._is_draining

    async def end_input(self, slot: Slot[SourceStage]) -> None:
        for number, end in enumerate(self._ends):
            if number not in slot.ended and end.is_reached(slot.partition, slot.offsets):
                slot.ended.add(number)
                await self.perform(slot, slot.core.end_of_input(end.event_time_ms))

    # -- ownership

    async def assigned(self, assigned: Collection[Any]) -> Mapping[Any, int]:
        """Restore what is assigned; the offsets to continue at, empty if that was cut short."""
        try:
            return await self.assigner.assigned(self, assigned)
        except Exception as error:  # noqa: BLE001 whatever it was, the worker must not go on
            self.fail(error)
            return {}

    async def revoked(self) -> None:
        """All partitions leave: what was applied is checkpointed, if there is time."""
        slots = self.slots()
        self.generation += 1
        self.overtaken.clear()
        self.sources, self.models, self.alerts = {}, {}, {}
        await self.checkpoints.write_all(slots)
        for slot in slots:
            if slot.stage == SOURCES:
                for topic in self.topics.values():
                    self.metrics.revoked(topic, slot.partition)

    def owns(self, slot: Slot[Any]) -> bool:
        return self._slots_of(slot.stage).get(slot.partition) is slot

    def slots(self) -> list[Slot[Any]]:
        return [*self.sources.values(), *self.models.values(), *self.alerts.values()]

    def layout(self, stage: int) -> Layout:
        """What a checkpoint of this stage must agree on with its reader."""
        rules, inputs = self.rules, self.inputs(stage)
        ids = {t: self.topic_ids[t] for t in inputs if t in self.topic_ids}
        hashes = rules.state_hash(), rules.state_hash_of_0_1()
        return Layout(hashes[0], self.settings.partitions, inputs, hashes[1], ids)

    def inputs(self, stage: int) -> tuple[str, ...]:
        if stage == SOURCES:
            return self.settings.topics.predictions, self.settings.topics.outcomes
        return (self.settings.internal_topic({MODELS: "panes", ALERTS: "findings"}[stage]),)

    async def checkpoint(self, slot: Slot[Any], *, force: bool = False) -> None:
        await self.checkpoints.write(slot, force=force)

    async def drain(self) -> None:
        """Stop taking input; checkpoint and acknowledge what was applied."""
        self._is_draining = True
        await self.checkpoints.write_all(self.slots())

    def fail(self, error: BaseException) -> None:
        """Stop the worker; only the first error counts."""
        if self.failure is None:
            self.failure = error
            # what a person can mend is one line; the rest is a bug, and its trace is wanted
            trace = None if isinstance(error, _EXPECTED) else error
            log.error("the worker stops: %s", error, exc_info=trace)
        self.stopped.set()

    def _measure(self, slot: Slot[SourceStage], side: Side, seconds: float) -> None:
        topic = self.topics[side]
        self.metrics.batch(topic, slot.partition, slot.core.judged(side), seconds)
        self.metrics.watermark(topic, slot.partition, slot.core.watermark_ms(side))


def _handle(slot: Slot[Any], topic: str, offset: int, value: bytes) -> list[Effect]:
    """Effects of a record between stages. Raises UnreadableRecordError: it is never skipped."""
    try:
        effects: list[Effect] = slot.core.handle(value)
    except BrokenRecordError as error:
        raise unreadable(topic, slot.partition, offset, error) from error
    return effects
