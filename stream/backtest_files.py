"""Events in files as records of source partitions: NDJSON, gzipped or not, and Parquet."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from stream.events import EventTime, Records
from stream.partitioning import partition_of
from stream.times import to_ms

_CHUNK = 4_096  # lines read before the sides are compared


@dataclass(frozen=True, slots=True)
class Line:
    number: int  # from 1, in its file
    value: bytes
    partition: int
    timestamp_ms: int | None


def chunks(
    paths: list[Path], partitions: int, timestamp_field: str | None
) -> Iterator[list[Records]]:
    """Records of each partition, some thousand lines at a time; offsets are line numbers.

    A line goes to the partition of its `prediction_id` (murmur2, as Kafka's producers have it), a
    line without one to 0. Raises OSError and, for Parquet, ValueError.
    """
    read = _reader(timestamp_field)
    for path in paths:
        lines = (read(n, v, partitions) for n, v in enumerate(_values(path), 1) if v.strip())
        while chunk := list(islice(lines, _CHUNK)):
            dealt: dict[int, list[Line]] = {}
            for line in chunk:
                dealt.setdefault(line.partition, []).append(line)
            yield [
                Records(
                    topic=str(path),
                    partition=partition,
                    offsets=[line.number for line in mine],
                    timestamps_ms=[line.timestamp_ms for line in mine],
                    values=[line.value for line in mine],
                )
                for partition, mine in sorted(dealt.items())
            ]


def _values(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        yield from _parquet_values(path)
        return
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        for line in file:
            yield line.rstrip(b"\r\n")


def _parquet_values(path: Path) -> Iterator[bytes]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ValueError(f"{path}: Parquet needs pyarrow: pip install 'leeway[parquet]'") from None
    for batch in parquet.ParquetFile(path).iter_batches(batch_size=_CHUNK):
        for row in batch.to_pylist():
            yield msgspec.json.encode({k: v for k, v in row.items() if v is not None})


class _Keyed(msgspec.Struct):
    prediction_id: str


def _reader(timestamp_field: str | None) -> Callable[[int, bytes, int], Line]:
    """(line number, value, partitions) -> Line. What is wrong with a line, stage 1 says."""
    keyed = msgspec.json.Decoder(_Keyed)
    stamped: msgspec.json.Decoder[Any] | None = None
    if timestamp_field is not None:
        fields = [("stamp", EventTime | None, None)]
        stamped = msgspec.json.Decoder(
            msgspec.defstruct("Stamped", fields, rename={"stamp": timestamp_field})
        )
    unreadable = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)

    def read(number: int, value: bytes, partitions: int) -> Line:
        try:
            partition = partition_of(keyed.decode(value).prediction_id.encode(), partitions)
        except unreadable:
            partition = 0
        stamp = None
        if stamped is not None:
            with suppress(*unreadable):
                stamp = stamped.decode(value).stamp
        return Line(number, value, partition, None if stamp is None else to_ms(stamp))

    return read
