"""What an undisturbed run says: one process, no fault, large batches, the journal's advances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from stream.events import Records
from stream.model_stage import ModelStage
from stream.pipeline import RELEASE_EVERY, Pipeline
from stream.records import encode
from stream.replay import ReplayedJournal
from stream.replay import _valid as valid
from stream.wire import (
    Accepted,
    Activation,
    Idle,
    JournalEntry,
    MaturityDecision,
    Noticed,
    Renewed,
    Shed,
    decode_journal,
    encode_journal,
)
from tests.simulator.log import Entry, Log, Place
from tests.simulator.scenario import Scenario
from tests.simulator.slot import JOURNAL, SIDES
from tests.streams import Side, feed

_SIDE_ORDER: tuple[Side, Side] = ("predictions", "outcomes")
_REMEMBERED = 64  # answers
_LARGEST_BATCH = 30


@dataclass(frozen=True)
class Answer:
    alerts: dict[bytes, str]  # -> kind
    resolved: int
    renewed: int  # of these, because a new reference was accepted or deployed
    actions: list[bytes]
    escalated: int
    maturities: int  # decided
    dead_letters: list[bytes]
    firing: dict[str, bytes]
    last: dict[str, bytes]  # of each fingerprint
    ledger: dict[str, dict[str, int]]
    compared: dict[str, bytes]  # shadows and experiments, by what names them


class Oracle:
    """Remembers what it has said: many schedules share a stream, and so an answer, where nothing
    is idle or the same silences end alike."""

    def __init__(self) -> None:
        self._said: dict[Any, Answer] = {}

    def answer(self, scenario: Scenario, log: Log) -> Answer:
        entries = journal_of(log)
        key = scenario.name, decisions_of(entries)
        if key not in self._said:
            if len(self._said) >= _REMEMBERED:
                self._said.clear()
            self._said[key] = _answer(undisturbed(scenario, log, entries))
        return self._said[key]


def compared(models: Iterable[ModelStage]) -> dict[str, bytes]:
    """Where the comparisons of all models stand."""
    standing = [one for model in models for one in (*model.shadows(), *model.experiments())]
    names = ("model", "version", "experiment")
    return {" ".join(str(one.get(n, "-")) for n in names): encode(one) for one in standing}


def undisturbed(
    scenario: Scenario,
    log: Log,
    entries: list[tuple[int, JournalEntry]],
    random: Random | None = None,
) -> Pipeline:
    """`entries`: (offset, entry) of the journal, each partition in its order. `random` draws
    batches and an order of the partitions; without it all of one is fed, then all of the next."""
    replayed = ReplayedJournal(entries)
    pipeline = Pipeline(scenario.rules, scenario.partitions, release_every=RELEASE_EVERY)
    replayed.rules.begin(pipeline)
    replayed.rules.activate(pipeline)
    for side, records, is_last in _batches(scenario, log, random):
        for part in replayed.before(pipeline, side, records):
            feed(pipeline, side, part)
        if is_last:
            end_offset = log.end((SIDES[side], records.partition))
            replayed.rest(pipeline, side, records.partition, end_offset)
    pipeline.end_of_input(scenario.end_ms)
    return pipeline


def _batches(
    scenario: Scenario, log: Log, random: Random | None
) -> Iterator[tuple[Side, Records, bool]]:
    """(side, records, whether they are the last of their partition)."""
    left: dict[tuple[Side, int], int] = {
        (side, partition): 0 for side in _SIDE_ORDER for partition in range(scenario.partitions)
    }
    while left:
        side, partition = random.choice(list(left)) if random else next(iter(left))
        start = left[side, partition]
        place = SIDES[side], partition
        count = random.randint(1, _LARGEST_BATCH) if random else log.end(place)
        is_last = start + count >= log.end(place)
        if is_last:
            del left[side, partition]
        else:
            left[side, partition] = start + count
        yield side, _records(log, place, start, count), is_last


def journal_of(log: Log) -> list[tuple[int, JournalEntry]]:
    """All that was ever written there."""
    return _decoded(log.ever(JOURNAL))


def what_compaction_lost(log: Log) -> list[str]:
    """What the compacted journal says otherwise than all that was ever written there."""
    (silences, others), (all_silences, all_others) = (
        decisions_of(_decoded(entries)) for entries in (log.whole(JOURNAL), log.ever(JOURNAL))
    )
    left, ever = {*silences, *others}, {*all_silences, *all_others}
    found = [f"journal: compaction has lost {decision}" for decision in ever - left]
    return sorted(found + [f"journal: compaction has made {decision}" for decision in left - ever])


def _decoded(records: list[Entry]) -> list[tuple[int, JournalEntry]]:
    return [(r.offset, decode_journal(r.value)) for r in records if r.value is not None]


def decisions_of(entries: list[tuple[int, JournalEntry]]) -> tuple[tuple[Any, ...], ...]:
    """All of the journal that the answer depends on: of each silence how far it went, and the
    others as they are."""
    silences: dict[Any, int] = {}
    others: dict[Any, bytes] = {}  # what was said again is there twice
    for entry in valid(entries):
        if isinstance(entry, Idle):
            place = entry.partition, entry.side, entry.at_offset
            silences[place] = max(silences.get(place, 0), entry.watermark_ms)
        elif isinstance(entry, Shed):  # of one place the last counts
            at = entry.partition, entry.side, entry.at_offset, entry.what
            others[at] = encode_journal(msgspec.structs.replace(entry, epoch=0))
        elif isinstance(entry, Activation | Accepted | Renewed | Noticed):
            said = encode_journal(msgspec.structs.replace(entry, epoch=0))
            others[said] = said
    return tuple(sorted(silences.items())), tuple(others.values())


def _records(log: Log, place: Place, start: int, count: int) -> Records:
    entries = log.read(place, start, count)
    offsets, times = [e.offset for e in entries], [e.timestamp for e in entries]
    return Records(*place, offsets, times, [e.value for e in entries])


def _answer(pipeline: Pipeline) -> Answer:
    alerts = pipeline.sorted_alerts()
    return Answer(
        alerts={alert.value: alert.alert.kind for alert in alerts},
        renewed=sum("(a new reference was " in alert.alert.summary for alert in alerts),
        resolved=sum(alert.alert.status == "resolved" for alert in alerts),
        actions=[action.value for action in pipeline.actions],
        escalated=sum("; unacknowledged for" in alert.alert.summary for alert in alerts),
        maturities=sum(isinstance(decode_journal(v), MaturityDecision) for v in pipeline.journal),
        dead_letters=[letter.value for letter in pipeline.dead_letters],
        firing={a.fingerprint: encode(a) for a in pipeline.alert_stage.active()},
        last={alert.fingerprint: alert.value for alert in alerts},
        ledger=pipeline.ledger()["total"],
        compared=compared(pipeline.models),
    )
