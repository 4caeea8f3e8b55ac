"""Pairs of a champion's and a shadow's predictions: the same ones whatever the batches, the
partitions, the interleaving, and the moment at which a maturity is learned."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream import pairs
from stream.model_stage import ModelStage
from stream.pipeline import Pipeline
from stream.rules import Rules
from stream.snapshot import packed
from stream.source_stage import SourceStage
from tests.streams import SMALL, Event, dealt, feed, outcome, prediction, records

PANE, GRACE = SMALL.pane_ms, SMALL.grace_ms
LABELS = ("yes", "no")


def drawn(random: Random, count: int) -> tuple[list[Event], list[Event]]:
    """Champions and shadows of one id up to five panes apart, and outcomes of most."""
    predictions, outcomes = [], []
    for n in range(count):
        at_ms = 10_000 + 137 * n
        for role, version in (("champion", "1"), ("shadow", "2"), ("shadow", "3")):
            if role == "champion" or random.random() < 0.7:
                lag_ms = 0 if role == "champion" else random.randint(-1_500, 5 * PANE)
                said = {"label": random.choice(LABELS), "score": random.random()}
                made = prediction(
                    f"p{n}", at_ms + lag_ms, role=role, model_version=version, prediction=said
                )
                predictions.append(made | {"_arrival": at_ms + lag_ms})
        if random.random() < 0.8:
            late_ms = random.randint(0, random.choice((2_000, 30_000)))
            truth = outcome(f"p{n}", at_ms + late_ms, actual={"label": random.choice(LABELS)})
            outcomes.append(truth | {"_arrival": at_ms + late_ms})
    return predictions, outcomes


def naive(predictions: list[Event], outcomes: list[Event], rules: Rules) -> list[dict[str, Any]]:
    """Counted one by one."""
    truth = {e["prediction_id"]: e for e in outcomes}
    by_id: dict[tuple[str, str], Event] = {
        (e["model_version"], e["prediction_id"]): e for e in predictions
    }
    maturity = rules.maturity
    assert isinstance(maturity, int)
    found = []
    for version in ("2", "3"):
        names = ("pairs", "judged", "both_right", "only_champion_right", "only_shadow_right")
        counts = dict.fromkeys((*names, "both_wrong"), 0)
        agree = 0
        for event in predictions:
            mine = by_id.get((version, event["prediction_id"]))
            if event["role"] != "champion" or mine is None:
                continue
            ends = [e["predicted_at"] // PANE for e in (event, mine)]
            if abs(ends[0] - ends[1]) * PANE > min(GRACE, maturity):
                continue
            counts["pairs"] += 1
            agree += event["prediction"]["label"] == mine["prediction"]["label"]
            label = truth.get(event["prediction_id"])
            ages = (
                [label["observed_at"] - e["predicted_at"] for e in (event, mine)] if label else []
            )
            if label is None or not all(-GRACE <= age < maturity for age in ages):
                continue
            right = [e["prediction"]["label"] == label["actual"]["label"] for e in (event, mine)]
            counts["judged"] += 1
            name = {(True, True): "both_right", (False, False): "both_wrong"}.get(
                (right[0], right[1]), "only_champion_right" if right[0] else "only_shadow_right"
            )
            counts[name] += 1
        found.append({"version": version, "agree": round(agree / counts["pairs"], 5), **counts})
    return found


def run(
    predictions: list[Event], outcomes: list[Event], rules: Rules, seed: int, partitions: int = 2
) -> Pipeline:
    random = Random(seed)
    pipeline = Pipeline(rules, partitions, release_every=random.choice((1, 7, 50)))
    stream = dealt(predictions, outcomes, partitions)
    for side, batch in stream.batches(random, random.choice((1, 5, 40))):
        feed(pipeline, side, batch)
        if random.random() < 0.1:  # stored and restored
            p = batch.partition
            state = packed(pipeline.sources[p].snapshot())
            pipeline.sources[p] = SourceStage.restore(rules, p, partitions, state)
            state = packed(pipeline.models[p].snapshot())
            pipeline.models[p] = ModelStage.restore(rules, p, partitions, state)
    pipeline.end_of_input(200_000)
    return pipeline


def shown(pipeline: Pipeline) -> list[dict[str, Any]]:
    return [
        {"version": of["version"], "agree": round(of["agreement"]["estimate"], 5)}
        | {
            name: of.get(name, 0)
            for name in ("pairs", "judged", "both_right", "only_champion_right")
        }
        | {name: of.get(name, 0) for name in ("only_shadow_right", "both_wrong")}
        for of in pipeline.summary()["shadows"]
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("maturity_ms", [20_000, 1_500, 0])
def test_pairs_are_those_that_one_would_count(seed: int, maturity_ms: int) -> None:
    rules = replace(SMALL, maturity=maturity_ms)
    predictions, outcomes = drawn(Random(seed), 150)
    wanted = naive(predictions, outcomes, rules)
    assert shown(run(predictions, outcomes, rules, seed, 1 + seed % 3)) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_the_moment_of_learning_a_maturity_does_not_show(seed: int) -> None:
    rules = replace(SMALL, maturity="auto")
    predictions, outcomes = drawn(Random(99), 200)
    one, other = (run(predictions, outcomes, rules, s) for s in (0, seed + 1))
    assert one.summary()["shadows"] == other.summary()["shadows"]
    assert one.summary()["shadows"][0]["judged"]


def test_an_early_age_holds_for_whole_panes_wherever_it_ends() -> None:
    rules, (predictions, outcomes) = replace(SMALL, maturity="auto"), drawn(Random(7), 150)
    told = []
    for until_ms in (20 * PANE, 20 * PANE + 1, 21 * PANE - 1, 21 * PANE):
        source = SourceStage(rules, 0, 1)
        for side, of in (("predictions", predictions), ("outcomes", outcomes)):
            made = sorted(of, key=lambda event: event["_arrival"])
            public = [{k: v for k, v in event.items() if k != "_arrival"} for event in made]
            getattr(source, side)(records(public, side))
        effects = source.learn("m", 3_000, until_ms) + source.learn("m", 5_000)
        told.append(effects + source.end_of_input(100_000))
    assert told[0] == told[1] == told[2] != told[3]


def succeeding(count: int, each: int) -> list[Event]:
    """A champion, and a shadow of another version for so many predictions each; none at last."""
    made = []
    for n in range(count * each):
        at_ms, version = 10_000 + 137 * n, 2 + n // each
        for role, of in (("champion", "1"), ("shadow", str(version))):
            if role == "champion" or version < count:
                made.append(
                    prediction(f"p{n}", at_ms, role=role, model_version=of) | {"_arrival": at_ms}
                )
    return made


@pytest.mark.parametrize("forget_at_least", [1, 64])
def test_shadows_that_ended_are_forgotten_and_no_champion_is_carried_for_them(
    forget_at_least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "_FORGET_AT_LEAST", forget_at_least)
    count, each = 12, 100
    rules = replace(SMALL, maturity=2_000)
    pipeline = Pipeline(rules, 1)
    made = succeeding(count, each)
    ends = [
        outcome(one["prediction_id"], one["predicted_at"]) | {"_arrival": one["_arrival"]}
        for one in made
        if one["role"] == "champion"
    ]
    for side, batch in dealt(made, ends, 1).batches(Random(1), 20):
        feed(pipeline, side, batch)
        carried = pipeline.sources[0]._join._pairs
        assert len(carried._groups) <= (5 if forget_at_least == 1 else count)
        state = packed(pipeline.sources[0].snapshot())
        pipeline.sources[0] = SourceStage.restore(rules, 0, 1, state)
    assert not pipeline.sources[0]._join._pairs.is_carrying
    pipeline.end_of_input(None)
    found = {of["version"]: of["pairs"] for of in shown(pipeline)}
    assert found == {str(version): each for version in range(2, count)}
