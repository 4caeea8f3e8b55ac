"""What a run said, against the undisturbed pipeline over the records of the same topics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from stream.events import ToAlerts
from stream.pipeline import Pipeline, imbalance
from stream.wire import Claim, Idle, decode_journal
from tests.integration.job import Job

Ledgers = dict[str, dict[str, dict[str, int]]]


@dataclass
class Judgement:
    wrong: list[str] = field(default_factory=list)
    """Empty: everything is as it must be."""
    figures: dict[str, Any] = field(default_factory=dict)


async def judge(job: Job, ledgers: Ledgers, end_ms: int, until_ms: int | None = None) -> Judgement:
    """After all workers have ended. `ledgers`: what they last said; `until_ms`: Unix time of that,
    what was journaled later counts no more."""
    pipeline = await job.expected(end_ms, until_ms)
    found = Judgement()
    _ledger(ledgers, pipeline, found)
    await _alerts(job, pipeline, found)
    await _alert_states(job, pipeline, found)
    await _side_outputs(job, pipeline, found)
    await _journal(job, found)
    return found


async def _alerts(job: Job, pipeline: Pipeline, found: Judgement) -> None:
    expected = {alert.alert.id: alert.value for alert in pipeline.alerts}
    records = (await job.read(job.settings.topics.alerts, 1))[0]
    emitted: dict[str, bytes] = {}
    for record in records:
        identity = orjson.loads(record.value)["id"]
        if emitted.setdefault(identity, record.value) != record.value:
            found.wrong.append(f"alert {identity} was emitted with other bytes: {record.value!r}")
    for identity in sorted(expected.keys() ^ emitted.keys()):
        kind = "missing" if identity in expected else "too much"
        value = expected.get(identity) or emitted[identity]
        found.wrong.append(f"alert {kind}: {value.decode()}")
    for identity in sorted(expected.keys() & emitted.keys()):
        if expected[identity] != emitted[identity]:
            found.wrong.append(f"alert differs: {emitted[identity]!r} {expected[identity]!r}")
    found.figures |= {"alerts": len(expected), "alert_records": len(records)}


async def _alert_states(job: Job, pipeline: Pipeline, found: Judgement) -> None:
    """The last state of every fingerprint: the record of the newest epoch says the truth, and
    so does the one written last, which is all that compaction leaves."""
    truth: dict[str, ToAlerts] = {a.fingerprint: a for a in pipeline.sorted_alerts()}
    by_epoch: dict[str, tuple[int, bytes]] = {}
    last: dict[str, bytes] = {}
    stale = newest = 0
    for record in (await job.read(job.settings.topics.alerts_state, 1))[0]:
        key, epoch = record.key.decode(), int(dict(record.headers)["epoch"])
        stale += epoch < newest
        newest = max(newest, epoch)
        last[key] = record.value
        if epoch >= by_epoch.get(key, (0, b""))[0]:
            by_epoch[key] = epoch, record.value
    if truth.keys() != by_epoch.keys():
        found.wrong.append(f"alerts.state: {len(by_epoch)} fingerprints, not {len(truth)}")
    for key in sorted(truth.keys() & by_epoch.keys()):
        if by_epoch[key][1] != truth[key].value:
            found.wrong.append(f"alerts.state by epoch: {by_epoch[key]!r} {truth[key].value!r}")
    outdated = [key for key in truth if key in last and last[key] != truth[key].value]
    found.wrong += [f"alerts.state by last write: {last[key]!r}" for key in outdated]
    found.figures |= {"states": len(truth), "stale_writes": stale}


async def _side_outputs(job: Job, pipeline: Pipeline, found: Judgement) -> None:
    """Dead letters and references: at least once each, and nothing else."""
    letters = await job.read(job.settings.topics.dead_letters, job.partitions)
    written = {record.value for records in letters.values() for record in records}
    _compare("dead letter", written, {e.value for e in pipeline.dead_letters}, found)
    topic = job.settings.internal_topic("references")
    sealed = {(r.key, r.value) for r in (await job.read(topic, 1))[0]}
    _compare("reference", sealed, {(e.key, e.value) for e in pipeline.references}, found)
    found.figures |= {"dead_letters": len(pipeline.dead_letters), "references": len(sealed)}


def _compare(what: str, written: set[Any], expected: set[Any], found: Judgement) -> None:
    for name, values in (("missing", expected - written), ("too much", written - expected)):
        if values:
            found.wrong.append(f"{what}: {len(values)} {name}, such as {_first(values)}")


def _first(values: Iterable[Any]) -> str:
    return repr(min(values))[:300]


async def _journal(job: Job, found: Judgement) -> None:
    """How often partitions changed hands, and what was decided by a clock."""
    topic = job.settings.internal_topic("journal")
    records = [r for some in (await job.read(topic, job.partitions)).values() for r in some]
    entries = [decode_journal(record.value) for record in records if record.value is not None]
    found.figures |= {
        "claims": sum(isinstance(entry, Claim) for entry in entries),
        "idle_entries": sum(isinstance(entry, Idle) for entry in entries),
    }


def _ledger(ledgers: Ledgers, pipeline: Pipeline, found: Judgement) -> None:
    whole = pipeline.ledger()["partitions"]
    for partition, ledger in enumerate(whole):
        said = ledgers.get(str(partition))
        if said != ledger:
            found.wrong.append(f"ledger of partition {partition}: {said}, not {ledger}")
        found.wrong += [f"ledger of partition {partition}: {e}" for e in imbalance(said or ledger)]
    found.figures["events"] = sum(t["consumed"] for one in whole for t in one.values())
    found.figures["late"] = sum(one["predictions"]["late"] for one in whole)
