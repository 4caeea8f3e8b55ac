"""What stage 1 says to stage 2: blocks of panes, other records of a model, its watermarks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from detectors.ordered import distinct
from stream import closed_panes, native_blocks
from stream.closed_panes import CELL_BYTES, Closed, closed, cut_into_blocks
from stream.columns import Group, Rows
from stream.events import ToPanes
from stream.grouped_rows import GroupedRows, Stretch, apart
from stream.numbering import Speaker
from stream.pane_kinds import PaneKind
from stream.partitioning import partition_of
from stream.rules import Rules
from stream.watermark import BEFORE_ALL_MS
from stream.wire import (
    Announcement,
    Block,
    Bundle,
    PaneRecord,
    block_opening,
    encode_in_fragments,
    encode_pane_record,
    in_fragments,
)

_SENT_KEPT = 100_000  # far more than any alignment allows


@lru_cache(maxsize=1 << 16)
def _partition_of(model_id: str, partitions: int) -> int:
    return partition_of(model_id.encode(), partitions)


class PaneOutbox:
    def __init__(self, partition: int, partitions: int) -> None:
        self.speaker = Speaker(partition)
        self._partition = partition
        self._partitions = partitions
        self._announced = (BEFORE_ALL_MS, BEFORE_ALL_MS)
        self._ended: tuple[int, int] | None = None  # predictions: seen to here, declared to there
        self._sent: deque[int] = deque(maxlen=_SENT_KEPT)  # ready times, for the alignment

    def blocks(self, kind: PaneKind, group: Group, panes: Closed, rules: Rules) -> list[ToPanes]:
        effects: list[ToPanes] = []
        for part in cut_into_blocks(panes, rules):
            epoch = self.speaker.epoch
            block = Block(self._partition, epoch, kind, group, part.rows, part.table)
            effects += self.of_model(group[0], block)
            if kind == "prediction":
                self._sent.extend((part.ends() + rules.grace_ms).tolist())
        return effects

    def rows(self, kind: PaneKind, rows: GroupedRows, rules: Rules) -> list[ToPanes]:
        """All of panes that are whole: those of many groups in bundles."""
        is_one = len(rows) > rules.pane_rows and bool((rows.code == rows.code[0]).all())
        if is_one:
            group = rows.groups[int(rows.code[0])]
            if (made := self._summaries(kind, group, [rows.rows], rules)) is not None:
                return made
        return self._mixed(kind, rows, rules, is_refused=is_one)

    def _mixed(
        self, kind: PaneKind, rows: GroupedRows, rules: Rules, *, is_refused: bool
    ) -> list[ToPanes]:
        """`is_refused`: the extension leaves them to `blocks`."""
        sparse, crowded = apart(rows, rules.pane_rows)
        effects: list[ToPanes] = []
        for q, of in self._bundles(sparse) if len(sparse) else ():
            if len(of.groups) == 1:
                effects += self.blocks(kind, of.groups[0], Closed(of.rows, None), rules)
                continue
            bundle = Bundle(self._partition, self.speaker.epoch, kind, of)
            effects += [ToPanes(q, self.speaker.say(q, v)) for v in encode_in_fragments(bundle)]
            if kind == "prediction":
                self._sent.extend((of.pane_ends() + rules.grace_ms).tolist())
        for group, of_group in crowded.dealt():
            made = None if is_refused else self._summaries(kind, group, [of_group], rules)
            if made is None:
                made = self.blocks(kind, group, closed([of_group], [], rules), rules)
            effects += made
        return effects

    def stretch(self, kind: PaneKind, of: Stretch, rules: Rules) -> list[ToPanes]:
        """As `rows`, of all of panes that are whole."""
        parts, span = [part.rows for part in of.parts], (of.after_ms, of.until_ms)
        made = self._summaries(kind, of.group, parts, rules, span)
        if made is not None:
            return made
        return [effect for rows in of.rows() for effect in self.rows(kind, rows, rules)]

    def _summaries(
        self,
        kind: PaneKind,
        group: Group,
        parts: Sequence[Rows],
        rules: Rules,
        span_ms: tuple[int, int] = (BEFORE_ALL_MS, -BEFORE_ALL_MS),
    ) -> list[ToPanes] | None:
        """As `blocks`, where all panes are crowded; None where that must do it."""
        head = Block(self._partition, self.speaker.epoch, kind, group, None, None)
        made = native_blocks.records(block_opening(head), parts, rules, span_ms)
        if made is None:
            return None
        q = _partition_of(group[0], self._partitions)
        effects: list[ToPanes] = []
        for record, ends in made:
            values = in_fragments(self._partition, record)
            effects += [ToPanes(q, self.speaker.say(q, value)) for value in values]
            if kind == "prediction":
                self._sent.extend((ends + rules.grace_ms).tolist())
        return effects

    def _bundles(self, rows: GroupedRows) -> Iterator[tuple[int, GroupedRows]]:
        """For each partition of stage 2 its groups, in parts of about half a megabyte."""
        codes = distinct(rows.code).tolist()
        q_of = np.zeros(len(rows.groups), np.int64)
        for code in codes:
            q_of[code] = _partition_of(rows.groups[code][0], self._partitions)
        q = q_of[rows.code]
        order = np.lexsort((rows.code, q))
        q, code = q[order], rows.code[order]
        is_first = np.diff(code, prepend=-1) != 0
        row_bytes = (2 + len(rows.names)) * CELL_BYTES
        first = np.flatnonzero(is_first)
        number = first * row_bytes // closed_panes.BLOCK_BYTES  # a group is never cut
        part = (np.diff(q[first], prepend=-1) != 0) | (np.diff(number, prepend=-1) != 0)
        starts = first[part].tolist()
        for start, stop in zip(starts, [*starts[1:], len(code)], strict=True):
            of_part = code[start:stop]
            groups = [rows.groups[c] for c in of_part[is_first[start:stop]].tolist()]
            number = np.cumsum(is_first[start:stop]) - 1
            yield int(q[start]), GroupedRows(rows.rows.take(order[start:stop]), number, groups)

    def of_model(self, model_id: str, record: PaneRecord) -> list[ToPanes]:
        q = _partition_of(model_id, self._partitions)
        return [ToPanes(q, self.speaker.say(q, value)) for value in encode_in_fragments(record)]

    def watermarks(self, predictions_ms: int, outcomes_ms: int) -> Iterator[ToPanes]:
        """To every stage-2 partition, if they have moved."""
        now = (predictions_ms, outcomes_ms)
        if now == self._announced:
            return
        self._announced = now
        if self._ended is not None and predictions_ms > self._ended[1]:
            self._ended = None  # it goes on
        seen_ms = None if self._ended is None else self._ended[0]
        record = Announcement(self._partition, self._partitions, self.speaker.epoch, *now, seen_ms)
        value = encode_pane_record(record)
        for q in range(self._partitions):
            yield ToPanes(q, self.speaker.say(q, value))

    def end_predictions(self, seen_ms: int, declared_ms: int) -> None:
        """The end of the input is declared: nobody has looked for predictions in between."""
        if declared_ms > seen_ms:
            self._ended = (seen_ms if self._ended is None else self._ended[0], declared_ms)

    @property
    def ended(self) -> tuple[int, int] | None:
        return self._ended

    def restore_end(self, ended: list[int]) -> None:
        self._ended = (ended[0], ended[1])

    def announce_again(self) -> None:
        self._announced = (BEFORE_ALL_MS - 1, BEFORE_ALL_MS - 1)

    def unmerged_panes(self, merged_until_ms: int) -> int:
        """Panes sent whose ready time is beyond what stage 2 has merged."""
        self._sent = deque((r for r in self._sent if r > merged_until_ms), maxlen=_SENT_KEPT)
        return len(self._sent)
