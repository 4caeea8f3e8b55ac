"""Ranges, cuts and samples of pane summaries, to the last index: ends and hashes side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream.columns import Column, Rows
from stream.panes import (
    ARRAYS,
    WHOLE,
    FeatureTable,
    PaneTable,
    collapse,
    cut_at,
    merge,
    summarise,
)
from tests.cells import feature_columns

K, CATEGORIES = 2, 2
Event = tuple[int, int, dict[str, Any]]  # pane end, hash, features
EVENTS: list[Event] = [
    (1, 30, {"x": 1.0, "y": "a"}),
    (1, 10, {"x": -2.5, "y": "b"}),
    (1, 20, {"x": 4.0, "y": "c"}),
    (2, 15, {"x": 0.1}),
    (3, 40, {"x": None, "y": "a"}),
    (3, 50, {"x": [1], "y": "a"}),
    (3, 60, {"x": "text", "z": 7.0}),
    (4, 5, {"y": "d", "z": -7.0}),
    (5, 25, {"x": 3.0}),
    (5, 35, {"x": 3.0}),
    (5, 45, {"x": 1e16}),
]


def rows_of(events: list[Event]) -> Rows:
    texts: dict[int, str] = {}
    columns = feature_columns([features for _, _, features in events], "", texts)
    ends = np.array([end for end, _, _ in events], np.int64)
    return Rows(ends, np.array([h for _, h, _ in events], np.uint64), columns, texts)


def table_of(events: list[Event], k: int = K) -> PaneTable:
    return summarise(rows_of(events), k, CATEGORIES)


def within(first: int, last: int) -> list[Event]:
    return [event for event in EVENTS if first <= event[0] <= last]


def sparse(parts: Any, *names: str) -> list[Any]:
    return [getattr(parts, name).tolist() for name in names]


def feature_arrays(feature: FeatureTable) -> list[Any]:
    return [
        *[repr(getattr(feature, name).tolist()) for name in ARRAYS],
        *[sparse(sums, "group", "bin", "amount") for sums in (feature.sums, feature.squares)],
        *[sparse(c, "pane", "key", "count") for c in (feature.buckets, feature.categories)],
    ]


def rows_arrays(rows: Rows) -> list[Any]:
    columns = {
        name: [c.kind.tolist(), c.bits.tolist()] for name, c in rows.columns.items() if c.kind.any()
    }
    return [rows.pane_end.tolist(), rows.hash.tolist(), columns]


def arrays(table: PaneTable) -> list[Any]:
    """Everything but features that no pane has."""
    features = {
        name: feature_arrays(feature)
        for name, feature in table.features.items()
        if feature.present.any()
    }
    plain = [table.pane_end.tolist(), table.rows.tolist(), table.limit.tolist()]
    return [*plain, features, rows_arrays(table.sample)]


def test_what_is_present_is_every_kind_of_cell_but_absence() -> None:
    table = table_of(EVENTS)
    assert {name: f.present.tolist() for name, f in table.features.items()} == {
        "x": [3, 1, 3, 0, 3],
        "y": [3, 0, 2, 1, 0],
        "z": [0, 0, 1, 1, 0],
    }
    x = table.features["x"]
    assert [x.number[2], x.text[2], x.null[2], x.other[2]] == [0, 1, 1, 1]


@pytest.mark.parametrize("last", range(7))
@pytest.mark.parametrize("first", range(7))
def test_a_range_of_a_table_is_the_table_of_the_range(first: int, last: int) -> None:
    found = table_of(EVENTS).between(first, last)
    inside = within(first, last)
    assert len(found) == len({end for end, _, _ in inside})
    if inside:
        assert arrays(found) == arrays(table_of(inside))
        assert (found.first_end_ms, found.last_end_ms) == (inside[0][0], inside[-1][0])


def test_a_range_that_holds_all_is_the_table_itself() -> None:
    table = table_of(EVENTS)
    assert table.between(1, 5) is table
    assert table.between(1, 4) is not table
    assert table.between(2, 5) is not table


@pytest.mark.parametrize("of", [rows_of, table_of])
@pytest.mark.parametrize("until", range(7))
def test_parts_are_cut_at_a_time_and_whole_parts_stay_whole(of: Any, until: int) -> None:
    parts = [of(within(1, 2)), of(within(2, 4)), of(within(3, 3)), of(EVENTS).between(9, 9)]
    due, left = cut_at(parts, until)
    ends = [set(part.pane_end.tolist()) for part in parts]
    assert [set(p.pane_end.tolist()) for p in due] == [
        {end for end in some if end <= until} for some in ends if some and min(some) <= until
    ]
    assert [set(p.pane_end.tolist()) for p in left] == [
        {end for end in some if end > until} for some in ends if some and max(some) > until
    ]
    for part, some in zip(parts, ends, strict=True):
        if some and (max(some) <= until or min(some) > until):
            assert any(part is kept for kept in [*due, *left]), "not cut, and yet copied"


def test_features_that_no_pane_has_are_left_out_with_their_columns_and_texts() -> None:
    cut = table_of(EVENTS).between(2, 3)
    assert set(cut.features) == {"x", "y", "z"}
    both = table_of(EVENTS).between(1, 2).without_ghosts()
    assert set(both.features) == {"x", "y"}
    assert set(both.sample.columns) == {"x", "y"}
    assert arrays(both) == arrays(table_of(within(1, 2)))
    assert set(table_of(EVENTS).between(4, 4).without_ghosts().features) == {"y", "z"}
    last = table_of(EVENTS).between(5, 5).without_ghosts()
    assert set(last.features) == set(last.sample.columns) == {"x"}
    assert last.texts == {}
    assert set(both.texts.values()) == {"a", "b", "c"} - dropped_texts(both)


def dropped_texts(table: PaneTable) -> set[str]:
    """Neither among the kept categories nor in the sampled rows."""
    kept = {*table.features["y"].categories.key.tolist()}
    kept |= set(table.sample.columns["y"].texts()[1].tolist())
    return {text for code, text in table_of(EVENTS).texts.items() if code not in kept} & set("abc")


def test_a_text_is_kept_for_a_category_or_for_a_row_that_shows_it() -> None:
    smallest, shown_text = sorted(rows_of(within(1, 1)).texts.items())[::2]  # and one of neither
    cells = [{"y": shown_text[1]}, {"y": smallest[1]}, {"y": "another"}, {"y": "and another"}]
    one = summarise(rows_of([(1, i, cell) for i, cell in enumerate(cells)]), 1, 1)
    category = int(one.features["y"].categories.key[0])
    shown = int(one.sample.columns["y"].bits[0])
    assert category != shown
    assert len(one.texts) == 4
    assert set(one.without_ghosts().texts) == {category, shown}


def test_a_smaller_sample_keeps_the_smallest_hashes_and_says_where_it_ends() -> None:
    table = table_of(EVENTS, k=3)
    assert table.limit.tolist() == [int(WHOLE)] * 5
    small = table.with_sample_of(2)
    assert arrays(small) == arrays(table_of(EVENTS, k=2))
    assert small.limit.tolist() == [30, int(WHOLE), 60, int(WHOLE), 45]
    assert small.sample.hash.tolist() == [10, 20, 15, 40, 50, 5, 25, 35]
    assert small.sample.pane_end.tolist() == [1, 1, 2, 3, 3, 4, 5, 5]
    assert arrays(table.with_sample_of(3)) == arrays(table)


def test_a_row_is_in_the_merged_sample_only_below_every_limit() -> None:
    low = summarise(rows_of([(1, h, {}) for h in (1, 5, 9)]), 2, CATEGORIES)  # 9 and above unknown
    high = summarise(rows_of([(1, h, {}) for h in (9, 12)]), 9, CATEGORIES)
    merged = merge([low, high], 9, CATEGORIES)
    assert (merged.sample.hash.tolist(), merged.limit.tolist()) == ([1, 5], [9])
    assert merged.rows.tolist() == [5]


def test_the_largest_hashes_are_told_from_a_sample_that_is_whole() -> None:
    top = 2**64 - 1
    limited = summarise(rows_of([(1, 5, {}), (1, top - 1, {})]), 1, CATEGORIES)
    assert limited.limit.tolist() == [top - 1]
    other = summarise(rows_of([(1, 7, {}), (1, top - 1, {})]), 9, CATEGORIES)
    assert other.sample.hash.tolist() == [7, top - 1]
    assert merge([limited, other], 9, CATEGORIES).sample.hash.tolist() == [5, 7]
    whole = summarise(rows_of([(1, top, {})]), 9, CATEGORIES)
    assert merge([whole, whole], 9, CATEGORIES).sample.hash.tolist() == [top, top]


def test_panes_of_several_tables_are_merged_by_their_ends() -> None:
    halves = [table_of(EVENTS[::2]), table_of(EVENTS[1::2])]
    assert arrays(merge(halves, K, CATEGORIES)) == arrays(table_of(EVENTS))
    assert arrays(merge(halves[::-1], K, CATEGORIES)) == arrays(table_of(EVENTS))
    one = table_of(EVENTS)
    assert merge([one], K, CATEGORIES) is one


def test_collapsing_makes_one_pane_of_all_and_leaves_the_tables_alone() -> None:
    halves = [table_of(EVENTS[:4]), table_of(EVENTS[4:])]
    before = [arrays(half) for half in halves]
    one = collapse(halves, 99, K, CATEGORIES)
    assert arrays(one) == arrays(table_of([(99, h, cells) for _, h, cells in EVENTS]))
    assert [arrays(half) for half in halves] == before
    assert set(one.sample.pane_end.tolist()) == {99}


def test_of_many_categories_those_of_the_smallest_hashes_are_counted_in_each_pane() -> None:
    events = [(end, i, {"y": text}) for end in (1, 2) for i, text in enumerate("abcdefgh" * end)]
    categories = table_of(events).features["y"].categories
    smallest = sorted(rows_of(events).texts)[:CATEGORIES]
    assert categories.pane.tolist() == [0, 0, 1, 1]
    assert categories.key.tolist() == smallest * 2
    assert categories.count.tolist() == [1, 1, 2, 2]


def test_extremes_are_of_the_numbers_of_the_pane_alone() -> None:
    x = table_of(EVENTS).features["x"]
    assert repr(x.minimum.tolist()) == "[-2.5, 0.1, nan, nan, 3.0]"
    assert repr(x.maximum.tolist()) == "[4.0, 0.1, nan, nan, 1e+16]"
    z = table_of(EVENTS).features["z"]
    assert repr(z.minimum.tolist()) == "[nan, nan, 7.0, -7.0, nan]"


def test_rows_in_any_order_and_equal_cells_in_a_row_make_the_same_table() -> None:
    for order in (EVENTS[::-1], EVENTS[5:] + EVENTS[:5]):
        assert arrays(table_of(order)) == arrays(table_of(EVENTS))


def test_a_summary_for_people_is_of_its_pane_alone() -> None:
    table = table_of(EVENTS)
    texts = table.texts
    first, third = table.summary(0), table.summary(2)
    assert set(first["features"]) == {"x", "y"}
    assert (first["rows"], first["sample"]) == (3, [10, 20])
    assert (float(first["features"]["x"]["sum"]), first["features"]["x"]["min"]) == (2.5, -2.5)
    assert float(first["features"]["x"]["squares"]) == 1.0 + 6.25 + 16.0
    assert sum(first["features"]["x"]["buckets"].values()) == 3
    kept = sorted(code for code in texts if texts[code] in "abc")[:CATEGORIES]
    assert first["features"]["y"]["categories"] == {texts[code]: 1 for code in kept}
    assert third["features"]["y"]["categories"] == {"a": 2}
    assert third["features"]["x"]["buckets"] == {}
    assert (third["features"]["x"]["text"], third["features"]["x"]["null"]) == (1, 1)


def test_a_square_is_summed_to_the_last_bit() -> None:
    (only,) = summarise(rows_of([(1, 1, {"x": 0.1})]), K, CATEGORIES).features.values()
    numerator, denominator = (0.1).as_integer_ratio()
    summary = summarise(rows_of([(1, 1, {"x": 0.1})]), K, CATEGORIES).summary(0)
    assert summary["features"]["x"]["squares"] == summary["features"]["x"]["sum"] ** 2
    assert summary["features"]["x"]["sum"].numerator * denominator == numerator * (
        summary["features"]["x"]["sum"].denominator
    )
    assert len(only.squares.bin) > 2


def test_columns_may_be_without_any_row() -> None:
    empty = Column(np.zeros(0, np.uint8), np.zeros(0, np.uint64))
    nothing = Rows(np.zeros(0, np.int64), np.zeros(0, np.uint64), {"x": empty}, {})
    assert len(summarise(nothing, K, CATEGORIES)) == 0
