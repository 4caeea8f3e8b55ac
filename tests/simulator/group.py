"""The consumer group: who is in it, and who owns what."""

from __future__ import annotations

from random import Random

from tests.simulator.log import Log, Refused
from tests.simulator.scenario import Scenario
from tests.simulator.slot import ALERTS, MODELS, SOURCES, Key
from tests.simulator.worker import Protocol, Worker


class Group:
    """Eager, as Faust's: at each rebalance everything leaves everybody and is dealt anew."""

    def __init__(self, scenario: Scenario, random: Random, log: Log, protocol: Protocol) -> None:
        self.keys = [(s, p) for s in (SOURCES, MODELS) for p in range(scenario.partitions)]
        self.keys.append((ALERTS, 0))
        self.partitions = scenario.partitions
        self._scenario = scenario
        self._random = random
        self._log = log
        self._protocol = protocol
        self._names = 0
        self.workers = [self.new_worker() for _ in range(scenario.workers)]

    def new_worker(self) -> Worker:
        self._names += 1
        return Worker(f"w{self._names}", self._scenario, self._log, self._protocol)

    def rebalance(self) -> None:
        for worker in self.workers:
            self.leave(worker)
        self.assign()

    def leave(self, worker: Worker) -> None:
        """Revoked: checkpoints as far as the time goes, from nothing to all of them."""
        slots = [] if worker.is_taking_over else list(worker.slots.values())
        for slot in slots:
            if slot.may_seal:
                worker.seal(slot)
        try:
            self._hurry(worker, self._random.choice((0, 0, 15, 60, 400)))
        except Refused:
            self._log.note("not sealed", worker.name)  # the next owner begins before it
        worker.revoke()

    def _hurry(self, worker: Worker, steps: int) -> None:
        for _ in range(steps):
            if worker.producer and self._random.random() < 0.7:
                worker.producer.deliver(self._random)
            elif worker.ready:
                worker.step_task(self._random)
            elif not worker.producer:
                return

    def assign(self) -> None:
        owned: dict[str, list[Key]] = {worker.name: [] for worker in self.workers}
        for key in self.keys:
            owned[self._random.choice(self.workers).name].append(key)
        for worker in self.workers:
            if owned[worker.name]:
                worker.assign(owned[worker.name])
