"""What is packed in memory comes back to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import Rows
from stream.frozen_table import FrozenTable
from stream.identity import hash_ids
from stream.packed_rows import packed, unpacked
from stream.panes import PaneTable, summarise
from stream.plain_panes import rows_to_plain, table_to_plain
from stream.reference import Reference, coarse_values
from stream.snapshot import pack
from tests.cells import feature_columns

VALUES = st.one_of(
    st.none(),
    st.text(max_size=4),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**8), 10**8).map(lambda n: n / 10**4),
    st.just(-0.0),
    st.just([]),
)
EVENTS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=12)


def rows_of(events: list[dict[str, Any]], panes: int = 3) -> Rows:
    texts: dict[int, str] = {}
    columns = feature_columns(events, "", texts) if events else {}
    ends = 1_000 * (1 + np.arange(len(events), dtype=np.int64) % panes)
    hashes = hash_ids([f"p{i}" for i in range(len(events))])[:, 0].copy()
    return Rows(ends, hashes, columns, texts)


def plain(rows: Rows) -> dict[str, Any]:
    found = rows_to_plain(rows)
    columns = {name: [c.tolist() for c in cells] for name, cells in found["columns"].items()}
    return found | {"end": rows.pane_end.tolist(), "hash": rows.hash.tolist(), "columns": columns}


@given(EVENTS)
def test_rows_come_back_as_they_were(events: list[dict[str, Any]]) -> None:
    rows = rows_of(events)
    back = unpacked(packed(rows))
    assert plain(back) == plain(rows)
    assert back.texts == rows.texts


def test_decimals_take_less_than_half_of_their_cells() -> None:
    random = np.random.default_rng(5)
    names = [f"f{i}" for i in range(10)]
    draws = random.normal(size=(256, 10)).round(6).tolist()
    rows = rows_of([dict(zip(names, row, strict=True)) for row in draws])
    assert len(packed(rows)) < 256 * (10 * 9 + 16) / 2.5


def test_cells_of_few_kinds_take_a_byte_each_and_come_back() -> None:
    random = np.random.default_rng(6)
    kinds = [f"city-{i}" for i in range(20)]
    events = [{"a": kinds[i], "b": None if i % 3 else 7.25} for i in random.integers(0, 20, 256)]
    rows = rows_of(events)
    assert len(packed(rows)) < 256 * (1 + 8) + 1_000  # with the hashes
    assert plain(unpacked(packed(rows))) == plain(rows)


def table_of(events: list[dict[str, Any]]) -> PaneTable:
    return summarise(rows_of(events, panes=1), 1_000, 16)


def test_a_frozen_table_opens_to_what_it_was_made_of() -> None:
    table = table_of([{"a": i / 8, "b": "xyz"[i % 3]} for i in range(300)])
    frozen = FrozenTable(table)
    assert frozen.count == 300
    assert frozen.names == {"a", "b"}
    said = pack(b"x", 1, table_to_plain(table))
    assert pack(b"x", 1, table_to_plain(frozen.open())) == said
    for number in range(3):
        FrozenTable(table_of([{"a": number}])).open()  # another one is at hand then
    assert pack(b"x", 1, table_to_plain(frozen.open())) == said


@pytest.mark.parametrize(
    ("values", "is_coarse"),
    [
        ([2_000 + i % 20 for i in range(400)], True),  # years: many in one bucket
        ([i % 2 for i in range(400)], False),  # a bucket each
        ([1.03**i for i in range(400)], False),  # a few in each bucket
    ],
)
def test_values_are_kept_where_buckets_tell_too_little(
    values: list[float], *, is_coarse: bool
) -> None:
    table = table_of([{"a": value} for value in values])
    found = coarse_values(table, "a")
    assert (found is not None) == is_coarse
    kept = FrozenTable(table.with_sample_of(40))
    group = ("m", "1", "champion", "")
    values_of = {} if found is None else {"a": found}
    reference = Reference(group, "prediction", 0, 1_000, kept, values_of)
    read = Reference.decode(reference.encode())
    assert read.id == reference.id
    again = read.values_of("a")
    assert (again is not None) == is_coarse
    if found is not None and again is not None:
        assert again.distinct.tolist() == sorted(set(values))
        assert again.counts.tolist() == found.counts.tolist()
        assert int(again.counts.sum()) == 400
