"""Record formats between the stages. Every record has a magic letter, a version and a CRC-32.

Panes topic (partition = murmur2(model_id); what stage 1 says to stage 2):
- Block: panes of one group and kind from one source partition. Pane ends of a (source partition,
  group, kind) only rise from block to block, so a receiver drops what it has seen. Panes of at
  most k rows travel as their rows, larger ones as summaries; both merge alike.
- Bundle: blocks of many groups in one, all of rows with the same columns.
- DelayBlock: delays of first outcomes of a model whose maturity is not decided.
- Learned: this partition has learned a model's maturity, and has sent its cohorts up to the
  watermarks it announces next.
- Announcement: the watermarks of the source partition.
- Fragment: a part of one of these that is too large for a record; parts come one after another.

Findings topic (one partition; what stage 2 says to stage 3): Finding, Progress.
Journal: Claim, Idle, Shed, MaturityDecision, Founding, Activation, Accepted, Renewed, Noticed;
see `JournalEntry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import msgspec
import numpy as np

from stream.columns import Group, Rows
from stream.grouped_rows import GroupedRows
from stream.notices import Notice
from stream.outcome_join import Delays
from stream.pane_kinds import PaneKind, checked_kind
from stream.panes import PaneTable
from stream.plain_panes import (
    rows_apart,
    rows_from_plain,
    rows_together,
    table_apart,
    table_from_plain,
    table_together,
)
from stream.snapshot import BrokenRecordError, formed, pack, unpack
from stream.wire_forms import array, checked_counts, checked_rows, checked_table, fields

VERSION = 1
BLOCK_VERSION = 2  # of blocks; those of version 1, with arrays for each feature, are read too
LARGEST_RECORD_BYTES = 900_000  # brokers take 1 MiB by default, keys and headers included
FindingKind = Literal["prediction", "cohort", "estimate"]
"""Of a finding: of which panes, or of both: expected errors and what became of them."""
Verdict = Literal[
    "drift",
    "lasting",
    "quiet",
    "raised",
    "withdrawn",
    "request",
    "seen",
    "pooled",
    "cause",
    "stands",
]
"""Of a finding: news, none for long, well again, graver for what else happens, not borne out; no
alert, but something to ask for, to know, to add up, or to follow from; surely so by all that came
since it was the last time."""
FINDING_KINDS: tuple[FindingKind, ...] = ("prediction", "cohort", "estimate")


# -- stage 1 to stage 2


@dataclass(frozen=True, slots=True)
class Block:
    source: int
    epoch: int
    kind: PaneKind
    group: Group
    rows: Rows | None
    table: PaneTable | None


@dataclass(frozen=True, slots=True)
class Bundle:
    """`rows`: in the order of their groups, all of which have some."""

    source: int
    epoch: int
    kind: PaneKind
    rows: GroupedRows


@dataclass(frozen=True, slots=True)
class DelayBlock:
    source: int
    epoch: int
    model_id: str
    delays: Delays


@dataclass(frozen=True, slots=True)
class Learned:
    """`is_early`: the age of the first cohorts."""

    source: int
    epoch: int
    model_id: str
    is_early: bool = False


@dataclass(frozen=True, slots=True)
class Announcement:
    """`prediction_ms`: the predictions' watermark; `cohort_ms`: the lesser of both sides."""

    source: int
    sources: int
    epoch: int
    prediction_ms: int
    outcome_ms: int
    seen_ms: int | None = None  # what that was before the end of the input moved it

    def to_plain(self) -> list[int]:
        plain = [self.source, self.sources, self.epoch, self.prediction_ms, self.outcome_ms]
        return plain if self.seen_ms is None else [*plain, self.seen_ms]

    @property
    def cohort_ms(self) -> int:
        return min(self.prediction_ms, self.outcome_ms)


@dataclass(frozen=True, slots=True)
class Fragment:
    """Part `index` of `count` of a record's bytes."""

    source: int
    index: int
    count: int
    part: bytes


PaneRecord = Block | Bundle | DelayBlock | Learned | Announcement | Fragment


def encode_pane_record(record: PaneRecord) -> bytes:
    match record:
        case Block():
            body = {
                "source": record.source,
                "epoch": record.epoch,
                "kind": record.kind,
                "group": list(record.group),
                "rows": None if record.rows is None else rows_together(record.rows),
                "table": None if record.table is None else table_together(record.table),
            }
            return pack(b"B", BLOCK_VERSION, body)
        case Bundle():
            of = record.rows
            body = {
                "source": record.source,
                "epoch": record.epoch,
                "kind": record.kind,
                "groups": [list(group) for group in of.groups],
                "counts": np.bincount(of.code),
                "rows": rows_together(of.rows),
            }
            return pack(b"M", VERSION, body)
        case DelayBlock():
            d = record.delays
            arrays = [d.outcome_pane_end, d.prediction_pane_end, d.edge_ms, d.count]
            return pack(b"D", VERSION, [record.source, record.epoch, record.model_id, arrays])
        case Learned():
            learned = [record.source, record.epoch, record.model_id]
            return pack(b"L", VERSION, [*learned, *([True] if record.is_early else [])])
        case Announcement():
            return pack(b"A", VERSION, record.to_plain())
        case Fragment():
            place = [record.source, record.index, record.count]
            return pack(b"P", VERSION, [*place, record.part])


def block_opening(block: Block) -> bytes:
    """Of a block without rows or table what its record says before its table; the checksum is
    another one then."""
    return encode_pane_record(block)[:-1]


def encode_in_fragments(record: PaneRecord) -> list[bytes]:
    """The record's bytes, or its fragments."""
    return in_fragments(record.source, encode_pane_record(record))


def in_fragments(source: int, value: bytes) -> list[bytes]:
    """A record, or, where it is more than a broker takes by default, its fragments: a pane of
    hundreds of features is larger than that."""
    if len(value) <= LARGEST_RECORD_BYTES:
        return [value]
    parts = [
        value[start : start + LARGEST_RECORD_BYTES]
        for start in range(0, len(value), LARGEST_RECORD_BYTES)
    ]
    return [
        encode_pane_record(Fragment(source, index, len(parts), part))
        for index, part in enumerate(parts)
    ]


def has_panes(data: bytes) -> bool:
    """Whether this record of the panes topic is one of rows or summaries, or a part of one."""
    return data[:1] in {b"B", b"M", b"P"}


def decode_pane_record(data: bytes) -> PaneRecord:
    """Raises BrokenRecordError."""
    magic = bytes(data[:1])
    is_new = magic == b"B" and data[1:2] != bytes([VERSION])
    version = BLOCK_VERSION if is_new else VERSION
    body = unpack(magic, version, data)
    return formed(magic, partial(_pane_record, magic, version), body)


def _pane_record(magic: bytes, version: int, body: Any) -> PaneRecord:
    if magic == b"B":
        return _block(body, is_old=version == VERSION)
    if magic == b"M":
        return _bundle(body)
    if magic == b"D":
        source, epoch, model_id, arrays = fields(body, int, int, str, list)
        delays = Delays(*[array(column, np.int64, len(arrays[0])) for column in arrays])
        return DelayBlock(source, epoch, model_id, delays)
    if magic == b"L":
        return Learned(*fields(body, int, int, str, *([bool] if len(body) == 4 else [])))
    if magic == b"A":
        return Announcement(*fields(body, *[int] * (6 if len(body) == 6 else 5)))
    if magic == b"P":
        return Fragment(*fields(body, int, int, int, bytes))
    raise BrokenRecordError(f"unknown record {magic!r} on the panes topic")


def _block(body: dict[str, Any], *, is_old: bool) -> Block:
    source, epoch, kind = fields([body["source"], body["epoch"], body["kind"]], int, int, str)
    model_id, version, role, segment = fields(body["group"], str, str, str, str)
    rows, table = body["rows"], body["table"]
    rows_of, table_of = (rows_from_plain, table_from_plain) if is_old else (rows_apart, table_apart)
    return Block(
        source,
        epoch,
        checked_kind(kind),
        (model_id, version, role, segment),
        None if rows is None else checked_rows(rows_of(rows)),
        None if table is None else checked_table(table_of(table)),
    )


def _bundle(body: dict[str, Any]) -> Bundle:
    source, epoch, kind = fields([body["source"], body["epoch"], body["kind"]], int, int, str)
    groups: list[Group] = []
    for group in body["groups"]:
        model_id, version, role, segment = fields(group, str, str, str, str)
        groups.append((model_id, version, role, segment))
    rows = checked_rows(rows_apart(body["rows"]))
    counts = checked_counts(body["counts"], len({*groups}), len(rows))
    code = np.repeat(np.arange(len(groups)), counts)
    return Bundle(source, epoch, checked_kind(kind), GroupedRows(rows, code, groups))


# -- stage 2 to stage 3


class Finding(msgspec.Struct, tag="finding"):
    """What a detector says of one series at one pane. `order` sorts findings of equal pane."""

    partition: int
    epoch: int
    pane_kind: FindingKind
    ready_ms: int
    pane_end_ms: int
    group: Group
    series: str
    alertname: str
    verdict: Verdict
    detail: dict[str, Any]

    @property
    def order(self) -> tuple[Any, ...]:
        return (
            self.ready_ms,
            FINDING_KINDS.index(self.pane_kind),
            self.pane_end_ms,
            self.group,
            self.series,
            self.alertname,
            self.verdict,
        )


class Progress(msgspec.Struct, tag="progress"):
    """No finding of this stage-2 partition and kind at or before this ready time is to come."""

    partition: int
    partitions: int
    epoch: int
    prediction_ms: int
    cohort_ms: int


_finding_decoder: msgspec.msgpack.Decoder[Finding | Progress] = msgspec.msgpack.Decoder(
    Finding | Progress
)


def encode_finding(record: Finding | Progress) -> bytes:
    return pack(b"F", VERSION, msgspec.Raw(_plain_encoder.encode(record)))


def decode_finding(data: bytes) -> Finding | Progress:
    """Raises BrokenRecordError."""
    unpack(b"F", VERSION, data)  # checks the header
    return formed(b"F", _finding_decoder.decode, data[6:])


# -- the journal


class Claim(msgspec.Struct, tag="claim"):
    """A new owner of a stage's partition; the offset of this record is its epoch."""

    stage: int
    partition: int
    owner: str


class Idle(msgspec.Struct, tag="idle"):
    """A watermark moved by idleness or a tick, before the record at `at_offset` of that side."""

    stage: int
    partition: int
    epoch: int
    side: Literal["predictions", "outcomes"]
    at_offset: int
    watermark_ms: int


class Shed(msgspec.Struct, tag="shed"):
    """From the record at `at_offset` of a side on, a cap has this level: see `stream.shedding`."""

    stage: int
    partition: int
    epoch: int
    side: Literal["predictions", "outcomes"]
    at_offset: int
    what: Literal["pending", "outcomes", "ids"]
    level: int


class MaturityDecision(msgspec.Struct, tag="maturity", omit_defaults=True):
    """`maturity_ms`: None where no outcome came within the horizon; `until_ms`: of an early one,
    the last pane end that it is for."""

    stage: int
    partition: int
    epoch: int
    model_id: str
    maturity_ms: int | None
    decided_at_ms: int
    until_ms: int | None = None


class Founding(msgspec.Struct, tag="founding"):
    """The first configuration of an app; the first of these counts, whoever wrote it."""

    config_hash: str
    rules: dict[str, Any]


class Activation(msgspec.Struct, tag="activation"):
    """The ready time at which an announced configuration comes into force in stage 2 or 3.

    `rules`: given with that of stage 3, so that the journal alone is enough for a replay.
    """

    stage: int
    partition: int
    epoch: int
    announced_at: int  # offset of the control record
    config_hash: str
    at_ms: int
    rules: dict[str, Any] | None = None


class Accepted(msgspec.Struct, tag="accepted"):
    """From the record at `at_offset` of that side on, the models of a configuration are taken."""

    stage: int
    partition: int
    epoch: int
    side: Literal["predictions", "outcomes"]
    at_offset: int
    announced_at: int
    config_hash: str


class Renewed(msgspec.Struct, tag="renewed", omit_defaults=True):
    """The ready time from which on a new reference of a model is gathered, or from which on a
    version is compared with those that are deployed.

    `references`: sealed, so that the journal alone is enough for a replay.
    """

    stage: int
    partition: int
    epoch: int
    announced_at: int
    at_ms: int
    model_id: str
    version: str | None  # None: of all versions
    references: list[bytes] = []


class Noticed(msgspec.Struct, tag="noticed"):
    """The ready time from which on stage 3 knows a notice."""

    stage: int
    partition: int
    epoch: int
    announced_at: int
    at_ms: int
    notice: Notice


JournalEntry = (
    Claim | Idle | Shed | MaturityDecision | Founding | Activation | Accepted | Renewed | Noticed
)
_plain_encoder = msgspec.msgpack.Encoder()
_journal_decoder: msgspec.msgpack.Decoder[JournalEntry] = msgspec.msgpack.Decoder(JournalEntry)


def encode_journal(entry: JournalEntry) -> bytes:
    return pack(b"J", VERSION, msgspec.Raw(_plain_encoder.encode(entry)))


def decode_journal(data: bytes) -> JournalEntry:
    """Raises BrokenRecordError."""
    unpack(b"J", VERSION, data)
    return formed(b"J", _journal_decoder.decode, data[6:])
