"""Columns that grow by batches and are looked up by a 64-bit key: a small in-memory LSM tree.

Appending sorts the batch into a run; runs of similar size are merged, so a row is copied
O(log n) times in its life and a lookup of m keys costs O(m log n) per run, all in vector
operations. Rows are plain numpy columns: no Python object per row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Parallel: index into the keys asked for, the rows' columns, and where the rows are."""

    index: NDArray[np.intp]
    rows: Columns
    place: NDArray[np.intp]

    def where(self, mask: NDArray[np.bool_]) -> Found:
        rows = {name: values[mask] for name, values in self.rows.items()}
        return Found(self.index[mask], rows, self.place[:, mask])


class SortedRuns:
    """Every row has a `key` (uint64, not unique) and the columns that `empty` names."""

    def __init__(self, empty: Columns) -> None:
        self._empty = empty
        self._runs: list[Columns] = []

    def __len__(self) -> int:
        return sum(len(run["key"]) for run in self._runs)

    def append(self, rows: Columns) -> None:
        if not len(rows["key"]):
            return
        self._runs.append(_sorted(rows))
        while len(self._runs) > 1 and len(self._runs[-2]["key"]) < 2 * len(self._runs[-1]["key"]):
            last = self._runs.pop()
            self._runs[-1] = _sorted(_concatenate([self._runs[-1], last]))

    def find(self, keys: Keys) -> Found:
        """All rows of these keys; a key asked for twice gives its rows twice.

        O(len(keys) log n) per run.
        """
        wanted: list[NDArray[np.intp]] = []
        found: list[Columns] = []
        places: list[NDArray[np.intp]] = []
        for number, run in enumerate(self._runs):
            first = np.searchsorted(run["key"], keys, "left")
            count = np.searchsorted(run["key"], keys, "right") - first
            if not count.any():
                continue
            index = np.repeat(np.arange(len(keys)), count)
            offset = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
            rows = np.repeat(first, count) + offset
            wanted.append(index)
            places.append(np.stack([np.full(len(rows), number), rows]))
            found.append({name: values[rows] for name, values in run.items()})
        if not found:
            return Found(np.zeros(0, np.intp), self._empty, np.zeros((2, 0), np.intp))
        return Found(np.concatenate(wanted), _concatenate(found), np.concatenate(places, axis=1))

    def set_bits(self, place: NDArray[np.intp], column: str, bits: int) -> None:
        """Set bits of a column in rows just found (before any append or remove)."""
        for number in np.unique(place[0]).tolist():
            rows = place[1][place[0] == number]
            self._runs[number][column][rows] |= bits

    def remove(self, drop: Callable[[Columns], NDArray[np.bool_]]) -> Columns:
        """Take out, and return, the rows for which `drop` says so. O(n) in what is held."""
        removed: list[Columns] = []
        kept: list[Columns] = []
        for run in self._runs:
            mask = drop(run)
            if mask.any():
                removed.append({name: values[mask] for name, values in run.items()})
            if not mask.all():
                left = run if not mask.any() else {n: v[~mask] for n, v in run.items()}
                kept.append(left)
        self._runs = kept
        return _concatenate(removed) if removed else self._empty

    def all(self) -> Columns:
        return _concatenate(self._runs) if self._runs else self._empty

    def snapshot(self) -> Columns:
        return _sorted(self.all())

    def restore(self, rows: Columns) -> None:
        # copied: what was read from bytes cannot be written to
        self._runs = [{n: v.copy() for n, v in rows.items()}] if len(rows["key"]) else []


def _sorted(rows: Columns) -> Columns:
    order = np.argsort(rows["key"], kind="stable")
    return {name: values[order] for name, values in rows.items()}


def _concatenate(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
