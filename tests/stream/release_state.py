"""Checkpoints as a release wrote them, and the events that led there and on from there.

python -m tests.stream.release_state NAME     writes those of this tree to tests/stream/golden/NAME

A release is followed by such a folder, which never changes afterwards: the next release reads it.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

from stream.blobs import Kept
from stream.checkpoint import Layout, Point, Writing
from stream.events import Records
from stream.pipeline import Pipeline
from stream.rules import AdwinRule, ReferenceRule, Rules
from tests.streams import TOPIC, Side, dealt, draw_events, feed

FOLDER = Path(__file__).with_name("golden")
PARTITIONS = 2
SEED = 28
RULES = Rules(
    pane_ms=1_000,
    grace_ms=2_000,
    future_bound_ms=60_000,
    maturity="auto",
    horizon_ms=120_000,
    reference=ReferenceRule(predictions=60, span_ms=10_000),
    adwin=AdwinRule(enabled=True, delta=0.3, clock=4),
    minimum_values=30,
    resolve_after_panes=30,
    pane_rows=6,
    window_rows=48,
    max_categories=4,
)
INPUTS = {1: ("leeway.predictions", "leeway.outcomes"), 2: ("panes",), 3: ("findings",)}
Batch = tuple[Side, Records]


@dataclass(frozen=True)
class Golden:
    """`records` of the changelog of each stage; `batches` before and behind its checkpoints."""

    records: dict[int, dict[bytes, bytes | None]]
    before: list[Batch]
    behind: list[Batch]


def layout(stage: int) -> Layout:
    return Layout(RULES.state_hash(), PARTITIONS, INPUTS[stage], RULES.state_hash_of_0_1())


def read(name: str) -> Golden:
    records: dict[int, dict[bytes, bytes | None]] = {1: {}, 2: {}, 3: {}}
    for line in _lines(FOLDER / name / "changelog.ndjson"):
        value = base64.b85decode(cast("str", line["value"]))
        records[cast("int", line["stage"])][bytes.fromhex(cast("str", line["key"]))] = value
    before: list[Batch] = []
    behind: list[Batch] = []
    for line in _lines(FOLDER / name / "batches.ndjson"):
        (before if line["before"] else behind).append(_batch(line))
    return Golden(records, before, behind)


def _lines(file: Path) -> Iterator[dict[str, object]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _batch(line: dict[str, object]) -> Batch:
    side, partition = cast("Side", line["side"]), cast("int", line["partition"])
    offsets, times = cast("list[int]", line["offsets"]), cast("list[int | None]", line["times"])
    values: list[bytes | None] = [text.encode() for text in cast("list[str]", line["values"])]
    return side, Records(TOPIC[side], partition, offsets, times, values)


def write(name: str) -> None:
    random = Random(SEED)
    predictions, outcomes = draw_events(random, 500)
    batches = list(dealt(predictions, outcomes, PARTITIONS).batches(random, 15))
    cut = len(batches) * 4 // 5
    pipeline = Pipeline(RULES, PARTITIONS)
    for side, batch in batches[:cut]:
        feed(pipeline, side, batch)
    folder = FOLDER / name
    folder.mkdir(parents=True)
    with (folder / "changelog.ndjson").open("w", encoding="utf-8") as file:
        for stage, key, value in _changelogs(pipeline):
            text = base64.b85encode(value).decode()
            print(json.dumps({"stage": stage, "key": key.hex(), "value": text}), file=file)
    with (folder / "batches.ndjson").open("w", encoding="utf-8") as file:
        for at, (side, batch) in enumerate(batches):
            line = {
                "before": at < cut,
                "side": side,
                "partition": batch.partition,
                "offsets": batch.offsets,
                "times": batch.timestamps_ms,
                "values": [(value or b"").decode() for value in batch.values],
            }
            print(json.dumps(line), file=file)
    print(f"{len(pipeline.alerts)} alerts before, {len(pipeline.alert_stage.active())} firing")
    for side, batch in batches[cut:]:
        feed(pipeline, side, batch)
    pipeline.end_of_input(None)
    print(f"{len(pipeline.alerts)} in all")


def _changelogs(pipeline: Pipeline) -> Iterator[tuple[int, bytes, bytes]]:
    """What a worker would write that owns everything, after all its outputs were applied."""
    owned = [(1, p, stage) for p, stage in enumerate(pipeline.sources)]
    owned += [(2, p, stage) for p, stage in enumerate(pipeline.models)]  # type: ignore[misc]
    owned.append((3, 0, pipeline.alert_stage))  # type: ignore[arg-type]
    for stage, partition, core in owned:
        point = Point(
            stage,
            partition,
            epoch=7,
            sequence=3,
            offsets=dict.fromkeys(INPUTS[stage], 100),
            journal_position=5,
        )
        writing = Writing(point, core.snapshot(), Kept(), layout(stage))
        for key, value in [*writing.blobs(), writing.manifest()]:
            yield stage, key, value


if __name__ == "__main__":
    write(sys.argv[1])
