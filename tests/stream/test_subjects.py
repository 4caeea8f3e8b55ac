"""Subjects from the events to the experiment: whatever the batches, partitions and restarts."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.model_stage import ModelStage
from stream.pipeline import Pipeline
from stream.rules import ExperimentRule, ModelRule, Rules
from stream.snapshot import packed
from stream.source_stage import SourceStage
from tests.streams import SMALL, Event, dealt, feed, outcome, prediction

EXPERIMENT = ExperimentRule("x", ("a", "b"), (0.5, 0.5), span_ms=10**9)
ROLES = ("a", "b", "champion")


def rules(subject: str | None) -> Rules:
    rule = ModelRule(subject=subject, experiments=(EXPERIMENT,))
    return replace(SMALL, pane_rows=256, models={"m": rule})


def drawn(random: Random, count: int) -> tuple[list[Event], list[Event]]:
    """Each customer has a role; some predictions name none."""
    predictions, outcomes = [], []
    for n in range(count):
        at_ms, customer = 10_000 + 100 * n, random.randrange(200)
        features: dict[str, Any] = {"x": random.random()}
        if random.random() < 0.95:
            features["customer"] = f"c{customer}" if customer % 2 else customer
        made = prediction(
            f"p{n}",
            at_ms,
            role=ROLES[customer % 3],
            model_version=random.choice("12"),
            features=features,
            prediction={"label": "yes"},
        )
        predictions.append(made | {"_arrival": at_ms})
        truth = outcome(f"p{n}", at_ms + 500, actual={"label": random.choice(("yes", "no"))})
        outcomes.append(truth | {"_arrival": at_ms + 500})
    return predictions, outcomes


def stands(events: tuple[list[Event], list[Event]], of: Rules, seed: int, parts: int) -> Any:
    random, pipeline = Random(seed), Pipeline(of, parts, release_every=7)
    stream = dealt(*events, parts)
    for side, batch in stream.batches(random, random.choice((1, 30))):
        feed(pipeline, side, batch)
        if random.random() < 0.05:  # stored and restored
            p = batch.partition
            state = packed(pipeline.sources[p].snapshot())
            pipeline.sources[p] = SourceStage.restore(of, p, parts, state)
            state = packed(pipeline.models[p].snapshot())
            pipeline.models[p] = ModelStage.restore(of, p, parts, state)
    pipeline.end_of_input(500_000)
    return pipeline.summary()["experiments"]


@pytest.mark.parametrize("subject", ["customer", None])
def test_subjects_are_counted_alike_whatever_the_batches_and_partitions(
    subject: str | None,
) -> None:
    events = drawn(Random(7), 900)
    wanted = stands(events, rules(subject), 0, 1)
    arms = wanted[0]["arms"]
    customers = {
        (event["role"], event["features"]["customer"])
        for event in events[0]
        if event["role"] != "champion" and "customer" in event["features"]
    }
    if subject:
        for arm in arms:  # the first and the last pane do not count
            of_role = sum(role == arm["variant"] for role, _ in customers)
            assert of_role - 8 <= arm["subjects"] <= of_role
    else:
        assert sum(arm["subjects"] for arm in arms) > 550
    for seed in (1, 2):
        assert stands(events, rules(subject), seed, 1 + seed) == wanted
