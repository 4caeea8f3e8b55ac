"""What fuzzing begins from: what producers send, and what the stages say to each other of it."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np

from stream import checkpoint, control
from stream.blobs import decompressed
from stream.columns import Rows
from stream.deployment import of_source, sealed
from stream.events import Effect, Records, ToPanes
from stream.identity import hash_ids
from stream.notices import Notice
from stream.numbering import content
from stream.panes import summarise
from stream.reference import Reference
from stream.renewals import Renewal
from stream.rule_book import ConfigChange
from stream.rules import ReferenceRule, Rules
from stream.snapshot import unpack
from stream.source_stage import SourceStage
from stream.wire import (
    Accepted,
    Activation,
    Block,
    Claim,
    Finding,
    Founding,
    Fragment,
    Idle,
    JournalEntry,
    MaturityDecision,
    Noticed,
    Progress,
    Renewed,
    Shed,
    encode_finding,
    encode_journal,
    encode_pane_record,
)
from tests.cells import feature_columns
from tests.fuzz.targets import CHECKPOINT, PANE_RECORDS, RECORD_END, RULES
from tests.streams import (
    SMALL,
    TOPIC,
    Stream,
    dealt,
    draw_events,
    outcome,
    prediction,
    run,
    value_of,
    with_maturity,
)

HEADER = 6
SAID: dict[str, Any] = {"label": "a", "score": 0.5, "value": -1.5, "probabilities": {"a": 0.5}}
FEATURES = {"x": 1.5e-3, "n": None, "t": "größe", "b": True, "l": [1, {"a": 2}]}
TIMES = (1_000, "2026-11-22T10:00:00.123456Z", "2026-11-22t10:00:00-05:30")
CONFIGURATION = b"""\
app: fuzz
kafka: {bootstrap: "localhost:9092"}
pane: 10s
outcomes: {maturity: auto, horizon: 30d}
reference: {predictions: 1000, span: 1d}
models:
  fraud: {owners: {accountable: risk}, runbook_url: "https://example.org", maturity: 14d}
"""


_NOTICE = Notice("acknowledgement", 1_000, alert_id="a", by="ann", note="on it")


def seeds(target: str) -> list[bytes]:
    """Inputs of one target; deterministic."""
    match target:
        case "predictions":
            return [value_of(event) for event in _predictions()]
        case "outcomes":
            return [value_of(event) for event in _outcomes()]
        case "ledger" | "twins" | "batches" | "parsers":
            return [_mixed()]
        case "control":
            return _control()
        case "configuration":
            return [CONFIGURATION, b"pane: 1m\ngrace: 0s\n"]
        case "panes":
            return [_pane_input(record) for record in _pane_records()]
        case "findings" | "journal" | "state" | "deployed":
            made = {
                "findings": _findings,
                "journal": _journal,
                "state": _stage_states,
                "deployed": lambda: [one.encode() for one in _deployed()],
            }
            return [record[HEADER:] for record in made[target]()]
        case "checkpoint":
            manifest = list(CHECKPOINT.values())[-1]
            table = decompressed(unpack(b"K", checkpoint.VERSION, manifest)["table"])
            blob = next(iter(CHECKPOINT.values()))
            return [b"\x00" + manifest[HEADER:], b"\x01" + table[HEADER:], b"\x02" + blob]
        case "torn":
            return [*_pane_records()[-4:], *_findings()[:2], *_journal()]
    raise ValueError(f"no seeds for {target}")


def _predictions() -> list[dict[str, Any]]:
    full = {"segment": {"c": "w"}, "feature_set": "f@7", "latency_ms": 12.3, "role": "shadow"}
    return [prediction("p", at, features=FEATURES, prediction=SAID, **full) for at in TIMES]


def _outcomes() -> list[dict[str, Any]]:
    actual = {"label": True, "value": 2.5}
    return [outcome("p", at, actual=actual, revision=3, retracted=True) for at in TIMES]


def _mixed() -> bytes:
    predictions, outcomes = draw_events(Random(1), 12)
    records = [(event["_arrival"], b"t", event) for event in predictions]
    records += [(event["_arrival"], b"o", event) for event in outcomes]
    raws = []
    for _, side, event in sorted(records, key=lambda record: record[0]):
        public = {name: value for name, value in event.items() if name[0] != "_"}
        raws.append(side + json.dumps(public).encode())
    return RECORD_END.join(raws)


def _small() -> Stream:
    return dealt(*draw_events(Random(3), 40), partitions=1)


def _said_to_panes(rules: Rules) -> list[bytes]:
    stage = SourceStage(rules, 0, 1)
    effects: list[Effect] = []
    for side, batch in _small().batches(Random(0), 1_000):
        effects += stage.predictions(batch) if side == "predictions" else stage.outcomes(batch)
    effects += stage.end_of_input(10**13)
    effects += stage.learn("m", 5_000)
    return [content(effect.value) for effect in effects if isinstance(effect, ToPanes)]


def _pane_records() -> list[bytes]:
    records = _said_to_panes(RULES) + _said_to_panes(with_maturity(RULES, "auto"))
    records.append(encode_pane_record(Fragment(0, 1, 2, b"part")))
    records.append(encode_pane_record(_block_of_a_table()))
    smallest: dict[tuple[bytes, int], bytes] = {}
    for record in sorted(records, key=len, reverse=True):
        smallest[record[:1], len(record) // 2_000] = record
    return list(smallest.values())


def _block_of_a_table() -> Block:
    texts: dict[int, str] = {}
    cells: list[dict[str, Any]] = [{"x": "größe", "y": 1.5}, {"x": None}, {"y": [1], "x": "b"}]
    columns = feature_columns(cells, "feature:", texts)
    ends = np.array([1_000, 1_000, 2_000])
    rows = Rows(ends, hash_ids("abc")[:, 0].copy(), columns, texts)
    group = ("m", "1", "champion", "")
    return Block(0, 1, "prediction", group, rows, summarise(rows, 1, 9))


def _pane_input(record: bytes) -> bytes:
    return bytes([PANE_RECORDS.index((record[:1], record[1]))]) + record[HEADER:]


def _findings() -> list[bytes]:
    group = ("m", "1", "champion", "")
    detail = {"estimate": 1.5, "evidence": {"a": [None, True]}}
    finding = Finding(1, 2, "cohort", 30, 20, group, "feature:x", "A", "drift", detail)
    return [encode_finding(finding), encode_finding(Progress(1, 4, 2, 10, 5))]


def _control() -> list[bytes]:
    offsets = {"leeway.predictions": {0: 5, 1: 7}}
    change = ConfigChange(1_000, RULES).encode()
    ends = control.encode(control.EndOfInput(1_000, offsets))
    given = tuple(sealed(one) for one in _deployed())
    announced = [Renewal(1_000, "m", "1").encode(), _NOTICE.encode()]
    announced += [Renewal(0, "m", "1", given, {"season": "none"}).encode()]
    return [ends, change, *announced, b'{"type":"other"}']


def _deployed() -> list[Reference]:
    """With numbers, values that buckets say too little of, and texts."""
    rules = replace(SMALL, maturity=1_000, reference=ReferenceRule(predictions=20, span_ms=1_000))
    found = run(rules, dealt(*draw_events(Random(5), 120, tidy=True, models=("m",)), 1)).references
    references = [Reference.decode(one.value) for one in found]
    mine = {one.kind: one for one in references if one.group == ("m", "1", "champion", "")}
    return [of_source(one, "training") for one in mine.values()]


def _journal() -> list[bytes]:
    entries: list[JournalEntry] = [
        Claim(1, 2, "worker"),
        Idle(1, 2, 3, "outcomes", 4, 5),
        MaturityDecision(2, 0, 9, "m", None, 7),
        MaturityDecision(2, 0, 9, "m", 8, 7),
        Shed(1, 2, 3, "predictions", 4, "pending", 2),
        Founding("hash", {"pane_ms": 1_000}),
        Activation(2, 0, 9, 5, "hash", 7, {"models": {}}),
        Accepted(1, 2, 3, "outcomes", 4, 5, "hash"),
        Renewed(2, 0, 9, 6, 7, "m", None),
        Renewed(2, 0, 9, 6, 7, "m", "1", [b"sealed"]),
        Noticed(3, 0, 9, 6, 7, _NOTICE),
    ]
    return [encode_journal(entry) for entry in entries]


def _stage_states() -> list[bytes]:
    stage = SourceStage(RULES, 0, 1)
    raws = [value for _, value in _small().predictions[0][:6]]
    stage.predictions(Records(TOPIC["predictions"], 0, list(range(6)), [None] * 6, list(raws)))
    return [part.captured()() for part in stage.snapshot()]
