"""aiokafka's fetched records taken Kafka batch by Kafka batch instead of one by one.

A frozen ConsumerRecord costs 3 µs, the record that it is made of 1 µs, and nobody here needs
either. Control batches, aborted transactions and positions stay aiokafka's: it iterates over a
batch as ever, and finds one thing in it, all its records. Their CRC is looked at by the extension,
where the processor has an instruction for it. Private API: see tests/stream/test_transport.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from stream.raw_records import RawRecords, crc_is_right, end_of, records_of


class _Whole:
    """All records of one Kafka batch in place of one record."""

    __slots__ = ("offset", "records")

    def __init__(self, records: RawRecords) -> None:
        self.records = records
        self.offset: int = records[-1].offset


class _Batch:
    def __init__(self, batch: Any, data: bytes | None, begin: int) -> None:
        self._batch, self._data, self._begin = batch, data, begin

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[_Whole]:
        data = self._data
        records = None if data is None else records_of(self._batch, data, self._begin)
        if records is None:
            records = RawRecords.of([*self._batch])
        if len(records):
            yield _Whole(records)

    def validate_crc(self) -> bool:
        found = None if self._data is None else crc_is_right(self._data, self._begin)
        return bool(self._batch.validate_crc()) if found is None else found

    def __next__(self) -> Any:
        return next(self._batch)  # of a control batch


class _Batches:
    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self._data: bytes | None = getattr(batches, "data", None)
        self._at = 0

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> _Batch:
        begin = self._at
        if self._data is not None:
            self._at = end_of(self._data, begin)
        return _Batch(self._batches.next_batch(), self._data, begin)


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


def _getall(result: Any, rest: list[RawRecords], max_records: int | None = None) -> RawRecords:
    """`rest`: records of a batch that was larger than what was asked for; kept between calls."""
    found = RawRecords.none()
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return found
    records = result._partition_records
    while rest:
        found.extend(rest.pop())
    while max_records is None or len(found) < max_records:
        position = records.next_fetch_offset
        whole = next(records, None)
        if whole is None:
            result._update_position()
            result._partition_records = None
            return found
        # a batch that was fetched from within begins before
        early = sum(offset < position for offset in whole.records.offsets[:1])
        if early:
            early = sum(offset < position for offset in whole.records.offsets)
        found.extend(whole.records[early:] if early else whole.records)
    if len(found) > max_records:
        rest.append(found[max_records:])
        found = found[:max_records]
    if len(found):
        records.next_fetch_offset = found[-1].offset + 1
    result._update_position()
    return found
