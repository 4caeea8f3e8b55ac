"""Nobody deletes a blob that a successor refers to: the two ways in which it could happen."""

from __future__ import annotations

from random import Random

import pytest

from stream.checkpoint import CheckpointError
from tests.simulator.group import Group
from tests.simulator.log import Log
from tests.simulator.scenario import calm
from tests.simulator.slot import SIDES
from tests.simulator.worker import Protocol, Worker


class Story:
    """Workers that own everything in turn, each step told."""

    def __init__(self, protocol: Protocol) -> None:
        scenario = calm()
        self.random = Random(1)
        self.log = Log()
        self.group = Group(scenario, self.random, self.log, protocol)
        for side, partition, (timestamp, value) in scenario.arrivals:
            self.log.append((SIDES[side], partition), value, timestamp=timestamp)

    def owner(self) -> Worker:
        worker = self.group.new_worker()
        worker.assign(self.group.keys)
        return worker

    def settle(self, worker: Worker) -> None:
        """Until it waits for nothing."""
        while worker.tasks or worker.producer:
            if worker.producer:
                worker.producer.deliver(self.random)
            if worker.ready:
                worker.step_task(self.random)

    def work_and_seal(self, worker: Worker, count: int) -> None:
        """Some records of each input, through all stages."""
        for _ in range(3):
            for slot in [*worker.slots.values()]:
                for topic in slot.positions:
                    worker.poll(slot, topic, count)
            self.settle(worker)
        for slot in [*worker.slots.values()]:
            worker.seal(slot)
        self.settle(worker)

    def deleted(self) -> int:
        records = [e for stage in (1, 2, 3) for e in self.log.whole(f"changelog-{stage}")]
        return sum(record.value is None for record in records)


def a_predecessor_deletes_between_recovery_and_claim(protocol: Protocol) -> None:
    story = Story(protocol)
    first = story.owner()
    story.settle(first)
    story.work_and_seal(first, 8)
    second = story.owner()
    second.step_task(story.random)  # its recovery has seen the changelogs
    before = story.deleted()
    for _ in range(4):
        story.work_and_seal(first, 8)
    assert story.deleted() > before
    story.settle(second)
    story.settle(story.owner())


def a_zombie_deletes_behind_the_claim_of_its_successor(protocol: Protocol) -> None:
    story = Story(protocol)
    first = story.owner()
    story.settle(first)
    story.work_and_seal(first, 8)
    story.settle(story.owner())
    for _ in range(4):
        story.work_and_seal(first, 8)
    story.settle(story.owner())


def test_what_a_predecessor_deletes_before_the_claim_is_seen_behind_it() -> None:
    a_predecessor_deletes_between_recovery_and_claim(Protocol())


def test_who_does_not_read_behind_its_claim_refers_to_blobs_that_are_gone() -> None:
    with pytest.raises(CheckpointError, match="is missing"):
        a_predecessor_deletes_between_recovery_and_claim(Protocol(claims_before_reading=False))


def test_a_zombie_asks_the_journal_before_it_deletes() -> None:
    a_zombie_deletes_behind_the_claim_of_its_successor(Protocol())


def test_a_zombie_that_does_not_ask_takes_blobs_from_its_successor() -> None:
    with pytest.raises(CheckpointError, match="is missing"):
        a_zombie_deletes_behind_the_claim_of_its_successor(Protocol(checks_before_deleting=False))
