"""Stage 1: what is late, what leaves when, and that a batch is judged record by record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stream.events import Effect, ToDeadLetters, ToPanes
from stream.numbering import content
from stream.partitioning import partition_of
from stream.pipeline import imbalance
from stream.snapshot import packed
from stream.source_stage import SourceStage
from stream.wire import Announcement, Block, Bundle, Learned, PaneRecord, decode_pane_record
from tests.streams import SMALL, Event, blocks_of, outcome, prediction, records, with_maturity

GRACE, PANE = SMALL.grace_ms, SMALL.pane_ms


def sent(effects: list[Effect]) -> list[PaneRecord]:
    return [decode_pane_record(content(e.value)) for e in effects if isinstance(e, ToPanes)]


def blocks(effects: list[Effect]) -> list[Block]:
    return [block for record in sent(effects) for block in blocks_of(record)]


def ends(effects: list[Effect]) -> list[tuple[str, str, int]]:
    """(kind, version, pane end) of every pane sent."""
    return [
        (block.kind, block.group[1], end)
        for block in blocks(effects)
        for part in (block.rows, block.table)
        if part is not None
        for end in sorted(set(part.pane_end.tolist()))
    ]


def ledger(stage: SourceStage) -> dict[str, int]:
    assert imbalance(stage.ledger()) == []
    return stage.ledger()["predictions"]


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
@pytest.mark.parametrize(("mark_ms", "late"), [(6_000 + GRACE - 1, 0), (6_000 + GRACE, 1)])
def test_late_is_decided_record_by_record_inside_a_batch(cut: int, mark_ms: int, late: int) -> None:
    """Before the mark the pane is open, after it it is closed; in one batch or in two."""
    events = [
        prediction("before", 5_999),
        prediction("mark", mark_ms),
        prediction("after", 5_999),
        prediction("next pane", 6_000),
    ]
    stage = SourceStage(SMALL, 0, 1)
    effects = [*stage.predictions(records(events[:cut]))]
    effects += stage.predictions(records(events[cut:], first_offset=cut))
    found = ledger(stage)
    assert (found["late"], found["applied"]) == (late, 4 - late)
    effects += stage.end_of_input(mark_ms)
    (first, *_) = blocks(effects)
    rows = sum(len(b.rows) for b in blocks(effects) if b.rows is not None)
    assert first.kind == "prediction"
    assert rows == 4 - late


def test_a_pane_leaves_when_its_end_and_grace_are_reached_not_before() -> None:
    stage = SourceStage(SMALL, 0, 1)
    assert ends(stage.predictions(records([prediction("a", 500)]))) == []
    assert ends(stage.advance("predictions", PANE + GRACE - 1)) == []
    assert ends(stage.advance("predictions", PANE + GRACE)) == [("prediction", "1", PANE)]
    assert ends(stage.advance("predictions", PANE + GRACE + 50)) == []


def test_dead_goes_before_future_before_late_before_duplicate() -> None:
    rules = replace(SMALL, future_bound_ms=0)
    stage = SourceStage(rules, 0, 1)
    stage.predictions(records([prediction("p", 5_000), prediction("q", 100_000)]))
    again = [
        prediction("p", 5_000, model_version=7),  # dead
        prediction("p", 5_000),  # of the future by its record timestamp, late, and a duplicate
    ]
    effects = stage.predictions(records(again, first_offset=2, timestamp_ms=4_999))
    assert sum(isinstance(e, ToDeadLetters) for e in effects) == 1
    found = ledger(stage)
    assert (found["dead_lettered"], found["future"], found["late"]) == (1, 1, 0)
    stage.predictions(records([prediction("p", 5_000)], first_offset=4))
    found = ledger(stage)
    assert (found["late"], found["duplicate"]) == (1, 0)
    stage.predictions(records([prediction("q", 100_000)], first_offset=5))
    assert ledger(stage)["duplicate"] == 1


def test_a_record_of_the_future_does_not_close_panes() -> None:
    stage = SourceStage(SMALL, 0, 1)
    far = 10_000 + (SMALL.future_bound_ms or 0) + 1
    events = [prediction("a", 500), prediction("far", far), prediction("b", 500)]
    effects = stage.predictions(records(events, timestamp_ms=10_000))
    assert ends(effects) == []
    assert stage.watermark_ms("predictions") == 500
    found = ledger(stage)
    assert (found["future"], found["applied"]) == (1, 2)


def test_watermarks_are_announced_to_every_stage_2_partition_and_only_when_they_move() -> None:
    stage = SourceStage(SMALL, 1, 3)
    stage.epoch = 9
    effects = stage.predictions(records([prediction("a", 500)], partition=1))
    announcements = [e for e in effects if isinstance(e, ToPanes)]
    assert [e.partition for e in announcements] == [0, 1, 2]
    (announcement,) = {decode_pane_record(content(e.value)) for e in announcements}
    assert isinstance(announcement, Announcement)
    assert (announcement.source, announcement.sources, announcement.epoch) == (1, 3, 9)
    assert announcement.prediction_ms == 500
    assert stage.predictions(records([prediction("b", 400)], partition=1)) == []


def test_blocks_go_to_the_partition_of_their_model_before_the_announcement() -> None:
    stage = SourceStage(SMALL, 0, 4)
    events = [prediction("a", 500, model_id=m) for m in ("m", "n", "o")]
    effects = stage.predictions(records([*events, prediction("b", 90_000)]))
    last_block = 0
    for i, effect in enumerate(effects):
        assert isinstance(effect, ToPanes)
        record = decode_pane_record(content(effect.value))
        for block in blocks_of(record):
            assert effect.partition == partition_of(block.group[0].encode(), 4)
            last_block = i
    assert sum(isinstance(r, Announcement) for r in sent(effects[last_block + 1 :])) == 4


def test_rows_of_many_groups_travel_in_one_record_a_partition() -> None:
    stage = SourceStage(SMALL, 0, 4)
    models = [f"m{i}" for i in range(40)]
    events = [prediction(f"p{i}", 500 + i % 3, model_id=m) for i, m in enumerate(3 * models)]
    effects = stage.predictions(records(events)) + stage.end_of_input(500)
    found = [r for r in sent(effects) if not isinstance(r, Announcement)]
    bundles = [r for r in found if isinstance(r, Bundle) and r.kind == "prediction"]
    assert len(found) == len(bundles) == 4
    rows = {b.group[0]: len(b.rows) for bundle in bundles for b in blocks_of(bundle) if b.rows}
    assert rows == dict.fromkeys(models, 3)


def test_a_group_with_a_pane_of_many_rows_travels_by_itself() -> None:
    stage = SourceStage(SMALL, 0, 1)
    few = [prediction(f"p{m}", 500, model_id=m) for m in "abc"]
    many = [prediction(f"q{i}", 500, model_id="d") for i in range(7)]
    stage.predictions(records([*few, *many]))
    found = [r for r in sent(stage.end_of_input(500)) if not isinstance(r, Announcement)]
    (bundle,) = (r for r in found if isinstance(r, Bundle))
    (block,) = (r for r in found if isinstance(r, Block))
    assert [group[0] for group in bundle.rows.groups] == ["a", "b", "c"]
    assert (block.group[0], block.rows) == ("d", None)


@pytest.mark.parametrize(("count", "form"), [(6, "rows"), (7, "table")])
def test_a_pane_of_at_most_k_rows_travels_as_its_rows(count: int, form: str) -> None:
    stage = SourceStage(SMALL, 0, 1)  # pane_rows = 6
    stage.predictions(records([prediction(f"p{i}", 500) for i in range(count)]))
    (block,) = blocks(stage.end_of_input(500))
    rows = 0 if block.rows is None else len(block.rows)
    tables = 0 if block.table is None else len(block.table)
    assert (rows, tables) == ((6, 0) if form == "rows" else (0, 1))


def test_pane_ends_only_rise_per_group_and_kind() -> None:
    stage = SourceStage(SMALL, 0, 1)
    seen: dict[tuple[str, str], int] = {}
    panes = 0
    for step in range(60):
        events: list[Event] = [
            prediction(f"{step}-{i}", 1_000 * step + 137 * i, model_version=str(i % 2))
            for i in range(12)
        ]
        effects = stage.predictions(records(events))
        effects += stage.outcomes(records([outcome(f"{step}-0", 1_000 * step)], "outcomes"))
        for kind, version, end in ends(effects):
            assert end > seen.get((kind, version), -1)
            seen[kind, version] = end
            panes += 1
    assert set(seen) == {(k, v) for k in ("prediction", "cohort") for v in "01"}
    assert panes > 150


def test_learning_sends_the_cohorts_up_to_now_and_then_says_so_once() -> None:
    stage = SourceStage(with_maturity(SMALL, "auto"), 0, 1)
    stage.predictions(records([prediction("a", 500), prediction("b", 90_000)]))
    stage.outcomes(records([outcome("a", 1_000), outcome("b", 90_000)], "outcomes"))
    assert ledger(stage)["pending"] == 2
    records_sent = sent(stage.learn("m", 5_000))
    assert [type(record) for record in records_sent] == [Block, Learned]
    assert ledger(stage)["matured_labelled"] == 1
    assert stage.learn("m", 5_000) == []
    assert stage.learn("m", 7_000) == []  # decided once


def test_learning_never_frees_what_was_held() -> None:
    stage = SourceStage(with_maturity(SMALL, "auto"), 0, 1)
    stage.predictions(records([prediction("a", 500), prediction("b", 600, model_id="n")]))
    stage.learn("m", None)
    found = ledger(stage)
    assert (found["unjoined"], found["pending"]) == (1, 1)


def test_a_configured_maturity_is_not_overruled_by_a_decision() -> None:
    stage = SourceStage(SMALL, 0, 1)
    assert stage.learn("m", 1) == []


def test_panes_beyond_what_is_merged_are_counted_for_the_alignment() -> None:
    stage = SourceStage(SMALL, 0, 1)
    stage.predictions(records([prediction(f"p{i}", 1_000 * i) for i in range(20)]))
    left = 20 - 1 - GRACE // PANE  # closed by the watermark at 19 s
    assert stage.unmerged_panes(-1) == left
    assert stage.unmerged_panes(5_000 + GRACE) == left - 5


def test_one_bad_feature_value_is_counted_and_the_rest_of_its_event_kept() -> None:
    stage = SourceStage(SMALL, 0, 1)
    cells: list[Any] = [1.0, [1], {"a": 1}, None, "n/a", 1e300]
    for i, cell in enumerate(cells):
        event = prediction(f"p{i}", 500, features={"x": cell, "y": 2})
        stage.predictions(records([event], first_offset=i))
    (block,) = blocks(stage.end_of_input(500))
    assert block.rows is not None
    assert block.rows.columns["feature:y"].numbers()[1].tolist() == [2.0] * 6
    kinds = sorted(block.rows.columns["feature:x"].kind.tolist())
    assert kinds == [1, 2, 3, 4, 4, 4]  # null, number, text, three others
    assert ledger(stage)["applied"] == 6


def test_a_restored_stage_has_the_same_snapshot_and_goes_on_alike() -> None:
    stage = SourceStage(with_maturity(SMALL, "auto"), 0, 2)
    stage.predictions(
        records([prediction(f"p{i}", 700 * i, features={"x": "a"}) for i in range(30)])
    )
    stage.outcomes(records([outcome(f"p{i}", 700 * i + 50) for i in range(30)], "outcomes"))
    restored = SourceStage.restore(stage.rules, 0, 2, packed(stage.snapshot()))
    assert packed(restored.snapshot()) == packed(stage.snapshot())
    assert restored.ledger() == stage.ledger()
    assert blocks(restored.end_of_input(50_000)) is not None
    assert ends(restored.advance("predictions", 99_000)) == ends([])
