"""Room for so many feature names of a version, however its records and panes are batched."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import FEATURE, NULL, Group, constant_column
from stream.feature_names import Alike, FeatureNames
from stream.model_stage import ModelStage
from stream.panes import PaneTable
from stream.pipeline import Pipeline
from stream.rules import AdwinRule, Rules
from stream.snapshot import packed
from stream.source_stage import SourceStage
from tests.streams import SMALL, Event, Stream, dealt, draw_events, feed

ROOM = 8
WIDE = replace(SMALL, adwin=AdwinRule(delta=1.9, clock=4))
NARROW = replace(WIDE, max_features=ROOM)
GROUP: Group = ("m", "1", "champion", "")

Record = tuple[int, list[str]]
"""Event time, names of its features."""
_records = st.lists(
    st.tuples(
        st.integers(0, 1_000),
        st.sampled_from([0, 0, 0, 0, 9_000]),
        st.lists(st.sampled_from("abcdefghijklmno"), unique=True),
    ),
    min_size=1,
    max_size=30,
)


def naive(records: list[list[str]], before: Any, after: Any) -> tuple[list[list[str]], int]:
    """Names kept of each record, and how many were not."""
    kept: list[list[str]] = []
    taken: list[str] = []
    refused = 0
    for row, names in enumerate(records):
        if row and before[row] - after[row - 1] > NARROW.pane_ms + NARROW.grace_ms:
            taken = []
        for name in sorted(names):
            if name not in taken and len(taken) < ROOM:
                taken.append(name)
        kept.append([name for name in sorted(names) if name in taken])
        refused += len(names) - len(kept[-1])
    return kept, refused


def parts_of(records: list[Record], first: int) -> list[Alike]:
    """As stage 1 has them: rows with the same columns together; numbers from `first` on."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for row, (_, names) in enumerate(records):
        alike.setdefault(tuple(sorted(names)), []).append(row + first)
    return [
        (np.array(rows), {FEATURE + n: constant_column(NULL, len(rows)) for n in names})
        for names, rows in alike.items()
    ]


def took(names: FeatureNames, records: list[Record], before: Any, after: Any) -> list[list[str]]:
    """What is kept of each record of one batch."""
    kept: dict[int, list[str]] = {}
    for rows, columns in names.take(GROUP, parts_of(records, 0), before, after):
        for name in columns:
            assert len(columns[name].kind) == len(rows)
        kept |= {row: [name.removeprefix(FEATURE) for name in columns] for row in rows.tolist()}
    return [kept[row] for row in sorted(kept)]


@given(_records, st.lists(st.integers(1, 30)), st.lists(st.booleans()))
def test_what_is_taken_is_of_the_records_alone_and_not_of_their_batches(
    records: list[Record], sizes: list[int], restarts: list[bool]
) -> None:
    times = np.array([time_ms for time_ms, _, _ in records])
    told = np.array([told_ms for _, told_ms, _ in records])  # to the watermark, before each
    after = np.maximum.accumulate(times + np.cumsum(told))
    before = np.concatenate([[0], after[:-1]]) + told
    after = np.maximum(after, before)
    names = FeatureNames(NARROW)
    kept: list[list[str]] = []
    at = 0
    for size, is_restarted in zip([*sizes, *[7] * 30], [*restarts, *[False] * 60], strict=False):
        batch = slice(at, at + size)
        if at < len(records):
            of = [(time_ms, named) for time_ms, _, named in records[batch]]
            kept += took(names, of, before[batch], after[batch])
            names.purge(int(after[batch][-1]))
        at += size
        if is_restarted:
            state = packed(names.parts())
            again = FeatureNames(NARROW)
            again.restore(names.snapshot(), state)
            assert packed(again.parts()) == state
            names = again
    assert (kept, names.refused) == naive([of for _, _, of in records], before, after)


def flood(seed: int, size: int = 400) -> Stream:
    """From a third on each prediction has new names beside those that are there."""
    predictions, outcomes = draw_events(Random(seed), size)
    for number, event in enumerate(predictions):
        if number > size // 3:
            new: Event = {f"new{number}-{k}": k for k in range(3)}
            event["features"] = {**event["features"], **new}
    return dealt(predictions, outcomes, 2)


class Seen:
    def __init__(self) -> None:
        self.widest = 0

    def __call__(self, kind: str, group: Group, table: PaneTable) -> None:
        here = [n for n, f in table.features.items() if n.startswith(FEATURE) and f.present.any()]
        self.widest = max(self.widest, len(here))


def said(rules: Any, stream: Stream, *, restarts: Random | None = None, **options: Any) -> Any:
    seen = Seen()
    pipeline = Pipeline(rules, 2, observe=seen, **options)
    for side, batch in stream.batches(restarts or Random(1), 20):
        feed(pipeline, side, batch)
        if restarts is not None and restarts.random() < 0.1:
            for q, stage in enumerate(pipeline.models):
                state = packed(stage.snapshot())
                pipeline.models[q] = ModelStage.restore(rules, q, 2, state, observe=seen)
            for p, source in enumerate(pipeline.sources):
                state = packed(source.snapshot())
                pipeline.sources[p] = SourceStage.restore(rules, p, 2, state)
                assert packed(pipeline.sources[p].snapshot()) == state
    pipeline.end_of_input(None)
    return (
        [alert.value for alert in pipeline.sorted_alerts()],
        sorted((sealed.key, sealed.value) for sealed in pipeline.references),
        [source.refused_features() for source in pipeline.sources],
        [stage.refused_features() for stage in pipeline.models],
    ), (pipeline, seen)


@pytest.mark.parametrize("seed", range(3))
def test_a_flood_of_names_is_refused_alike_in_all_batches_releases_and_restarts(seed: int) -> None:
    stream = flood(seed)
    expected, (pipeline, seen) = said(NARROW, stream)
    assert expected[0]
    assert sum(expected[2]) > 0
    assert sum(expected[3]) > 0
    for release_every in (40, 10**6):
        assert said(NARROW, stream, release_every=release_every)[0] == expected
    for restarts in range(2):
        assert said(NARROW, stream, restarts=Random(restarts))[0] == expected
    assert seen.widest <= 2 * 2 * ROOM, "of each partition, and of two sessions in a batch of panes"
    for stage in pipeline.models:
        for model in stage._models.values():
            for monitor in model.monitors.seen():
                names = [name for name in monitor._types if name.startswith(FEATURE)]
                assert len(names) <= ROOM
                if monitor.kind == "prediction" and monitor.group[1] == "1":
                    assert {"feature:x", "feature:year", "feature:country"} <= {*names}
                for reference in monitor.references:
                    of = [n for n in reference.table.features if n.startswith(FEATURE)]
                    assert len(of) <= ROOM


def test_without_too_many_names_nothing_is_refused_and_nothing_else_is_said() -> None:
    predictions, outcomes = draw_events(Random(3), 300)
    stream = dealt(predictions, outcomes, 2)
    (narrow, *others), (wide, *others_too) = said(NARROW, stream)[0], said(WIDE, stream)[0]
    assert narrow
    assert [signed(v, WIDE) for v in narrow] == wide
    assert others == others_too
    assert others[1:] == [[0, 0], [0, 0]]


def signed(alert: bytes, rules: Rules) -> bytes:
    """As under rules that differ in the limit only: the hash of a configuration covers it."""
    return alert.replace(NARROW.config_hash().encode(), rules.config_hash().encode())
