"""One stage of one partition, as its owner holds it; mirrors `stream.worker_slot`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stream.blobs import Kept
from stream.checkpoint import Layout, Point, Writing
from stream.settings import Settings
from tests.simulator.log import Log, Place, Producer, Promise, Refused

SETTINGS = Settings()
SOURCES, MODELS, ALERTS = 1, 2, 3
SIDES = {"predictions": SETTINGS.topics.predictions, "outcomes": SETTINGS.topics.outcomes}
PANES, FINDINGS, JOURNAL = (SETTINGS.internal_topic(n) for n in ("panes", "findings", "journal"))
INPUTS = {SOURCES: tuple(SIDES.values()), MODELS: (PANES,), ALERTS: (FINDINGS,)}

Key = tuple[int, int]
"""A stage and a partition of it."""
Steps = Iterator[None]
"""A task: each `next` is one step, between two of which a crash may fall."""


def changelog(stage: int) -> str:
    return f"changelog-{stage}"


def until(promises: Iterable[Promise]) -> Steps:
    """Steps that wait until all are in the log. Raises Refused."""
    for promise in promises:
        while promise.offset is None:
            if promise.is_refused:
                raise Refused
            yield


@dataclass(slots=True)
class Slot:
    stage: int
    partition: int
    core: Any
    offsets: dict[str, int]  # next to apply, by topic
    positions: dict[str, int] = field(default_factory=dict)  # next to fetch
    due_idle: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    known_keys: list[bytes] = field(default_factory=list)  # in the changelog
    kept: Kept = field(default_factory=Kept)
    outputs: list[Promise] = field(default_factory=list)
    sequence: int = 0
    is_locked: bool = False  # an idle entry is on its way through the journal
    is_sealing: bool = False
    is_dirty: bool = False
    has_ended: bool = False

    @property
    def key(self) -> tuple[int, int]:
        return self.stage, self.partition

    def places(self) -> list[Place]:
        return [(topic, self.partition) for topic in self.offsets]

    def seal(self, producer: Producer, log: Log, layout: Layout) -> Steps:
        """Outputs acknowledged, blobs, manifest, then the sources: a crash between any two."""
        self.is_sealing, self.is_dirty = True, False
        self.sequence += 1
        parts, offsets = self.core.snapshot(), dict(self.offsets)
        outputs, self.outputs = self.outputs, []
        point = Point(self.stage, self.partition, self.core.epoch, self.sequence, offsets, 0)
        writing = Writing(point, parts, self.kept, layout)
        yield
        yield from until(outputs)
        place = changelog(self.stage), self.partition
        yield from until([producer.send(place, value, key=key) for key, value in writing.blobs()])
        key, value = writing.manifest()
        yield from until([producer.send(place, value, key=key)])
        for topic, offset in offsets.items():
            log.commit((topic, self.partition), offset)
            yield
        live = writing.keys()
        garbage = [key for key in self.known_keys if key not in live]
        self.kept, self.known_keys = writing.kept, live
        self.outputs += [producer.send(place, None, key=key) for key in garbage]
        self.is_sealing = False
