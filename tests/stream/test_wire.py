"""Records between the stages come back as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream.columns import Column, Rows
from stream.grouped_rows import GroupedRows, pieces
from stream.identity import hash_ids
from stream.outcome_join import Delays
from stream.pane_features import PaneFeatures
from stream.panes import PaneTable, summarise
from stream.plain_panes import (
    feature_to_plain,
    rows_to_plain,
    rows_together,
    table_to_plain,
    table_together,
)
from stream.snapshot import BrokenRecordError, pack
from stream.wire import (
    Announcement,
    Block,
    Bundle,
    Claim,
    DelayBlock,
    Finding,
    Idle,
    JournalEntry,
    Learned,
    MaturityDecision,
    Progress,
    decode_finding,
    decode_journal,
    decode_pane_record,
    encode_finding,
    encode_journal,
    encode_pane_record,
)
from tests.cells import feature_columns

GROUP = ("größe", "1", "champion", "")


def rows() -> Rows:
    texts: dict[int, str] = {}
    cells: list[dict[str, Any]] = [{"x": "東京", "y": 1.5}, {"x": None}, {"y": [1], "x": "b"}]
    columns = feature_columns(cells, "feature:", texts)
    return Rows(np.array([1_000, 1_000, 2_000]), hash_ids("abc")[:, 0].copy(), columns, texts)


def summaries(table: PaneTable) -> list[Any]:
    return [repr(table.summary(i)) for i in range(len(table))]


def test_blocks_of_rows_and_of_tables_come_back() -> None:
    table = summarise(rows(), 1, 1)
    found = decode_pane_record(encode_pane_record(Block(3, 7, "cohort", GROUP, rows(), table)))
    assert isinstance(found, Block)
    assert (found.source, found.epoch, found.kind, found.group) == (3, 7, "cohort", GROUP)
    assert found.rows is not None
    assert found.table is not None
    assert summaries(summarise(found.rows, 9, 9)) == summaries(summarise(rows(), 9, 9))
    assert summaries(found.table) == summaries(table)
    assert found.table.limit.tolist() == table.limit.tolist()


def test_texts_of_dropped_rows_do_not_travel_but_those_of_kept_categories_do() -> None:
    table = summarise(rows(), 1, 9)
    found = decode_pane_record(encode_pane_record(Block(0, 0, "prediction", GROUP, None, table)))
    assert isinstance(found, Block)
    assert found.table is not None
    assert set(found.table.texts.values()) == {"東京", "b"}
    few = Block(0, 0, "prediction", GROUP, rows().take(np.array([2])), None)
    found = decode_pane_record(encode_pane_record(few))
    assert isinstance(found, Block)
    assert found.rows is not None
    assert set(found.rows.texts.values()) == {"b"}


def test_a_bundle_comes_back_as_the_rows_of_each_group() -> None:
    groups = [GROUP, ("m", "2", "champion", "")]
    of = GroupedRows(rows(), np.array([0, 0, 1]), groups)
    found = decode_pane_record(encode_pane_record(Bundle(3, 7, "cohort", of)))
    assert isinstance(found, Bundle)
    assert (found.source, found.epoch, found.kind) == (3, 7, "cohort")
    apart = {group: piece.rows() for group, piece in pieces(found.rows)}
    assert list(apart) == groups
    for place, group in zip(([0, 1], [2]), groups, strict=True):
        alone = rows().take(np.array(place))
        assert summaries(summarise(apart[group], 9, 9)) == summaries(summarise(alone, 9, 9))
    assert set(apart[groups[1]].texts.values()) == {"b"}


@pytest.mark.parametrize("changed", [
    {"counts": np.array([3])}, {"counts": np.array([3, 0])}, {"counts": np.array([4, -1])},
    {"counts": np.array([1, 1])}, {"counts": [2, 1]}, {"groups": [[*GROUP], [*GROUP]]},
    {"groups": []}, {"groups": [["m"], ["n"]]}, {"groups": 7}, {"kind": "cohort@x"}, {"rows": None},
])  # fmt: skip
def test_a_bundle_whose_groups_do_not_fit_is_refused(changed: dict[str, Any]) -> None:
    body = {"source": 3, "epoch": 7, "kind": "cohort", "groups": [[*GROUP], ["m", "", "", ""]],
            "counts": np.array([2, 1]), "rows": rows_together(rows())}  # fmt: skip
    assert isinstance(decode_pane_record(pack(b"M", 1, body)), Bundle)
    with pytest.raises(BrokenRecordError):
        decode_pane_record(pack(b"M", 1, body | changed))


def test_blocks_of_the_version_before_are_read() -> None:
    table = summarise(rows(), 1, 1)
    plain = {"source": 3, "epoch": 7, "kind": "cohort", "group": [*GROUP],
             "rows": rows_to_plain(rows()), "table": table_to_plain(table)}  # fmt: skip
    found = decode_pane_record(pack(b"B", 1, plain))
    assert isinstance(found, Block)
    assert encode_pane_record(found) == encode_pane_record(
        Block(3, 7, "cohort", GROUP, rows(), table)
    )


@pytest.mark.parametrize("largest", [1, 200, 70_000, 2**40])
def test_integers_of_a_table_take_what_they_need_and_come_back_whole(largest: int) -> None:
    cells = np.geomspace(1e-50, float(largest), 500).view(np.uint64)
    columns = {"feature:x": Column(np.full(500, 2, np.uint8), cells)}
    ends, hashes = np.full(500, 1_000), np.arange(500, dtype=np.uint64)
    table = summarise(Rows(ends, hashes, columns, {}), 1, 1)
    narrow = table_together(table)
    assert narrow["whole"][3][0].dtype == np.int8  # the panes of buckets
    wide = narrow | {"whole": feature_to_plain(PaneFeatures.of(table.features, len(table)).whole)}
    for plain in (narrow, wide):
        body = {"source": 3, "epoch": 7, "kind": "cohort", "group": [*GROUP], "rows": None,
                "table": plain}  # fmt: skip
        found = decode_pane_record(pack(b"B", 2, body))
        assert isinstance(found, Block)
        assert found.table is not None
        assert pack(b"1", 1, table_to_plain(found.table)) == pack(b"1", 1, table_to_plain(table))


@pytest.mark.parametrize("of", ["rows", "table"])
def test_a_block_whose_columns_do_not_fit_is_refused(of: str) -> None:
    table = summarise(rows(), 1, 1)
    bad: list[dict[str, Any]] = [{"names": ["feature:x"]}, {"names": ["feature:x"] * 2},
                                 {"names": [1, 2]}, {"names": "ab"}, {"names": None}]  # fmt: skip
    for changed in [*bad, {"kinds": np.zeros(3, np.uint8)}, {"end": 7}] if of == "rows" else bad:
        body = {"source": 3, "epoch": 7, "kind": "cohort", "group": [*GROUP], "rows": None,
                "table": None}  # fmt: skip
        whole = rows_together(rows()) if of == "rows" else table_together(table)
        assert isinstance(decode_pane_record(pack(b"B", 2, body | {of: whole})), Block)
        with pytest.raises(BrokenRecordError):
            decode_pane_record(pack(b"B", 2, body | {of: whole | changed}))


@pytest.mark.parametrize(
    "record",
    [
        Learned(1, 2, "m"),
        Announcement(1, 4, 2, 10, -5),
        Announcement(1, 4, 2, 10, -5, seen_ms=7),
    ],
)
def test_notes_and_announcements_come_back(record: Learned | Announcement) -> None:
    assert decode_pane_record(encode_pane_record(record)) == record


def test_an_announcement_reaches_cohorts_with_the_lesser_side() -> None:
    assert Announcement(0, 1, 0, 10, 7).cohort_ms == Announcement(0, 1, 0, 7, 10).cohort_ms == 7


def test_delays_come_back() -> None:
    arrays = [np.arange(i, i + 3) for i in range(4)]
    found = decode_pane_record(encode_pane_record(DelayBlock(1, 2, "m", Delays(*arrays))))
    assert isinstance(found, DelayBlock)
    assert found.delays.edge_ms.tolist() == [2, 3, 4]
    assert found.delays.after(1).outcome_pane_end.tolist() == [2]


FINDING = Finding(1, 2, "cohort", 30, 20, GROUP, "feature:x", "A", "drift", {"a": [1.5, None]})


@pytest.mark.parametrize("record", [FINDING, Progress(1, 4, 2, 10, 5)])
def test_findings_and_progress_come_back(record: Finding | Progress) -> None:
    assert decode_finding(encode_finding(record)) == record


@pytest.mark.parametrize(
    "entry",
    [
        Claim(1, 2, "worker"),
        Idle(1, 2, 3, "outcomes", 4, 5),
        MaturityDecision(2, 0, 9, "m", None, 7),
        MaturityDecision(2, 0, 9, "m", 8, 7),
    ],
)
def test_journal_entries_come_back(entry: JournalEntry) -> None:
    assert decode_journal(encode_journal(entry)) == entry


def test_records_of_one_topic_are_refused_on_another() -> None:
    with pytest.raises(BrokenRecordError):
        decode_finding(encode_journal(Claim(1, 2, "worker")))
    with pytest.raises(BrokenRecordError):
        decode_pane_record(pack(b"Z", 1, None))
    with pytest.raises(BrokenRecordError):
        decode_journal(b"")


def test_findings_sort_by_ready_time_kind_pane_end_and_series() -> None:
    def order(**changed: Any) -> tuple[Any, ...]:
        base = {"ready_ms": 5, "pane_kind": "prediction", "pane_end_ms": 5, "series": "b"}
        made = Finding(
            **{
                "partition": 0,
                "epoch": 0,
                "group": GROUP,
                "alertname": "A",
                "verdict": "drift",
                "detail": {},
                **base,
                **changed,
            }
        )
        return made.order

    ordered = [
        order(ready_ms=4, pane_kind="cohort"),
        order(pane_end_ms=4),
        order(series="a"),
        order(),
        order(pane_kind="cohort", pane_end_ms=1),
    ]
    assert ordered == sorted(ordered)
