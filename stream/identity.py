"""Identities as 128-bit hashes, and the memory of those already seen.

An id is its XXH3-128 hash. A lookup goes by the first 64 bits and compares the other 64, so two
ids are confused with a probability of 2**-128 a pair; two ids that share the first 64 bits are
both kept. Hashes of the parts of an identity are joined by exclusive or; each part has a seed of
its own, so that a model and an id of the same name do not cancel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream import native
from stream.run import cells
from stream.snapshot import Part
from stream.sorted_runs import Columns, Run, SortedRuns
from stream.watermark import BEFORE_ALL_MS

Hashes = NDArray[np.uint64]
"""(n, 2): the key and the check."""

PREDICTION, MODEL, VERSION = range(3)  # seeds

_EMPTY: Columns = {
    "key": np.zeros(0, np.uint64),
    "check": np.zeros(0, np.uint64),
    "expires": np.zeros(0, np.int64),
}


def hash_ids(ids: Iterable[str], part: int = PREDICTION) -> Hashes:
    """(n, 2). `part`: which part of an identity these are; it seeds the hash."""
    if part == PREDICTION:
        return hashes(digests(ids))
    return hashes(b"".join([xxhash.xxh3_128_digest(text.encode(), part) for text in ids]))


def digests(ids: Iterable[str]) -> bytes:
    """Of prediction ids; `hashes` makes hashes of them."""
    return b"".join(map(xxhash.xxh3_128_digest, map(str.encode, ids)))


def hashes(digests: bytes) -> Hashes:
    return np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)


def hash_id(text: str, part: int) -> Hashes:
    only: Hashes = hash_ids([text], part)[0]
    return only


class IdMemory:
    """Which ids were applied, each remembered until its partition's watermark passes a time."""

    def __init__(self, name: str = "seen") -> None:
        """`name`: of the parts of its state."""
        self._watermark_ms = BEFORE_ALL_MS
        self._seen: SortedRuns[int] = SortedRuns(
            name, _EMPTY, dead=self._expired, facts=_half_expired_ms
        )

    def __len__(self) -> int:
        """Ids held, some of them forgotten already."""
        return len(self._seen)

    @property
    def runs(self) -> SortedRuns[int]:
        return self._seen

    def _expired(self, run: Run[int]) -> NDArray[np.bool_]:
        expired: NDArray[np.bool_] = run.columns["expires"] < self._watermark_ms
        return expired

    def apply(
        self, ids: Hashes, before_ms: NDArray[np.int64], expires_ms: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """True where the id is new at its record; those are remembered. In offset order.

        `before_ms`: the watermark each record met. O(n log n), a Python loop only over ids that
        occur twice in the batch.
        """
        new, is_repeated, order = self._not_seen(ids, before_ms)
        if is_repeated:
            self._repeats_in_batch(ids, before_ms, expires_ms, new)
        if is_repeated or not new.all():
            ids, expires_ms, order = ids[new], expires_ms[new], None
        keys, checks = np.ascontiguousarray(ids[:, 0]), np.ascontiguousarray(ids[:, 1])
        self._seen.append({"key": keys, "check": checks, "expires": expires_ms}, order)
        return new

    def _not_seen(
        self, ids: Hashes, before_ms: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], bool, NDArray[np.intp] | None]:
        """(which are not remembered, whether one may come twice among them, an order that sorts
        their keys if it had to be found)."""
        if native.IN_USE:
            whole, before = np.ascontiguousarray(ids), np.ascontiguousarray(before_ms)
            found, is_repeated = native.EXTENSION.new_ids(
                whole, before, [self._for_extension(run) for run in self._seen.runs]
            )
            return np.frombuffer(found, np.bool_), is_repeated, None
        new = np.ones(len(ids), np.bool_)
        keys = np.ascontiguousarray(ids[:, 0])
        order = np.argsort(keys)
        needles = keys[order]
        seen = self._seen.find(keys, (order, needles))
        if len(seen.index):
            alive = (seen.rows["check"] == ids[seen.index, 1]) & (
                seen.rows["expires"] >= before_ms[seen.index]
            )
            new[seen.index[alive]] = False
        return new, bool((needles[1:] == needles[:-1]).any()), order

    @staticmethod
    def _for_extension(run: Run[int]) -> tuple[Any, ...]:
        of = run.columns
        keys = np.ascontiguousarray(of["key"])  # all of them: they say how many rows there are
        return keys, cells(of["check"]), cells(of["expires"]), *run.filter

    @staticmethod
    def _repeats_in_batch(
        ids: Hashes,
        before_ms: NDArray[np.int64],
        expires_ms: NDArray[np.int64],
        new: NDArray[np.bool_],
    ) -> None:
        _, inverse, count = np.unique(ids[:, 0], return_inverse=True, return_counts=True)
        until: dict[tuple[int, int], int] = {}
        for i in np.flatnonzero(count[inverse] > 1).tolist():
            if not new[i]:
                continue
            identity = (int(ids[i, 0]), int(ids[i, 1]))
            if until.get(identity, -(2**63)) >= before_ms[i]:
                new[i] = False
            else:
                until[identity] = int(expires_ms[i])

    def purge(self, watermark_ms: int) -> None:
        """Forget what no later record can repeat. O(runs), and a run is copied when half of it is
        to be forgotten."""
        self._watermark_ms = max(self._watermark_ms, watermark_ms)
        for run in [run for run in self._seen.runs if run.facts < self._watermark_ms]:
            self._seen.rewrite(run)

    def parts(self) -> list[Part]:
        return self._seen.parts()

    def snapshot(self) -> dict[str, Any]:
        return {"watermark_ms": self._watermark_ms, **self._seen.snapshot()}

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        self._watermark_ms = plain["watermark_ms"]
        self._seen.restore(plain, state)

    def restore_whole(self, rows: Columns) -> None:
        """From state of version 1."""
        self._seen.restore_whole(rows)


def _half_expired_ms(rows: Columns) -> int:
    """When half of these are forgotten."""
    expires, half = rows["expires"], len(rows["expires"]) // 2
    return int(np.partition(expires, half)[half])
