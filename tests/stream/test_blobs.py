"""Parts in blobs: what is written again and what is not, and what is kept for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

import pytest

from stream import blobs
from stream.blobs import BlobId, Kept, Packing, kept_of, table, unpacked
from stream.snapshot import BrokenRecordError, Part


class State:
    """Parts that change, and what a changelog of their blobs holds."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[int | None, bytes]] = {}
        self.kept = Kept()
        self.log: dict[BlobId, bytes | None] = {}
        self.sequence = 0
        self.packed: list[str] = []

    def checkpoint(self) -> int:
        """Bytes that were written."""
        self.sequence += 1
        self.packed = []
        packing = Packing([*self._parts()], self.kept, 1, self.sequence)
        written = dict(packing)
        self.kept = packing.kept
        self.log |= written
        self.log = {blob: self.log[blob] for blob in self.kept.blobs}  # the rest is garbage
        return sum(map(len, written.values()))

    def _parts(self) -> Iterator[Part]:
        for name, (version, body) in self.parts.items():

            def pack(name: str = name, body: bytes = body) -> bytes:
                self.packed.append(name)
                return body

            yield Part(name, version, pack)

    def bodies(self) -> Mapping[str, bytes]:
        return {name: body for name, (_, body) in self.parts.items()}

    def kept_bytes(self) -> int:
        return sum(blob.size for blob in self.kept.blobs.values())


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setattr(blobs, "BLOB_BYTES", 1_000)
    return State()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_changes_the_parts_come_back_and_less_than_half_of_the_blobs_is_garbage(
    state: State, seed: int
) -> None:
    random = Random(seed)
    version = written = changed = 0
    for _ in range(300):
        for _ in range(random.randint(0, 4)):
            version += 1
            name = f"part {random.randint(0, 40)}"
            body = random.randbytes(random.choice((0, 1, 50, 1_000, 1_000, 3_700)))
            state.parts[name] = version, body
            changed += len(body)
        if random.random() < 0.2:
            state.parts.pop(f"part {random.randint(0, 40)}", None)
        written += state.checkpoint()
        assert unpacked(kept_of(table(state.kept)), state.log) == state.bodies()
        alive = sum(map(len, state.bodies().values()))
        assert state.kept_bytes() <= 2 * alive + 2 * 1_000
        assert len(state.kept.blobs) <= 64 + 2 * alive // 1_000 + 2
    assert written < 3 * changed, "parts that lie still are rewritten rarely"


def test_a_part_that_fills_its_blob_ends_there(state: State) -> None:
    state.parts = {"a": (1, b"a" * 1_000), "b": (1, b"b" * 2_000), "c": (1, b"c")}
    state.checkpoint()
    assert [blob.size for blob in state.kept.blobs.values()] == [1_000, 1_000, 1_000, 1]
    assert unpacked(state.kept, state.log) == state.bodies()


def test_what_the_next_checkpoint_writes_anew_has_blobs_of_its_own(state: State) -> None:
    state.parts = {"still": (1, b"s" * 10), "moving": (None, b"m" * 10)}
    state.checkpoint()
    assert len(state.kept.blobs) == 2
    state.checkpoint()
    assert state.packed == ["moving"]
    assert state.kept_bytes() == 20, "nothing of the first one's moving part is kept"


def test_parts_of_a_sparse_blob_are_written_again(state: State) -> None:
    state.parts = {f"{n}": (1, bytes([n]) * 100) for n in range(10)}
    state.checkpoint()
    state.parts = {f"{n}": state.parts[f"{n}"] for n in range(5)}
    state.checkpoint()
    assert state.packed == [], "half of it is still referred to"
    del state.parts["0"]
    state.checkpoint()
    assert state.packed == ["1", "2", "3", "4"]
    assert state.kept_bytes() == 400


def test_many_small_blobs_become_few_and_each_part_moves_rarely(state: State) -> None:
    moved = most = 0
    for n in range(400):
        state.parts[f"{n}"] = 1, b"."
        state.checkpoint()
        moved += len(state.packed)
        most = max(most, len(state.kept.blobs))
    assert most <= 64 + 2
    assert moved < 8 * 400
    assert unpacked(state.kept, state.log) == state.bodies()


def test_two_parts_of_one_name_are_refused() -> None:
    part = Part("a", 1, lambda: b"")
    with pytest.raises(ValueError, match="same name"):
        Packing([part, part], Kept(), 1, 1)


def test_a_missing_and_a_damaged_blob_are_refused(state: State) -> None:
    state.parts = {"a": (1, b"abc" * 100)}
    state.checkpoint()
    (blob,) = state.log
    with pytest.raises(BrokenRecordError, match="missing"):
        unpacked(state.kept, {})
    for broken in (b"", (state.log[blob] or b"")[:-1] + b"x"):
        with pytest.raises(BrokenRecordError, match="damaged"):
            unpacked(state.kept, {blob: broken})
