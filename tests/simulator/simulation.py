"""The scheduler: the next step of some worker, producer or fault, drawn from the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from unittest import mock

from stream import blobs, wire
from tests.simulator.group import Group
from tests.simulator.log import Log, Refused
from tests.simulator.scenario import Scenario
from tests.simulator.slot import SETTINGS, SIDES, SOURCES, Key, Slot
from tests.simulator.worker import Protocol, Worker

_LIMIT = 12_000  # steps; a run that is not done by then hangs
_FAULT_EVERY = 100  # steps, on average
Step = Callable[[], None]


class Stuck(AssertionError):
    """Nobody can go on, and the work is not done."""


@dataclass
class Zombie:
    """A former owner that does not know it yet: asleep first, then it goes on for some steps."""

    worker: Worker
    asleep: int
    steps: int


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
        self.happened: Counter[str] = Counter()
        self._crash_at = crash_at
        self._now_s = 0.0
        self._boundaries = 0
        self._fed = 0
        self._faults = scenario.faults
        self._zombies: list[Zombie] = []
        self._starved: dict[Key, int] = {}  # until this step
        self._group = Group(scenario, random, self.log, protocol or Protocol())
        self._workers = self._group.workers

    def run(self) -> Run:
        with ExitStack() as patched:
            small = mock.patch.object(wire, "LARGEST_RECORD_BYTES", self.scenario.fragment_bytes)
            patched.enter_context(small)
            patched.enter_context(mock.patch.object(blobs, "BLOB_BYTES", 6_000))
            self._group.assign()
            step = 0
            while not self._is_done():
                step += 1
                if step > _LIMIT:
                    raise Stuck(self._standing())
                self._step(step)
        slots = {key: slot for worker in self._workers for key, slot in worker.slots.items()}
        for worker in self._workers:
            self.happened["idle advances"] += worker.watch.advances
            self.happened["reclaims"] += worker.reclaims
            self.happened["records twice"] += worker.producer.repeats
        return Run(self.scenario, self.log, slots, step, self._boundaries, self.happened)

    # -- one step

    def _step(self, step: int) -> None:
        random = self.random
        self._now_s += random.random() * 0.2
        if self._faults and random.random() * _FAULT_EVERY < 1:
            self._faults -= 1
            self._fault(step)
            return
        if self._fed < len(self.scenario.arrivals) and random.random() < 0.25:
            self._feed(random.randint(1, 12))
            return
        zombies = [z for z in self._zombies if not z.asleep]
        for zombie in self._zombies:
            zombie.asleep = max(0, zombie.asleep - 1)
        if zombies and random.random() < 0.4:
            self._haunt(random.choice(zombies), step)
        else:
            self._work(random.choice(self._workers), step)

    def _feed(self, count: int) -> None:
        for side, partition, (timestamp, value) in self.scenario.arrivals[
            self._fed : self._fed + count
        ]:
            self.log.append((SIDES[side], partition), value, timestamp=timestamp)
        self._fed += count

    def _work(self, worker: Worker, step: int, *, hears: bool = True) -> None:
        """One thing that this worker can do now. `hears`: it reads the journal."""
        random = self.random
        can: list[tuple[int, Step]] = []
        if worker.producer:
            can.append((6, lambda: self._deliver(worker)))
        if worker.tasks:
            can.append((4, lambda: self._task(worker)))
        if hears:
            behind = [p for p in range(self.scenario.partitions) if worker.tail_is_behind(p)]
            if behind:
                can.append((2, lambda: worker.tail(random.choice(behind), random.randint(1, 3))))
        if not worker.is_taking_over:
            can += self._at_work(worker, step, hears=hears)
        if can:
            random.choices([do for _, do in can], [weight for weight, _ in can])[0]()

    def _at_work(self, worker: Worker, step: int, *, hears: bool) -> list[tuple[int, Step]]:
        random = self.random
        can: list[tuple[int, Step]] = []
        if worker.has_to_learn:
            can.append((2, worker.learn))
        if self._fed >= len(self.scenario.arrivals) and not worker.knows_the_end and hears:
            can.append((1, worker.hear_the_end))
        if self._may_be_idle(worker):
            can.append((1, lambda: worker.watch.begin(self._now_s)))
        readable = [
            (slot, topic)
            for slot in worker.slots.values()
            if not slot.is_locked and self._starved.get(slot.key, 0) <= step
            for topic in slot.positions
            if slot.positions[topic] < self.log.end((topic, slot.partition))
        ]
        if readable:
            slot, topic = random.choice(readable)
            count = random.randint(1, random.choice((3, 40)))
            can.append((4, lambda: self._poll(worker, slot, topic, count)))
        dirty = [
            s for s in worker.slots.values() if s.is_dirty and not (s.is_sealing or s.is_locked)
        ]
        if dirty:
            can.append((1, lambda: worker.seal(random.choice(dirty))))
        return can

    def _poll(self, worker: Worker, slot: Slot, topic: str, count: int) -> None:
        self.log.note("poll", worker.name, slot.key, topic, count)
        worker.poll(slot, topic, count)

    def _deliver(self, worker: Worker) -> None:
        topic, _ = worker.producer.deliver(self.random)
        self._boundary(worker)
        is_alert = topic == SETTINGS.topics.alerts  # the moment that matters most
        is_rough = bool(self.scenario.faults) and worker in self._workers
        if is_alert and is_rough and self.random.random() < 0.3:
            self._crash(worker)

    def _task(self, worker: Worker) -> None:
        self.log.note("task", worker.name)
        commits = self.log.commits
        try:
            worker.step_task(self.random)
        except Refused:
            if worker in self._workers:
                self._crash(worker)
            else:
                worker.revoke()
            return
        if self.log.commits > commits:
            self._boundary(worker)

    def _boundary(self, worker: Worker) -> None:
        self._boundaries += 1
        if self._boundaries in self._crash_at and worker in self._workers:
            self._crash(worker)

    def _haunt(self, zombie: Zombie, step: int) -> None:
        zombie.steps -= 1
        self._work(zombie.worker, step, hears=False)
        self.happened["zombie steps"] += 1
        if zombie.steps <= 0:
            self._zombies.remove(zombie)

    # -- faults

    def _fault(self, step: int) -> None:
        kind = self.random.choice(
            ("crash", "crash", "zombie", "zombie", "join", "starve", "again", "refuse")
        )
        self.log.note("fault", kind)
        if kind not in {"crash", "refuse"}:
            self.happened[kind] += 1
        worker = self.random.choice(self._workers)
        match kind:
            case "crash":
                self._crash(worker)
            case "zombie":
                self._freeze(worker)
            case "join":
                self._join_or_leave()
            case "starve":
                self._starved[self.random.choice(self._group.keys)] = step + self.random.randint(
                    50, 600
                )
            case "refuse":
                self._refuse(worker)
            case "again":
                self._deliver_again(worker)

    def _crash(self, worker: Worker) -> None:
        self.happened["crash"] += 1
        self._workers.remove(worker)
        self._workers.append(self._group.new_worker())
        self._rebalance()

    def _freeze(self, worker: Worker) -> None:
        """Thrown out of the group while it sleeps; it then goes on as if nothing had been."""
        random = self.random
        self._zombies.append(Zombie(worker, random.randint(0, 200), random.randint(5, 150)))
        self._workers.remove(worker)
        if not self._workers or random.random() < 0.5:
            self._workers.append(self._group.new_worker())
        self._rebalance()

    def _join_or_leave(self) -> None:
        if len(self._workers) > 1 and self.random.random() < 0.5:
            leaver = self.random.choice(self._workers)
            self._group.leave(leaver)
            self._workers.remove(leaver)
        else:
            self._workers.append(self._group.new_worker())
        self._rebalance()

    def _refuse(self, worker: Worker) -> None:
        """The worker finds out at the next checkpoint that waits for the record."""
        if worker.producer:
            worker.producer.refuse(self.random)
            self.happened["refused"] += 1

    def _deliver_again(self, worker: Worker) -> None:
        """The consumer goes back to what was committed."""
        if not worker.is_taking_over:
            for slot in worker.slots.values():
                for topic in slot.positions:
                    committed = self.log.committed[topic, slot.partition]
                    slot.positions[topic] = min(slot.positions[topic], committed)

    def _rebalance(self) -> None:
        self.happened["rebalance"] += 1
        self._group.rebalance()

    # -- the end

    def _is_done(self) -> bool:
        if self._fed < len(self.scenario.arrivals) or self._zombies:
            return False
        for worker in self._workers:
            if worker.is_taking_over or worker.tasks or worker.producer or worker.has_to_learn:
                return False
            if any(worker.tail_is_behind(p) for p in range(self.scenario.partitions)):
                return False
        slots = [slot for worker in self._workers for slot in worker.slots.values()]
        return len(slots) == len(self._group.keys) and all(self._is_through(slot) for slot in slots)

    def _may_be_idle(self, worker: Worker) -> bool:
        """Ticks go on for ever; behind the end of the input they say nothing new."""
        if self.scenario.idle_s is None or worker.watch.is_watching:
            return False
        slots = [slot for worker in self._workers for slot in worker.slots.values()]
        ended = [slot for slot in slots if slot.stage == SOURCES and slot.has_ended]
        return len(ended) < self.scenario.partitions

    def _is_through(self, slot: Slot) -> bool:
        at_end = all(slot.offsets[t] >= self.log.end((t, p)) for t, p in slot.places())
        return at_end and not slot.is_dirty and (slot.stage != SOURCES or slot.has_ended)

    def _standing(self) -> str:
        lines = [f"not done after {_LIMIT} steps"]
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
