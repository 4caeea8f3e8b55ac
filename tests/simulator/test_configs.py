"""A configuration announced too late: what has been said is not said again by other rules."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from stream.rule_book import ConfigChange
from stream.rules import ModelRule
from stream.wire import Founding, encode_journal
from tests.simulator.group import Group
from tests.simulator.log import Log
from tests.simulator.scenario import calm
from tests.simulator.slot import CONTROL, JOURNAL, SETTINGS, SIDES
from tests.simulator.worker import Protocol, Worker

CALM = calm()
OTHER = replace(CALM.rules, models={"m": ModelRule(runbook_url="https://runbooks.example/m")})
CHANGE = ConfigChange(0, OTHER)  # in force since long


class Story:
    def __init__(self, protocol: Protocol) -> None:
        self.random, self.log = Random(1), Log()
        rules = CALM.rules
        founding = Founding(rules.config_hash(), rules.to_plain())
        self.log.append((JOURNAL, 0), encode_journal(founding))
        for side, partition, (timestamp, value) in CALM.arrivals:
            self.log.append((SIDES[side], partition), value, timestamp=timestamp)
        self.group = Group(replace(CALM, change=CHANGE), self.random, self.log, protocol)

    def owner(self) -> Worker:
        """Of everything, from the checkpoints on."""
        worker = self.group.new_worker()
        worker.assign(self.group.keys)
        self.settle(worker)
        return worker

    def settle(self, worker: Worker) -> None:
        while worker.tasks or worker.producer:
            if worker.producer:
                worker.producer.deliver(self.random)
            if worker.ready:
                worker.step_task(self.random)

    def work(self, worker: Worker) -> None:
        """Until there is nothing more to read; no checkpoint is written."""
        for slot in worker.slots.values():
            for topic, part in slot.inputs:
                while slot.positions[topic] < len(part):
                    worker.poll(slot, topic, 5)
                    self.settle(worker)
        for partition in worker.behind_in_journal():
            worker.tail(partition, 99)
        while worker.has_to_learn:
            worker.learn()
            self.settle(worker)

    def all_work(self, worker: Worker) -> None:
        worker.hear_the_end()
        for _ in range(3):  # stage by stage, and the cohorts that a maturity lets go
            self.work(worker)

    def told(self) -> list[bytes | None]:
        return [entry.value for entry in self.log.whole(SETTINGS.topics.alerts)]


def told_by_two(protocol: Protocol) -> list[bytes | None]:
    """What an owner says, and its successor that hears of a change before it has caught up."""
    story = Story(protocol)
    story.all_work(story.owner())
    assert len(story.told()) == 2
    story.log.append((CONTROL, 0), CHANGE.encode())
    successor = story.owner()
    if successor.decisions.has_to_look:
        successor.decisions.look()
        story.settle(successor)
    story.all_work(successor)
    assert len(story.told()) == 4, "at least once: nothing was sealed"
    return story.told()


def test_an_owner_that_has_caught_up_first_says_the_same_again() -> None:
    assert len(set(told_by_two(Protocol()))) == 2


def test_an_owner_that_has_not_signs_the_same_alerts_by_other_rules() -> None:
    """The simulator sees what it is there to see."""
    assert len(set(told_by_two(Protocol(activates_caught_up=False)))) == 4
