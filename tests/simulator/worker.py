"""A worker without I/O: mirrors `stream.worker_host`, `worker_assign` and `worker_watch`.

What those await is here a task of steps, so that the scheduler may crash, freeze or delay the
worker between any two of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any

from stream.checkpoint import Layout
from stream.events import Effect, Records
from stream.journal import Journal
from stream.record_batch import RecordBatch
from stream.source_stage import Side
from stream.wire import Claim, JournalEntry, MaturityDecision, decode_journal
from stream.worker_routes import Outgoing, Sender, route
from tests.simulator.alert_states import AlertStates
from tests.simulator.decisions import Decisions
from tests.simulator.idle_watch import Watch
from tests.simulator.log import Log, Place, Producer, Promise
from tests.simulator.scenario import Scenario
from tests.simulator.slot import (
    ALERTS,
    INPUTS,
    JOURNAL,
    MODELS,
    SETTINGS,
    SIDES,
    SOURCES,
    Key,
    Slot,
    Task,
    until,
)
from tests.simulator.takeover import journaled, take_over


@dataclass(frozen=True)
class Protocol:
    """How a takeover begins. The weaker forms are known to lose alerts: the tests show it."""

    seals_first: bool = True  # the restored state is sealed before anything is said of it
    seals_always: bool = True  # also where there was no checkpoint before
    repeats_decisions: bool = True  # a maturity that the state knows and the journal does not
    activates_caught_up: bool = True  # other rules: not before what a former owner has released
    accepts_behind_the_log: bool = True  # other models: from where nobody can have been
    reads_states_back: bool = True  # and puts right what a former owner has overwritten
    checks_before_deleting: bool = True  # that nobody has claimed what the records belong to
    claims_before_reading: bool = True  # the changelogs
    says_again: bool = True  # what was journaled of silences that are not over, before a word
    reclaims: bool = True  # what the group still assigns and a belated claim has taken


class Worker:
    def __init__(self, name: str, scenario: Scenario, log: Log, protocol: Protocol) -> None:
        self.name = name
        self.slots: dict[Key, Slot] = {}
        self.producer = Producer(log, frozenset(INPUTS[MODELS] + INPUTS[ALERTS]), scenario.repeat)
        self.tasks: list[Task] = []
        self.assigned: set[Key] = set()
        self.takeovers = 0
        self.knows_the_end = False
        self.journal = Journal()
        self.reclaims = 0
        self.ahead = 0  # records heard before they were fetched
        self._said: dict[Place, deque[tuple[Promise, bytes | None]]] = {}  # between stages
        self.journal_at = dict.fromkeys(range(scenario.partitions), 0)
        self._decisions: deque[MaturityDecision] = deque()
        self.scenario = scenario
        self.rules = scenario.rules
        self.log = log
        self._journal = [log.part((JOURNAL, p)) for p in range(scenario.partitions)]
        self.protocol = protocol
        self.watch = Watch(self)
        self.states = AlertStates(self)
        self.decisions = Decisions(self)

    # -- input

    def poll(self, slot: Slot, topic: str, count: int) -> None:
        """The next records of one input, at most `count`."""
        place = topic, slot.partition
        entries = self.log.read(place, slot.positions[topic], count)
        if not entries:
            return
        slot.positions[topic] = entries[-1].offset + 1
        if slot.stage == SOURCES:
            self._source_batch(slot, place, entries)
            return
        for entry in entries:
            if entry.offset >= slot.offsets[topic]:
                assert entry.value is not None
                self.perform(slot, slot.core.handle(entry.value))
                slot.offsets[topic] = entry.offset + 1
                slot.is_dirty = True

    def heard_by_now(self) -> list[Slot]:
        """Slots whose next record this worker has sent itself, and the broker has: it need not be
        fetched."""
        return [slot for slot in self.slots.values() if not slot.is_locked and self._knows(slot)]

    def _knows(self, slot: Slot) -> bool:
        place, at = slot.places()[0], next(iter(slot.offsets.values()))
        said = self._said.get(place, deque())
        while said and said[0][0].is_settled:
            offset = said[0][0].offset
            if offset is not None and offset >= at:
                return offset == at
            said.popleft()
        return False

    def hear_ahead(self, slot: Slot) -> None:
        (place,) = slot.places()
        _, value = self._said[place].popleft()
        assert value is not None
        self.perform(slot, slot.core.handle(value))
        slot.offsets[place[0]] += 1
        slot.is_dirty = True
        self.ahead += 1

    def _source_batch(self, slot: Slot, place: Place, entries: list[Any]) -> None:
        topic = place[0]
        side: Side = "predictions" if topic == SIDES["predictions"] else "outcomes"
        batch = RecordBatch(SimpleNamespace(topic=topic, partition=place[1]), entries)
        cuts = [at_offset for at_offset, _ in slot.due_idle.get(side, [])]
        cuts += [entry.at_offset for entry, _ in slot.due_accepted.get(side, [])]
        for records in batch.parts(slot.offsets[topic], cuts):
            self.apply_idle(slot, side, records.offsets[0])
            self.perform(slot, _handle(slot.core, side, records))
            slot.offsets[topic] = records.offsets[-1] + 1
        slot.offsets[topic] = max(slot.offsets[topic], batch.last + 1)
        self.apply_idle(slot, side, slot.offsets[topic])
        slot.is_dirty = True
        self.end_input(slot)
        self.decisions.shed(slot)

    def apply_idle(self, slot: Slot, side: Side, before_offset: int) -> None:
        """What the journal has before the record at this offset."""
        accepted = slot.due_accepted.get(side, [])
        while accepted and accepted[0][0].at_offset <= before_offset:
            entry, rules = accepted.pop(0)
            slot.core.accept(side, rules, entry.announced_at)
        due = slot.due_idle.get(side, [])
        while due and due[0][0] <= before_offset:
            self.perform(slot, slot.core.advance(side, due.pop(0)[1]))

    def hear_the_end(self) -> None:
        self.knows_the_end = True
        for slot in self.slots.values():
            if not slot.is_locked:
                self.end_input(slot)

    @property
    def has_to_end(self) -> bool:
        """Whether something was busy when the end was told."""
        return self.knows_the_end and any(
            not slot.is_locked and self._is_at_its_end(slot) for slot in self.slots.values()
        )

    def end_input(self, slot: Slot) -> None:
        if self.knows_the_end and self._is_at_its_end(slot):
            slot.has_ended = True
            self.perform(slot, slot.core.end_of_input(self.scenario.end_ms))

    def _is_at_its_end(self, slot: Slot) -> bool:
        if slot.stage != SOURCES or slot.has_ended:
            return False
        parts = {"predictions": self.scenario.stream.predictions}
        parts["outcomes"] = self.scenario.stream.outcomes
        return all(slot.offsets[SIDES[s]] >= len(parts[s][slot.partition]) for s in parts)

    def perform(self, slot: Slot, effects: Iterable[Effect], only: str | None = None) -> None:
        """Hand effects to the producer, in order; those for the topic `only`, if one is named."""
        sender = Sender(self.name, slot.partition, slot.core.epoch, 0)
        outgoing = [out for effect in effects for out in route(effect, sender, SETTINGS)]
        self.emit(slot, [out for out in outgoing if only in {None, out.topic}])

    def emit(self, slot: Slot, records: list[Outgoing]) -> None:
        for out in records:
            self.states.said(out)
            place = out.topic, out.partition or 0
            sent = self.producer.send(place, out.value, key=out.key, headers=out.headers)
            slot.outputs.append(sent)
            slot.is_dirty = True
            if place[0] in INPUTS[MODELS] + INPUTS[ALERTS]:
                self._said.setdefault(place, deque()).append((sent, out.value))

    # -- the journal

    def tail(self, partition: int, count: int) -> None:
        """Read on in one partition of the journal."""
        for entry in self.log.read((JOURNAL, partition), self.journal_at[partition], count):
            self.journal_at[partition] = entry.offset + 1
            if entry.value is None:
                continue  # compacted away
            said = decode_journal(entry.value)
            is_valid = self.journal.add(entry.offset, said)
            if isinstance(said, Claim):
                self.fence((said.stage, said.partition), entry.offset)
            elif is_valid and isinstance(said, MaturityDecision):
                self._decisions.append(said)

    def behind_in_journal(self) -> list[int]:
        """Partitions of the journal in which there is more to read."""
        return [p for p, part in enumerate(self._journal) if self.journal_at[p] < len(part)]

    def fence(self, key: Key, epoch: int) -> None:
        slot = self.slots.get(key)
        if slot is not None and slot.core.epoch < epoch:
            del self.slots[key]
            self._reclaim(key)

    def _reclaim(self, key: Key) -> None:
        if self.protocol.reclaims and key in self.assigned:
            self.reclaims += 1
            self.assign([key])

    def decide(self, slot: Slot, entry: JournalEntry) -> Generator[Promise | None, None, bool]:
        """Journaled first; nothing else changes the slot meanwhile. Whether the entry counts."""
        slot.is_locked = True
        written = journaled(self, slot.partition, entry)
        yield from until([written])
        assert written.offset is not None
        self.tail(slot.partition, written.offset + 1 - self.journal_at[slot.partition])
        slot.is_locked = False
        return self.slots.get(slot.key) is slot

    @property
    def is_deciding(self) -> bool:
        return any(slot.is_locked for slot in self.slots.values())

    @property
    def has_to_learn(self) -> bool:
        return bool(self._decisions)

    def learn(self) -> None:
        sources = [slot for slot in self.slots.values() if slot.stage == SOURCES]
        if not any(slot.is_locked for slot in sources):
            decision = self._decisions.popleft()
            for slot in sources:
                self.learn_one(slot, decision)

    def learn_one(self, slot: Slot, decision: MaturityDecision) -> None:
        effects = slot.core.learn(decision.model_id, decision.maturity_ms, decision.until_ms)
        if effects:
            self.perform(slot, [*effects, *slot.core.announce()])

    @property
    def reads_states(self) -> bool:
        return self.protocol.reads_states_back and self.states.is_behind

    # -- checkpoints

    def seal(self, slot: Slot) -> None:
        task = Task(slot.seal(self))
        task.step()  # the state is taken now
        self.tasks.append(task)

    def may_delete(self, slot: Slot) -> bool:
        """Whether nobody had claimed it when its manifest was acknowledged."""
        if not self.protocol.checks_before_deleting:
            return True
        self.tail(slot.partition, self.log.end((JOURNAL, slot.partition)))
        return self.journal.epoch(*slot.key) == slot.core.epoch

    def layout(self, stage: int) -> Layout:
        return Layout(self.scenario.state_hash, self.scenario.partitions, INPUTS[stage])

    # -- ownership

    def revoke(self) -> list[Slot]:
        """Everything leaves; what was handed to the producer is still on its way."""
        slots = list(self.slots.values())
        self.slots, self.tasks, self.assigned, self.takeovers = {}, [], set(), 0
        self._said = {}
        self.watch.forget()
        self.decisions.is_looking = False
        return slots

    @property
    def is_taking_over(self) -> bool:
        return self.takeovers > 0

    def assign(self, owned: list[Key]) -> None:
        self.takeovers += 1
        self.assigned.update(owned)
        self.tasks.append(Task(take_over(self, owned)))

    # -- steps

    @property
    def ready(self) -> list[Task]:
        return [task for task in self.tasks if task.is_ready]

    def step_task(self, random: Random) -> None:
        task = random.choice(self.ready)
        task.step()
        if task.is_done and task in self.tasks:
            self.tasks.remove(task)


def _handle(core: Any, side: Side, records: Records) -> list[Effect]:
    effects: list[Effect] = (
        core.predictions(records) if side == "predictions" else core.outcomes(records)
    )
    return effects
