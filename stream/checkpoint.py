"""State as records of a changelog: blobs, then one small manifest that makes them count.

Records of one checkpoint have the key (stage, partition, epoch, sequence, part). A manifest says
which offsets the state has applied, of every input of its stage and partition; the next owner
continues there. A checkpoint without its manifest, or with a blob missing, does not exist: the
one before it counts. What was written under another configuration, another partition count or
another build's format is refused, never guessed at.

Pure: bytes in, bytes out. `worker_slot` writes them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stream.snapshot import BrokenRecordError, pack, unpack

BLOB_BYTES = 512_000
_MAGIC = b"K"
_STATE_MAGIC = b"S"
_VERSION = 1
_KEY = struct.Struct(">BIQQI")
_MANIFEST_PART = 0xFFFF_FFFF  # sorts behind every blob


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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of one stage and partition, and the next offset of each of its inputs."""

    stage: int
    partition: int
    epoch: int
    sequence: int
    offsets: Mapping[str, int]
    journal_position: int
    state: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Written:
    """Records of one checkpoint, in the order in which they must be acknowledged."""

    blobs: list[tuple[bytes, bytes]]
    manifest: tuple[bytes, bytes]

    def keys(self) -> list[bytes]:
        """The manifest first: a checkpoint whose deletion was cut short is not one."""
        return [self.manifest[0], *(key for key, _ in self.blobs)]

    def size_bytes(self) -> int:
        return sum(len(value) for _, value in [*self.blobs, self.manifest])


def encode(checkpoint: Checkpoint, layout: Layout) -> Written:
    """O(size of the state); zlib level 1, which halves what the broker keeps."""
    state = pack(_STATE_MAGIC, _VERSION, dict(checkpoint.state))
    packed = zlib.compress(state, 1)
    chunks = [packed[at : at + BLOB_BYTES] for at in range(0, len(packed), BLOB_BYTES)]

    def key(part: int) -> bytes:
        c = checkpoint
        return Key(c.stage, c.partition, c.epoch, c.sequence, part).encode()

    manifest = {
        "stage": checkpoint.stage,
        "partition": checkpoint.partition,
        "epoch": checkpoint.epoch,
        "sequence": checkpoint.sequence,
        "blobs": [[len(chunk), zlib.crc32(chunk)] for chunk in chunks],
        "state_bytes": len(state),
        "offsets": dict(checkpoint.offsets),
        "journal_position": checkpoint.journal_position,
        "state_hash": layout.state_hash,
        "partitions": layout.partitions,
        "inputs": list(layout.inputs),
    }
    blobs = [(key(part), chunk) for part, chunk in enumerate(chunks)]
    return Written(blobs, (key(_MANIFEST_PART), pack(_MAGIC, _VERSION, manifest)))


def latest(
    records: Mapping[bytes, bytes | None], stage: int, partition: int, layout: Layout
) -> Checkpoint | None:
    """The complete checkpoint of the highest epoch, and in it the highest sequence; None: none.

    Raises CheckpointError if that one was not written for this layout or is damaged.
    """
    for key, manifest_bytes in sorted(_manifests(records, stage, partition), reverse=True):
        manifest = _manifest(manifest_bytes, key)
        chunks = [records.get(_part(key, part)) for part in range(len(manifest["blobs"]))]
        whole = [chunk for chunk in chunks if chunk is not None]
        if len(whole) < len(chunks):
            continue  # its deletion had begun
        _must_fit(manifest, layout, key)
        return _checkpoint(manifest, whole, key)
    return None


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
    mine.sort(key=lambda key: (key.epoch, key.sequence, key.part != _MANIFEST_PART, key.part))
    return [key.encode() for key in mine]


def _part(key: Key, part: int) -> bytes:
    return Key(key.stage, key.partition, key.epoch, key.sequence, part).encode()


def _manifest(data: bytes, key: Key) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = unpack(_MAGIC, _VERSION, data)
    except BrokenRecordError as error:
        raise CheckpointError(
            f"{_where(key)}: {error}. Run the build that wrote it, or start afresh (another `app`)"
        ) from error
    fields = ("stage", "partition", "epoch", "sequence")
    stage, partition, epoch, sequence = (manifest[name] for name in fields)
    said = Key(stage, partition, epoch, sequence, key.part)
    if said != key:
        raise CheckpointError(f"{_where(key)}: the manifest belongs to {_where(said)}")
    return manifest


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


def _checkpoint(manifest: Mapping[str, Any], chunks: list[bytes], key: Key) -> Checkpoint:
    for (size, crc), chunk in zip(manifest["blobs"], chunks, strict=True):
        if len(chunk) != size or zlib.crc32(chunk) != crc:
            raise CheckpointError(f"{_where(key)}: a blob is damaged (CRC). Restore the changelog")
    state = zlib.decompress(b"".join(chunks))
    if len(state) != manifest["state_bytes"]:
        raise CheckpointError(f"{_where(key)}: the state is cut short. Restore the changelog")
    return Checkpoint(
        stage=key.stage,
        partition=key.partition,
        epoch=key.epoch,
        sequence=key.sequence,
        offsets=manifest["offsets"],
        journal_position=manifest["journal_position"],
        state=unpack(_STATE_MAGIC, _VERSION, state),
    )


def _where(key: Key) -> str:
    return (
        f"checkpoint of stage {key.stage} partition {key.partition} "
        f"(epoch {key.epoch}, sequence {key.sequence})"
    )
