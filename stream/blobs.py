"""Parts of a state in blobs: what a checkpoint writes, and what it refers to in those before it.

A part that the checkpoint before holds under the same name and version is not packed again: it
lies where it lay. The others are packed one behind the other and cut into blobs; those without a
version, which the next checkpoint writes anew, into blobs of their own. A blob that no part refers
to is garbage. When less than half of what the blobs hold is referred to, the parts in the sparsest
ones are written again; when there are many small ones, theirs are. So the bytes kept stay below
twice the state, and a part is rewritten rarely.

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cramjam
import numpy as np

from stream.snapshot import BrokenRecordError, Part

BLOB_BYTES = 512_000  # before compression; a broker takes records up to 1 MB
_MOST_SMALL_BLOBS = 64
_LEVEL = 1  # of zstd: as small as zlib, level 1, and seven times as fast


class BlobId(NamedTuple):
    """The checkpoint that wrote it, and its number in there."""

    epoch: int
    sequence: int
    number: int


_NOWHERE = BlobId(0, 0, 0)  # where parts without bytes are


class Blob(NamedTuple):
    size: int  # bytes of parts
    stored: int  # bytes of the record
    crc: int  # CRC-32 of the record


class Place(NamedTuple):
    """Where a part lies: from `start` of a blob on, and through the blobs numbered behind it."""

    version: int | None
    blob: BlobId
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The parts of a checkpoint and the blobs that hold them."""

    parts: Mapping[str, Place] = field(default_factory=dict)
    blobs: Mapping[BlobId, Blob] = field(default_factory=dict)

    def spans(self, place: Place) -> Iterator[tuple[BlobId, int, int]]:
        """Each blob that the part lies in, with where it begins there and how long it is."""
        blob, start, left = place.blob, place.start, place.size
        while left > 0:
            size = min(left, self.blobs[blob].size - start)
            yield blob, start, size
            blob, start, left = BlobId(blob[0], blob[1], blob[2] + 1), 0, left - size


class Packing:
    """The blobs of one checkpoint: iterate over them; then `kept` says what it consists of."""

    def __init__(self, parts: Sequence[Part], before: Kept, epoch: int, sequence: int) -> None:
        if len({part.name for part in parts}) < len(parts):
            raise ValueError("two parts of one state have the same name")
        self.kept = Kept()
        self._before = before
        self._id = BlobId(epoch, sequence, 0)
        same = {
            part.name: before.parts[part.name]
            for part in parts
            if part.version is not None
            and part.name in before.parts
            and before.parts[part.name].version == part.version
        }
        again = _to_write_again(same, before)
        self._same = {name: place for name, place in same.items() if name not in again}
        fresh = [(part, part.captured()) for part in parts if part.name not in self._same]
        self._passing = [of for of in fresh if of[0].version is None]
        self._lasting = [of for of in fresh if of[0].version is not None]

    def __iter__(self) -> Iterator[tuple[BlobId, bytes]]:
        """Packs while it is iterated over. O(size of what is new)."""
        parts: dict[str, Place] = dict(self._same)
        blobs: dict[BlobId, Blob] = {}
        for some in (self._passing, self._lasting):
            for chunk in self._chunks(some, parts):
                stored = compressed(chunk)
                blobs[self._id] = Blob(len(chunk), len(stored), zlib.crc32(stored))
                yield self._id, stored
                self._id = self._id._replace(number=self._id.number + 1)
        used = {b for place in self._same.values() for b, _, _ in self._before.spans(place)}
        referred = {blob: self._before.blobs[blob] for blob in sorted(used)}
        self.kept = Kept(parts, referred | blobs)

    def _chunks(
        self, some: Iterable[tuple[Part, Callable[[], bytes]]], parts: dict[str, Place]
    ) -> Iterator[bytes]:
        """The bytes of these parts in pieces of a blob each; their places go into `parts`."""
        chunk = bytearray()
        for part, pack in some:
            body = pack()
            if not body:
                parts[part.name] = Place(part.version, _NOWHERE, 0, 0)
                continue
            parts[part.name] = Place(part.version, self._id, len(chunk), len(body))
            left = memoryview(body)
            while len(chunk) + len(left) >= BLOB_BYTES:
                room = BLOB_BYTES - len(chunk)
                yield bytes(chunk) + left[:room]
                chunk, left = bytearray(), left[room:]
                if not left:
                    break
            chunk += left
        if chunk:
            yield bytes(chunk)


def _to_write_again(same: Mapping[str, Place], before: Kept) -> set[str]:
    """Parts to be written though they are known, for the sake of the blobs that they lie in."""
    live: Counter[BlobId] = Counter()
    for place in same.values():
        for blob, _, size in before.spans(place):
            live[blob] += size
    chosen = {*_sparse(live, before.blobs), *_small(live)}
    if not chosen:
        return set()
    return {
        name
        for name, place in same.items()
        if any(blob in chosen for blob, _, _ in before.spans(place))
    }


def _sparse(live: Mapping[BlobId, int], blobs: Mapping[BlobId, Blob]) -> Iterator[BlobId]:
    """The sparsest first, until half of what is kept is referred to."""
    alive, kept = sum(live.values()), sum(blobs[blob].size for blob in live)
    for blob in sorted(live, key=lambda blob: (live[blob] / blobs[blob].size, blob)):
        if 2 * alive >= kept:
            return
        kept -= blobs[blob].size - live[blob]
        yield blob


def _small(live: Mapping[BlobId, int]) -> Iterator[BlobId]:
    """Where there are too many blobs, the smaller half: written again they are few."""
    most = _MOST_SMALL_BLOBS + 2 * sum(live.values()) // BLOB_BYTES
    if len(live) > most:
        yield from sorted(live, key=lambda blob: (live[blob], blob))[: len(live) - most // 2]


def compressed(data: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(data, _LEVEL))


def decompressed(data: bytes) -> bytes:
    """Raises BrokenRecordError."""
    try:
        return bytes(cramjam.zstd.decompress(data))
    except cramjam.DecompressionError as error:
        raise BrokenRecordError(f"no zstd: {error}") from error


def unpacked(kept: Kept, records: Mapping[BlobId, bytes | None]) -> dict[str, bytes]:
    """The bytes of each part. Raises BrokenRecordError. O(size of the state)."""
    bodies = {blob: _body(blob, known, records.get(blob)) for blob, known in kept.blobs.items()}
    parts = {
        name: b"".join(
            bodies[blob][start : start + size] for blob, start, size in kept.spans(place)
        )
        for name, place in kept.parts.items()
    }
    for name, place in kept.parts.items():
        if len(parts[name]) != place.size:
            raise BrokenRecordError(f"part {name} is cut short")
    return parts


def _body(blob: BlobId, known: Blob, stored: bytes | None) -> memoryview:
    name = f"blob {blob.number} of epoch {blob.epoch}, sequence {blob.sequence}"
    if stored is None:
        raise BrokenRecordError(f"{name} is missing")
    if len(stored) != known.stored or zlib.crc32(stored) != known.crc:
        raise BrokenRecordError(f"{name} is damaged (CRC)")
    body = decompressed(stored)
    if len(body) != known.size:
        raise BrokenRecordError(f"{name} holds {len(body)} bytes, not {known.size}")
    return memoryview(body)


def table(kept: Kept) -> dict[str, Any]:
    """As columns, for the manifest: 10,000 parts are some 100 KB when compressed."""
    index = {blob: at for at, blob in enumerate(kept.blobs)}
    places = kept.parts.values()
    return {
        "blobs": np.array([[*blob, *known] for blob, known in kept.blobs.items()], "<i8").ravel(),
        "names": list(kept.parts),
        "versions": [place.version for place in places],
        "in": np.array([index.get(place.blob, -1) for place in places], "<i8"),
        "starts": np.array([place.start for place in places], "<i8"),
        "sizes": np.array([place.size for place in places], "<i8"),
    }


def kept_of(columns: Mapping[str, Any]) -> Kept:
    """Inverse of `table`."""
    rows = columns["blobs"].reshape(-1, 6).tolist()
    blobs = {BlobId(*row[:3]): Blob(*row[3:]) for row in rows}
    ids = [*blobs, _NOWHERE]  # -1 is the last
    fields = (columns["in"].tolist(), columns["starts"].tolist(), columns["sizes"].tolist())
    return Kept(
        {
            name: Place(version, ids[at], start, size)
            for name, version, at, start, size in zip(
                columns["names"], columns["versions"], *fields, strict=True
            )
        },
        blobs,
    )
