"""A history in files as records of source partitions: NDJSON, gzipped or not, and Parquet."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from stream.events import DeadLetter, EventTime, Records
from stream.history import BEFORE_ALL_MS, SIDES, Meter
from stream.partitioning import partition_of
from stream.pipeline import Pipeline
from stream.renewals import Renewal
from stream.replay import ReplayedJournal
from stream.source_stage import Side
from stream.times import to_ms

_CHUNK = 4_096  # lines read before the sides are compared


class FileHistory:
    """Both sides from their first to their last line; then the input has ended."""

    def __init__(
        self,
        predictions: list[Path],
        outcomes: list[Path],
        *,
        timestamp_field: str | None = None,
        journal: Path | None = None,
        deployed: Sequence[Renewal] = (),
    ) -> None:
        """`deployed`: references that come with versions. Raises OSError and ValueError for the
        journal."""
        self._deployed = deployed
        self._paths: dict[Side, list[Path]] = {"predictions": predictions, "outcomes": outcomes}
        self._timestamp_field = timestamp_field
        self._decisions = (
            ReplayedJournal([], by_position=True)
            if journal is None
            else ReplayedJournal.read(journal, by_position=True)
        )

    def feed(self, pipeline: Pipeline, meter: Meter) -> None:
        """The side that is behind in event time first, so that little has to be held; what comes
        out does not depend on it. Raises OSError and ValueError."""
        rules = self._decisions.rules
        rules.begin(pipeline)
        rules.activate(pipeline)
        pipeline.deploy(self._deployed)
        partitions = len(pipeline.sources)
        left = {
            side: chunks(paths, partitions, self._timestamp_field)
            for side, paths in self._paths.items()
        }
        size_bytes = self._size_bytes()
        while left:
            side = min(left, key=lambda s: _reached_ms(pipeline, s))
            chunk = next(left[side], None)
            if chunk is None:
                del left[side]
                continue
            for records in chunk:
                for part in self._decisions.before(pipeline, side, records):
                    (pipeline.predictions if side == "predictions" else pipeline.outcomes)(part)
                meter(sum(len(value or b"") + 1 for value in records.values), size_bytes)
        for side in SIDES:
            for partition in range(partitions):
                self._decisions.rest(pipeline, side, partition)
        pipeline.end_of_input(None)

    def facts(self, _pipeline: Pipeline) -> dict[str, Any]:
        return {"future_check": self._timestamp_field or "off"}

    def remarks(self, _facts: dict[str, Any]) -> list[str]:
        remarks = self._decisions.rules.remarks()
        if self._timestamp_field is None:
            remarks.append("no timestamp column: no event was checked for being of the future")
        return remarks

    @staticmethod
    def place(letter: DeadLetter) -> dict[str, Any]:
        return {"file": letter.topic, "line": letter.offset}

    def _size_bytes(self) -> int | None:
        paths = [path for of_side in self._paths.values() for path in of_side]
        if any(path.suffix in {".gz", ".parquet"} for path in paths):
            return None
        return sum(path.stat().st_size for path in paths)


def _reached_ms(pipeline: Pipeline, side: Side) -> int:
    times = [pipeline.watermark_ms(p, side) for p in range(len(pipeline.sources))]
    return max((t for t in times if t is not None), default=BEFORE_ALL_MS)


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
        lines = (read(n, v, partitions) for n, v in enumerate(values_of(path), 1) if v.strip())
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


def values_of(path: Path) -> Iterator[bytes]:
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
