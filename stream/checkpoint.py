"""State as records of a changelog: blobs, then one manifest that makes them count.

Records have the key (stage, partition, epoch, sequence, part). A manifest says which parts the
state has and in which blobs they lie, its own or those of manifests before it, of former owners
too; and which offsets the state has applied, of every input of its stage and partition: the next
owner continues there. Blobs without a manifest do not exist. The manifest of the highest epoch, and
in it of the highest sequence, counts; nothing that it refers to is ever deleted before a newer one
is there, so a blob that it lacks is damage. What was written under another configuration, another
partition count or by an unknown build is refused, never guessed at.

Pure: bytes in, bytes out. `worker_slot` writes them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from stream import checkpoint_v1
from stream.blobs import (
    BLOB_BYTES,
    BlobId,
    Kept,
    Packing,
    compressed,
    decompressed,
    kept_of,
    table,
    unpacked,
)
from stream.refusals import made_anew
from stream.snapshot import BrokenRecordError, Part, formed, pack, unpack

_MAGIC = b"K"
_TABLE_MAGIC = b"T"
VERSION = 2
_KEY = struct.Struct(">BIQQI")
_MANIFEST_PART = 0xFFFF_FFFF  # sorts behind every blob
_LARGEST_TABLE = 600_000  # bytes in the manifest itself; a larger one lies in blobs


class CheckpointError(Exception):
    """This state cannot be continued; the message says why and what to do."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    stage: int
    partition: int
    epoch: int
    sequence: int
    part: int

    def encode(self) -> bytes:
        return _KEY.pack(self.stage, self.partition, self.epoch, self.sequence, self.part)

    @classmethod
    def decode(cls, data: bytes) -> Key:
        if len(data) != _KEY.size:
            raise CheckpointError(f"a changelog key of {len(data)} bytes is not of this program")
        return cls(*_KEY.unpack(data))


@dataclass(frozen=True, slots=True)
class Layout:
    """What must be equal between the writer of a checkpoint and its reader."""

    state_hash: str
    partitions: int
    inputs: tuple[str, ...]  # the topics of this stage
    state_hash_of_0_1: str = ""  # as checkpoints of version 1 have it
    topic_ids: Mapping[str, str] = field(default_factory=dict)  # of inputs, where brokers tell them


@dataclass(frozen=True, slots=True)
class Point:
    """Whose checkpoint, which one, and the next offset of each input that its state has not."""

    stage: int
    partition: int
    epoch: int
    sequence: int
    offsets: Mapping[str, int]
    journal_position: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read: the bytes of each part of the state, and where they lie."""

    point: Point
    state: Mapping[str, bytes]
    kept: Kept = field(default_factory=Kept)


Record = tuple[bytes, bytes]
"""Key and value."""


class Writing:
    """One checkpoint on its way: all `blobs()` must be acknowledged before `manifest()` is sent;
    then `keys()` are all records that it consists of, and `kept` is for the next one."""

    def __init__(self, point: Point, parts: Sequence[Part], before: Kept, layout: Layout) -> None:
        self._point = point
        self._layout = layout
        self._packing = Packing(parts, before, point.epoch, point.sequence)
        self._table_blobs: list[Record] = []
        self._table = b""
        self.size_bytes = 0

    @property
    def kept(self) -> Kept:
        return self._packing.kept

    def blobs(self) -> Iterator[Record]:
        """Packed one by one while this is iterated over, in any thread."""
        number = 0
        for blob, stored in self._packing:
            number = blob.number + 1
            yield self._record(blob.number, stored)
        packed_table = compressed(pack(_TABLE_MAGIC, VERSION, table(self.kept)))
        if len(packed_table) <= _LARGEST_TABLE:
            self._table = packed_table
            return
        for at in range(0, len(packed_table), BLOB_BYTES):
            self._table_blobs.append(
                self._record(number + len(self._table_blobs), packed_table[at : at + BLOB_BYTES])
            )
            yield self._table_blobs[-1]

    def manifest(self) -> Record:
        """O(number of parts)."""
        point, layout = self._point, self._layout
        manifest = {
            "stage": point.stage,
            "partition": point.partition,
            "epoch": point.epoch,
            "sequence": point.sequence,
            "offsets": dict(point.offsets),
            "journal_position": point.journal_position,
            "state_hash": layout.state_hash,
            "partitions": layout.partitions,
            "inputs": list(layout.inputs),
            "topic_ids": dict(layout.topic_ids),
            "table": self._table,
            "table_blobs": [
                [Key.decode(key).part, zlib.crc32(value)] for key, value in self._table_blobs
            ],
        }
        return self._record(_MANIFEST_PART, pack(_MAGIC, VERSION, manifest))

    def keys(self) -> list[bytes]:
        """The manifest first: what is half deleted must not look like a damaged checkpoint."""
        table_keys = [key for key, _ in self._table_blobs]
        return [self._key(_MANIFEST_PART), *table_keys, *map(self._key_of, self.kept.blobs)]

    def _key_of(self, blob: BlobId) -> bytes:
        return Key(self._point.stage, self._point.partition, *blob).encode()

    def _key(self, part: int) -> bytes:
        return self._key_of(BlobId(self._point.epoch, self._point.sequence, part))

    def _record(self, part: int, value: bytes) -> Record:
        self.size_bytes += len(value)
        return self._key(part), value


def latest(
    records: Mapping[bytes, bytes | None], stage: int, partition: int, layout: Layout
) -> Checkpoint | None:
    """The checkpoint of the highest epoch, and in it the highest sequence; None: none.

    Raises CheckpointError if that one was not written for this layout or is damaged.
    """
    found = max(_manifests(records, stage, partition), default=None)
    if found is None:
        return None
    key, data = found
    try:
        return formed(_MAGIC, lambda given: _checkpoint(given, records, key, layout), data)
    except BrokenRecordError as error:
        raise CheckpointError(
            f"{_where(key)}: {error}. Restore the changelog, run the build that wrote it, or start "
            "afresh (another `app`)"
        ) from error


def _checkpoint(
    data: bytes, records: Mapping[bytes, bytes | None], key: Key, layout: Layout
) -> Checkpoint:
    version, manifest = _manifest(data, key)
    is_old = version == checkpoint_v1.VERSION
    if is_old:
        layout = replace(layout, state_hash=layout.state_hash_of_0_1)
    _must_fit(manifest, layout, key)
    read = _read_version_1 if is_old else _read
    kept, state = read(manifest, records, key)
    offsets = msgspec.convert(manifest["offsets"], dict[str, int], strict=True)
    position = msgspec.convert(manifest["journal_position"], int, strict=True)
    point = Point(key.stage, key.partition, key.epoch, key.sequence, offsets, position)
    return Checkpoint(point, state, kept)


def _manifests(
    records: Mapping[bytes, bytes | None], stage: int, partition: int
) -> Iterator[tuple[Key, bytes]]:
    for data, value in records.items():
        key = Key.decode(data)
        is_mine = (key.stage, key.partition) == (stage, partition)
        if is_mine and key.part == _MANIFEST_PART and value is not None:
            yield key, value


def keys_of(records: Iterable[bytes], stage: int, partition: int) -> list[bytes]:
    """All keys of one stage and partition, manifests of a checkpoint before its blobs."""
    mine = [
        key for key in map(Key.decode, records) if (key.stage, key.partition) == (stage, partition)
    ]
    mine.sort(key=lambda key: (key.part != _MANIFEST_PART, key))
    return [key.encode() for key in mine]


def _manifest(data: bytes, key: Key) -> tuple[int, dict[str, Any]]:
    version = checkpoint_v1.VERSION if data[1:2] == bytes([checkpoint_v1.VERSION]) else VERSION
    manifest: dict[str, Any] = unpack(_MAGIC, version, data)
    fields = ("stage", "partition", "epoch", "sequence")
    stage, partition, epoch, sequence = (manifest[name] for name in fields)
    said = Key(stage, partition, epoch, sequence, key.part)
    if said != key:
        raise CheckpointError(f"{_where(key)}: the manifest belongs to {_where(said)}")
    return version, manifest


def _must_fit(manifest: Mapping[str, Any], layout: Layout, key: Key) -> None:
    facts = (
        ("partitions", manifest["partitions"], layout.partitions),
        ("input topics", tuple(manifest["inputs"]), layout.inputs),
        ("state_hash", manifest["state_hash"], layout.state_hash),
    )
    for name, was, now in facts:
        if was != now:
            raise CheckpointError(
                f"{_where(key)}: its {name} was {was} and is now {now}: its state means something "
                "else. Restore the former configuration, or start afresh with another `app`"
            )
    for topic, topic_id in manifest.get("topic_ids", {}).items():  # not in the first of version 2
        if layout.topic_ids.get(topic, topic_id) != topic_id:
            raise made_anew(topic, topic_id, layout.topic_ids[topic])


def _read(
    manifest: Mapping[str, Any], records: Mapping[bytes, bytes | None], key: Key
) -> tuple[Kept, dict[str, bytes]]:
    packed_table: bytes = manifest["table"]
    for part, crc in manifest["table_blobs"]:
        chunk = records.get(_part(key, part))
        if chunk is None or zlib.crc32(chunk) != crc:
            raise BrokenRecordError(f"blob {part} of its table is missing or damaged")
        packed_table += chunk
    kept = formed(_TABLE_MAGIC, kept_of, unpack(_TABLE_MAGIC, VERSION, decompressed(packed_table)))
    stored = {
        blob: records.get(Key(key.stage, key.partition, *blob).encode()) for blob in kept.blobs
    }
    return kept, formed(_TABLE_MAGIC, lambda given: unpacked(kept, given), stored)


def _read_version_1(
    manifest: Mapping[str, Any], records: Mapping[bytes, bytes | None], key: Key
) -> tuple[Kept, dict[str, bytes]]:
    blobs = [records.get(_part(key, part)) for part in range(len(manifest["blobs"]))]
    return Kept(), checkpoint_v1.state_of(manifest, blobs)


def _part(key: Key, part: int) -> bytes:
    return Key(key.stage, key.partition, key.epoch, key.sequence, part).encode()


def _where(key: Key) -> str:
    return (
        f"checkpoint of stage {key.stage} partition {key.partition} "
        f"(epoch {key.epoch}, sequence {key.sequence})"
    )
