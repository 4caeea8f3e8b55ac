"""aiokafka's fetched records taken Kafka batch by Kafka batch instead of one by one.

A frozen ConsumerRecord costs 3 µs and a generator's turn another part of one, and nobody here needs
either. CRC checks, control batches, aborted transactions and positions stay aiokafka's: it iterates
over a batch as ever, and finds one thing in it, all its records. Private API: see
tests/stream/test_transport.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any


class _Whole:
    """All records of one Kafka batch in place of one record."""

    __slots__ = ("offset", "records")

    def __init__(self, records: list[Any]) -> None:
        self.records = records
        self.offset: int = records[-1].offset


class _Batch:
    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[_Whole]:
        records = [*self._batch]
        if records:
            yield _Whole(records)

    def __next__(self) -> Any:
        return next(self._batch)  # of a control batch


class _Batches:
    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> _Batch:
        return _Batch(self._batches.next_batch())


def take_whole_batches(result: Any) -> None:
    """Make a FetchResult hand out raw records, batch by batch; one that is not as known stays."""
    records: Any = getattr(result, "_partition_records", None)
    if not (hasattr(records, "_consumer_record") and hasattr(records, "_records")):
        return
    records._consumer_record = _as_it_is
    records._records = _Batches(records._records)
    result.getall = partial(_getall, result, [])


def _as_it_is(_tp: Any, whole: _Whole) -> _Whole:
    return whole


def _getall(result: Any, rest: list[Any], max_records: int | None = None) -> list[Any]:
    """`rest`: records of a batch that was larger than what was asked for; kept between calls."""
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return []
    records = result._partition_records
    found, rest[:] = rest[:], []
    while max_records is None or len(found) < max_records:
        position = records.next_fetch_offset
        whole = next(records, None)
        if whole is None:
            result._update_position()
            result._partition_records = None
            return found
        # a batch that was fetched from within begins before
        early = whole.records[0].offset < position
        found += [r for r in whole.records if r.offset >= position] if early else whole.records
    found, rest[:] = found[:max_records], found[max_records:]
    if found:
        records.next_fetch_offset = found[-1].offset + 1
    result._update_position()
    return found
