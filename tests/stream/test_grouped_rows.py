"""Rows of many groups are dealt to them as if each had been alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream import grouped_rows
from stream.columns import Group, Rows
from stream.feature_names import FeatureNames
from stream.grouped_rows import (
    GroupedRows,
    Piece,
    apart,
    detached,
    joined,
    pieces,
    texts_of,
    together,
)
from stream.identity import hash_ids
from stream.panes import summarise, summarise_grouped
from stream.rules import Rules
from tests.cells import feature_columns

CELLS = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from([None, 1.5, -2, "a", "b"]))
EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), CELLS), min_size=1, max_size=30)
Event = tuple[int, int, dict[str, Any]]
RULES = Rules(max_features=3, pane_ms=1_000, grace_ms=1_000)


def group(code: int) -> Group:
    return f"m{code}", "1", "champion", ""


def rows_of(events: list[Event], first: int = 0) -> Rows:
    texts: dict[int, str] = {}
    columns = feature_columns([cells for _, _, cells in events], "feature:", texts)
    ends = 1_000 * np.array([pane for _, pane, _ in events], np.int64)
    hashes = hash_ids([f"p{first + i}" for i in range(len(events))])[:, 0].copy()
    return Rows(ends, hashes, columns, texts)


def backwards(events: list[Event], number: int) -> Rows:
    """One of them, with its columns in that order."""
    rows = rows_of(events[:1], number)
    return replace(rows, columns=dict(reversed(rows.columns.items())))


def contents(rows: Rows) -> list[Any]:
    """Row by row and name by name, in an order of their own; a column that is absent is none."""
    return sorted(
        (
            int(rows.pane_end[i]),
            int(rows.hash[i]),
            sorted(
                (n, int(c.kind[i]), int(c.bits[i])) for n, c in rows.columns.items() if c.kind[i]
            ),
        )
        for i in range(len(rows))
    )


@given(EVENTS, st.integers(0, 30))
def test_parts_are_put_together_and_dealt_to_their_groups(events: list[Event], cut: int) -> None:
    parts = [(0, events[:cut]), (cut, events[cut:])]
    made = [
        GroupedRows(
            rows_of(part, first),
            np.array([code for code, _, _ in part]),
            [group(code) for code in range(4)],
        )
        for first, part in parts
        if part
    ]
    dealt: dict[Group, list[Any]] = {}
    for alike in together(made):
        for of, rows in alike.dealt():
            dealt[of] = sorted(dealt.get(of, []) + contents(rows))
    whole = rows_of(events)
    for code in range(4):
        mine = np.array([i for i, event in enumerate(events) if event[0] == code], np.intp)
        assert dealt.get(group(code), []) == contents(whole.take(mine))


@given(EVENTS, st.integers(1, 9))
def test_summaries_of_many_groups_are_those_of_each(events: list[Event], sample: int) -> None:
    codes, code = np.unique([code for code, _, _ in events], return_inverse=True)
    whole = rows_of(events)
    texts = [whole.texts] * len(codes)
    found = summarise_grouped(whole, code.astype(np.int64), texts, sample, 2)
    for place, table in enumerate(found):
        alone = summarise(whole.take(np.flatnonzero(code == place)), sample, 2)
        assert table.pane_end.tolist() == alone.pane_end.tolist()
        assert table.limit.tolist() == alone.limit.tolist()
        assert contents(table.sample) == contents(alone.sample)
        for pane in range(len(alone)):
            assert repr(table.summary(pane)) == repr(alone.summary(pane))


@given(EVENTS, st.sets(st.integers(0, 3)), st.integers(0, 3), st.sampled_from([1, 64_000]))
def test_pieces_put_together_are_their_rows(
    events: list[Event], left_out: set[int], last_pane: int, most: int
) -> None:
    """Some of one that came together, whole or not, with one that came alone."""
    events.sort(key=lambda event: event[0])
    codes, code = np.unique([code for code, _, _ in events], return_inverse=True)
    whole = GroupedRows(rows_of(events), code, [group(c) for c in codes.tolist()])
    alone = [Piece.of(rows_of(events[:1], 97)), *(Piece.of(backwards(events, n)) for n in (98, 99))]
    kept = [
        (of, inside)
        for of, piece in pieces(whole)
        if int(of[0][1:]) not in left_out
        if (inside := piece.between(1_000, 1_000 * last_pane)) is not None
    ]
    expected = {
        of: [c for c in contents(piece.rows()) if c[0] <= 1_000 * last_pane]
        for of, piece in pieces(whole)
    }
    for of, piece in kept:
        assert contents(piece.rows()) == expected[of]
        ends = piece.pane_end
        assert (piece.first_end_ms, piece.last_end_ms) == (ends.min(), ends.max())
    every = [*(piece for _, piece in kept), *alone]
    with mock.patch.object(grouped_rows, "_MOST_TOGETHER", most):
        own = detached(every)
    assert [contents(p.rows()) for p in own] == [contents(p.rows()) for p in every]
    assert [p.names for p in own] == [p.names for p in every]  # in their order
    wholes = {id(p.whole): p.whole for p in own}
    assert sum(map(len, wholes.values())) == sum(map(len, own))
    parts = {id(p.whole) for p in every}
    assert len(wholes) == (len(parts) if most == 1 else len({p.names for p in own}))
    together_ = list(enumerate(own))
    rows, number = joined(together_)
    texts = texts_of(rows, number, len(together_))
    for place, piece in together_:
        mine = rows.take(np.flatnonzero(number == place))
        assert contents(mine) == contents(piece.rows())
        assert texts[place] == piece.rows().texts


@given(EVENTS, st.integers(1, 4))
def test_groups_with_a_pane_of_many_rows_are_told_apart(events: list[Event], most: int) -> None:
    code = np.array([code for code, _, _ in events])
    rows = GroupedRows(rows_of(events), code, [group(c) for c in range(4)])
    sparse, crowded = apart(rows, most)
    sizes = Counter((code, pane) for code, pane, _ in events)
    many = {code for (code, _), size in sizes.items() if size > most}
    assert set(crowded.code.tolist()) == many
    assert set(sparse.code.tolist()) == {code for code, _ in sizes} - many
    assert len(sparse) + len(crowded) == len(events)
    assert sorted(sparse.take(np.argsort(sparse.code, kind="stable")).pane_ends().tolist()) == (
        sorted(1_000 * pane for code, pane in sizes if code not in many)
    )


NAMES = st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True)
BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 2), NAMES, st.integers(0, 2_500)), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


@given(BATCHES)
def test_groups_that_go_on_would_have_had_all_names_taken(
    batches: list[list[tuple[int, list[str], int]]],
) -> None:
    """`going_on` decides for whole batches what `take` decides group by group."""
    asked, alone = FeatureNames(RULES), FeatureNames(RULES)
    now_ms = 10_000
    groups = [group(code) for code in range(3)]
    for batch in batches:
        before, after = [], []
        for _, _, step_ms in batch:
            before.append(now_ms)
            now_ms += step_ms
            after.append(now_ms)
        before_ms, after_ms = np.array(before), np.array(after)
        code = np.array([of for of, _, _ in batch])
        shapes: dict[tuple[str, ...], list[int]] = {}
        for row, (_, names, _) in enumerate(batch):
            columns = tuple(f"feature:{name}" for name in sorted(names))
            shapes.setdefault(columns, []).append(row)
        parts = [(np.array(rows, np.intp), names) for names, rows in shapes.items()]
        going = asked.going_on(groups, code, parts, before_ms, after_ms)
        for one in np.unique(code).tolist():
            mine = []
            for rows, names in parts:
                of_group = rows[code[rows] == one]
                if len(of_group):
                    cells = feature_columns([dict.fromkeys(names, 1)] * len(of_group), "", {})
                    mine.append((of_group, cells))
            expected = alone.take(groups[one], mine, before_ms, after_ms)
            if going[one]:
                kept = [(rows.tolist(), [*cells]) for rows, cells in expected]
                whole = [(rows.tolist(), [*cells]) for rows, cells in mine]
                assert sorted(kept) == sorted(whole)
            else:
                asked.take(groups[one], mine, before_ms, after_ms)
        asked.purge(now_ms)
        alone.purge(now_ms)
        assert asked.refused == alone.refused
        assert asked._taken == alone._taken
        assert asked._last_ms == alone._last_ms
