"""Pane summaries: merging equals summing up the whole, in rows or tables, caps included."""

from __future__ import annotations

import itertools
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.distance import ks, ks_sample_bound
from detectors.moments import mean_and_variance
from stream.columns import Column, Rows
from stream.identity import hash_ids
from stream.panes import PaneTable, collapse, merge, summarise
from stream.plain_panes import rows_from_plain, rows_to_plain, table_from_plain, table_to_plain
from tests.cells import feature_columns

K, CATEGORIES = 4, 3
cells = st.one_of(
    st.none(),
    st.floats(-1e100, 1e100),
    st.sampled_from([0.1, 1e16, -1e16, 5e-324, True, [1], 1e300, "a", "b", "c", "d", "e", "f"]),
)
events = st.lists(
    st.tuples(st.integers(1, 3), st.dictionaries(st.sampled_from("xyz"), cells)), max_size=25
)
Event = tuple[int, int, dict[str, Any]]  # number, pane, features


def rows_of(made: list[Event]) -> Rows:
    texts: dict[int, str] = {}
    columns = feature_columns([features for _, _, features in made], "", texts)
    ends = np.array([1_000 * pane for _, pane, _ in made], np.int64)
    return Rows(ends, hash_ids([f"p{i}" for i, _, _ in made])[:, 0].copy(), columns, texts)


def plain(table: PaneTable) -> list[Any]:
    made = []
    for i, end in enumerate(table.pane_end.tolist()):
        summary = table.summary(i)
        for feature in summary["features"].values():
            feature["min"], feature["max"] = repr(feature["min"]), repr(feature["max"])
        made.append((end, summary, int(table.limit[i])))
    return made


def summary_of(made: list[Event]) -> PaneTable:
    return summarise(rows_of(made), K, CATEGORIES)


def parts_of(made: list[Event], random: Random) -> list[list[Event]]:
    shuffled = random.sample(made, len(made))
    cuts = sorted(random.randint(0, len(made)) for _ in range(random.randint(1, 5)))
    bounds = [0, *cuts, len(made)]
    parts = [shuffled[a:b] for a, b in itertools.pairwise(bounds)]
    return [part for part in parts if part]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(events.filter(bool), st.randoms(use_true_random=False))
def test_merging_parts_in_any_order_and_grouping_equals_summing_up_the_whole(
    drawn: list[tuple[int, dict[str, Any]]], random: Random
) -> None:
    made = [(i, pane, features) for i, (pane, features) in enumerate(drawn)]
    whole = plain(summary_of(made))
    tables = [summary_of(part) for part in parts_of(made, random)]
    assert plain(merge(tables, K, CATEGORIES)) == whole
    while len(tables) > 1:  # any grouping
        left, right = (tables.pop(random.randrange(len(tables))) for _ in range(2))
        tables.append(merge([left, right], K, CATEGORIES))
    assert plain(tables[0]) == whole


@settings(max_examples=60, deadline=None, derandomize=True)
@given(events.filter(bool), st.randoms(use_true_random=False))
def test_rows_and_tables_survive_the_wire_and_merge_alike(
    drawn: list[tuple[int, dict[str, Any]]], random: Random
) -> None:
    made = [(i, pane, features) for i, (pane, features) in enumerate(drawn)]
    tables = []
    for part in parts_of(made, random):
        if random.random() < 0.5:
            rows = rows_from_plain(rows_to_plain(rows_of(part)))
            tables.append(summarise(rows, K, CATEGORIES))
        else:
            tables.append(table_from_plain(table_to_plain(summary_of(part))))
    assert plain(merge(tables, K, CATEGORIES)) == plain(summary_of(made))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(events.filter(bool), st.randoms(use_true_random=False))
def test_collapsing_panes_equals_one_pane_of_all_rows(
    drawn: list[tuple[int, dict[str, Any]]], random: Random
) -> None:
    made = [(i, pane, features) for i, (pane, features) in enumerate(drawn)]
    one = summary_of([(i, 9, features) for i, _, features in made])
    tables = [summary_of(part) for part in parts_of(made, random)]
    assert plain(collapse(tables, 9_000, K, CATEGORIES)) == plain(one)
    growing = tables[0]
    for table in tables[1:]:
        growing = collapse([growing, table], 9_000, K, CATEGORIES)
    assert plain(collapse([growing], 9_000, K, CATEGORIES)) == plain(one)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(events.filter(bool), st.integers(0, 4_000), st.integers(0, 4_000))
def test_a_range_of_panes_equals_the_summary_of_their_rows(
    drawn: list[tuple[int, dict[str, Any]]], first: int, last: int
) -> None:
    made = [(i, pane, features) for i, (pane, features) in enumerate(drawn)]
    inside = [e for e in made if first <= 1_000 * e[1] <= last]
    found = plain(summary_of(made).between(first, last))
    assert found == (plain(summary_of(inside)) if inside else [])


def test_a_summary_counts_what_a_person_would_count() -> None:
    cells = [2.0, 0.5, True, None, "b", "a", "b", [1], 1e101]
    made: list[Event] = [(i, 1, {"x": cell}) for i, cell in enumerate(cells)]
    made.append((99, 1, {}))
    summary = summarise(rows_of(made), 100, 64).summary(0)
    feature = summary["features"]["x"]
    counts = (feature["number"], feature["text"], feature["null"], feature["other"])
    assert (summary["rows"], *counts) == (10, 3, 3, 1, 2)
    assert (feature["min"], feature["max"], feature["sum"]) == (0.5, 2.0, Fraction(7, 2))
    assert feature["squares"] == Fraction(21, 4)
    assert feature["categories"] == {"a": 1, "b": 2}
    assert sum(feature["buckets"].values()) == 3


def test_a_sample_is_the_k_smallest_hashes_of_its_pane() -> None:
    made: list[Event] = [(i, 1 + i % 2, {"x": float(i)}) for i in range(100)]
    table = summarise(rows_of(made), 7, CATEGORIES)
    hashes = hash_ids([f"p{i}" for i in range(100)])[:, 0].tolist()
    for pane in (0, 1):
        expected = sorted(hashes[pane::2])
        assert table.summary(pane)["sample"] == expected[:7]
        assert table.limit[pane] == expected[7]


# -- moments of values far from zero

OFFSETS = {
    "years": (2015.0, 9.0),
    "epoch seconds": (1.763e9, 10.0),
    "epoch milliseconds": (1.763e12, 10_000.0),
    "balances": (1e9, 10.0),
    "around zero": (0.0, 1.0),
    "tiny": (1e-99, 1e-100),
    "huge": (1e99, 1e97),
}


@pytest.mark.parametrize("name", OFFSETS)
@pytest.mark.parametrize("size", [2, 10, 1_000])
def test_mean_and_variance_are_those_of_rationals_to_nine_digits(name: str, size: int) -> None:
    offset, spread = OFFSETS[name]
    values = offset + spread * np.random.default_rng(size).random(size)
    if name in {"years", "epoch milliseconds"}:
        values = np.floor(values)
        values[0] = offset + spread + 1  # never all the same
    made: list[Event] = [(i, 1, {"x": float(v)}) for i, v in enumerate(values)]
    feature = summary_of(made).features["x"]
    mean, variance = mean_and_variance(feature.number, feature.sums, feature.squares)
    exact = [Fraction(float(v)) for v in values]
    exact_mean = sum(exact) / size
    exact_variance = sum((x - exact_mean) ** 2 for x in exact) / size
    assert mean[0] == pytest.approx(float(exact_mean), rel=1e-15, abs=0.0)
    assert variance[0] == pytest.approx(float(exact_variance), rel=1e-9, abs=0.0)


def test_a_constant_far_from_zero_has_no_variance() -> None:
    for constant in (0.1, 2015.0, 1.7e9 + 0.3, 1.7e12 + 1, 1e100):
        made: list[Event] = [(i, 1, {"x": constant}) for i in range(777)]
        feature = summary_of(made).features["x"]
        _, variance = mean_and_variance(feature.number, feature.sums, feature.squares)
        assert variance[0] <= (constant * 1e-15) ** 2


def test_a_pane_without_numbers_has_mean_and_variance_zero() -> None:
    feature = summary_of([(0, 1, {"x": "a"})]).features["x"]
    mean, variance = mean_and_variance(feature.number, feature.sums, feature.squares)
    assert (mean.tolist(), variance.tolist()) == ([0.0], [0.0])


# -- KS from samples

Draw = Any
SHAPES: dict[str, tuple[Draw, Draw]] = {
    "years": (lambda r, n: r.integers(2015, 2025, n), lambda r, n: r.integers(2018, 2028, n)),
    "same years": (lambda r, n: r.integers(2015, 2025, n), lambda r, n: r.integers(2015, 2025, n)),
    "epoch seconds": (
        lambda r, n: 1.763e9 + r.integers(0, 86_400, n),
        lambda r, n: 1.763e9 + r.integers(20_000, 106_400, n),
    ),
    "balances": (lambda r, n: 1e9 + r.uniform(-10, 10, n), lambda r, n: 1e9 + r.uniform(-8, 12, n)),
    "bimodal": (
        lambda r, n: r.choice([-1.0, 1.0], n) + r.normal(0, 0.1, n),
        lambda r, n: r.normal(0, 1, n),
    ),
}


def sampled(values: NDArray[np.float64], k: int, panes: int, prefix: str) -> NDArray[np.float64]:
    """Through panes: summaries of k rows each, collapsed into one of k rows."""
    hashes = hash_ids([f"{prefix}{i}" for i in range(len(values))])[:, 0].copy()
    ends = 1_000 * (1 + np.arange(len(values)) * panes // len(values))
    texts: dict[int, str] = {}
    columns = feature_columns([{"x": float(v)} for v in values], "", texts)
    table = summarise(Rows(ends.astype(np.int64), hashes, columns, texts), k, CATEGORIES)
    whole = collapse([table], int(ends[-1]), k, CATEGORIES)
    assert len(whole.sample) == min(k, len(values))
    return whole.sample.columns["x"].numbers()[1]


@pytest.mark.parametrize("shape", SHAPES)
def test_ks_of_samples_lies_within_the_bound_that_k_promises(shape: str) -> None:
    k, n, alpha, seeds = 256, 4_000, 0.01, 40
    before, after = SHAPES[shape]
    bound = ks_sample_bound(k, k, alpha)
    off = []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        a, b = before(random, n).astype(np.float64), after(random, n).astype(np.float64)
        exact = ks(np.sort(a), b)
        samples = [sampled(side, k, 8, f"{seed}-{i}-") for i, side in enumerate((a, b))]
        off.append(abs(ks(np.sort(samples[0]), samples[1]) - exact))
    # each seed fails with a probability of at most 1 %: three of forty with less than 1 %
    assert sum(error > bound for error in off) <= 2
    assert max(off) > 0  # they were samples
    assert 0.0 < float(np.mean(off)) < bound / 2


def test_a_table_of_fewer_features_is_that_of_rows_without_the_others() -> None:
    """Sums, sample and the texts that are left."""
    ends, hashes = np.array([1_000, 1_000, 2_000]), np.array([3, 4, 5], np.uint64)
    texts = {7: "seven", 9: "nine"}
    x = Column(np.array([2, 2, 2], np.uint8), np.array([1.0, 2.0, 3.0]).view(np.uint64))
    s = Column(np.array([3, 3, 3], np.uint8), np.array([7, 9, 7], np.uint64))
    table = summarise(Rows(ends, hashes, {"x": x, "s": s}, texts), 2, 4)
    for less, names in (
        (table.without({"s"}), ["x"]),
        (table.only("s"), ["s"]),
        (table.only("y"), []),
    ):
        assert list(less.features) == names == list(less.sample.columns)
        assert less.rows.tolist() == table.rows.tolist()
        assert less.sample.hash.tolist() == table.sample.hash.tolist()
        for name in names:
            assert less.features[name].number.tolist() == table.features[name].number.tolist()
            assert less.sample.columns[name] is table.sample.columns[name]
        assert less.texts == less.sample.texts == (texts if "s" in names else {})


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from([0, 40, 60, 63]), st.integers(1, 40), st.booleans())
def test_the_sample_has_the_smallest_hashes_however_they_are_spread(
    drawn: st.DataObject, shift: int, keep: int, is_sorted: bool
) -> None:
    count = drawn.draw(st.integers(1, 400))
    random = np.random.default_rng(count)
    hashes = random.integers(0, 2**64, count, np.uint64) >> np.uint64(shift)
    ends = random.integers(1, 4, count) * 1_000
    ends = np.sort(ends) if is_sorted else ends
    made = summarise(Rows(ends, hashes, {}, {}), keep, 5)
    expected = []
    for end in sorted(set(ends.tolist())):
        mine = sorted(hashes[ends == end].tolist())
        limit = mine[keep] if len(mine) > keep else None
        expected += [(end, h) for h in mine if limit is None or h < limit]
    kept = zip(made.sample.pane_end.tolist(), made.sample.hash.tolist(), strict=True)
    assert list(kept) == expected
