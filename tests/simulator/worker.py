"""A worker without I/O: mirrors `stream.worker_host`, `worker_assign` and `worker_watch`.

What those await is here a task of steps, so that the scheduler may crash, freeze or delay the
worker between any two of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any

from stream import checkpoint
from stream.alert_stage import AlertStage
from stream.checkpoint import Layout
from stream.events import Effect, Records
from stream.idle import Idleness, SourceView
from stream.journal import Journal
from stream.model_stage import ModelStage
from stream.source_stage import Side, SourceStage
from stream.transport import RecordBatch
from stream.wire import Claim, Idle, MaturityDecision, decode_journal, encode_journal
from stream.worker_routes import Sender, route
from tests.simulator.log import Log, Place, Producer
from tests.simulator.scenario import Scenario
from tests.simulator.slot import (
    ALERTS,
    INPUTS,
    JOURNAL,
    MODELS,
    SETTINGS,
    SIDES,
    SOURCES,
    Slot,
    Steps,
    changelog,
    until,
)

Key = tuple[int, int]


@dataclass(frozen=True)
class Protocol:
    """How a takeover begins. The weaker forms are known to lose alerts: the tests show it."""

    seals_first: bool = True  # the restored state is sealed before anything is said of it
    seals_always: bool = True  # also where there was no checkpoint before
    repeats_decisions: bool = True  # a maturity that the state knows and the journal does not
    reclaims: bool = True  # what the group still assigns and a belated claim has taken


class Worker:
    def __init__(self, name: str, scenario: Scenario, log: Log, protocol: Protocol) -> None:
        self.name = name
        self.slots: dict[Key, Slot] = {}
        self.producer = Producer(log, frozenset(INPUTS[MODELS] + INPUTS[ALERTS]), scenario.repeat)
        self.tasks: list[Steps] = []
        self.assigned: set[Key] = set()
        self._takeovers = 0
        self.is_watching = False
        self.knows_the_end = False
        self.journal = Journal()
        self.idle_advances = 0
        self.reclaims = 0
        self._journal_at = dict.fromkeys(range(scenario.partitions), 0)
        self._decisions: deque[MaturityDecision] = deque()
        self._scenario = scenario
        self._rules = scenario.rules
        self._log = log
        self._protocol = protocol
        self._idleness = self._new_idleness()

    # -- input

    def poll(self, slot: Slot, topic: str, count: int) -> None:
        """The next records of one input, at most `count`."""
        place = topic, slot.partition
        entries = self._log.read(place, slot.positions[topic], count)
        if not entries:
            return
        slot.positions[topic] = entries[-1].offset + 1
        if slot.stage == SOURCES:
            self._source_batch(slot, place, entries)
            return
        for entry in entries:
            if entry.offset >= slot.offsets[topic]:
                assert entry.value is not None
                self._perform(slot, slot.core.handle(entry.value))
                slot.offsets[topic] = entry.offset + 1
                slot.is_dirty = True

    def _source_batch(self, slot: Slot, place: Place, entries: list[Any]) -> None:
        topic = place[0]
        side: Side = "predictions" if topic == SIDES["predictions"] else "outcomes"
        batch = RecordBatch(SimpleNamespace(topic=topic, partition=place[1]), entries)
        cuts = [at_offset for at_offset, _ in slot.due_idle.get(side, [])]
        for records in batch.parts(slot.offsets[topic], cuts):
            self._apply_idle(slot, side, records.offsets[0])
            self._perform(slot, _handle(slot.core, side, records))
            slot.offsets[topic] = records.offsets[-1] + 1
        slot.offsets[topic] = max(slot.offsets[topic], batch.last + 1)
        self._apply_idle(slot, side, slot.offsets[topic])
        slot.is_dirty = True
        self._end_input(slot)

    def _apply_idle(self, slot: Slot, side: str, before_offset: int) -> None:
        due = slot.due_idle.get(side, [])
        while due and due[0][0] <= before_offset:
            self._perform(slot, slot.core.advance(side, due.pop(0)[1]))

    def hear_the_end(self) -> None:
        self.knows_the_end = True
        for slot in self.slots.values():
            if not slot.is_locked:
                self._end_input(slot)

    def _end_input(self, slot: Slot) -> None:
        if slot.stage != SOURCES or slot.has_ended or not self.knows_the_end:
            return
        parts = {"predictions": self._scenario.stream.predictions}
        parts["outcomes"] = self._scenario.stream.outcomes
        if all(slot.offsets[SIDES[s]] >= len(parts[s][slot.partition]) for s in parts):
            slot.has_ended = True
            self._perform(slot, slot.core.end_of_input(self._scenario.end_ms))

    def _perform(self, slot: Slot, effects: Iterable[Effect], only: str | None = None) -> None:
        """Hand effects to the producer, in order; those for the topic `only`, if one is named."""
        sender = Sender(self.name, slot.partition, slot.core.epoch, 0)
        for effect in effects:
            for out in route(effect, sender, SETTINGS):
                if only not in {None, out.topic}:
                    continue
                place = out.topic, out.partition or 0
                sent = self.producer.send(place, out.value, key=out.key, epoch=slot.core.epoch)
                slot.outputs.append(sent)
                slot.is_dirty = True

    # -- the journal

    def tail(self, partition: int, count: int) -> None:
        """Read on in one partition of the journal."""
        for entry in self._log.read((JOURNAL, partition), self._journal_at[partition], count):
            self._journal_at[partition] = entry.offset + 1
            assert entry.value is not None
            said = decode_journal(entry.value)
            is_valid = self.journal.add(entry.offset, said)
            if isinstance(said, Claim):
                self._fence((said.stage, said.partition), entry.offset)
            elif is_valid and isinstance(said, MaturityDecision):
                self._decisions.append(said)

    def tail_is_behind(self, partition: int) -> bool:
        return self._journal_at[partition] < self._log.end((JOURNAL, partition))

    def _fence(self, key: Key, epoch: int) -> None:
        slot = self.slots.get(key)
        if slot is not None and slot.core.epoch < epoch:
            del self.slots[key]
            self._reclaim(key)

    def _reclaim(self, key: Key) -> None:
        if self._protocol.reclaims and key in self.assigned:
            self.reclaims += 1
            self.assign([key])

    @property
    def has_to_learn(self) -> bool:
        return bool(self._decisions)

    def learn(self) -> None:
        sources = [slot for slot in self.slots.values() if slot.stage == SOURCES]
        if not any(slot.is_locked for slot in sources):
            decision = self._decisions.popleft()
            for slot in sources:
                self._learn(slot, decision)

    def _learn(self, slot: Slot, decision: MaturityDecision) -> None:
        effects = slot.core.learn(decision.model_id, decision.maturity_ms)
        if effects:
            self._perform(slot, [*effects, *slot.core.announce()])

    # -- checkpoints

    def seal(self, slot: Slot) -> None:
        task = slot.seal(self.producer, self._log, self._layout(slot.stage))
        next(task)  # the state is taken now
        self.tasks.append(task)

    def _layout(self, stage: int) -> Layout:
        return Layout(self._rules.state_hash(), self._scenario.partitions, INPUTS[stage])

    # -- ownership

    def revoke(self) -> list[Slot]:
        """Everything leaves; what was handed to the producer is still on its way."""
        slots = list(self.slots.values())
        self.slots, self.tasks, self.assigned, self._takeovers = {}, [], set(), 0
        self._idleness, self.is_watching = self._new_idleness(), False
        return slots

    @property
    def is_taking_over(self) -> bool:
        return self._takeovers > 0

    def assign(self, owned: list[Key]) -> None:
        self._takeovers += 1
        self.assigned.update(owned)
        self.tasks.append(self._take_over(owned))

    def _take_over(self, owned: list[Key]) -> Steps:
        """Faust's recovery, then: claim, journal to its end, restore, speak."""
        tables = {(s, p): self._log.table((changelog(s), p)) for s, p in owned}
        yield
        claims = {
            (s, p): self.producer.send((JOURNAL, p), encode_journal(Claim(s, p, self.name)))
            for s, p in owned
        }
        yield from until(claims.values())
        for partition in self._journal_at:
            self.tail(partition, self._log.end((JOURNAL, partition)))
        yield
        for key, claim in claims.items():
            assert claim.offset is not None
            self.slots[key] = self._restore(key, claim.offset, tables[key])
        slots = [self.slots[key] for key in owned]
        if self._protocol.reclaims:
            for stage, partition in owned:
                self._fence((stage, partition), self.journal.epoch(stage, partition) or 0)
        if self._protocol.seals_first:
            yield from self._seal_all(slots)
        for slot in slots:
            if self.slots.get(slot.key) is slot:
                self._speak(slot)
                yield
        if not self._protocol.seals_first:
            yield from self._seal_all(slots)
        for slot in slots:
            slot.positions = dict(slot.offsets)
        self._takeovers -= 1

    def _seal_all(self, slots: list[Slot]) -> Steps:
        for slot in slots:
            is_wanted = self._protocol.seals_always or bool(slot.stale_keys)
            if is_wanted and not slot.is_sealing and self.slots.get(slot.key) is slot:
                yield from slot.seal(self.producer, self._log, self._layout(slot.stage))

    def _restore(self, key: Key, epoch: int, table: dict[bytes, bytes | None]) -> Slot:
        stage, partition = key
        found = checkpoint.latest(table, stage, partition, self._layout(stage))
        core = self._core(key, None if found is None else found.state)
        core.epoch = epoch
        offsets = dict.fromkeys(INPUTS[stage], 0) if found is None else dict(found.offsets)
        slot = Slot(stage, partition, core, offsets, positions=dict(offsets))
        slot.stale_keys = checkpoint.keys_of(table, stage, partition)
        if stage == SOURCES:
            slot.due_idle = {side: [] for side in SIDES}
            for entry in self.journal.idle_of(partition):
                if entry.at_offset >= offsets[SIDES[entry.side]]:
                    slot.due_idle[entry.side].append((entry.at_offset, entry.watermark_ms))
            for due in slot.due_idle.values():
                due.sort()
        return slot

    def _core(self, key: Key, state: bytes | None) -> Any:
        (stage, partition), partitions = key, self._scenario.partitions
        if stage == ALERTS:
            if state is None:
                return AlertStage(self._rules, partitions)
            return AlertStage.restore(self._rules, partitions, state)
        kind = SourceStage if stage == SOURCES else ModelStage
        if state is None:
            return kind(self._rules, partition, partitions)
        return kind.restore(self._rules, partition, partitions, state)

    def _speak(self, slot: Slot) -> None:
        """Under the new epoch."""
        if slot.stage == SOURCES:
            for decision in list(self.journal.decisions.values()):
                self._learn(slot, decision)
        only = SETTINGS.topics.alerts_state if slot.stage == ALERTS else None
        self._perform(slot, slot.core.announce(), only)
        if slot.stage == SOURCES:
            for side, topic in SIDES.items():
                self._apply_idle(slot, side, slot.offsets[topic])
            self._end_input(slot)
        if slot.stage == MODELS and self._protocol.repeats_decisions:
            self._repeat_decisions(slot)

    def _repeat_decisions(self, slot: Slot) -> None:
        for model_id, model in slot.core._models.items():
            decided = model.maturity.decision
            if decided is not None and model_id not in self.journal.decisions:
                entry = MaturityDecision(
                    MODELS,
                    slot.partition,
                    slot.core.epoch,
                    model_id,
                    decided.maturity_ms,
                    decided.decided_at_ms,
                )
                place = JOURNAL, slot.partition
                slot.outputs.append(self.producer.send(place, encode_journal(entry)))

    # -- idleness

    def _new_idleness(self) -> Idleness:
        return Idleness(idle_s=self._scenario.idle_s or 0.0, pane_ms=self._rules.pane_ms)

    def watch(self, now_s: float) -> None:
        """One loop: what is due is journaled one after the other."""
        self.is_watching = True
        self.tasks.append(self._watch(now_s))

    def _watch(self, now_s: float) -> Steps:
        views = [self._view(p) for p in range(self._scenario.partitions)]
        for advance in self._idleness.decide(now_s, views):
            slot = self.slots.get((SOURCES, advance.partition))
            if slot is not None:
                yield from self._journal_then_advance(slot, advance.side, advance.watermark_ms)
        self.is_watching = False

    def _journal_then_advance(self, slot: Slot, side: Side, watermark_ms: int) -> Steps:
        slot.is_locked = True
        entry = Idle(
            SOURCES, slot.partition, slot.core.epoch, side, slot.offsets[SIDES[side]], watermark_ms
        )
        written = self.producer.send((JOURNAL, slot.partition), encode_journal(entry))
        yield from until([written])
        assert written.offset is not None
        self.tail(slot.partition, written.offset + 1 - self._journal_at[slot.partition])
        slot.is_locked = False
        if self.slots.get(slot.key) is slot:
            self._perform(slot, slot.core.advance(side, watermark_ms))
            self.idle_advances += 1
            slot.is_dirty = True
            self._end_input(slot)

    def _view(self, partition: int) -> SourceView:
        slot = self.slots.get((SOURCES, partition))
        if slot is None:
            return self._remote_view(partition)
        return SourceView(
            partition,
            is_local=True,
            predictions_ms=slot.core.watermark_ms("predictions"),
            outcomes_ms=slot.core.watermark_ms("outcomes"),
            predictions_at_end=self._is_at_end(slot, "predictions"),
            outcomes_at_end=self._is_at_end(slot, "outcomes"),
        )

    def _remote_view(self, partition: int) -> SourceView:
        models = [slot.core for slot in self.slots.values() if slot.stage == MODELS]
        heard = [core.source_watermark_ms(partition, "predictions") for core in models]
        at_ms = max((ms for ms in heard if ms is not None), default=None)
        entries = [e for e in self.journal.idle_of(partition)[-2:] if e.side == "predictions"]
        is_idle = bool(entries) and at_ms is not None and entries[-1].watermark_ms >= at_ms
        return SourceView(
            partition, is_local=False, predictions_ms=at_ms, is_idle_elsewhere=is_idle
        )

    def _is_at_end(self, slot: Slot, side: str) -> bool:
        return slot.offsets[SIDES[side]] >= self._log.end((SIDES[side], slot.partition))

    # -- steps

    def step_task(self, random: Random) -> None:
        task = random.choice(self.tasks)
        is_done = next(task, True)
        if is_done and task in self.tasks:
            self.tasks.remove(task)


def _handle(core: Any, side: Side, records: Records) -> list[Effect]:
    effects: list[Effect] = (
        core.predictions(records) if side == "predictions" else core.outcomes(records)
    )
    return effects
