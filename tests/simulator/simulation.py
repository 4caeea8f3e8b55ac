"""The scheduler: the next step of some worker, producer or fault, drawn from the seed."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from unittest import mock

from stream import blobs, wire
from stream.journal import journal_key
from stream.wire import Founding, encode_journal
from tests.simulator.compaction import Compaction
from tests.simulator.faults import Faults, Zombie
from tests.simulator.group import Group
from tests.simulator.log import Log, Refused
from tests.simulator.scenario import Scenario
from tests.simulator.slot import CONTROL, JOURNAL, SETTINGS, SIDES, SOURCES, Key, Slot
from tests.simulator.work import Weather, Work
from tests.simulator.worker import Protocol, Worker

_LIMIT = 12_000  # steps, with few of everything; a run that is not done by then hangs
_FAULT_EVERY = 80  # steps, on average
_STEP_S = 0.2  # of the virtual clock, at most
_TOPICS = SETTINGS.topics
_SAID = frozenset({_TOPICS.alerts, _TOPICS.alerts_state, _TOPICS.actions})


class Stuck(AssertionError):
    """Nobody can go on, and the work is not done."""


@dataclass
class Run:
    scenario: Scenario
    log: Log
    slots: dict[Key, Slot]
    steps: int
    boundaries: int
    happened: Counter[str] = field(default_factory=Counter)


class Simulation:
    def __init__(
        self,
        scenario: Scenario,
        random: Random,
        *,
        protocol: Protocol | None = None,
        crash_at: frozenset[int] = frozenset(),
    ) -> None:
        self.scenario = scenario
        self.random = random
        self.log = Log()
        self._limit = _LIMIT * max(2, scenario.partitions, scenario.workers) // 2
        self._crash_at = crash_at
        self._boundaries = 0
        self._unlucky = 0  # crashes and freezes at the moments that matter most
        self._fed = 0
        self._faults_left = scenario.faults
        self._weather = Weather()
        # Its own random: a broker does it whatever the workers do.
        aside = Random(repr(random.getstate()))
        self._compaction = Compaction(aside, self.log, scenario.partitions)
        self._group = Group(scenario, random, self.log, protocol or Protocol())
        self._workers = self._group.workers
        self._faults = Faults(random, self.log, self._group, self._weather)
        self._work = Work(
            scenario, random, self.log, self._weather, deliver=self._deliver, task=self._task
        )

    @property
    def happened(self) -> Counter[str]:
        return self._faults.happened

    def run(self) -> Run:
        with ExitStack() as patched:
            small = mock.patch.object(wire, "LARGEST_RECORD_BYTES", self.scenario.fragment_bytes)
            patched.enter_context(small)
            patched.enter_context(mock.patch.object(blobs, "BLOB_BYTES", 6_000))
            self._found()
            self._group.assign()
            while not self._is_done():
                if self._weather.step >= self._limit:
                    raise Stuck(self._standing())
                self._step()
        slots = {key: slot for worker in self._workers for key, slot in worker.slots.items()}
        for worker in self._workers:
            self.happened["idle advances"] += worker.watch.advances
            self.happened["states repaired"] += worker.states.repaired
            self.happened["caps"] += worker.decisions.sheds
            self.happened["activations"] += worker.decisions.activations
            self.happened["renewals"] += worker.decisions.renewals
            self.happened["accepted"] += worker.decisions.accepted
            self.happened["reclaims"] += worker.reclaims
            self.happened["heard ahead"] += worker.ahead
            self.happened["records twice"] += worker.producer.repeats
        self._compaction.finish()
        self.happened["compacted away"] += self._compaction.removed
        steps = self._weather.step
        return Run(self.scenario, self.log, slots, steps, self._boundaries, self.happened)

    # -- one step

    def _step(self) -> None:
        random, drawn = self.random, self.random.random()
        self._weather.pass_by(drawn * _STEP_S)
        self.log.now = self._weather.step
        self._compaction.pass_by()
        if self._faults_left and random.random() * _FAULT_EVERY < 1:
            self._faults_left -= 1
            self._faults.strike()
        elif not self._is_fed and random.random() < 0.25:
            self._feed(random.randint(1, 12))
        else:
            awake = self._faults.doze() if self._faults.zombies else []
            if awake and random.random() < 0.4:
                self._haunt(random.choice(awake))
            else:
                self._next_of(random.choice(self._workers), hears=True)

    def _next_of(self, worker: Worker, *, hears: bool) -> None:
        may_be_idle = self.scenario.idle_s is not None and self._may_tick()
        self._work.next_of(worker, hears=hears, is_fed=self._is_fed, may_be_idle=may_be_idle)

    @property
    def _is_fed(self) -> bool:
        return self._fed >= len(self.scenario.arrivals)

    def _found(self) -> None:
        """Where there is a configuration to follow, the first one is in the journal."""
        rules = self.scenario.rules
        if self.scenario.change is not None:
            founding = Founding(rules.config_hash(), rules.to_plain())
            self.log.append((JOURNAL, 0), encode_journal(founding), key=journal_key(founding))

    def _feed(self, count: int) -> None:
        change, after = self.scenario.change, self.scenario.announced_after
        if change is not None and self._fed <= after < self._fed + count:
            self.log.append((CONTROL, 0), change.encode())
        renewal, after = self.scenario.renewal, self.scenario.renewed_after
        if renewal is not None and self._fed <= after < self._fed + count:
            self.log.append((CONTROL, 0), renewal.encode())
        notice, after = self.scenario.notice, self.scenario.noticed_after
        if notice is not None and self._fed <= after < self._fed + count:
            self.log.append((CONTROL, 0), notice.encode())
        for side, partition, (timestamp, value) in self.scenario.arrivals[
            self._fed : self._fed + count
        ]:
            self.log.append((SIDES[side], partition), value, timestamp=timestamp)
        self._fed += count

    def _haunt(self, zombie: Zombie) -> None:
        self._next_of(zombie.worker, hears=False)
        self._faults.haunted(zombie)

    # -- the boundaries, at which a crash may fall

    def _deliver(self, worker: Worker) -> None:
        place = worker.producer.deliver(self.random)
        if place is None:
            return
        self._boundary(worker)
        is_alert = place[0] == SETTINGS.topics.alerts  # the moment that matters most
        if place[0] in _SAID and worker not in self._workers:
            self.log.late.add((place, self.log.end(place) - 1))
        is_rough = self.scenario.faults > self._unlucky and worker in self._workers
        if is_alert and is_rough and self.random.random() < 0.2:
            self._unlucky += 1
            self._faults.crash(worker)
        is_answered = place[0] == JOURNAL and worker.is_deciding
        if is_answered and is_rough and worker in self._workers and self.random.random() < 0.2:
            self._unlucky += 1
            self._faults.freeze(worker)

    def _task(self, worker: Worker) -> None:
        self.log.note("task", worker.name)
        commits = self.log.commits
        try:
            worker.step_task(self.random)
        except Refused:
            if worker in self._workers:
                self._faults.crash(worker)
            else:
                worker.revoke()
            return
        if self.log.commits > commits:
            self._boundary(worker)

    def _boundary(self, worker: Worker) -> None:
        self._boundaries += 1
        if self._boundaries in self._crash_at and worker in self._workers:
            self._faults.crash(worker)

    # -- the end

    def _is_done(self) -> bool:
        if not self._is_fed or self._faults.zombies:
            return False
        for worker in self._workers:
            if worker.is_taking_over or worker.tasks or worker.producer or worker.has_to_learn:
                return False
            if worker.behind_in_journal() or worker.reads_states or worker.decisions.has_to_look:
                return False
        slots = [slot for worker in self._workers for slot in worker.slots.values()]
        return len(slots) == len(self._group.keys) and all(self._is_through(slot) for slot in slots)

    def _may_tick(self) -> bool:
        """Ticks go on for ever; behind the end of the input they say nothing new."""
        slots = [slot for worker in self._workers for slot in worker.slots.values()]
        ended = [slot for slot in slots if slot.stage == SOURCES and slot.has_ended]
        return len(ended) < self.scenario.partitions

    def _is_through(self, slot: Slot) -> bool:
        at_end = all(slot.offsets[t] >= self.log.end((t, p)) for t, p in slot.places())
        return at_end and not slot.is_dirty and (slot.stage != SOURCES or slot.has_ended)

    def _standing(self) -> str:
        lines = [f"not done after {self._limit} steps"]
        for worker in self._workers:
            lines.append(f"{worker.name}: {len(worker.tasks)} tasks, {bool(worker.producer)=}")
            lines[-1] += f" {worker.is_taking_over=} {worker.has_to_learn=}"
            for slot in worker.slots.values():
                ends = {topic: self.log.end((topic, p)) for topic, p in slot.places()}
                lines.append(
                    f"  {slot.key} at {slot.offsets} of {ends} {slot.is_dirty=} {slot.is_locked=} "
                    f"{slot.is_sealing=} {slot.has_ended=}"
                )
        return "\n".join(lines)
