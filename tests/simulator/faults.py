"""What goes wrong: each kind of fault, and how long it lasts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

from tests.simulator.group import Group
from tests.simulator.log import Log
from tests.simulator.slot import CHANGELOGS, OUTPUTS
from tests.simulator.work import Weather
from tests.simulator.worker import Worker

KINDS = ("crash", "zombie", "join", "starve", "again", "refuse", "slow", "deaf", "jump")
_WEIGHTS = (4, 4, 2, 2, 2, 1, 2, 1, 1)


@dataclass
class Zombie:
    """A former owner that does not know it yet: asleep first, then it goes on for some steps."""

    worker: Worker
    asleep: int
    steps: int


class Faults:
    def __init__(self, random: Random, log: Log, group: Group, weather: Weather) -> None:
        self.zombies: list[Zombie] = []
        self.happened: Counter[str] = Counter()
        self._random = random
        self._log = log
        self._group = group
        self._workers = group.workers
        self._weather = weather

    def strike(self) -> None:
        """One fault of any kind."""
        kind = self._random.choices(KINDS, _WEIGHTS)[0]
        worker = self._random.choice(self._workers)
        self._log.note("fault", kind, worker.name)
        match kind:
            case "crash":
                self.crash(worker)
            case "zombie":
                self.freeze(worker)
            case "join":
                self._join_or_leave()
            case "starve":
                self._weather.starved[self._random.choice(self._group.keys)] = self._later()
            case "again":
                self._deliver_again(worker)
            case "refuse":
                self._refuse(worker)
            case "slow":
                self._slow()
            case "deaf":
                self._weather.deaf[worker.name] = self._later()
            case "jump":
                self._weather.now_s += self._random.uniform(1, 5)
        if kind not in {"crash", "zombie", "refuse"}:
            self.happened[kind] += 1

    def crash(self, worker: Worker) -> None:
        self.happened["crash"] += 1
        self._workers.remove(worker)
        self._workers.append(self._group.new_worker())
        self._rebalance()

    def freeze(self, worker: Worker) -> None:
        """Thrown out of the group while it sleeps; it then goes on as if nothing had been.
        Answers that it has not read by then are lost."""
        random = self._random
        self.zombies.append(Zombie(worker, random.randint(0, 200), random.randint(5, 150)))
        self._workers.remove(worker)
        worker.assigned = set()  # a claim again needs the group
        unread = [task.awaits for task in worker.tasks if task.awaits and task.is_ready]
        self.happened["sent again"] += worker.producer.send_again(unread)
        if not self._workers or random.random() < 0.5:
            self._workers.append(self._group.new_worker())
        self.happened["zombie"] += 1
        self._rebalance()

    def doze(self) -> list[Zombie]:
        """The zombies that are awake; the others sleep on."""
        awake = [zombie for zombie in self.zombies if not zombie.asleep]
        for zombie in self.zombies:
            zombie.asleep = max(0, zombie.asleep - 1)
        return awake

    def haunted(self, zombie: Zombie) -> None:
        """It has taken a step."""
        zombie.steps -= 1
        self.happened["zombie steps"] += 1
        if zombie.steps <= 0:
            self.zombies.remove(zombie)

    def _later(self) -> int:
        return self._weather.step + self._random.randint(50, 400)

    def _join_or_leave(self) -> None:
        if len(self._workers) > 1 and self._random.random() < 0.5:
            leaver = self._random.choice(self._workers)
            self._group.leave(leaver)
            self._workers.remove(leaver)
        else:
            self._workers.append(self._group.new_worker())
        self._rebalance()

    def _refuse(self, worker: Worker) -> None:
        """The worker finds out at the next checkpoint that waits for the record."""
        if worker.producer:
            worker.producer.refuse(self._random)
            self.happened["refused"] += 1

    def _slow(self) -> None:
        """The leader of some partition takes nothing for long: outputs, claims, checkpoints and
        the acknowledgements behind them wait."""
        topic = self._random.choice((*OUTPUTS, *CHANGELOGS.values()))
        for partition in range(self._group.partitions):
            self._log.slow[topic, partition] = self._later()

    def _deliver_again(self, worker: Worker) -> None:
        """The consumer goes back to what was committed."""
        if not worker.is_taking_over:
            for slot in worker.slots.values():
                for topic in slot.positions:
                    committed = self._log.committed[topic, slot.partition]
                    slot.positions[topic] = min(slot.positions[topic], committed)

    def _rebalance(self) -> None:
        self.happened["rebalance"] += 1
        self._group.rebalance()
