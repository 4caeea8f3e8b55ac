"""Checkpoints of version 1, which release 0.1.0 wrote: the whole state each time. Only read."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from stream.snapshot import BrokenRecordError, unpack

VERSION = 1
_STATE_MAGIC = b"S"


def state_of(manifest: Mapping[str, Any], blobs: Sequence[bytes | None]) -> dict[str, bytes]:
    """Its only part is "state". Raises BrokenRecordError."""
    for part, ((size, crc), blob) in enumerate(zip(manifest["blobs"], blobs, strict=True)):
        if blob is None:
            raise BrokenRecordError(f"blob {part} is missing")
        if len(blob) != size or zlib.crc32(blob) != crc:
            raise BrokenRecordError(f"blob {part} is damaged (CRC)")
    data = zlib.decompress(b"".join(blob for blob in blobs if blob is not None))
    if len(data) != manifest["state_bytes"]:
        raise BrokenRecordError("the state is cut short")
    state: dict[str, bytes] = unpack(_STATE_MAGIC, VERSION, data)
    return state
