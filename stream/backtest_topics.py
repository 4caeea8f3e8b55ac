"""A history on topics: what a live run read, and what it decided, again.

What a worker did between two records because a clock said so is in the journal, and is done again
at the same offsets. Ends of the input are on the control topic. Nothing else is closed: panes that
were open at the end of the range stay open, as they did live.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from stream import control
from stream.backtest_checkpoint import Resumed, resume
from stream.control import EndOfInput
from stream.events import DeadLetter, ToAlerts
from stream.history import BEFORE_ALL_MS, HistoryError, Meter
from stream.journal import read_whole
from stream.kafka_admin import AdminError, admin, live_topics
from stream.pipeline import Pipeline
from stream.reference import Reference
from stream.renewals import Renewal
from stream.replay import ReplayedJournal
from stream.settings import Settings
from stream.times import iso, moment_ms
from stream.topic_reader import Place, Range, Reader, find_ranges, new_consumer
from stream.wire import FINDING_KINDS, decode_journal


class TopicHistory:
    def __init__(
        self,
        settings: Settings,
        *,
        from_ms: int | None,
        to_ms: int | None,
        checkpoint_ms: int | None = None,
        journal: Path | None = None,
        deployed: Sequence[Renewal] = (),
    ) -> None:
        """Bounds are record timestamps, `to_ms` exclusive; see `find_ranges`. `checkpoint_ms`:
        begin at the last checkpoints of before then. `journal`: a file instead of the topic.
        `deployed`: references that come with versions, beside those of the live run.
        Raises OSError and ValueError for it."""
        self._settings = settings
        self._deployed = deployed
        self._checkpoint_ms = checkpoint_ms
        self._resumed: Resumed | None = None
        self._bounds_ms = (from_ms, to_ms)
        self._journal_file = journal
        self._journal_source = str(journal or settings.internal_topic("journal"))
        self._journal = (
            ReplayedJournal([])
            if journal is None
            else ReplayedJournal.read(journal, by_position=False)
        )
        self._ranges: dict[Place, Range] = {}
        self._ends: list[EndOfInput] = []  # applied
        self._fed = 0  # records; the ledger of a checkpoint has those of before it too
        self._remarks: list[str] = []

    def feed(self, pipeline: Pipeline, meter: Meter) -> None:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our one line says it
        try:
            asyncio.run(self._feed(pipeline, meter))
        except AdminError as error:
            raise HistoryError(str(error)) from error
        except (KafkaError, OSError) as error:
            raise HistoryError(f"{self._settings.kafka.bootstrap}: {error!r}") from error

    async def _feed(self, pipeline: Pipeline, meter: Meter) -> None:
        has_journal, has_control = await self._require_topics()
        if has_journal:
            await self._read_journal()
        self._journal.rules.begin(pipeline)
        offsets = None
        if self._checkpoint_ms is not None:
            self._resumed = await resume(self._settings, pipeline, self._checkpoint_ms)
            offsets = self._resumed.offsets
        consumer = new_consumer(self._settings)
        await consumer.start()
        try:
            self._ranges = await find_ranges(consumer, self._settings, *self._bounds_ms, offsets)
            # Behind the ranges: what was decided before a record of them is in the journal by now.
            if has_journal:
                await self._read_journal()
            self._journal.rules.begin(pipeline)
            self._journal.rules.activate(pipeline)
            pipeline.deploy(self._deployed)
            self._remarks += self._journal.rules.remarks()
            if self._resumed is not None:
                self._resumed.take_over(pipeline)
            ends = await self._read_ends() if has_control else []
            reader = Reader(consumer, self._ranges, pipeline, self._journal, meter)
            for end in ends:
                # Nothing behind an end is fed before it was applied.
                await reader.read({p: min(_offset(end, r), r.end) for p, r in self._items()})
                self._apply(end, pipeline)
            await reader.read({p: r.end for p, r in self._items()})
            self._fed = reader.fed
        finally:
            await consumer.stop()
        pipeline.release()

    # -- beside the input

    async def _require_topics(self) -> tuple[bool, bool]:
        """Whether there are a journal to read and a control topic."""
        topics, wanted = self._settings.topics, self._settings.partitions
        journal = self._settings.internal_topic("journal")
        inputs = (topics.predictions, topics.outcomes)
        async with admin(self._settings) as client:
            live = await live_topics(client, [*inputs, journal, topics.control])
        for name in inputs:
            if name not in live:
                raise HistoryError(f"topic {name} does not exist: `topics` names the input")
        for name in (*inputs, *({journal} & live.keys())):
            if live[name].partitions != wanted:
                raise HistoryError(
                    f"topic {name} has {live[name].partitions} partitions, and `partitions` is "
                    f"{wanted}: set it, or --partitions, to the count the topic has"
                )
        if self._journal_file is not None:
            return False, topics.control in live
        if journal not in live:
            self._journal_source = "none"
            self._remarks.append(f"no topic {journal}: no decision of a live run is replayed")
        return journal in live, topics.control in live

    async def _read_journal(self) -> None:
        values = await read_whole(self._settings, self._settings.internal_topic("journal"))
        self._journal = ReplayedJournal([(at, decode_journal(value)) for at, value in values])

    async def _read_ends(self) -> list[EndOfInput]:
        """Ends of the input that are not before the ranges, in the order of the control topic."""
        topic = self._settings.topics.control
        found = []
        for offset, value in await read_whole(self._settings, topic, 1):
            try:
                record = control.decode(value)
            except control.ControlError as error:
                self._remarks.append(f"{topic} {offset} is ignored, as by a worker: {error}")
                continue
            if isinstance(record, EndOfInput) and not self._is_before(record):
                found.append(record)
        return found

    def _is_before(self, end: EndOfInput) -> bool:
        if self._resumed is not None:
            return False  # as a new owner does, who does not know what was applied
        all_before = all(_offset(end, r) <= r.start for r in self._ranges.values())
        return all_before and not self.is_whole

    def _apply(self, end: EndOfInput, pipeline: Pipeline) -> None:
        for partition in range(self._settings.partitions):
            mine = [r for (_, of), r in self._items() if of == partition]
            if end.is_reached(partition, {r.tp.topic: r.reached for r in mine}):
                pipeline.end_of_source(partition, end.event_time_ms)
                self._ends.append(end)

    def _items(self) -> list[tuple[Place, Range]]:
        return list(self._ranges.items())

    # -- what there is to say

    @property
    def is_whole(self) -> bool:
        """Whether the ranges begin where the topics began."""
        return all(r.start == 0 for r in self._ranges.values())

    def facts(self, pipeline: Pipeline) -> dict[str, Any]:
        offsets: dict[str, dict[str, list[int]]] = {}
        for (_, partition), r in self._items():
            offsets.setdefault(r.tp.topic, {})[str(partition)] = [r.start, r.end]
        from_ms, to_ms = self._bounds_ms
        return {
            "events": self._fed,
            "future_check": "record timestamp",
            "from": None if from_ms is None else iso(from_ms),
            "to": None if to_ms is None else iso(to_ms),
            "offsets": offsets,
            "journal": {"source": self._journal_source, "decisions": self._journal.decisions},
            "end_of_input": bool(self._ends),
            "checkpoint": None if self._resumed is None else self._resumed.sequences,
            "warm_up": None if self.is_whole or self._resumed else warm_up(pipeline),
        }

    def remarks(self, facts: dict[str, Any]) -> list[str]:
        found = list(self._remarks)
        warm = facts["warm_up"]
        if warm is not None:
            sealed = (
                f"only of panes behind the references (of {len(warm['models'])} models, the last "
                f"sealed at {warm['until']})"
                if warm["models"]
                else "and not one reference was sealed"
            )
            found.append(
                "warm-up: this is not the beginning of the log; alerts are comparable with those "
                f"of a live run, never equal, {sealed}: {warm['alerts']} of {facts['alerts']} "
                "are of before"
            )
        if not self._ends:
            found.append("no end_of_input in the range: the last panes are left open")
        return found

    @staticmethod
    def place(letter: DeadLetter) -> dict[str, Any]:
        return {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}


def _offset(end: EndOfInput, r: Range) -> int:
    return end.offsets.get(r.tp.topic, {}).get(r.tp.partition, 0)


def warm_up(pipeline: Pipeline) -> dict[str, Any]:
    """From when each model and kind was watched against a reference sealed from the range itself;
    what was told of panes before came from windows that had only begun."""
    until: dict[tuple[str, str], int] = {}
    for sealed in pipeline.references:
        reference = Reference.decode(sealed.value)
        until.setdefault((reference.group[0], reference.kind), reference.end_ms)

    def is_early(told: ToAlerts) -> bool:
        kind = "cohort" if told.order[1] == FINDING_KINDS.index("cohort") else "prediction"
        until_ms = until.get((told.alert.model.id, kind), -BEFORE_ALL_MS)
        return moment_ms(told.alert.window.end) <= until_ms

    models: dict[str, dict[str, str]] = {}
    for (model_id, kind), until_ms in sorted(until.items()):
        models.setdefault(model_id, {})[kind] = iso(until_ms)
    return {
        "until": iso(max(until.values())) if until else None,
        "models": models,
        "alerts": sum(map(is_early, pipeline.alerts)),
    }
