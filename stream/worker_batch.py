"""A fetched batch in parts: what was applied before left out, cut where something comes between."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import pairwise

from stream.events import Records
from stream.transport import RecordBatch

_PART_RECORDS = 2_000  # the loop breathes between parts


def parts(batch: RecordBatch, from_offset: int, cut_at: Iterable[int] = ()) -> Iterator[Records]:
    """The records from an offset on; no part reaches over one of the offsets `cut_at`."""
    offsets = [record.offset for record in batch.records]
    first, end = bisect_left(offsets, from_offset), len(offsets)
    cuts = {bisect_left(offsets, at) for at in cut_at} | set(range(first, end, _PART_RECORDS))
    for start, stop in pairwise(sorted({cut for cut in cuts if first <= cut < end} | {end})):
        part = batch.records[start:stop]
        yield Records(
            batch.topic,
            batch.partition,
            offsets[start:stop],
            [record.timestamp for record in part],
            [record.value for record in part],
        )
