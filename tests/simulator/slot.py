"""One stage of one partition, as its owner holds it; mirrors `stream.worker_slot`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from stream.blobs import Kept
from stream.checkpoint import Layout, Point, Writing
from stream.rules import Rules
from stream.settings import Settings
from stream.wire import Accepted
from tests.simulator.log import Entry, Log, Place, Producer, Promise, Refused

SETTINGS = Settings()
SOURCES, MODELS, ALERTS = 1, 2, 3
SIDES = {"predictions": SETTINGS.topics.predictions, "outcomes": SETTINGS.topics.outcomes}
PANES, FINDINGS, JOURNAL = (SETTINGS.internal_topic(n) for n in ("panes", "findings", "journal"))
CONTROL = SETTINGS.topics.control
OUTPUTS = (
    SETTINGS.topics.alerts,
    SETTINGS.topics.alerts_state,
    SETTINGS.topics.dead_letters,
    PANES,
    FINDINGS,
    JOURNAL,
)
CHANGELOGS = {stage: f"changelog-{stage}" for stage in (SOURCES, MODELS, ALERTS)}
INPUTS = {SOURCES: tuple(SIDES.values()), MODELS: (PANES,), ALERTS: (FINDINGS,)}

Key = tuple[int, int]
"""A stage and a partition of it."""
Steps = Iterator[Promise | None]
"""A task: each `next` is one step, between two of which a crash may fall; what it yields must be
settled before the next one."""


@dataclass(slots=True, eq=False)
class Task:
    """What a worker is in the middle of."""

    steps: Steps
    awaits: Promise | None = None
    is_done: bool = False

    @property
    def is_ready(self) -> bool:
        return self.awaits is None or self.awaits.is_settled

    def step(self) -> None:
        """Raises Refused."""
        try:
            self.awaits = next(self.steps)
        except StopIteration:
            self.is_done = True


def until(promises: Iterable[Promise]) -> Steps:
    """Steps that wait until all are in the log. Raises Refused."""
    for promise in promises:
        if not promise.is_settled:
            yield promise
        if promise.is_refused:
            raise Refused


class Owner(Protocol):
    """What a slot needs of its worker."""

    producer: Producer
    log: Log

    def layout(self, stage: int) -> Layout: ...

    def may_delete(self, slot: Slot) -> bool: ...


@dataclass(slots=True)
class Slot:
    stage: int
    partition: int
    core: Any
    offsets: dict[str, int]  # next to apply, by topic
    positions: dict[str, int] = field(default_factory=dict)  # next to fetch
    sealed: dict[str, int] = field(default_factory=dict)  # of the last checkpoint
    spoken_at: dict[str, int] = field(default_factory=dict)  # ends of the inputs when it spoke
    due_idle: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    to_say_again: list[Any] = field(default_factory=list)  # under the new epoch
    due_accepted: dict[str, list[tuple[Accepted, Rules]]] = field(default_factory=dict)
    known_keys: list[bytes] = field(default_factory=list)  # in the changelog
    kept: Kept = field(default_factory=Kept)
    outputs: list[Promise] = field(default_factory=list)
    sequence: int = 0
    is_locked: bool = False  # an idle entry is on its way through the journal
    is_sealing: bool = False
    is_dirty: bool = False
    has_ended: bool = False
    inputs: list[tuple[str, list[Entry]]] = field(default_factory=list)  # in the log, as they grow

    @property
    def key(self) -> tuple[int, int]:
        return self.stage, self.partition

    @property
    def has_caught_up(self) -> bool:
        """Whether all is applied that a former owner can have been heard on."""
        return all(self.offsets[topic] >= end for topic, end in self.spoken_at.items())

    @property
    def may_seal(self) -> bool:
        return self.is_dirty and not (self.is_sealing or self.is_locked)

    def places(self) -> list[Place]:
        return [(topic, self.partition) for topic in self.offsets]

    def seal(self, owner: Owner) -> Steps:
        """Outputs acknowledged, blobs, manifest, then the sources: a crash between any two."""
        self.is_sealing, self.is_dirty = True, False
        self.sequence += 1
        parts, offsets = self.core.snapshot(), dict(self.offsets)
        outputs, self.outputs = self.outputs, []
        point = Point(self.stage, self.partition, self.core.epoch, self.sequence, offsets, 0)
        writing = Writing(point, parts, self.kept, owner.layout(self.stage))
        producer, log = owner.producer, owner.log
        yield None
        yield from until(outputs)
        place = CHANGELOGS[self.stage], self.partition
        yield from until([producer.send(place, value, key=key) for key, value in writing.blobs()])
        key, value = writing.manifest()
        yield from until([producer.send(place, value, key=key)])
        for topic, offset in offsets.items():
            log.commit((topic, self.partition), offset)
            yield None
        live = writing.keys()
        garbage = [key for key in self.known_keys if key not in live]
        self.kept, self.known_keys, self.sealed = writing.kept, live, offsets
        yield None
        if owner.may_delete(self):
            yield None
            self.outputs += [producer.send(place, None, key=key) for key in garbage]
        self.is_sealing = False
