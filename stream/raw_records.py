"""Records of one partition as columns: what is read of a Kafka batch, and no object for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, overload

from aiokafka import codec
from aiokafka.record.memory_records import MemoryRecords

from stream.native import EXTENSION

_FORMAT = 2  # of batches, which brokers have written since 0.11
_LENGTH, _MAGIC, _CRC, _SUMMED, _COUNT, _PAYLOAD = (
    8,
    16,
    17,
    21,
    57,
    61,
)  # places in a batch of that format
_DECODED: Mapping[int, Callable[[bytes], Any]] = {
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    3: codec.lz4_decode,
    4: codec.zstd_decode,
}
_APPENDED = 1  # timestamp type: the broker's, for all records of the batch


class One(NamedTuple):
    offset: int
    timestamp: int
    timestamp_type: int


class RawRecords:
    """Parallel lists; `key` is that of the first record that has one."""

    __slots__ = ("key", "offsets", "timestamp_type", "timestamps", "values")

    def __init__(
        self,
        offsets: list[int],
        timestamps: list[Any],
        values: list[bytes | None],
        key: bytes | None,
        timestamp_type: int,
    ) -> None:
        self.offsets, self.timestamps, self.values = offsets, timestamps, values
        self.key = key
        self.timestamp_type = timestamp_type

    @classmethod
    def none(cls) -> RawRecords:
        return cls([], [], [], None, 0)

    @classmethod
    def of(cls, records: Sequence[Any]) -> RawRecords:
        """Of objects with these fields."""
        return cls(
            [record.offset for record in records],
            [record.timestamp for record in records],
            [record.value for record in records],
            next((record.key for record in records if record.key is not None), None),
            records[0].timestamp_type if records else 0,
        )

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, at: int) -> One: ...

    @overload
    def __getitem__(self, at: slice) -> RawRecords: ...

    def __getitem__(self, at: int | slice) -> One | RawRecords:
        if isinstance(at, int):
            return One(self.offsets[at], self.timestamps[at], self.timestamp_type)
        values = self.values[at]
        return RawRecords(
            self.offsets[at], self.timestamps[at], values, self.key, self.timestamp_type
        )

    def extend(self, more: RawRecords) -> None:
        if not len(self):
            self.timestamp_type = more.timestamp_type
        self.offsets += more.offsets
        self.timestamps += more.timestamps
        self.values += more.values
        self.key = more.key if self.key is None else self.key


class RawMemoryRecords(MemoryRecords):  # type: ignore[misc]
    """aiokafka's, with the fetched bytes at hand."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


def records_of(batch: Any, data: bytes, begin: int) -> RawRecords | None:
    """The records of aiokafka's batch, which begins there; None: somebody else must read them.
    O(bytes); a tenth of what an object for each record costs."""
    if EXTENSION is None or data[begin + _MAGIC] != _FORMAT:
        return None
    payload: Any = memoryview(data)[begin + _PAYLOAD : end_of(data, begin)]
    if batch.compression_type:
        decode = _DECODED.get(batch.compression_type)
        if decode is None:
            return None
        payload = decode(bytes(payload))
    count = int.from_bytes(data[begin + _COUNT : begin + _COUNT + 4], "big", signed=True)
    of_all = batch.max_timestamp if batch.timestamp_type == _APPENDED else -1
    found = EXTENSION.records(payload, count, batch.base_offset, batch.first_timestamp, of_all)
    if found is None:
        return None
    offsets, timestamps, values, key = found
    return RawRecords(offsets, timestamps, values, key, batch.timestamp_type)


def crc_is_right(data: bytes, begin: int) -> bool | None:
    """Of the batch that begins there; None: somebody else must look. aiokafka's own way takes ten
    times as long and more, a sixteenth of all that a worker does."""
    if EXTENSION is None or data[begin + _MAGIC] != _FORMAT:
        return None
    crc = EXTENSION.crc32c(memoryview(data)[begin + _SUMMED : end_of(data, begin)])
    said = int.from_bytes(data[begin + _CRC : begin + _SUMMED], "big")
    return None if crc is None else bool(crc == said)


def end_of(data: bytes, begin: int) -> int:
    """Behind the batch that begins there, whatever its format."""
    return begin + _LENGTH + 4 + int.from_bytes(data[begin + _LENGTH : begin + _LENGTH + 4], "big")
