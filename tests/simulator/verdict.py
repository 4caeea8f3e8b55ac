"""Whether a run, whatever happened to it, says what an undisturbed run of the same events says."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from stream.events import Records
from stream.journal import Journal
from stream.pipeline import Pipeline, add_ledgers, imbalance
from stream.records import encode
from stream.replay import ReplayedJournal
from stream.wire import JournalEntry, decode_journal
from tests.simulator.log import Entry, Log
from tests.simulator.scenario import Scenario
from tests.simulator.simulation import Run
from tests.simulator.slot import ALERTS, JOURNAL, SETTINGS, SIDES, SOURCES
from tests.streams import Side, feed

TOPICS = SETTINGS.topics
SIDE_ORDER: tuple[Side, Side] = ("predictions", "outcomes")


def undisturbed(scenario: Scenario, log: Log) -> Pipeline:
    """One process, no fault, large batches, and the advances that the journal holds."""
    entries: list[tuple[int, JournalEntry]] = []
    journal = Journal()
    for record in log.whole(JOURNAL):
        assert record.value is not None
        entry = decode_journal(record.value)
        journal.add(record.offset, entry)
        entries.append((record.offset, entry))
    replayed = ReplayedJournal(entries)
    pipeline = Pipeline(scenario.rules, scenario.partitions)
    for side in SIDE_ORDER:
        for partition in range(scenario.partitions):
            records = _records(log, side, partition)
            for part in replayed.before(pipeline, side, records):
                feed(pipeline, side, part)
            for idle in journal.idle_of(partition):
                if idle.side == side and idle.at_offset >= len(records.values):
                    pipeline.advance(partition, side, idle.watermark_ms)
    pipeline.end_of_input(scenario.end_ms)
    return pipeline


def _records(log: Log, side: Side, partition: int) -> Records:
    place = SIDES[side], partition
    entries = log.read(place, 0, log.end(place))
    offsets, times = [e.offset for e in entries], [e.timestamp for e in entries]
    return Records(*place, offsets, times, [e.value for e in entries])


def faults_of(run: Run) -> list[str]:
    """What differs from the undisturbed run; empty: nothing."""
    pipeline = undisturbed(run.scenario, run.log)
    expected = {alert.value for alert in pipeline.alerts}
    told = [entry.value for entry in run.log.whole(TOPICS.alerts) if entry.value is not None]
    run.happened["alerts"] += len(expected)
    run.happened["resolved"] += sum(a.alert.status == "resolved" for a in pipeline.alerts)
    run.happened["repeated alerts"] += len(told) - len(set(told))
    state, last = _state(run.log), {f: alert.value for f, alert in _last(pipeline).items()}
    run.happened["alerts.state by last write stale"] += _last_writes(run.log) != last
    ledgers = [s.core.ledger() for s in run.slots.values() if s.stage == SOURCES]
    alert_stage = run.slots[ALERTS, 0].core
    found = [
        *_differing("alerts", _named(told), _named(expected)),
        *_differing("dead letters", _letters(_dead(run.log)), _letters(_expected_dead(pipeline))),
        *_differing("firing", _firing(alert_stage), _firing(pipeline.alert_stage)),
        *_differing("alerts.state", state, last),
        *(f"ledger: {line}" for ledger in ledgers for line in imbalance(ledger)),
    ]
    total, wanted = add_ledgers(ledgers), pipeline.ledger()["total"]
    if total != wanted:
        found.append(f"ledger {total}, undisturbed {wanted}")
    return found


def _differing(what: str, got: dict[Any, bytes], wanted: dict[Any, bytes]) -> list[str]:
    found = [f"{what}: missing {key}" for key in wanted.keys() - got.keys()]
    found += [f"{what}: {key} is not in the undisturbed run" for key in got.keys() - wanted.keys()]
    both = got.keys() & wanted.keys()
    found += [
        f"{what}: {key}: {got[key]!r} != {wanted[key]!r}" for key in both if got[key] != wanted[key]
    ]
    return sorted(found)


def _named(values: Any) -> dict[tuple[str, str, int, str], bytes]:
    """By what names an alert; two that differ in their bytes have two places here."""
    named: dict[tuple[str, str, int, str], bytes] = {}
    counts: Counter[tuple[str, str, int]] = Counter()
    for value in sorted(set(values)):
        alert = json.loads(value)
        name = alert["fingerprint"], alert["starts_at"], alert["sequence"]
        counts[name] += 1
        label = alert["alertname"] + ("" if counts[name] == 1 else f" again {counts[name]}")
        named[(*name, label)] = value
    return named


def _firing(stage: Any) -> dict[str, bytes]:
    return {alert.fingerprint: encode(alert) for alert in stage.active()}


def _last(pipeline: Pipeline) -> dict[str, Any]:
    return {alert.fingerprint: alert for alert in pipeline.alerts}


def _state(log: Log) -> dict[str, bytes]:
    """The compacted topic as a reader sees it who keeps, of each key, the newest epoch's last."""
    newest: dict[str, Entry] = {}
    for entry in log.whole(TOPICS.alerts_state):
        assert entry.key is not None
        before = newest.get(entry.key.decode())
        if before is None or entry.epoch >= before.epoch:
            newest[entry.key.decode()] = entry
    return {key: entry.value for key, entry in newest.items() if entry.value is not None}


def _last_writes(log: Log) -> dict[str, bytes]:
    """The compacted topic as any reader sees it."""
    written = log.whole(TOPICS.alerts_state)
    return {e.key.decode(): e.value for e in written if e.key is not None and e.value is not None}


def _dead(log: Log) -> list[bytes]:
    return [entry.value for entry in log.whole(TOPICS.dead_letters) if entry.value is not None]


def _expected_dead(pipeline: Pipeline) -> list[bytes]:
    return [letter.value for letter in pipeline.dead_letters]


def _letters(values: list[bytes]) -> dict[tuple[str, int, int], bytes]:
    letters = {}
    for value in sorted(set(values)):
        letter = json.loads(value)
        letters[letter["topic"], letter["partition"], letter["offset"]] = value
    return letters
