"""What each decoder promises of any bytes whatever: a target takes bytes, and raises where the
promise is broken.

The bytes of sealed records are put behind a right header and checksum first, or no mutation would
ever come past the checksum.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

from stream import checkpoint, control, deployment, native, record_columns
from stream.blobs import Kept, compressed, decompressed
from stream.events import LATEST_MS, Outcome, Prediction, Records
from stream.judgement import label_text
from stream.numbering import Listener
from stream.profile import Profile
from stream.records import Decoded, decode_outcomes, decode_predictions
from stream.rule_book import ConfigChange, RefusedConfigError
from stream.rules import ModelRule
from stream.settings import SettingsError, load
from stream.snapshot import BrokenRecordError, Part, pack, packed, unpack
from stream.source_stage import SourceStage
from stream.unit_plan import Feature, units_of
from stream.unit_tilts import baseline_of
from stream.wire import (
    BLOCK_VERSION,
    VERSION,
    decode_finding,
    decode_journal,
    decode_pane_record,
    encode_finding,
    encode_journal,
    encode_pane_record,
)
from tests.oracle import reading
from tests.parsers import both
from tests.streams import SMALL, TOPIC, Side

RULES = replace(SMALL, max_record_bytes=4_000, max_features=8)
CROWDED = replace(RULES, pane_rows=1, pane_ms=20_000)
BY_CHANNEL = replace(RULES, models={"m": ModelRule(segments=(("channel",),))})
LIMITS = reading.Limits(RULES.max_record_bytes, RULES.max_features, frozenset())
REASONS = frozenset(
    {
        *("empty", "oversize", "not_json", "not_utf8", "not_finite", "too_deep", "missing_field"),
        *("wrong_type", "out_of_range", "invalid_time", "too_many_features", "no_prediction"),
        "no_actual",
    }
)
AT_MS = 1_763_800_000_500  # of the records that have a timestamp
RECORD_END = b"\x1e"
PANE_RECORDS = (
    (b"B", BLOCK_VERSION), (b"B", VERSION), (b"D", VERSION), (b"L", VERSION), (b"A", VERSION),
    (b"P", VERSION), (b"M", VERSION),
)  # fmt: skip
"""Magic and version of what stage 1 says to stage 2."""
LAYOUT = checkpoint.Layout(state_hash="abc", partitions=4, inputs=("predictions", "outcomes"))


def _written() -> dict[bytes, bytes]:
    """A small checkpoint; its manifest is the last record."""
    point = checkpoint.Point(1, 2, 10, 3, {"predictions": 5, "outcomes": 7}, 11)
    parts = [Part("state", None, lambda: b"a state"), Part("run-1", 1, lambda: b"rows")]
    writing = checkpoint.Writing(point, parts, Kept(), LAYOUT)
    return dict([*writing.blobs(), writing.manifest()])


CHECKPOINT = _written()


def predictions(data: bytes) -> None:
    """One record: an event just as the standard library's JSON has it, or a letter."""
    decoded = decode_predictions(_alone("predictions", data), RULES, include_payload=False)
    _event_or_letter(decoded.events, decoded.dead)
    read = _read(reading.read_prediction, data, bool(decoded.events))
    for event in decoded.events:
        assert read is not None
        assert decoded.time_ms.tolist() == [read.at]
        _same(event, read, ("prediction_id", "model_id", "role", "latency_ms", "feature_set"))
        _same(event.prediction, read, ("score", "value"))
        assert event.model_version == read.version
        assert _label(event.prediction.label) == read.label
        assert repr(event.features) == repr(read.features)


def outcomes(data: bytes) -> None:
    """As `predictions`."""
    decoded = decode_outcomes(_alone("outcomes", data), RULES, include_payload=True)
    _event_or_letter(decoded.events, decoded.dead)
    read = _read(reading.read_outcome, data, bool(decoded.events))
    for event in decoded.events:
        assert read is not None
        assert decoded.time_ms.tolist() == [read.observed_at]
        _same(event, read, ("prediction_id", "model_id", "revision", "retracted"))
        assert event.actual.value == read.value
        assert _label(event.actual.label) == read.label


def batches(data: bytes) -> None:
    """Records in one batch are judged as each of them alone; odd ones have other timestamps."""
    values: list[bytes | None] = [raw[1:] or None for raw in data.split(RECORD_END)[:60]]
    for side in TOPIC:
        whole = _batch(side, 0, values)
        alone = [
            Records(whole.topic, 0, [i], whole.timestamps_ms[i : i + 1], [value])
            for i, value in enumerate(values)
        ]
        decode: Callable[..., Decoded[Any]] = (
            decode_predictions if side == "predictions" else decode_outcomes
        )
        together = _told(decode(whole, RULES, include_payload=True))
        one_by_one = [_told(decode(record, RULES, include_payload=True)) for record in alone]
        assert together == [list(chain(*parts)) for parts in zip(*one_by_one, strict=True)]


def parsers(data: bytes) -> None:
    """The native parser reads what Python's reads, and leaves to it what it is not certain about:
    one record, and records beside each other in one batch."""
    if not native.IS_BUILT:
        return
    values: list[bytes | None] = [raw[1:] or None for raw in data.split(RECORD_END)[:60]]
    values.append(data)
    for side in TOPIC:
        for rules in (RULES, BY_CHANNEL):
            in_c, in_python = both(_batch(side, 0, values), side, rules)
            assert in_c == in_python


def twins(data: bytes) -> None:
    """Stage 1 by the extension says and keeps, to the byte, what it does without it."""
    if not native.IS_BUILT:
        return
    told = []
    for in_use in (True, False):
        with (
            mock.patch.object(native, "IN_USE", in_use),
            mock.patch.object(record_columns, "PARSER", "native" if in_use else "python"),
        ):
            stage, fed, effects = SourceStage(CROWDED, 0, 2), dict.fromkeys(TOPIC, 0), []
            for raw in data.split(RECORD_END)[:60]:
                side: Side = "outcomes" if raw[:1] == b"o" else "predictions"
                values = [raw[1:], raw[1:].replace(b"1", b"2"), raw[1:].replace(b"1", b"3")]
                effects += getattr(stage, side)(_batch(side, fed[side], [*values]))
                fed[side] += 3
            effects += stage.end_of_input(AT_MS + 600_000)
            told.append(([repr(e) for e in effects], stage.ledger(), packed(stage.snapshot())))
    assert told[0] == told[1]


def _told(decoded: Decoded[Any]) -> list[list[Any]]:
    events = [repr(event) for event in decoded.events]
    letters = [effect.value for effect in decoded.dead]
    return [events, decoded.time_ms.tolist(), letters]


def ledger(data: bytes) -> None:
    """Batches of records of both sides, restored between two of them: stage 1 never raises, counts
    each once, and goes on from its snapshot to the same bytes."""
    stage = SourceStage(RULES, 0, 1)
    fed = dict.fromkeys(TOPIC, 0)
    for raw in data.split(RECORD_END)[:40]:
        side: Side = "outcomes" if raw[:1] == b"o" else "predictions"
        batch = _batch(side, fed[side], [raw[1:], raw[1:] if raw[:1] == b"t" else b"{}"])
        fed[side] += 2
        getattr(stage, side)(batch)
    state = {part.name: part.captured()() for part in stage.snapshot()}
    stage = SourceStage.restore(RULES, 0, 1, state)
    assert {part.name: part.captured()() for part in stage.snapshot()} == state
    stage.end_of_input(stage.watermark_ms("predictions") or 0)
    for side_name, terms in stage.ledger().items():
        assert terms["consumed"] == fed[side_name]
        judged = ("applied", "duplicate", "late", "future", "dead_lettered", "shed")
        assert terms["consumed"] == sum(terms[term] for term in judged)
        ends = [n for name, n in terms.items() if name not in {"consumed", *judged}]
        assert terms["applied"] == sum(ends), terms


def panes(data: bytes) -> None:
    _settles(decode_pane_record, encode_pane_record, pane_record(data))


def pane_record(data: bytes) -> bytes:
    """The first byte chooses what stage 1 says to stage 2, the others are its body."""
    magic, version = PANE_RECORDS[data[0] % len(PANE_RECORDS) if data else 0]
    return sealed(magic, data[1:], version)


def findings(data: bytes) -> None:
    _settles(decode_finding, encode_finding, sealed(b"F", data))


def journal(data: bytes) -> None:
    _settles(decode_journal, encode_journal, sealed(b"J", data))


def state(data: bytes) -> None:
    _settles(
        lambda record: unpack(b"1", VERSION, record),
        lambda plain: pack(b"1", VERSION, plain),
        sealed(b"1", data),
    )


def checkpoint_record(data: bytes) -> None:
    """A changelog whose manifest, the table of its parts, or a blob says anything at all: the first
    byte chooses which. It is refused as a checkpoint, or its parts are bytes."""
    which, body = data[0] % 3 if data else 0, data[1:]
    records: dict[bytes, bytes | None] = dict(CHECKPOINT)
    *blobs, manifest = records
    plain = unpack(b"K", checkpoint.VERSION, CHECKPOINT[manifest])
    if which == 0:
        records[manifest] = sealed(b"K", body, checkpoint.VERSION)
    elif which == 1:
        table = compressed(sealed(b"T", body, checkpoint.VERSION))
        records[manifest] = pack(b"K", checkpoint.VERSION, plain | {"table": table})
    else:
        table = unpack(b"T", checkpoint.VERSION, decompressed(plain["table"]))
        row = table["blobs"].copy()
        row[4:6] = len(body), zlib.crc32(body)
        whole = pack(b"T", checkpoint.VERSION, table | {"blobs": row})
        records[manifest] = pack(b"K", checkpoint.VERSION, plain | {"table": compressed(whole)})
        records[blobs[0]] = body
    try:
        found = checkpoint.latest(records, 1, 2, LAYOUT)
    except checkpoint.CheckpointError:
        return
    assert found is not None
    sizes = {name: place.size for name, place in found.kept.parts.items()}
    assert {name: len(part) for name, part in found.state.items()} == sizes
    assert all(type(offset) is int for offset in found.point.offsets.values())


def torn(data: bytes) -> None:
    """Bytes as they are, header and all, to every reader of sealed records."""
    listener = Listener()
    for read in (decode_pane_record, decode_finding, decode_journal, listener.hear):
        try:
            read(data)
        except BrokenRecordError:
            continue


def control_record(data: bytes) -> None:
    """An end of the input, a configuration that has the hash it says, or none of its business."""
    try:
        said = control.decode(data)
    except (control.ControlError, RefusedConfigError):
        return
    match said:
        case control.EndOfInput():
            assert 0 <= said.event_time_ms < LATEST_MS
            assert control.decode(control.encode(said)) == said
        case ConfigChange():
            assert 0 <= said.effective_at_ms < LATEST_MS
            assert control.decode(said.encode()) == said


def configuration(data: bytes) -> None:
    """A file of settings: accepted, or every fault with its path; never another error."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "leeway.yaml"
        path.write_bytes(data)
        try:
            load(path).rules().config_hash()
        except SettingsError as refused:
            faults = refused.errors
        else:
            return
    assert faults
    assert all(faults)


def deployed(data: bytes) -> None:
    """A reference that comes with a version: refused, or one that can be compared with."""
    try:
        reference = deployment.opened(zlib.compress(sealed(b"R", data)))
    except BrokenRecordError:
        return
    again = deployment.opened(deployment.sealed(reference))
    assert again.id == reference.id
    profile = Profile(again, 1, RULES.max_categories)
    for name in again.frozen.names:
        feature = Feature(name, profile.number(name) is not None, profile)
        for unit in units_of(feature, again.kind, RULES, "m"):
            baseline_of(unit, profile, numeric=feature.numeric)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "predictions": predictions,
    "outcomes": outcomes,
    "batches": batches,
    "parsers": parsers,
    "ledger": ledger,
    "twins": twins,
    "panes": panes,
    "findings": findings,
    "journal": journal,
    "state": state,
    "checkpoint": checkpoint_record,
    "torn": torn,
    "control": control_record,
    "deployed": deployed,
    "configuration": configuration,
}


def sealed(magic: bytes, body: bytes, version: int = VERSION) -> bytes:
    """`body` behind a right header and checksum."""
    return magic + bytes([version]) + zlib.crc32(body).to_bytes(4, "little") + body


def _settles(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], data: bytes) -> None:
    """Refused, or understood: what is written of it is read and written alike for ever."""
    try:
        record = decode(data)
    except BrokenRecordError:
        return
    written = encode(record)
    assert encode(decode(written)) == written


def _alone(side: Side, data: bytes) -> Records:
    return _batch(side, 0, [data])


def _batch(side: Side, first: int, values: list[bytes | None]) -> Records:
    offsets = list(range(first, first + len(values)))
    times = [None if offset % 2 else AT_MS for offset in offsets]  # some are of the future
    return Records(TOPIC[side], 0, offsets, times, values)


def _event_or_letter(events: list[Any], dead: list[Any]) -> None:
    assert len(events) + len(dead) == 1
    for effect in dead:
        assert effect.letter.reason in REASONS
        assert effect.value


def _read(read: Callable[[bytes | None, reading.Limits], Any], data: bytes, accepted: bool) -> Any:
    """What the naive reader reads. It must refuse what was refused, but for what the first of two
    values of one name had wrong: the naive reader never sees that one."""
    try:
        event = read(data, LIMITS)
    except reading.Dead as dead:
        event, said = None, str(dead)
    else:
        said = repr(event)
    same = accepted == (event is not None)
    assert same or (event is not None and _has_a_name_twice(data)), f"the naive reader says {said}"
    return event


def _has_a_name_twice(data: bytes) -> bool:
    found = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        found.append(len(dict(pairs)) < len(pairs))

    json.loads(data, object_pairs_hook=look)
    return any(found)


def _same(event: Prediction | Outcome | Any, read: Any, names: tuple[str, ...]) -> None:
    for name in names:
        assert repr(getattr(event, name)) == repr(getattr(read, name)), name


def _label(label: Any) -> str | None:
    return None if label is None else label_text(label)
