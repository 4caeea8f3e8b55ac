"""Decisions of a live run, applied again at the record they were made before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stream.events import Records
from stream.pipeline import Pipeline
from stream.source_stage import Side
from stream.wire import Claim, Idle, JournalEntry


class _Placed(msgspec.Struct):
    offset: int


_entries: msgspec.json.Decoder[JournalEntry] = msgspec.json.Decoder(JournalEntry)
_offsets = msgspec.json.Decoder(_Placed)


class ReplayedJournal:
    """The watermarks that idleness and ticks moved, by side, partition and record.

    Maturities are not read: stage 2 decides them again, alike.
    """

    def __init__(self, entries: list[tuple[int, JournalEntry]]) -> None:
        """`entries`: (offset in its journal partition, entry), in journal order."""
        self._moves: dict[tuple[Side, int], list[Idle]] = defaultdict(list)
        self._fed: dict[tuple[Side, int], int] = defaultdict(int)
        for entry in _valid(entries):
            self._moves[entry.side, entry.partition].append(entry)

    @classmethod
    def read(cls, path: Path | None) -> ReplayedJournal:
        """A journal as `leeway journal` prints it. Raises OSError, ValueError."""
        if path is None:
            return cls([])
        entries: list[tuple[int, JournalEntry]] = []
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                entries.append((_offsets.decode(line).offset, _entries.decode(line)))
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}:{number}: not a journal entry: {error}") from None
        return cls(entries)

    def before(self, pipeline: Pipeline, side: Side, records: Records) -> Iterator[Records]:
        """The records in parts; what was decided before a part has been applied when it comes."""
        place = (side, records.partition)
        first, count = self._fed[place], len(records.values)
        self._fed[place] += count
        done = 0
        moves = self._moves[place]
        while moves and moves[0].at_offset < first + count:
            move = moves.pop(0)
            upto = max(move.at_offset - first, done)
            if upto > done:
                yield _part(records, done, upto)
                done = upto
            pipeline.advance(records.partition, side, move.watermark_ms)
        if done < count:
            yield _part(records, done, count)


def _valid(entries: list[tuple[int, JournalEntry]]) -> list[Idle]:
    """Entries of an epoch behind a newer claim of their stage and partition are void.

    The epoch of a claim is its offset in its journal partition.
    """
    epochs: dict[tuple[int, int], int] = {}
    kept: list[Idle] = []
    for offset, entry in entries:
        if isinstance(entry, Claim):
            epochs[entry.stage, entry.partition] = offset
        elif isinstance(entry, Idle) and entry.epoch == epochs.get((1, entry.partition)):
            kept.append(entry)
    return kept


def _part(records: Records, start: int, end: int) -> Records:
    return Records(
        records.topic,
        records.partition,
        records.offsets[start:end],
        records.timestamps_ms[start:end],
        records.values[start:end],
    )
