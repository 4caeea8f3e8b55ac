"""What a worker can do now, and which of it comes next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.simulator.log import Log
from tests.simulator.scenario import Scenario
from tests.simulator.slot import SOURCES, Key, Slot
from tests.simulator.worker import Worker

Step = Callable[[], None]


@dataclass
class Weather:
    """The virtual clock, and what is slow until which step of it."""

    step: int = 0
    now_s: float = 0.0
    starved: dict[Key, int] = field(default_factory=dict)  # slots whose input is not fetched
    deaf: dict[str, int] = field(default_factory=dict)  # workers that do not get to the journal

    def pass_by(self, seconds: float) -> None:
        self.step += 1
        self.now_s += seconds
        if self.starved:
            self.starved = {k: until for k, until in self.starved.items() if until > self.step}
        if self.deaf:
            self.deaf = {name: until for name, until in self.deaf.items() if until > self.step}


class Work:
    """The next step of a worker, drawn from what is there to do."""

    def __init__(
        self,
        scenario: Scenario,
        random: Random,
        log: Log,
        weather: Weather,
        *,
        deliver: Callable[[Worker], None],
        task: Callable[[Worker], None],
    ) -> None:
        """`deliver` and `task`: what a record that reaches the log, and a step of a task, do."""
        self._scenario = scenario
        self._random = random
        self._log = log
        self._weather = weather
        self._deliver = deliver
        self._task = task

    def next_of(self, worker: Worker, *, hears: bool, is_fed: bool, may_be_idle: bool) -> None:
        """`hears`: the worker reads the journal; `is_fed`: there is no more input to come."""
        can: list[tuple[int, Step]] = []
        if worker.producer:
            can.append((12, lambda: self._deliver(worker)))
        if worker.tasks and worker.ready:
            can.append((6, lambda: self._task(worker)))
        if hears and worker.name not in self._weather.deaf and worker.behind_in_journal():
            can.append((4, lambda: self._listen(worker)))
        if not worker.is_taking_over:
            if may_be_idle and not worker.watch.is_watching:
                can.append((2, lambda: worker.watch.begin(self._weather.now_s)))
            readable = self._readable(worker)
            if readable:
                can.append((10, lambda: self._poll(worker, *self._random.choice(readable))))
            heard = worker.heard_by_now()
            if heard:
                can.append((40, lambda: self._hear_ahead(worker, self._random.choice(heard))))
            if any(slot.may_seal for slot in worker.slots.values()):
                can.append((1, lambda: self._seal(worker)))
            can += self._told(worker, hears=hears, is_fed=is_fed)
        if can:
            self._one_of(can)()

    def _told(self, worker: Worker, *, hears: bool, is_fed: bool) -> list[tuple[int, Step]]:
        """What others have said, and the worker has not acted on."""
        can: list[tuple[int, Step]] = []
        if worker.has_to_learn:
            can.append((4, worker.learn))
        if is_fed and ((hears and not worker.knows_the_end) or worker.has_to_end):
            can.append((2, worker.hear_the_end))
        if worker.reads_states:
            can.append((2, lambda: worker.states.read(self._random.randint(1, 9))))
        if hears and worker.decisions.has_to_look:
            can.append((3, worker.decisions.look))
        return can

    def _one_of(self, can: list[tuple[int, Step]]) -> Step:
        left = self._random.random() * sum([weight for weight, _ in can])
        for weight, step in can:
            left -= weight
            if left < 0:
                return step
        return can[-1][1]

    def _listen(self, worker: Worker) -> None:
        partition = self._random.choice(worker.behind_in_journal())
        worker.tail(partition, self._random.randint(1, 3))

    def _readable(self, worker: Worker) -> list[tuple[Slot, str]]:
        starved = self._weather.starved
        return [
            (slot, topic)
            for slot in worker.slots.values()
            if not slot.is_locked and slot.key not in starved
            for topic, part in slot.inputs
            if slot.positions[topic] < len(part)
        ]

    def _poll(self, worker: Worker, slot: Slot, topic: str) -> None:
        most = 3 if self._random.random() < 0.4 else 40
        count = self._random.randint(1, most)
        if slot.stage == SOURCES:
            room = worker.decisions.room(slot, topic)
            if room <= 0:
                if slot.may_seal:
                    worker.seal(slot)
                return
            count = min(count, room)
        self._log.note("poll", worker.name, slot.key, topic, count)
        worker.poll(slot, topic, count)

    def _hear_ahead(self, worker: Worker, slot: Slot) -> None:
        self._log.note("ahead", worker.name, slot.key)
        worker.hear_ahead(slot)

    def _seal(self, worker: Worker) -> None:
        worker.seal(self._random.choice([s for s in worker.slots.values() if s.may_seal]))
