"""Sorted runs against a plain list: find, mark, remove."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest

from stream.sorted_runs import Columns, SortedRuns

EMPTY: Columns = {
    "key": np.zeros(0, np.uint64),
    "name": np.zeros(0, np.int64),
    "marks": np.zeros(0, np.uint8),
}


def rows_of(pairs: list[tuple[int, int]]) -> Columns:
    return {
        "key": np.array([k for k, _ in pairs], np.uint64),
        "name": np.array([n for _, n in pairs], np.int64),
        "marks": np.zeros(len(pairs), np.uint8),
    }


@pytest.mark.parametrize("seed", range(20))
def test_runs_hold_what_a_list_would_through_appends_removals_marks_and_restores(seed: int) -> None:
    random = Random(seed)
    runs, model = SortedRuns(EMPTY), list[list[int]]()  # key, name, marks
    for step in range(40):
        size = random.choice((0, 1, 1, 3, 17))
        new = [
            (random.choice((0, 2**64 - 1, random.randint(0, 9))), 100 * step + i)
            for i in range(size)
        ]
        runs.append(rows_of(new))
        model += [[k, n, 0] for k, n in new]
        asked = [random.randint(0, 9), 2**64 - 1, random.randint(0, 9)]
        found = runs.find(np.array(asked, np.uint64))
        got = Counter(zip(found.index.tolist(), found.rows["name"].tolist(), strict=True))
        assert got == Counter((i, n) for i, a in enumerate(asked) for k, n, _ in model if k == a)
        if random.random() < 0.5:
            marked = found.where(found.rows["name"] % 2 == 0)
            runs.set_bits(marked.place, "marks", 4)
            names = set(marked.rows["name"].tolist())
            model = [[k, n, m | (4 if n in names else 0)] for k, n, m in model]
        if random.random() < 0.2:
            limit = random.randint(0, 10)
            gone = runs.remove(lambda rows, limit=limit: rows["key"] < limit)  # type: ignore[misc]
            assert sorted(gone["name"].tolist()) == sorted(n for k, n, _ in model if k < limit)
            model = [row for row in model if row[0] >= limit]
        if random.random() < 0.2:
            state, runs = runs.snapshot(), SortedRuns(EMPTY)
            runs.restore(state)
        held = runs.all()
        assert len(runs) == len(model)
        columns = zip(*(held[name].tolist() for name in ("key", "name", "marks")), strict=True)
        assert Counter(columns) == Counter(map(tuple, model))


def test_the_number_of_runs_stays_logarithmic() -> None:
    runs = SortedRuns(EMPTY)
    for i in range(1_000):
        runs.append(rows_of([(i, i)]))
    assert len(runs._runs) <= 11
    assert runs.find(np.arange(1_000, dtype=np.uint64)).rows["name"].tolist() is not None
    assert sorted(runs.find(np.arange(1_000, dtype=np.uint64)).rows["name"].tolist()) == list(
        range(1_000)
    )


def test_restored_rows_can_be_marked() -> None:
    runs = SortedRuns(EMPTY)
    frozen = rows_of([(1, 1)])
    for values in frozen.values():
        values.flags.writeable = False
    runs.restore(frozen)
    runs.set_bits(runs.find(np.array([1], np.uint64)).place, "marks", 1)
    assert runs.all()["marks"].tolist() == [1]
    assert frozen["marks"].tolist() == [0]
