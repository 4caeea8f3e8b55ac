"""Going on from a checkpoint: a replay is then one more new owner of every partition.

The stages were sealed at different moments. What a stage had said before it was sealed and the
next one has not applied lies on the topic between them, numbered: everything up to the number that
the sealed speaker stood at is heard again, nothing behind it, for the replay says that itself,
under an epoch above all others. So it is what happens at every takeover, and exact for the same
reasons: panes, progress and findings that come twice are dropped by what was applied before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition

from stream import checkpoint
from stream.alert_stage import AlertStage
from stream.checkpoint import Checkpoint, CheckpointError, Layout
from stream.history import HistoryError
from stream.kafka_admin import changelog_topic
from stream.model_stage import ModelStage
from stream.numbering import Said, place_of
from stream.pipeline import Pipeline
from stream.settings import Settings
from stream.snapshot import BrokenRecordError
from stream.source_stage import SourceStage
from stream.topic_reader import fetch, first_at, must_be_there, new_consumer

SOURCES, MODELS, ALERTS = 1, 2, 3
_TABLES = {SOURCES: "sources", MODELS: "panes", ALERTS: "findings"}
_EPOCH = 2**62  # above every claim's

Sealed = Mapping[tuple[int, int], Checkpoint]
"""By stage and partition."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Stages restored, and where the replay goes on."""

    offsets: Mapping[tuple[str, int], int]  # next ones, by input topic and source partition
    sequences: dict[str, dict[str, int]]  # of the checkpoints, by stage and partition
    _findings: list[bytes]
    _panes: dict[int, list[bytes]]

    def take_over(self, pipeline: Pipeline) -> None:
        """Once the stages know all that must be known before they hear more.

        Raises HistoryError.
        """
        try:
            pipeline.take_over(_EPOCH, self._findings, self._panes)
        except BrokenRecordError as error:
            raise HistoryError(str(error)) from error


async def resume(settings: Settings, pipeline: Pipeline, before_ms: int) -> Resumed:
    """Restore every stage from the last checkpoint written before a time (of record timestamps);
    `Resumed.take_over` is to follow.

    Raises HistoryError where one is not left, or was written for other settings.
    """
    consumer = new_consumer(settings)
    await consumer.start()
    try:
        sealed = await _sealed(consumer, settings, before_ms)
        try:
            _restore(pipeline, settings, sealed)
            findings_topic, panes_topic = map(settings.internal_topic, ("findings", "panes"))
            findings = await _unheard(
                consumer,
                TopicPartition(findings_topic, 0),
                sealed[ALERTS, 0],
                [model.said(0) for model in pipeline.models],
            )
            panes = {
                q: await _unheard(
                    consumer,
                    TopicPartition(panes_topic, q),
                    sealed[MODELS, q],
                    [source.said(q) for source in pipeline.sources],
                )
                for q in range(settings.partitions)
            }
        except BrokenRecordError as error:
            raise HistoryError(str(error)) from error
    finally:
        await consumer.stop()
    offsets = {
        (topic, partition): offset
        for (stage, partition), found in sealed.items()
        if stage == SOURCES
        for topic, offset in found.point.offsets.items()
    }
    sequences: dict[str, dict[str, int]] = {name: {} for name in _TABLES.values()}
    for (stage, partition), found in sealed.items():
        sequences[_TABLES[stage]][str(partition)] = found.point.sequence
    return Resumed(offsets, sequences, findings, panes)


async def _sealed(consumer: Any, settings: Settings, before_ms: int) -> Sealed:
    sealed = {}
    for stage, table in _TABLES.items():
        topic = changelog_topic(settings, table)
        for partition in range(1 if stage == ALERTS else settings.partitions):
            tp = TopicPartition(topic, partition)
            records = await _changelog(consumer, tp, before_ms)
            try:
                found = checkpoint.latest(records, stage, partition, _layout(settings, stage))
            except CheckpointError as error:
                raise HistoryError(f"{topic}: {error}") from error
            if found is None:
                raise HistoryError(
                    f"{topic} partition {partition} has no checkpoint of before that time: none "
                    "was written yet, or compaction has removed it. Replay from the beginning"
                )
            sealed[stage, partition] = found
    return sealed


async def _changelog(consumer: Any, tp: Any, before_ms: int) -> dict[bytes, bytes | None]:
    """As a new owner found it at that time."""
    start, end = await _begin(consumer, tp)
    end = (await first_at(consumer, before_ms, {tp: end}, {tp: end}))[tp]
    records: dict[bytes, bytes | None] = {}
    await _each(consumer, tp, start, end, lambda r: records.update({r.key: r.value}))
    return records


def _layout(settings: Settings, stage: int) -> Layout:
    rules = settings.rules()
    return Layout(
        rules.state_hash(), settings.partitions, _inputs(settings, stage), rules.state_hash_of_0_1()
    )


def _inputs(settings: Settings, stage: int) -> tuple[str, ...]:
    if stage == SOURCES:
        return settings.topics.predictions, settings.topics.outcomes
    return (settings.internal_topic({MODELS: "panes", ALERTS: "findings"}[stage]),)


def _restore(pipeline: Pipeline, settings: Settings, sealed: Sealed) -> None:
    rules, count = pipeline.rules, settings.partitions
    payload = settings.dead_letters.payload
    for (stage, partition), found in sealed.items():
        if stage == SOURCES:
            pipeline.sources[partition] = SourceStage.restore(
                rules, partition, count, found.state, include_payload=payload
            )
        elif stage == MODELS:
            pipeline.models[partition] = ModelStage.restore(rules, partition, count, found.state)
        else:
            pipeline.alert_stage = AlertStage.restore(rules, count, found.state)


async def _unheard(consumer: Any, tp: Any, listener: Checkpoint, said: list[Said]) -> list[bytes]:
    """What each speaker had said here when it was sealed, from what the listener had applied when
    it was."""
    start = listener.point.offsets[tp.topic]
    first, end = await _begin(consumer, tp)
    must_be_there(tp, start, first, end)
    heard: list[bytes] = []

    def hear(record: Any) -> None:
        speaker, epoch, number = place_of(record.value)
        if (epoch, number) < said[speaker]:
            heard.append(record.value)

    await _each(consumer, tp, start, end, hear)
    return heard


async def _begin(consumer: Any, tp: Any) -> tuple[int, int]:
    """Its first offset and its end; it is assigned, and not fetched yet."""
    consumer.assign([tp])
    consumer.seek(tp, 0)
    consumer.pause(tp)
    first, end = await consumer.beginning_offsets([tp]), await consumer.end_offsets([tp])
    return first[tp], end[tp]


async def _each(consumer: Any, tp: Any, start: int, end: int, take: Callable[[Any], None]) -> None:
    consumer.seek(tp, start)
    consumer.resume(tp)
    while records := await fetch(consumer, tp, end):
        for record in records:
            take(record)
