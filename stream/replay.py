"""Decisions of a live run, applied again at the record they were made before."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import assert_never

import msgspec

from stream.events import Records
from stream.pipeline import Pipeline
from stream.shedding import Wish
from stream.source_stage import Side
from stream.wire import Claim, Idle, JournalEntry, MaturityDecision, Shed


class _Placed(msgspec.Struct):
    offset: int


_entries: msgspec.json.Decoder[JournalEntry] = msgspec.json.Decoder(JournalEntry)
_offsets = msgspec.json.Decoder(_Placed)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided before the record at an offset of a source partition."""

    side: Side
    partition: int
    at_offset: int
    apply: Callable[[Pipeline], None]


def decision(entry: JournalEntry) -> Decision | None:
    """The table of what is applied again; None: a replay decides it anew, alike (maturities)."""
    match entry:
        case Idle(partition=partition, side=side, at_offset=at_offset):
            advance = partial(
                Pipeline.advance, partition=partition, side=side, watermark_ms=entry.watermark_ms
            )
            return Decision(side, partition, at_offset, advance)
        case Shed(partition=partition, side=side, at_offset=at_offset):
            shed = partial(
                Pipeline.shed, partition=partition, wish=Wish(side, entry.what, entry.level)
            )
            return Decision(side, partition, at_offset, shed)
        case Claim() | MaturityDecision():
            return None
        case _:  # a new kind of entry must say what a replay does with it
            assert_never(entry)


class ReplayedJournal:
    """Decisions by side, partition and offset; each is applied once."""

    def __init__(
        self, entries: Iterable[tuple[int, JournalEntry]], *, by_position: bool = False
    ) -> None:
        """`entries`: (offset in its journal partition, entry), in journal order. `by_position`:
        lines of files have no offsets; the n-th record of a partition, from 0, has offset n."""
        self._due: dict[tuple[Side, int], deque[Decision]] = defaultdict(deque)
        self._by_position = by_position
        self._fed: dict[tuple[Side, int], int] = defaultdict(int)  # next position
        found = [d for entry in _valid(entries) if (d := decision(entry)) is not None]
        # Stable: what was decided at one offset stays in journal order.
        for due in sorted(found, key=lambda d: d.at_offset):
            self._due[due.side, due.partition].append(due)
        self.decisions = len(found)

    @classmethod
    def read(cls, path: Path, *, by_position: bool) -> ReplayedJournal:
        """A journal as `leeway journal` prints it. Raises OSError, ValueError."""
        entries: list[tuple[int, JournalEntry]] = []
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                entries.append((_offsets.decode(line).offset, _entries.decode(line)))
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}:{number}: not a journal entry: {error}") from None
        return cls(entries, by_position=by_position)

    def before(self, pipeline: Pipeline, side: Side, records: Records) -> Iterator[Records]:
        """The records in parts; what was decided before a part has been applied when it comes.

        Compaction, transaction markers and aborted records leave gaps between offsets.
        """
        offsets: Sequence[int] = records.offsets
        if self._by_position:
            first = self._fed[side, records.partition]
            offsets = range(first, first + len(records.values))
            self._fed[side, records.partition] += len(records.values)
        due = self._due[side, records.partition]
        done = 0
        while due and (at := bisect_left(offsets, due[0].at_offset)) < len(offsets):
            if at > done:
                yield _part(records, done, at)
                done = at
            self._apply(pipeline, due, offsets[at])
        if done < len(records.values):
            yield _part(records, done, len(records.values))

    def rest(
        self, pipeline: Pipeline, side: Side, partition: int, end_offset: int | None = None
    ) -> None:
        """Apply what was decided behind the last record, up to the next offset (None: of files, the
        number of lines fed). What is beyond it was decided after records that are not here."""
        place = (side, partition)
        end_offset = self._fed[place] if end_offset is None else end_offset
        self._apply(pipeline, self._due[place], end_offset)

    def skip(self, side: Side, partition: int, start_offset: int) -> None:
        """Forget what was decided before an earlier record than that at this offset."""
        due = self._due[side, partition]
        while due and due[0].at_offset < start_offset:
            due.popleft()

    @staticmethod
    def _apply(pipeline: Pipeline, due: deque[Decision], offset: int) -> None:
        while due and due[0].at_offset <= offset:
            due.popleft().apply(pipeline)


def _valid(entries: Iterable[tuple[int, JournalEntry]]) -> Iterator[JournalEntry]:
    """Entries of an epoch behind a newer claim of their stage and partition are void.

    The epoch of a claim is its offset in its journal partition.
    """
    epochs: dict[tuple[int, int], int] = {}
    for offset, entry in entries:
        owner = (entry.stage, entry.partition)
        if isinstance(entry, Claim):
            epochs[owner] = offset
        elif entry.epoch == epochs.get(owner):
            yield entry


def _part(records: Records, start: int, end: int) -> Records:
    return Records(
        records.topic,
        records.partition,
        records.offsets[start:end],
        records.timestamps_ms[start:end],
        records.values[start:end],
    )
