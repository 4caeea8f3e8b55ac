"""What is gathered in pages of its own comes back to the byte, and nothing of it stays."""

from __future__ import annotations

import weakref
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import own_pages
from stream.columns import Rows
from stream.identity import hash_ids
from stream.own_pages import OwnPages
from stream.panes import PaneTable, summarise
from stream.plain_panes import table_to_plain
from stream.reference_builder import ReferenceBuilder
from stream.rules import ReferenceRule, Rules
from stream.snapshot import pack
from tests.cells import feature_columns

VALUES = st.sampled_from([None, "x", "y", 2**40, -0.1, 5e-324, []])
EVENTS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1, max_size=12)


def table_of(events: list[dict[str, Any]], panes: int, *, begin: int = 1) -> PaneTable:
    texts: dict[int, str] = {}
    columns = feature_columns(events, "", texts)
    ends = 10_000 * (begin + np.arange(len(events), dtype=np.int64) % panes)
    hashes = hash_ids([f"{begin} {i}" for i in range(len(events))])[:, 0].copy()
    return summarise(Rows(ends, hashes, columns, texts), 1_000, 16)


@given(EVENTS, st.sampled_from([1, 1 << 16]), st.sampled_from([0, 64]))
def test_a_table_comes_back_as_it_was(events: list[dict[str, Any]], least: int, few: int) -> None:
    table = table_of(events, 3)
    with mock.patch.object(own_pages, "_LEAST", least), mock.patch.object(own_pages, "_FEW", few):
        pages = OwnPages(table)
    assert pack(b"x", 1, table_to_plain(pages.open())) == pack(b"x", 1, table_to_plain(table))


def test_where_there_are_no_more_regions_it_is_kept_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: Any) -> Any:
        raise OSError

    monkeypatch.setattr(own_pages.mmap, "mmap", refused)
    table = table_of([{"a": i / 8} for i in range(8_000)], 1)
    back = OwnPages(table).open()
    assert pack(b"x", 1, table_to_plain(back)) == pack(b"x", 1, table_to_plain(table))


def test_a_sealed_reference_holds_nothing_of_what_was_gathered() -> None:
    builder = ReferenceBuilder(ReferenceRule(predictions=5_000, span_ms=0), Rules())
    for begin in range(1, 6):
        events = [{"a": (i * 7919 % 1_000) / 8, "b": "xyz"[i % 3]} for i in range(1_000)]
        builder.add(table_of(events, 1, begin=begin), 200)
    assert builder._settled is not None
    gathered = weakref.ref(builder._settled._pages.data)
    reference = builder.seal(("m", "1", "champion", ""), "prediction")
    assert reference.count == 5_000
    assert len(reference.encode()) > 1_000
    assert gathered() is None
