"""State and records as bytes: MessagePack with numpy arrays, a version and a checksum.

Equal values give equal bytes (dicts keep the order they were built in, so builders sort). There
is no pickle: what is read back is numbers, texts, bytes, lists, dicts and arrays, nothing else.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import numpy as np

_ARRAY = 1
_HEADER = 6  # magic, version, CRC-32
_DTYPE = re.compile(r"[<|][biuf][1248]")
_MISFITS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    msgspec.DecodeError,
    struct.error,
)
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Part:
    """A named piece of a state. What a name and a version mean never changes, so that a checkpoint
    which knows them need not write them again; version None: written anew every time.

    `pack` may be called later and in another thread: it captures only what nobody changes.
    Of what has not changed for a while nothing is captured: `capture` gives its `pack`, as long as
    it still has not changed.
    """

    name: str
    version: int | None
    pack: Callable[[], bytes] | None
    capture: Callable[[], Callable[[], bytes]] | None = None

    def captured(self) -> Callable[[], bytes]:
        """Its `pack`; to be asked before anything changes."""
        if self.pack is not None:
            return self.pack
        assert self.capture is not None
        return self.capture()


def packed(parts: Iterable[Part]) -> dict[str, bytes]:
    return {part.name: part.captured()() for part in parts}


class BrokenRecordError(ValueError):
    """These bytes were not written by `pack` with this magic and version."""


class ChangedRulesError(ValueError):
    """State was made under other rules of a model than those that it is read with."""


def must_be_the_same(model_id: str, was: Any, now: Any) -> None:
    if was != now:
        raise ChangedRulesError(
            f"model {model_id}: maturity, reference, classes and costs were {was} and are now "
            f"{now}: what is held of it means something else. Restore its former rules, or start "
            "afresh (another `app`)"
        )


@lru_cache(maxsize=64)
def _head(kind: str) -> bytes:
    if not _DTYPE.fullmatch(kind):
        raise TypeError(f"no wire form for arrays of {kind}")
    return bytes([len(kind)]) + kind.encode()


@lru_cache(maxsize=64)
def _dtype(head: bytes) -> np.dtype[Any]:
    kind = head.decode()
    if not _DTYPE.fullmatch(kind):
        raise BrokenRecordError(f"no array of numbers: {kind[:20]!r}")
    return np.dtype(kind)


def _enc(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.str.startswith(">"):
            value = value.astype(value.dtype.newbyteorder("<"))
        # not its own memory: of an array that gave that once numpy keeps a note as long as it lives
        return msgspec.msgpack.Ext(_ARRAY, _head(value.dtype.str) + value.tobytes())
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    raise TypeError(f"no wire form for {type(value).__name__}")


def _ext(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise BrokenRecordError(f"unknown extension {code}")
    start = 1 + data[0]
    return np.frombuffer(bytes(data[start:]), _dtype(bytes(data[1:start])))


_encoder = msgspec.msgpack.Encoder(enc_hook=_enc)
_decoder = msgspec.msgpack.Decoder(ext_hook=_ext, strict=False)


def pack(magic: bytes, version: int, value: Any) -> bytes:
    """`value` (plain containers and one-dimensional arrays) behind a header. O(size)."""
    body = _encoder.encode(value)
    return b"".join((magic, bytes([version]), zlib.crc32(body).to_bytes(4, "little"), body))


def encoded(value: Any) -> bytes:
    """As it stands in a record."""
    return _encoder.encode(value)


def unpack(magic: bytes, version: int, data: bytes) -> Any:
    """Inverse of `pack`. Raises BrokenRecordError, naming what is wrong."""
    if data[:1] != magic:
        raise BrokenRecordError(f"expected a {magic!r} record, got {data[:1]!r}")
    if len(data) < _HEADER:
        raise BrokenRecordError(f"a {magic!r} record is cut short")
    if data[1] != version:
        raise BrokenRecordError(
            f"{magic!r} record of version {data[1]}; this build reads {version}"
        )
    body = memoryview(data)[_HEADER:]
    if zlib.crc32(body).to_bytes(4, "little") != data[2:_HEADER]:
        raise BrokenRecordError(f"checksum of a {magic!r} record does not match")
    return formed(magic, _decoder.decode, body)


def formed(magic: bytes, build: Callable[[Given], Made], given: Given) -> Made:
    """`build(given)`. Raises BrokenRecordError where it fails: bytes with our header and checksum
    that were yet not written by this version, and must stop nobody with another error."""
    try:
        return build(given)
    except BrokenRecordError:
        raise
    except _MISFITS as error:
        raise BrokenRecordError(f"a {magic!r} record has not its form: {error!r}"[:300]) from error
