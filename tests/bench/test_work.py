"""What is done for a batch, a pane, a feature, counted: calls and records, never seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from stream import native
from stream.columns import Rows, number_column
from stream.events import Effect, Records, ToPanes
from stream.grouped_rows import Piece
from stream.raw_records import RawMemoryRecords, records_of
from stream.rules import Rules
from stream.source_stage import SourceStage
from stream.waiting_panes import Taken, merged
from tests.bench.workload import BEGIN_MS, RULES, Workload, batches, generate


def calls(work: Callable[[], object]) -> int:
    """Calls of Python and C functions from Python code while it works."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


def fed(records: int) -> tuple[SourceStage, list[Records]]:
    """A stage that has read one batch of predictions, and the batches that follow."""
    topics = generate(Workload(predictions=3 * records, per_second=20_000))
    found = [batch for side, batch in batches(topics, 1, records) if side == "predictions"]
    stage = SourceStage(RULES, 0, 4)
    stage.predictions(found[0])
    return stage, found[1:]


def test_a_batch_takes_few_calls_for_each_of_its_records() -> None:
    small, large = 500, 4_000
    took = {}
    for records in (small, large):
        stage, following = fed(records)
        took[records] = calls(lambda s=stage, f=following: s.predictions(f[0]))
    assert (took[large] - took[small]) / (large - small) < 8


def test_a_batch_that_closes_no_pane_writes_one_announcement_to_each_listener() -> None:
    stage, following = fed(500)
    effects: list[Effect] = stage.predictions(following[0])
    assert [type(effect) for effect in effects] == [ToPanes] * 4


def test_what_stage_1_writes_of_a_pane_does_not_grow_with_its_predictions() -> None:
    sizes = {}
    for rate in (2_000, 8_000):
        topics = generate(Workload(predictions=4 * rate, per_second=rate // 10))
        stage = SourceStage(RULES, 0, 1)
        effects = [
            effect
            for side, batch in batches(topics, 1)
            for effect in (stage.predictions if side == "predictions" else stage.outcomes)(batch)
        ]
        effects += stage.end_of_input(BEGIN_MS + 40_000)
        sizes[rate] = sum(len(e.value) for e in effects if isinstance(e, ToPanes))
    assert sizes[8_000] < 1.5 * sizes[2_000]


def taken(groups: int, features: int) -> list[Taken]:
    """A pane of 20 rows of each group, from two source partitions."""
    random = np.random.default_rng(3)

    def rows() -> Rows:
        columns = {
            f"feature:f{j:04d}": number_column(random.normal(size=10)) for j in range(features)
        }
        return Rows(
            np.full(10, 10_000), random.integers(0, 2**63, 10).astype(np.uint64), columns, {}
        )

    return [Taken([Piece.of(rows()), Piece.of(rows())], []) for _ in range(groups)]


def test_merging_takes_few_calls_for_each_feature_and_each_group() -> None:
    def cost(groups: int, features: int) -> int:
        due = taken(groups, features)
        return calls(lambda: merged(due, Rules()))

    base = cost(1, 10)
    assert (cost(1, 210) - base) / 200 < 40
    assert (cost(101, 10) - base) / 100 < 400


def test_a_batch_takes_few_calls_for_each_of_its_groups_and_none_for_their_features() -> None:
    """Rows of many groups stay together until their panes close."""

    def cost(models: int, features: int) -> int:
        topics = generate(
            Workload(predictions=1_200, models=models, features=features, per_second=20_000)
        )
        of_side = [batch for side, batch in batches(topics, 1, 600) if side == "predictions"]
        stage = SourceStage(RULES, 0, 4)
        stage.predictions(of_side[0])
        return calls(lambda: stage.predictions(of_side[1]))

    assert (cost(210, 5) - cost(10, 5)) / 200 < 40
    wider = cost(210, 25) - cost(210, 5) - (cost(10, 25) - cost(10, 5))
    assert wider / (200 * 20) < 0.1  # of the few groups that begin with this batch


def test_records_of_a_fetched_batch_take_no_calls_of_their_own() -> None:
    def cost(records: int) -> int:
        builder = DefaultRecordBatchBuilder(
            magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1,
            base_sequence=-1, batch_size=1 << 20,
        )  # fmt: skip
        for offset in range(records):
            builder.append(offset, timestamp=1_000, key=b"k", value=b"v" * 100, headers=[])
        fetched = RawMemoryRecords(bytes(builder.build()))
        batch = fetched.next_batch()
        return calls(lambda: records_of(batch, fetched.data, 0))

    if native.IS_BUILT:
        assert cost(2_000) == cost(20)
