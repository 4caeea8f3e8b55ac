"""Records between stages are numbered, so that a lost one is never passed over.

A broker may refuse one record and take the next. The receiver would then go on, and drop the lost
one as old news when the next owner sends it again. So a speaker (a partition of a stage, under an
epoch) numbers what it says to each listener from 0, and a listener takes only the next number of
the newest epoch: what comes twice is dropped, and after a gap nothing more of that epoch counts.
The speaker that lost a record stops, and its successor begins anew under a higher epoch.
"""

from __future__ import annotations

import struct
from typing import Any

from stream.snapshot import BrokenRecordError

_HEADER = struct.Struct("<cBqqq")  # magic, version, speaker, epoch, number
_MAGIC, _VERSION = b"N", 1

Said = tuple[int, int]
"""How far a speaker is with a listener: its epoch, and the number of its next record."""


class Speaker:
    """Numbers what one partition of a stage says. A new epoch begins at 0 again."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._epoch = 0
        self._next: dict[int, int] = {}  # by listener

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._epoch, self._next = epoch, {}

    def say(self, listener: int, record: bytes) -> bytes:
        number = self._next.get(listener, 0)
        self._next[listener] = number + 1
        return _HEADER.pack(_MAGIC, _VERSION, self._partition, self._epoch, number) + record

    def said(self, listener: int) -> Said:
        return self._epoch, self._next.get(listener, 0)

    def snapshot(self) -> list[Any]:
        return [self._epoch, self._next]

    def restore(self, plain: list[Any]) -> None:
        self._epoch, self._next = plain


class Listener:
    """Takes each record of each speaker once, and none behind a gap."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[int, int]] = {}  # speaker -> epoch, next number

    def hear(self, value: bytes) -> bytes | None:
        """The record, if it is the next one of its speaker. Raises BrokenRecordError."""
        speaker, epoch, number = place_of(value)
        known, expected = self._heard.get(speaker, (epoch, 0))
        if epoch > known:
            known, expected = epoch, 0
        if epoch < known or number != expected:
            return None
        self._heard[speaker] = (epoch, number + 1)
        return value[_HEADER.size :]

    def snapshot(self) -> list[Any]:
        return [[speaker, *heard] for speaker, heard in self._heard.items()]

    def restore(self, plain: list[Any]) -> None:
        self._heard = {speaker: (epoch, number) for speaker, epoch, number in plain}


def place_of(value: bytes) -> tuple[int, int, int]:
    """Speaker, epoch and number of a record. Raises BrokenRecordError."""
    if len(value) < _HEADER.size:
        raise BrokenRecordError("a record between stages is cut short")
    magic, version, speaker, epoch, number = _HEADER.unpack_from(value)
    if (magic, version) != (_MAGIC, _VERSION):
        raise BrokenRecordError(f"expected a numbered record, got {magic!r} version {version}")
    return speaker, epoch, number


def content(value: bytes) -> bytes:
    """The record behind the number."""
    place_of(value)
    return value[_HEADER.size :]
