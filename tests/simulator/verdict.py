"""Whether a run, whatever happened to it, says what an undisturbed run of the same events says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from stream.pipeline import add_ledgers, imbalance
from stream.records import encode
from stream.wire import Noticed
from tests.simulator.log import Log
from tests.simulator.oracle import Answer, Oracle, compared, journal_of, what_compaction_lost
from tests.simulator.simulation import Run
from tests.simulator.slot import ALERTS, MODELS, SETTINGS, SOURCES

TOPICS = SETTINGS.topics
_oracle = Oracle()


def faults_of(run: Run) -> list[str]:
    """What differs from the undisturbed run; empty: nothing."""
    answer = _oracle.answer(run.scenario, run.log)
    told = _values(run.log, TOPICS.alerts)
    _count(run, answer, told)
    other_rules = _by_other_rules(run, TOPICS.alerts, answer.alerts)
    other_actions = _by_other_rules(run, TOPICS.actions, answer.actions)
    other_states = _by_other_rules(run, TOPICS.alerts_state, answer.alerts)
    run.happened["said late, by other rules"] += len(other_rules)
    run.happened["asked late, by other rules"] += len(other_actions)
    ledgers = [s.core.ledger() for s in run.slots.values() if s.stage == SOURCES]
    letters = _letters(_values(run.log, TOPICS.dead_letters))
    firing = {a.fingerprint: encode(a) for a in run.slots[ALERTS, 0].core.active()}
    found = [
        *_differing("alerts", _named(set(told) - other_rules), _named(answer.alerts)),
        *_of_actions(run.log, answer, other_actions),
        *_differing("dead letters", letters, _letters(answer.dead_letters)),
        *_differing("firing", firing, answer.firing),
        *_differing("alerts.state", _last_writes(run.log, other_states), answer.last),
        *what_compaction_lost(run.log),
        *(f"ledger: {line}" for ledger in ledgers for line in imbalance(ledger)),
    ]
    models = [s.core for s in run.slots.values() if s.stage == MODELS]
    found += _differing("compared", compared(models), answer.compared)
    run.happened["compared"] += len(answer.compared)
    total = add_ledgers(ledgers)
    if total != answer.ledger:
        found.append(f"ledger {total}, undisturbed {answer.ledger}")
    return found


def _by_other_rules(run: Run, topic: str, known: Collection[bytes]) -> set[bytes]:
    """What replaced owners of stage 3 said when other rules had come into force elsewhere, or an
    alert had been acknowledged: nobody can keep a frozen process from that. All that the
    undisturbed run says is to be there beside it."""
    if run.scenario.change is None and run.scenario.notice is None:
        return set()
    place = topic, 0
    late = {entry.value for entry in run.log.part(place) if (place, entry.offset) in run.log.late}
    return {value for value in late if value is not None} - {*known}


def _count(run: Run, answer: Answer, told: list[bytes]) -> None:
    happened, ledger = run.happened, answer.ledger
    happened["alerts"] += len(answer.alerts)
    happened["performance alerts"] += list(answer.alerts.values()).count("performance")
    happened["resolved"] += answer.resolved
    noticed = {e.announced_at for _, e in journal_of(run.log) if isinstance(e, Noticed)}
    happened["notices"] += len(noticed)
    happened["requests"] += len(answer.actions)
    happened["escalated"] += answer.escalated
    happened["ended by a renewal"] += answer.renewed
    happened["against training"] += sum(b" against training" in alert for alert in answer.alerts)
    happened["maturities"] += answer.maturities
    happened["repeated alerts"] += len(told) - len(set(told))
    for side in ledger.values():
        for term in ("dead_lettered", "duplicate", "future", "late", "shed"):
            happened[term] += side[term]


def _differing(what: str, got: dict[Any, bytes], wanted: dict[Any, bytes]) -> list[str]:
    found = [f"{what}: missing {key}" for key in wanted.keys() - got.keys()]
    found += [f"{what}: {key} is not in the undisturbed run" for key in got.keys() - wanted.keys()]
    both = got.keys() & wanted.keys()
    found += [
        f"{what}: {key}: {got[key]!r} != {wanted[key]!r}" for key in both if got[key] != wanted[key]
    ]
    return sorted(found)


def _named(values: Iterable[bytes]) -> dict[tuple[str, str, int, str], bytes]:
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


def _of_actions(log: Log, answer: Answer, other: set[bytes]) -> list[str]:
    """Requests; each may be there more than once."""
    said = {value: value for value in _values(log, TOPICS.actions) if value not in other}
    return _differing("actions", said, {value: value for value in answer.actions})


def _letters(values: Iterable[bytes]) -> dict[tuple[str, int, int, int], bytes]:
    """By the record that each is about; a record has one letter, however often it is written."""
    named: dict[tuple[str, int, int, int], bytes] = {}
    counts: Counter[tuple[str, int, int]] = Counter()
    for value in sorted(set(values)):
        letter = json.loads(value)
        name = letter["topic"], letter["partition"], letter["offset"]
        counts[name] += 1
        named[(*name, counts[name])] = value
    return named


def _values(log: Log, topic: str) -> list[bytes]:
    return [entry.value for entry in log.whole(topic) if entry.value is not None]


def _last_writes(log: Log, other: set[bytes]) -> dict[str, bytes]:
    """The compacted topic as any reader sees it: of each key, what stands last. `other`: what was
    said by other rules, which the owner takes for its own where it is further."""
    written = [e for e in log.whole(TOPICS.alerts_state) if e.value not in other]
    return {e.key.decode(): e.value for e in written if e.key is not None and e.value is not None}
