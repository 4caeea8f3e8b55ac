"""Stage 2: waits for all, merges once, in order, and believes the present owner only."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from stream.columns import Group
from stream.events import Effect, ToFindings, ToJournal, ToPanes
from stream.model_stage import ModelStage
from stream.numbering import Speaker, content
from stream.panes import PaneTable
from stream.snapshot import packed
from stream.source_stage import SourceStage
from stream.wire import (
    Announcement,
    MaturityDecision,
    Progress,
    decode_finding,
    decode_journal,
    encode_pane_record,
)
from tests.streams import SMALL, outcome, prediction, records, with_maturity

GRACE, PANE = SMALL.grace_ms, SMALL.pane_ms


class Seen:
    def __init__(self) -> None:
        self.panes: list[tuple[str, str, int, int]] = []  # kind, version, pane end, rows

    def __call__(self, kind: str, group: Group, table: PaneTable) -> None:
        ends, rows = table.pane_end.tolist(), table.rows.tolist()
        self.panes += [(kind, group[1], end, n) for end, n in zip(ends, rows, strict=True)]


def values(effects: list[Effect]) -> list[bytes]:
    return [e.value for e in effects if isinstance(e, ToPanes)]


def source(partition: int, of: int, times: list[int], *, epoch: int = 0) -> list[bytes]:
    """All that a source partition sends for predictions at these times."""
    stage = SourceStage(SMALL, partition, of)
    stage.epoch = epoch
    events = [prediction(f"{partition}-{i}", t) for i, t in enumerate(times)]
    sent = values(stage.predictions(records(events, partition=partition)))[:-of]
    announcement = encode_pane_record(Announcement(partition, of, epoch, times[-1], times[-1]))
    speaker = Speaker(partition)
    speaker.epoch = epoch
    return [speaker.say(0, record) for record in [*map(content, sent), announcement]]


def test_nothing_is_merged_before_all_source_partitions_have_spoken() -> None:
    seen = Seen()
    stage = ModelStage(SMALL, 0, 2, observe=seen)
    for value in source(0, 2, [500, 50_000]):
        assert stage.handle(value) == []
    assert seen.panes == []
    assert stage.merged_until_ms() is None
    for value in source(1, 2, [700, 50_000]):
        stage.handle(value)
    assert seen.panes == [("prediction", "1", PANE, 2)]
    assert stage.merged_until_ms() == 50_000


@pytest.mark.parametrize(("reached_ms", "merged"), [(PANE + GRACE - 1, 0), (PANE + GRACE, 1)])
def test_a_pane_is_merged_once_all_have_passed_its_ready_time(reached_ms: int, merged: int) -> None:
    seen = Seen()
    stage = ModelStage(SMALL, 0, 2, observe=seen)
    for value in source(0, 2, [500, 50_000]) + source(1, 2, [700, reached_ms]):
        stage.handle(value)
    assert len(seen.panes) == merged


@pytest.mark.parametrize("seed", range(5))
def test_panes_of_a_kind_come_once_and_with_rising_ends(seed: int) -> None:
    random, seen = Random(seed), Seen()
    sources = [SourceStage(SMALL, p, 3) for p in range(3)]
    stage = ModelStage(SMALL, 0, 3, observe=seen)
    for step in range(80):
        p = random.randrange(3)
        at = 700 * step
        made = [prediction(f"{step}-{i}", at + i, model_version=str(i)) for i in range(2)]
        effects = sources[p].predictions(records(made, partition=p))
        truth = records([outcome(f"{step}-0", at + 5)], "outcomes", partition=p)
        for value in values(effects + sources[p].outcomes(truth)):
            stage.handle(value)
    places = [(kind, version) for kind, version, _, _ in seen.panes]
    assert set(places) == {(k, v) for k in ("prediction", "cohort") for v in "01"}
    for place in set(places):
        ends = [end for kind, version, end, _ in seen.panes if (kind, version) == place]
        assert ends == sorted(set(ends))


def test_blocks_of_a_replaced_owner_are_ignored_and_those_of_the_new_one_taken() -> None:
    seen = Seen()
    stage = ModelStage(SMALL, 0, 1, observe=seen)
    stage.handle(source(0, 1, [0], epoch=5)[-1])
    for value in source(0, 1, [500, 600, 50_000], epoch=4):
        assert stage.handle(value) == []
    assert seen.panes == []
    for value in source(0, 1, [500, 50_000], epoch=6):
        stage.handle(value)
    assert seen.panes == [("prediction", "1", PANE, 1)]


def progress_of(effects: list[Effect]) -> list[tuple[int, int]]:
    found = [decode_finding(content(e.value)) for e in effects if isinstance(e, ToFindings)]
    return [(r.prediction_ms, r.cohort_ms) for r in found if isinstance(r, Progress)]


def test_progress_is_the_least_of_all_sources_and_never_goes_back() -> None:
    stage = ModelStage(SMALL, 0, 2)
    speakers = [Speaker(0), Speaker(1)]

    def announce(partition: int, at_ms: int, epoch: int = 0) -> list[tuple[int, int]]:
        record = encode_pane_record(Announcement(partition, 2, epoch, at_ms, at_ms - 10))
        speakers[partition].epoch = epoch
        return progress_of(stage.handle(speakers[partition].say(0, record)))

    assert announce(0, 100) == []
    assert announce(1, 300) == [(100, 90)]
    assert announce(0, 200) == [(200, 190)]
    assert announce(0, 150, epoch=3) == []  # a new owner, behind its predecessor
    assert announce(0, 400, epoch=3) == [(300, 290)]
    assert stage.source_watermark_ms(0, "predictions") == 400
    assert stage.source_watermark_ms(1, "outcomes") == 290


def test_a_restored_stage_has_the_same_snapshot_and_merges_the_rest() -> None:
    sent = source(0, 2, [500, 1_500, 2_500, 50_000])
    others = source(1, 2, [500, 2_500, 60_000])
    whole, halved = Seen(), Seen()
    stage: Any = ModelStage(SMALL, 0, 2, observe=whole)
    for value in sent + others:
        stage.handle(value)
    stage = ModelStage(SMALL, 0, 2, observe=halved)
    for value in sent + others:
        state = packed(stage.snapshot())
        stage = ModelStage.restore(SMALL, 0, 2, state, observe=halved)
        assert packed(stage.snapshot()) == state
        stage.handle(value)
    assert halved.panes == whole.panes
    assert [rows for *_, rows in whole.panes] == [2, 1, 2]


def decided_stage() -> ModelStage:
    """One whose only model's maturity is decided."""
    rules = with_maturity(SMALL, "auto")
    source_stage, stage = SourceStage(rules, 0, 1), ModelStage(rules, 0, 1)
    made = [prediction(f"p{i}", 500 * i) for i in range(200)]
    truths = [outcome(f"p{i}", 500 * i + 3_000) for i in range(200)]
    effects = source_stage.predictions(records(made))
    effects += source_stage.outcomes(records(truths, "outcomes"))
    said = [effect for value in values(effects) for effect in stage.handle(value)]
    assert sum(isinstance(effect, ToJournal) for effect in said) == 1
    return stage


def test_a_decision_that_the_journal_lacks_is_said_again_under_the_new_epoch() -> None:
    before = decided_stage()
    stage = ModelStage.restore(before.rules, 0, 1, packed(before.snapshot()))
    stage.epoch = 7
    (again,) = stage.repeat_decisions(())
    assert isinstance(again, ToJournal)
    entry = decode_journal(again.value)
    assert isinstance(entry, MaturityDecision)
    assert (entry.stage, entry.partition, entry.epoch, entry.model_id) == (2, 0, 7, "m")
    assert entry.maturity_ms is not None
    assert entry.maturity_ms >= 3_000
    assert stage.repeat_decisions([entry]) == []
    assert ModelStage(SMALL, 0, 1).repeat_decisions(()) == []
