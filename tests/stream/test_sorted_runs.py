"""Sorted runs against a plain list: append, merge, find, mark, die, restore."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import native, sorted_runs
from stream import run as runs_module
from stream.run import Columns, Mask, Portion, Run, in_one
from stream.snapshot import Part, packed
from stream.sorted_runs import SortedRuns
from tests.parsers import needs_the_native_parser

EMPTY: Columns = {
    "key": np.zeros(0, np.uint64),
    "name": np.zeros(0, np.int64),
    "kind": np.zeros(0, np.float64),
}


def rows_of(pairs: list[tuple[int, int]], kind: float = 0.0) -> Columns:
    return {
        "key": np.array([k for k, _ in pairs], np.uint64),
        "name": np.array([n for _, n in pairs], np.int64),
        "kind": np.full(len(pairs), kind),
    }


class Mortal:
    """Rows with a name below `gone` are dead."""

    def __init__(self) -> None:
        self.gone = 0
        self.runs: SortedRuns[int] = SortedRuns("r", EMPTY, dead=self._dead, facts=self._first)

    def _dead(self, run: Run[Any]) -> Mask:
        dead: Mask = run.columns["name"] < self.gone
        return dead

    @staticmethod
    def _first(rows: Columns) -> int:
        return int(rows["name"].min())


@pytest.fixture(params=["as they are", "small", "small, without the extension"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """As they are, or so that every rule of merging and filtering is met by a few rows."""
    if request.param != "as they are":
        monkeypatch.setattr(native, "IN_USE", request.param == "small" and native.IS_BUILT)
        monkeypatch.setattr(sorted_runs, "_SMALL_ROWS", 1)
        monkeypatch.setattr(sorted_runs, "FULL_ROWS", 64)
        monkeypatch.setattr(runs_module, "_UNFILTERED_ROWS", 0)
    return bool(request.param != "as they are")


@pytest.mark.parametrize("seed", range(20))
def test_runs_hold_what_a_list_would_through_appends_deaths_marks_and_restores(
    seed: int, sizes: bool
) -> None:
    random = Random(seed)
    mortal, model = Mortal(), list[tuple[int, int, float, int]]()  # key, name, kind, marks
    rewritten = 0
    for step in range(60):
        kind = float(random.choice((0, 0, step)))
        keys = (0, 2**64 - 1, random.getrandbits(64), random.randint(0, 9))
        new = [
            (random.choice(keys), 100 * step + i) for i in range(random.choice((0, 1, 1, 3, 17)))
        ]
        mortal.runs.append(rows_of(new, kind))
        model += [(k, n, kind, 0) for k, n in new]
        held = [key for key, _, _, _ in model] or [5]
        asked = [random.choice((*keys, random.choice(held))) for _ in range(random.randint(0, 9))]
        found = mortal.runs.find(np.array(asked, np.uint64))
        alive = found.where(found.rows["name"] >= mortal.gone)
        got = zip(*(alive.rows[n].tolist() for n in ("name", "kind")), strict=True)
        marks = mortal.runs.marks_of(alive.place).tolist()
        assert Counter(zip(alive.index.tolist(), got, marks, strict=True)) == Counter(
            (i, (n, kind), m) for i, a in enumerate(asked) for k, n, kind, m in model if k == a
        )
        if random.random() < 0.5:
            some = alive.where(alive.rows["name"] % 2 == 0)
            bit = random.choice((1, 4))
            mortal.runs.set_marks(some.place, bit)
            names = set(some.rows["name"].tolist())
            model = [(k, n, x, m | (bit if n in names else 0)) for k, n, x, m in model]
        if random.random() < 0.2:
            mortal.gone = max(mortal.gone, 100 * (step - random.randint(0, 30)))
            model = [row for row in model if row[1] >= mortal.gone]
            for run in [r for r in mortal.runs.runs if r.facts < mortal.gone]:
                mortal.runs.rewrite(run)
                rewritten += 1
        if random.random() < 0.2:
            plain, state, gone = mortal.runs.snapshot(), packed(mortal.runs.parts()), mortal.gone
            mortal = Mortal()
            mortal.gone = gone
            mortal.runs.restore(plain, state)
            assert packed(mortal.runs.parts()) == state
            assert mortal.runs.snapshot() == plain
    assert rewritten


def test_the_number_of_runs_stays_logarithmic_and_rows_are_copied_as_often() -> None:
    runs = Mortal().runs
    for i in range(10_000):
        runs.append(rows_of([(i * 0x9E3779B97F4A7C15 % 2**64, i)]))
    assert len(runs.runs) <= 3 * 5
    assert sorted(runs.all()["name"].tolist()) == list(range(10_000))
    # of fewer than 256 rows, all runs are of one size and grow by three at a time
    assert runs.copied <= 60 * 10_000
    large = Mortal().runs
    for _ in range(256):
        large.append(rows_of([(j * 0x9E3779B97F4A7C15 % 2**64, j) for j in range(300)]))
    assert large.copied <= 5 * large.appended


def test_a_full_run_is_never_merged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_runs, "FULL_ROWS", 1_000)
    runs = Mortal().runs
    for i in range(100):
        runs.append(rows_of([(j, 1_000 * i + j) for j in range(1_000)]))
    assert [run.number for run in runs.runs] == list(range(100))
    assert runs.copied == runs.appended


def test_what_a_part_has_captured_does_not_change_and_a_changed_mark_is_a_new_version() -> None:
    runs = Mortal().runs
    runs.append(rows_of([(1, 1), (2, 2)]))
    (body,) = runs.parts()  # no marks yet
    first = body.captured()()
    runs.set_marks(runs.find(np.array([1], np.uint64)).place, 1)
    marked = named(runs.parts(), "r/0/marks")
    before = marked.pack
    runs.set_marks(runs.find(np.array([2], np.uint64)).place, 2)
    again = named(runs.parts(), "r/0/marks")
    assert (marked.version, again.version) == (1, 2)
    assert before() == marked.captured()() != again.captured()()
    assert named(runs.parts(), "r/0/marks").version == 2  # nothing changed since
    assert named(runs.parts(), "r/0").version == body.version
    assert named(runs.parts(), "r/0").captured()() == first
    assert runs.marks_of(runs.find(np.array([1, 2], np.uint64)).place).tolist() == [1, 2]


def named(parts: list[Part], name: str) -> Part:
    return next(part for part in parts if part.name == name)


def test_a_column_of_equal_values_takes_one_cell_and_comes_back_whole() -> None:
    runs = Mortal().runs
    runs.append(rows_of([(i, i) for i in range(1_000)], kind=2.5))
    (run,) = runs.runs
    assert run.columns["kind"].strides == (0,)
    assert len(packed(runs.parts())["r/0"]) < 17_000
    back = Mortal().runs
    back.restore(runs.snapshot(), packed(runs.parts()))
    assert back.all()["kind"].tolist() == [2.5] * 1_000


def test_the_two_zeros_are_not_taken_for_one_value() -> None:
    runs = Mortal().runs
    rows = rows_of([(1, 1), (2, 2)])
    rows["kind"] = np.array([0.0, -0.0])
    runs.append(rows)
    assert np.signbit(runs.all()["kind"]).tolist() == [False, True]


@needs_the_native_parser
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 60) | st.integers(0, 2**64 - 1), min_size=1, max_size=80),
    st.lists(st.integers(0, 60) | st.integers(0, 2**64 - 1), max_size=80),
    st.booleans(),
)
def test_keys_are_found_alike_with_the_extension(
    keys: list[int], asked: list[int], is_filtered: bool
) -> None:
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_module, "_UNFILTERED_ROWS", 0 if is_filtered else 1_000)
        run = Run(0, {"key": np.sort(np.array(keys, np.uint64))}, None)
        for in_use in (True, False):
            patch.setattr(native, "IN_USE", in_use)
            index, row = run.search(np.sort(np.array(asked, np.uint64)))
            found.append((index.tolist(), row.tolist()))
    assert found[0] == found[1]
    assert len(found[0][0]) == sum(Counter(keys)[key] for key in asked)


@needs_the_native_parser
def test_a_search_reads_nothing_beyond_its_columns() -> None:
    search, keys = native.EXTENSION.search, np.arange(5, dtype=np.uint64)
    most = np.array([2**64 - 1], np.uint64)
    assert search(most, keys, np.zeros(1, np.uint8), 0) == (b"", b"")
    assert search(most, keys[:0], None, 0) == (b"", b"")
    for shift in (-1, 64):
        with pytest.raises(ValueError, match="bits"):
            search(most, keys, None, shift)


KINDS = (np.uint64, np.float64, np.int32, np.uint8, np.bool_)


@needs_the_native_parser
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data(), st.lists(st.integers(0, 6) | st.just(40), min_size=1, max_size=4), st.booleans())
def test_rows_become_a_run_by_the_extension_as_by_numpy(
    drawn: st.DataObject, lengths: list[int], is_filtered: bool
) -> None:
    def column(kind: type, length: int) -> Any:
        cells = drawn.draw(st.sampled_from(["one", "two", "view"]))
        some = np.arange(2 * length) % (1 if cells == "one" else 2)
        values = some.astype(kind)[::2] if cells == "view" else some.astype(kind)[:length]
        return np.broadcast_to(values[:1], length) if cells == "one" and length else values

    def portion(length: int) -> Portion:
        some = st.integers(0, 3) | st.integers(0, 2**64 - 1)
        keys = np.array(drawn.draw(st.lists(some, min_size=length, max_size=length)), np.uint64)
        columns = {kind.__name__: column(kind, length) for kind in KINDS}
        taken, marks = None, None
        if drawn.draw(st.booleans()):
            taken = np.flatnonzero(np.array(drawn.draw(bits(length)), np.bool_))
        if drawn.draw(st.booleans()):
            marks = np.array(drawn.draw(bits(length)), np.uint8)
        return Portion({"key": keys} | columns, taken, marks)

    portions, made = [portion(length) for length in lengths], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_module, "_UNFILTERED_ROWS", 8 if is_filtered else 1_000)
        for in_use in (True, False):
            patch.setattr(native, "IN_USE", in_use)
            columns, marks, known = in_one(portions)
            made.append(Run(0, columns, None, marks, known=known))
    assert list(made[0].columns) == list(made[1].columns)
    assert made[0].marks_or_zeros().tolist() == made[1].marks_or_zeros().tolist()
    assert (made[0].marks is None) == (made[1].marks is None)
    assert [str(part) for part in made[0].filter] == [str(part) for part in made[1].filter]
    for name in made[0].columns:
        by_c, by_numpy = made[0].columns[name], made[1].columns[name]
        assert by_c.dtype == by_numpy.dtype
        assert by_c.tobytes() == by_numpy.tobytes()
        assert (by_c.strides == (0,)) == (by_numpy.strides == (0,)) or len(by_c) < 2
        assert not by_c.flags.writeable


def bits(length: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 1), min_size=length, max_size=length)


@needs_the_native_parser
@pytest.mark.parametrize("runs", [1, 2, 3, 4, 7, 8, 9, 20])
def test_sorted_runs_become_one_in_which_equal_keys_lie_as_they_came(runs: int) -> None:
    random = np.random.default_rng(runs)
    sizes = [1, 0, 3_000, 700, 2, 1_500, 40, *[100] * 20][:runs]
    keys = [np.sort(random.integers(0, 2_000, size, dtype=np.uint64)) for size in sizes]
    place = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    portions = [Portion({"key": k, "place": p}) for k, p in zip(keys, place, strict=True)]
    columns, _, _ = in_one(portions)
    order = np.argsort(np.concatenate(keys), kind="stable")
    assert columns["place"].tolist() == order.tolist()


@needs_the_native_parser
@pytest.mark.parametrize("spread", ["even", "crowded", "few"])
def test_many_rows_are_sorted_whatever_their_keys(spread: str) -> None:
    random = np.random.default_rng(2)
    keys = random.integers(0, 2**64, 5_000, dtype=np.uint64)
    keys >>= np.uint64({"even": 0, "crowded": 40, "few": 61}[spread])
    place = np.arange(len(keys))
    columns, _, known = in_one([Portion({"key": keys, "place": place})])
    order = np.argsort(keys, kind="stable")
    assert columns["key"].tolist() == keys[order].tolist()
    assert columns["place"].tolist() == order.tolist()
    shift, bitmap = known or Run(0, columns, None).filter
    assert bitmap is not None
    found = set(np.flatnonzero(np.unpackbits(bitmap, bitorder="little")).tolist())
    assert found == {int(key) >> int(shift) for key in keys}


@needs_the_native_parser
def test_parts_that_do_not_fit_are_refused() -> None:
    cells, live, made = np.arange(3), np.arange(1, 3), native.EXTENSION.run_of
    assert made([[cells]], [8], [3], [live], 8, 8) == ([cells[1:].tobytes()], None, 0)
    for misfit in (
        ([[cells]], [8], [4], [None]), ([[cells]], [4], [3], [None]), ([[cells]], [3], [8], [None]),
        ([[cells, cells]], [8], [3], [None]), ([[cells]], [8, 8], [3], [None]),
        ([[cells]], [8], [-1], [None]), ([[cells]], [8], [3], [live + 1]),
        ([[cells]], [8], [3], [live - 2]), ([cells], [8], [3], [None]), ([[7]], [8], [3], [None]),
        ([[cells]], ["8"], [3], [None]), ([[cells]], [8], ["3"], [None]),
        ([], [], [3], [None]), ([[]], [8], [], []), ([[cells]], [8], [3], []),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            made(*misfit, 8, 8)
    for limits in ((-1, 8), (8, 0), (8, 65)):
        with pytest.raises(ValueError, match="fit"):
            made([[cells]], [8], [3], [None], *limits)
