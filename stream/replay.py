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
from stream.rule_book import ConfigChange, RefusedConfigError
from stream.rules import Rules
from stream.shedding import Wish
from stream.source_stage import Side
from stream.wire import (
    Accepted,
    Activation,
    Claim,
    Founding,
    Idle,
    JournalEntry,
    MaturityDecision,
    Noticed,
    Renewed,
    Shed,
)

_MODELS = 2  # the number of stage 2


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
    is_lasting: bool = False  # it counts for a replay that begins behind it, too


class ReplayedRules:
    """The rules that were in force in the live run, and from when on in which stage."""

    def __init__(self, entries: Sequence[JournalEntry]) -> None:
        foundings = [entry for entry in entries if isinstance(entry, Founding)]
        self._activations = [entry for entry in entries if isinstance(entry, Activation)]
        self._renewed = [entry for entry in entries if isinstance(entry, Renewed)]
        self._noticed = [entry for entry in entries if isinstance(entry, Noticed)]
        self._by_hash = {e.config_hash: e.rules for e in self._activations if e.rules is not None}
        self._founding = foundings[0] if foundings else None  # the first counts
        self.is_followed = False
        if self._founding is not None:
            self._by_hash[self._founding.config_hash] = self._founding.rules

    def begin(self, pipeline: Pipeline) -> None:
        """Begin as the live run did, where it ran under the pipeline's rules at some time.

        Under any others this is no replay but a trial of them: no change of the live run counts.
        Raises RefusedConfigError."""
        configured = pipeline.rules.config_hash()
        self.is_followed = configured in self._by_hash
        founding = self._founding
        if self.is_followed and founding is not None and configured != founding.config_hash:
            pipeline.found(self._of(founding.config_hash))

    def activate(self, pipeline: Pipeline) -> None:
        """All changes at once: they wait for their ready time in the stages. A reference that was
        accepted is so under any configuration, and what people said was said."""
        for noticed in self._noticed:
            pipeline.alert_stage.notice(noticed)
        for renewed in self._renewed:
            pipeline.models[renewed.partition].renew(renewed)
        for entry in self._activations if self.is_followed else ():
            rules = self._of(entry.config_hash)
            stage = pipeline.models[entry.partition] if entry.stage == _MODELS else None
            (stage or pipeline.alert_stage).activate(entry.at_ms, rules, entry.announced_at)

    def accept(self, pipeline: Pipeline, entry: Accepted) -> None:
        if self.is_followed:
            rules = self._of(entry.config_hash)
            pipeline.accept(entry.partition, entry.side, rules, entry.announced_at)

    def remarks(self) -> list[str]:
        if self.is_followed or not self._by_hash:
            return []
        known = ", ".join(self._by_hash)
        return [f"the live run was under {known}: this is a trial of another configuration"]

    def _of(self, config_hash: str) -> Rules:
        plain = self._by_hash.get(config_hash)
        if plain is None:
            raise RefusedConfigError(
                f"the journal speaks of config {config_hash} and does not hold its rules: it was "
                "read while that came into force; read it again"
            )
        return ConfigChange.of_plain(0, config_hash, plain).rules


def decision(entry: JournalEntry, rules: ReplayedRules) -> Decision | None:
    """The table of what is applied again at a record; None: it is not of a record, or a replay
    decides it anew, alike (maturities)."""
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
            return Decision(side, partition, at_offset, shed, is_lasting=True)
        case Accepted(partition=partition, side=side, at_offset=at_offset):
            accept = partial(rules.accept, entry=entry)
            return Decision(side, partition, at_offset, accept, is_lasting=True)
        case Claim() | MaturityDecision() | Founding() | Activation() | Renewed() | Noticed():
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
        entries = list(entries)
        self._is_of_a_run = bool(entries)
        valid = list(_valid(entries))
        self.rules = ReplayedRules(valid)
        found = [d for entry in valid if (d := decision(entry, self.rules)) is not None]
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
        pipeline.decides_caps = not self._is_of_a_run
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
        kept = [d for d in due if d.at_offset >= start_offset or d.is_lasting]
        due.clear()
        due.extend(kept)

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
        if isinstance(entry, Founding):
            yield entry
            continue
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
