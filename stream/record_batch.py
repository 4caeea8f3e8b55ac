"""What the transport hands on: a fetched batch of one partition, its raw records, its offsets."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, MutableSet
from itertools import pairwise
from typing import Any

from aiokafka.consumer.fetcher import FetchResult

from stream.events import Records
from stream.raw_records import RawRecords
from stream.whole_batches import take_whole_batches

_PART_RECORDS = 16_000  # the loop breathes between parts of a batch


class RecordBatch:
    """Consecutive records of one partition."""

    __slots__ = ("first", "last", "partition", "records", "topic")

    def __init__(self, tp: Any, records: RawRecords | list[Any]) -> None:
        self.topic: str = tp.topic
        self.partition: int = tp.partition
        self.records = records if isinstance(records, RawRecords) else RawRecords.of(records)
        self.first: int = self.records.offsets[0]
        self.last: int = self.records.offsets[-1]

    def __len__(self) -> int:
        return len(self.records)

    def drop(self) -> None:
        """The records: they are applied."""
        self.records = RawRecords.none()

    def parts(self, from_offset: int, cut_at: Iterable[int] = ()) -> Iterator[Records]:
        """The records from an offset on; no part reaches over one of the offsets `cut_at`."""
        offsets = self.records.offsets
        first, end = bisect_left(offsets, from_offset), len(offsets)
        cuts = {bisect_left(offsets, at) for at in cut_at} | set(range(first, end, _PART_RECORDS))
        for start, stop in pairwise(sorted({cut for cut in cuts if first <= cut < end} | {end})):
            if (start, stop) == (0, len(offsets)):
                of = self.records
                yield Records(self.topic, self.partition, offsets, of.timestamps, of.values)
                return
            part = slice(start, stop)
            yield Records(
                self.topic,
                self.partition,
                offsets[part],
                self.records.timestamps[part],
                self.records.values[part],
            )


def longest_acked_prefix(inflight: deque[int], acked: MutableSet[int]) -> int | None:
    """The offset to commit: one past the last acknowledged delivery without a gap before it.

    `inflight` holds the last offset of each delivery, in order of delivery. What is passed leaves
    both arguments. None: the first delivery is not acknowledged yet. O(passed).
    """
    last = None
    while inflight and inflight[0] in acked:
        last = inflight.popleft()
        acked.discard(last)
    return None if last is None else last + 1


class RawRecordBuffer(OrderedDict[Any, Any]):
    """aiokafka's fetch buffer, in which batched topics keep their records as columns."""

    def __init__(self, is_batched: Any) -> None:
        super().__init__()
        self._is_batched = is_batched

    def __setitem__(self, tp: Any, result: Any) -> None:
        if type(result) is FetchResult and self._is_batched(tp.topic):
            take_whole_batches(result)
        super().__setitem__(tp, result)
