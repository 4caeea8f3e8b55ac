"""What a live run decided, applied again at the record it was decided before."""

from __future__ import annotations

from typing import Any

import pytest

from stream.events import Records
from stream.notices import Notice
from stream.pipeline import Pipeline
from stream.replay import ReplayedJournal
from stream.rules import ModelRule, Rules
from stream.wire import Accepted, Activation, Claim, Founding, Idle, JournalEntry, Noticed, Renewed

OFFSETS = [3, 4, 7, 11, 12]  # markers, aborted and compacted records lie between


def records(offsets: list[int]) -> Records:
    return Records("t", 0, offsets, [None] * len(offsets), [b"?"] * len(offsets))


def journal(*moves: tuple[int, int], **options: Any) -> ReplayedJournal:
    """Advances of the predictions of partition 0: (at_offset, watermark_ms)."""
    entries: list[JournalEntry] = [Claim(1, 0, "w")]
    entries += [Idle(1, 0, 0, "predictions", at, to_ms) for at, to_ms in moves]
    return ReplayedJournal(enumerate(entries), **options)


def walk(replayed: ReplayedJournal, *batches: list[int]) -> list[tuple[list[int], int | None]]:
    """(offsets, watermark when they were handed on) of each part."""
    pipeline = Pipeline(Rules(), 1)
    return [
        (part.offsets, pipeline.watermark_ms(0, "predictions"))
        for batch in batches
        for part in replayed.before(pipeline, "predictions", records(batch))
    ]


@pytest.mark.parametrize("cut", range(len(OFFSETS) + 1))
def test_a_decision_is_applied_before_the_first_record_at_its_offset_or_behind_it(cut: int) -> None:
    parts = walk(journal((5, 100), (11, 200)), OFFSETS[:cut], OFFSETS[cut:])
    met = {offset: at_ms for offsets, at_ms in parts for offset in offsets}
    assert met == {3: None, 4: None, 7: 100, 11: 200, 12: 200}


def test_lines_of_files_have_their_number_in_the_partition_for_an_offset() -> None:
    replayed = journal((1, 100), (3, 200), by_position=True)
    assert walk(replayed, [10, 20], [40, 41]) == [
        ([10], None),
        ([20], 100),
        ([40], 100),
        ([41], 200),
    ]


def test_decisions_of_several_owners_are_applied_in_the_order_of_their_offsets() -> None:
    """A new owner goes back, and may decide at an offset that is before its predecessor's last."""
    assert walk(journal((11, 200), (5, 100)), OFFSETS) == [
        ([3, 4], None), ([7], 100), ([11, 12], 200),
    ]  # fmt: skip


def test_what_was_decided_behind_the_last_record_is_applied_and_nothing_beyond_the_end() -> None:
    replayed = journal((13, 100), (14, 200), (15, 300))
    pipeline = Pipeline(Rules(), 1)
    assert [p.offsets for p in replayed.before(pipeline, "predictions", records(OFFSETS))] == [
        OFFSETS
    ]
    assert pipeline.watermark_ms(0, "predictions") is None
    replayed.rest(pipeline, "predictions", 0, 14)
    assert pipeline.watermark_ms(0, "predictions") == 200


def test_behind_the_last_line_of_a_file_its_count_is_the_end() -> None:
    replayed = journal((2, 100), (3, 200), by_position=True)
    pipeline = Pipeline(Rules(), 1)
    assert list(replayed.before(pipeline, "predictions", records([1, 2])))
    replayed.rest(pipeline, "predictions", 0)
    assert pipeline.watermark_ms(0, "predictions") == 100


def test_what_was_decided_before_a_record_that_is_not_replayed_is_left_out() -> None:
    replayed = journal((3, 100), (7, 200))
    replayed.skip("predictions", 0, 7)
    assert walk(replayed, [7, 11]) == [([7, 11], 200)]
    before = journal((3, 100))
    before.skip("predictions", 0, 7)
    assert walk(before, [7, 11]) == [([7, 11], None)]


def configs(configured: Rules) -> Pipeline:
    """A replay of a live run that began under one configuration and went on under another."""
    entries: list[tuple[int, JournalEntry]] = [
        (0, Founding(FIRST.config_hash(), FIRST.to_plain())),
        (1, Claim(1, 0, "w")),
        (2, Claim(2, 0, "w")),
        (3, Claim(3, 0, "w")),
        (4, Activation(2, 0, 2, 9, SECOND.config_hash(), 500)),
        (5, Activation(3, 0, 3, 9, SECOND.config_hash(), 600, SECOND.to_plain())),
        (7, Renewed(2, 0, 2, 10, 700, "m", None)),
        (8, Noticed(3, 0, 3, 11, 700, Notice("acknowledgement", by="ann", alert_id="a"))),
        (6, Accepted(1, 0, 1, "predictions", 7, 9, SECOND.config_hash())),
    ]
    replayed, pipeline = ReplayedJournal(entries), Pipeline(configured, 1)
    replayed.rules.begin(pipeline)
    replayed.rules.activate(pipeline)
    replayed.skip("predictions", 0, 8)  # of a replay that begins behind it
    for _ in replayed.before(pipeline, "predictions", records([8])):
        pass
    assert pipeline.models[0].has_activated(10), "a new reference is accepted under any rules"
    assert pipeline.alert_stage.has_activated(11), "what people said was said"
    assert bool(replayed.rules.remarks()) == (configured == THIRD)
    return pipeline


FIRST, SECOND, THIRD = (Rules(minimum_values=n, models={"m": ModelRule()}) for n in (1, 2, 3))


@pytest.mark.parametrize("configured", [FIRST, SECOND])
def test_a_replay_changes_its_configuration_where_the_live_run_did(configured: Rules) -> None:
    pipeline = configs(configured)
    assert pipeline.rules == FIRST
    of_models, of_alerts = pipeline.models[0]._schedule, pipeline.alert_stage._state.schedule
    for schedule, at_ms in ((of_models, 500), (of_alerts, 600)):
        assert [schedule.at(ms) for ms in (at_ms - 1, at_ms)] == [FIRST, SECOND]
    assert pipeline.sources[0].has_accepted("predictions", 9)


def test_another_configuration_than_those_of_the_live_run_is_tried_and_not_changed() -> None:
    pipeline = configs(THIRD)
    assert pipeline.rules == THIRD
    assert pipeline.models[0]._schedule.at(10**9) == THIRD
    assert not pipeline.sources[0].has_accepted("predictions", 9)
