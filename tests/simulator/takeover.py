"""Taking over partitions, as `stream.worker_assign` should: claim, read the journal to its end,
restore the newest epoch's checkpoint, say again what it has not passed of the journal, seal it
under the own epoch, then speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from stream import checkpoint
from stream.alert_stage import AlertStage
from stream.journal import journal_key
from stream.model_stage import ModelStage
from stream.source_stage import SourceStage
from stream.wire import Claim, JournalEntry, encode_journal
from tests.simulator.log import Promise
from tests.simulator.slot import (
    ALERTS,
    CHANGELOGS,
    INPUTS,
    JOURNAL,
    MODELS,
    SETTINGS,
    SIDES,
    SOURCES,
    Key,
    Slot,
    Steps,
    until,
)

if TYPE_CHECKING:
    from tests.simulator.worker import Worker


def take_over(worker: Worker, owned: list[Key]) -> Steps:
    """Claim, journal to its end, changelogs to their ends, restore, seal, speak.

    Whoever deletes has looked for claims after its manifest was acknowledged: a changelog that is
    read behind the claim has that manifest, which refers to nothing that is deleted.
    """
    tables = _tables(worker, owned)
    yield None
    claims = {
        (s, p): journaled(worker, p, Claim(s, p, worker.name), moment=worker.log.now)
        for s, p in owned
    }
    yield from until(claims.values())
    for partition in worker.journal_at:
        worker.tail(partition, worker.log.end((JOURNAL, partition)))
    if worker.protocol.claims_before_reading:
        tables = _tables(worker, owned)
    yield None
    for key, claim in claims.items():
        p = key[1]
        assert claim.offset is not None
        slot = worker.slots[key] = _restore(worker, key, claim.offset, tables[key])
        slot.inputs = [(topic, worker.log.part((topic, p))) for topic in slot.positions]
    slots = [worker.slots[key] for key in owned]
    if worker.protocol.reclaims:
        for stage, partition in owned:
            worker.fence((stage, partition), worker.journal.epoch(stage, partition) or 0)
    yield from _say_again(worker, slots)
    if worker.protocol.seals_first:
        yield from _seal_all(worker, slots)
    for slot in slots:
        if worker.slots.get(slot.key) is slot:
            _speak(worker, slot)
            yield None
    if not worker.protocol.seals_first:
        yield from _seal_all(worker, slots)
    yield from until([said for slot in slots for said in slot.outputs])
    for slot in slots:
        slot.spoken_at = {topic: len(part) for topic, part in slot.inputs}
        slot.positions = dict(slot.offsets)
    worker.takeovers -= 1


def journaled(worker: Worker, partition: int, entry: JournalEntry, moment: int = 0) -> Promise:
    key = journal_key(entry, moment)
    return worker.producer.send((JOURNAL, partition), encode_journal(entry), key=key)


def _say_again(worker: Worker, slots: list[Slot]) -> Steps:
    """What former owners journaled and no checkpoint holds yet, under keys of the new epoch."""
    said = [
        (slot, journaled(worker, slot.partition, replace(entry, epoch=slot.core.epoch)))
        for slot in slots
        for entry in slot.to_say_again
        if worker.protocol.says_again
    ]
    yield from until([promise for _, promise in said])
    for slot, promise in said:  # a claim before it voids it: the slot is lost then, unsealed
        assert promise.offset is not None
        worker.tail(slot.partition, promise.offset + 1 - worker.journal_at[slot.partition])
    for slot in slots:
        slot.to_say_again = []
        if worker.slots.get(slot.key) is not slot:
            continue
        worker.log.taken_over[JOURNAL, slot.partition].add(slot.core.epoch)


def _tables(worker: Worker, owned: list[Key]) -> dict[Key, dict[bytes, bytes | None]]:
    return {(s, p): worker.log.table((CHANGELOGS[s], p)) for s, p in owned}


def _seal_all(worker: Worker, slots: list[Slot]) -> Steps:
    for slot in slots:
        is_wanted = worker.protocol.seals_always or bool(slot.known_keys)
        if is_wanted and not slot.is_sealing and worker.slots.get(slot.key) is slot:
            yield from slot.seal(worker)


def _restore(worker: Worker, key: Key, epoch: int, table: dict[bytes, bytes | None]) -> Slot:
    stage, partition = key
    found = checkpoint.latest(table, stage, partition, worker.layout(stage))
    core = _core(worker, key, None if found is None else found.state)
    core.epoch = epoch
    offsets = dict.fromkeys(INPUTS[stage], 0) if found is None else dict(found.point.offsets)
    slot = Slot(stage, partition, core, offsets, positions=dict(offsets))
    slot.known_keys = checkpoint.keys_of(table, stage, partition)
    if found is not None:
        slot.kept = found.kept
    if stage == SOURCES:
        slot.due_idle = {side: [] for side in SIDES}
        for entry in worker.journal.idle_of(partition):
            if entry.at_offset >= offsets[SIDES[entry.side]]:
                slot.due_idle[entry.side].append((entry.at_offset, entry.watermark_ms))
        for due in slot.due_idle.values():
            due.sort()
    slot.sealed = dict(slot.offsets)
    slot.to_say_again = worker.decisions.unsealed(slot)
    worker.decisions.restore(slot)
    return slot


def _core(worker: Worker, key: Key, state: Mapping[str, bytes] | None) -> Any:
    (stage, partition), partitions = key, worker.scenario.partitions
    if stage == ALERTS:
        if state is None:
            return AlertStage(worker.rules, partitions)
        return AlertStage.restore(worker.rules, partitions, state)
    kind = SourceStage if stage == SOURCES else ModelStage
    if state is None:
        return kind(worker.rules, partition, partitions)
    return kind.restore(worker.rules, partition, partitions, state)


def _speak(worker: Worker, slot: Slot) -> None:
    """Under the new epoch."""
    if slot.stage == SOURCES:
        for decision in worker.journal.maturities():
            worker.learn_one(slot, decision)
    only = SETTINGS.topics.alerts_state if slot.stage == ALERTS else None
    worker.perform(slot, slot.core.announce(), only)
    if slot.stage == SOURCES:
        for side, topic in SIDES.items():
            worker.apply_idle(slot, side, slot.offsets[topic])
        worker.end_input(slot)
    if slot.stage == MODELS and worker.protocol.repeats_decisions:
        worker.perform(slot, slot.core.repeat_decisions(worker.journal.maturities()))
