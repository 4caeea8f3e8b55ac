"""What the transport hands on: a fetched batch of one partition, its raw records, its offsets."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, MutableSet
from itertools import pairwise
from typing import Any

from aiokafka.consumer.fetcher import FetchResult

from stream.events import Records
from stream.whole_batches import take_whole_batches

_PART_RECORDS = 2_000  # the loop breathes between parts of a batch


class RecordBatch:
    """Consecutive records of one partition; each has offset, timestamp (ms), key and value."""

    __slots__ = ("first", "last", "partition", "records", "topic")

    def __init__(self, tp: Any, records: list[Any]) -> None:
        self.topic: str = tp.topic
        self.partition: int = tp.partition
        self.records = records
        self.first: int = records[0].offset
        self.last: int = records[-1].offset

    def __len__(self) -> int:
        return len(self.records)

    def parts(self, from_offset: int, cut_at: Iterable[int] = ()) -> Iterator[Records]:
        """The records from an offset on; no part reaches over one of the offsets `cut_at`."""
        offsets = [record.offset for record in self.records]
        first, end = bisect_left(offsets, from_offset), len(offsets)
        cuts = {bisect_left(offsets, at) for at in cut_at} | set(range(first, end, _PART_RECORDS))
        for start, stop in pairwise(sorted({cut for cut in cuts if first <= cut < end} | {end})):
            part = self.records[start:stop]
            yield Records(
                self.topic,
                self.partition,
                offsets[start:stop],
                [record.timestamp for record in part],
                [record.value for record in part],
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
    """aiokafka's fetch buffer, in which batched topics keep their Cython records."""

    def __init__(self, is_batched: Any) -> None:
        super().__init__()
        self._is_batched = is_batched

    def __setitem__(self, tp: Any, result: Any) -> None:
        if type(result) is FetchResult and self._is_batched(tp.topic):
            take_whole_batches(result)
        super().__setitem__(tp, result)
