"""Identities: which are told apart, and how long they are remembered."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from stream import sorted_runs
from stream.identity import IdMemory, hash_ids
from stream.pipeline import Pipeline
from stream.snapshot import packed
from tests.streams import SMALL, outcome, prediction, records

Ledger = dict[str, dict[str, int]]


def total(pipeline: Pipeline) -> Ledger:
    ledger: Ledger = pipeline.ledger()["total"]
    return ledger


@pytest.mark.parametrize("seed", range(10))
def test_memory_agrees_with_a_dictionary_whatever_the_batches_and_purges(seed: int) -> None:
    random = Random(seed)
    memory, until = IdMemory(), dict[str, int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_runs, "_SMALL_ROWS", 1)
        at = 0
        for _ in range(60):
            ids, before, expires, expected = [], [], [], []
            for _ in range(random.randint(1, 8)):
                at += random.randint(0, 3)
                name = f"id{random.randint(0, 12)}"
                expected.append(until.get(name, -1) < at)
                ids.append(name)
                before.append(at)
                expires.append(at + random.randint(0, 25))
                if expected[-1]:
                    until[name] = expires[-1]
            found = memory.apply(hash_ids(ids), np.array(before), np.array(expires))
            assert found.tolist() == expected
            if random.random() < 0.3:
                memory.purge(at)
            if random.random() < 0.2:
                plain, state = memory.snapshot(), packed(memory.parts())
                memory = IdMemory()
                memory.restore(plain, state)


def test_the_same_id_of_another_model_version_or_role_is_another_prediction() -> None:
    event = prediction("p", 1_000)
    others = [{}, {"model_id": "n"}, {"model_version": "2"}, {"role": "shadow"}]
    pipeline = Pipeline(SMALL, 1)
    pipeline.predictions(records([event | other for other in others] * 2))
    ledger = total(pipeline)["predictions"]
    assert (ledger["applied"], ledger["duplicate"]) == (4, 4)


def test_version_and_role_are_told_apart_where_they_meet() -> None:
    pipeline = Pipeline(SMALL, 1)
    pairs = [("1", "1shadow"), ("11", "shadow"), ("1:1", "x"), ("1", ":1x")]
    events = [prediction("p", 0, model_version=v, role=r) for v, r in pairs]
    pipeline.predictions(records(events))
    assert total(pipeline)["predictions"]["applied"] == 4


def test_an_id_and_a_model_that_change_places_are_not_confused() -> None:
    pipeline = Pipeline(SMALL, 1)
    events = [prediction("2", 0, model_id="1"), prediction("1", 0, model_id="2")]
    events += [prediction("7", 0, model_id="7"), prediction("8", 0, model_id="8")]
    pipeline.predictions(records(events))
    assert total(pipeline)["predictions"]["applied"] == 4
    pipeline.outcomes(records([outcome("2", 1_000, model_id="1")], "outcomes"))
    pipeline.end_of_input(60_000)
    ledger = total(pipeline)
    assert ledger["predictions"]["matured_labelled"] == 1
    assert ledger["outcomes"]["joined"] == 1


@pytest.mark.parametrize(("beyond_ms", "applied"), [(0, 1), (1, 2)])
@pytest.mark.parametrize(
    ("maturity", "memory_ms"), [(20_000, 20_000), ("auto", 120_000), (None, 3_000), (1_000, 3_000)]
)
def test_a_prediction_id_is_remembered_for_its_memory_and_no_longer(
    maturity: int | str | None, memory_ms: int, beyond_ms: int, applied: int
) -> None:
    rules = replace(SMALL, maturity=maturity)  # type: ignore[arg-type]
    mark = 10_000 + memory_ms + beyond_ms
    events = [prediction("p", 10_000), prediction("mark", mark), prediction("p", mark)]
    for cut in (0, 1, 2):
        pipeline = Pipeline(rules, 1)
        pipeline.predictions(records(events[:cut]))
        pipeline.predictions(records(events[cut:], first_offset=cut))
        ledger = total(pipeline)["predictions"]
        assert (ledger["applied"], ledger["duplicate"]) == (applied + 1, 2 - applied)


@pytest.mark.parametrize(("beyond_ms", "applied"), [(0, 1), (1, 2)])
def test_a_revision_is_remembered_for_horizon_and_settled_time(
    beyond_ms: int, applied: int
) -> None:
    memory_ms = SMALL.horizon_ms + SMALL.settled_ms
    mark = 10_000 + memory_ms + beyond_ms
    events = [outcome("p", 10_000), outcome("mark", mark), outcome("p", mark)]
    pipeline = Pipeline(SMALL, 1)
    pipeline.outcomes(records(events, "outcomes"))
    ledger = total(pipeline)["outcomes"]
    assert (ledger["applied"], ledger["duplicate"]) == (applied + 1, 2 - applied)
