"""Checkpoints whose checksums are right and whose content no build of ours has written."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from stream.blobs import BLOB_BYTES, Kept, Packing, compressed, decompressed, unpacked
from stream.checkpoint import (
    VERSION,
    Checkpoint,
    CheckpointError,
    Layout,
    Point,
    Writing,
    latest,
)
from stream.snapshot import Part, pack, unpack

LAYOUT = Layout(state_hash="abc", partitions=4, inputs=("predictions", "outcomes"))
POINT = Point(1, 2, 10, 3, {"predictions": 5, "outcomes": 7}, 11)
Plain = dict[str, Any]


def written() -> tuple[dict[bytes, bytes], Writing]:
    """A blob each for what is written anew and what lasts; the manifest is the last record."""
    parts = [Part("state", None, lambda: b"a state"), Part("run-1", 1, lambda: b"rows")]
    writing = Writing(POINT, parts, Kept(), LAYOUT)
    return dict([*writing.blobs(), writing.manifest()]), writing


def read(records: dict[bytes, bytes]) -> Checkpoint:
    found = latest(records, 1, 2, LAYOUT)  # type: ignore[arg-type]  # a mapping is invariant
    assert found is not None
    return found


def forged(change: Callable[[Plain], Plain]) -> dict[bytes, bytes]:
    records, _ = written()
    manifest = list(records)[-1]
    plain = unpack(b"K", VERSION, records[manifest])
    return records | {manifest: pack(b"K", VERSION, change(plain))}


def with_table(change: Callable[[Plain], Plain]) -> dict[bytes, bytes]:
    def changed(plain: Plain) -> Plain:
        table = unpack(b"T", VERSION, decompressed(plain["table"]))
        return plain | {"table": compressed(pack(b"T", VERSION, change(table)))}

    return forged(changed)


def test_what_is_only_written_again_is_read() -> None:
    for records in (forged(dict), with_table(dict)):
        assert read(records).state == {"state": b"a state", "run-1": b"rows"}
        assert read(records).point == POINT


def test_its_size_is_that_of_its_records() -> None:
    records, writing = written()
    assert writing.size_bytes == sum(map(len, records.values()))


def test_a_checkpoint_says_version_2() -> None:
    """Version 2 means this form for ever: whoever changes the form takes 3, and reads 2."""
    records, _ = written()
    assert list(records.values())[-1][:2] == b"K\x02"


@pytest.mark.parametrize(
    "change",
    [
        {"offsets": {"predictions": "5"}},
        {"offsets": {"predictions": 5.0}},
        {"offsets": [5, 7]},
        {"offsets": None},
        {"journal_position": "11"},
        {"journal_position": None},
        {"table": b""},
        {"table": b"no zstd"},
        {"table": compressed(b"no table")},
        {"table": "text"},
        {"table_blobs": [[0]]},
        {"table_blobs": [[0, 0]]},
        {"table_blobs": [[-1, 0]]},
        {"topic_ids": ["predictions"]},
        {"inputs": None},
        {"epoch": "10"},
        {"epoch": 11},
        {"sequence": -1},
    ],
)
def test_a_manifest_of_another_form_is_refused_by_its_name(change: Plain) -> None:
    with pytest.raises(CheckpointError, match=r"stage 1 partition 2 .epoch 10, sequence 3"):
        read(forged(lambda plain: plain | change))


@pytest.mark.parametrize("name", ["stage", "offsets", "journal_position", "table", "inputs"])
def test_a_manifest_that_lacks_something_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"stage 1 partition 2 .epoch 10, sequence 3"):
        read(forged(lambda plain: {key: value for key, value in plain.items() if key != name}))


@pytest.mark.parametrize(
    ("column", "index", "value", "said"),
    [
        ("sizes", 1, 8, "KeyError|cut short"),  # goes on in a blob that is not there
        ("starts", 1, 3, "KeyError|cut short"),
        ("starts", 1, -1, "cut short"),
        ("in", 0, 7, "IndexError"),
        ("blobs", 0, 9, "missing"),  # another epoch
        ("blobs", 0, -1, "has not its form"),
        ("blobs", 3, 6, "holds 7 bytes, not 6"),
        ("blobs", 4, 1, "CRC"),
        ("blobs", 5, 1, "CRC"),
    ],
)
def test_a_table_that_contradicts_the_blobs_is_refused(
    column: str, index: int, value: int, said: str
) -> None:
    def change(table: Plain) -> Plain:
        changed = table[column].copy()
        changed[index] = value
        return table | {column: changed}

    with pytest.raises(CheckpointError, match=said):
        read(with_table(change))


def test_a_blob_that_is_no_zstd_is_refused_behind_a_right_checksum() -> None:
    junk = b"junk"

    def change(table: Plain) -> Plain:
        blobs = table["blobs"].copy()
        blobs[4:6] = len(junk), zlib.crc32(junk)
        return table | {"blobs": blobs}

    records = with_table(change)
    with pytest.raises(CheckpointError, match="no zstd"):
        read(records | {next(iter(records)): junk})


def test_state_that_nobody_has_written_before_begins_with_nothing_kept() -> None:
    assert Checkpoint(POINT, {}).kept == Kept()
    assert Layout("", 1, ()).state_hash_of_0_1 == ""


def test_every_blob_is_full_but_the_last_of_each_kind() -> None:
    sizes = [300_000, 1, BLOB_BYTES, 2 * BLOB_BYTES + 7, 400_000]
    parts = [
        Part(f"{version}-{i}", version, partial(Random(i).randbytes, size))
        for version in (None, 1)
        for i, size in enumerate(sizes)
    ]
    packing = Packing(parts, Kept(), 1, 1)
    stored = list(packing)
    per_kind = -(-sum(sizes) // BLOB_BYTES)
    full, last = [BLOB_BYTES] * (per_kind - 1), sum(sizes) % BLOB_BYTES
    assert [blob.size for blob in packing.kept.blobs.values()] == [*full, last] * 2
    assert [number for (_, _, number), _ in stored] == list(range(2 * per_kind))
    assert all(len(data) < BLOB_BYTES + 1_000 for _, data in stored), "it does not compress"
    found = unpacked(packing.kept, dict(stored))
    assert found == {
        f"{v}-{i}": Random(i).randbytes(n) for v in (None, 1) for i, n in enumerate(sizes)
    }


def test_the_sparsest_blobs_are_written_again_and_no_more_of_them_than_needed() -> None:
    """Three checkpoints with four parts of their own each, of which some are left."""

    def bodies(names: str) -> list[Part]:
        return [Part(name, 1, partial(name.encode().__mul__, 1_000)) for name in names]

    kept = Kept()
    for sequence, names in enumerate(("abcd", "abcdefgh", "abcdefghijkl")):
        packing = Packing(bodies(names), kept, 1, sequence)
        list(packing)
        kept = packing.kept
    for left, moved in (("aefijkl", ""), ("aefij", "a"), ("aei", "ae"), ("abei", "ei")):
        packing = Packing(bodies(left), kept, 1, 9)
        list(packing)
        places = packing.kept.parts.items()
        assert "".join(name for name, place in places if place.blob.sequence == 9) == moved, left
