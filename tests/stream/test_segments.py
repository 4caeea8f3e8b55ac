"""Segments: the model as a whole is as without them, each of them as if it were a model."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.columns import Group
from stream.pipeline import Pipeline
from stream.rules import ModelRule, Rules
from stream.segments import OTHER, targets
from stream.settings import Settings
from tests.stream.test_determinism import (
    MATURITIES,
    Panes,
    assert_same,
    everything,
    observed,
    restore_some,
)
from tests.streams import SMALL, Event, dealt, draw_events, feed, prediction, run, with_maturity

SEGMENTS = (("channel",), ("channel", "region"))
CHANNELS, REGIONS = ("web", "app", "a=b,c"), ("EU", "US")


def rules_of(seed: int, *segments: tuple[str, ...]) -> Rules:
    models = {"m": ModelRule(segments=segments), "n": ModelRule()}
    return replace(with_maturity(SMALL, MATURITIES[seed % len(MATURITIES)]), models=models)


def events(seed: int, *, tidy: bool = False) -> tuple[list[Event], list[Event]]:
    random = Random(seed)
    predictions, outcomes = draw_events(random, 350, tidy=tidy)
    by_id = {
        event["prediction_id"]: {
            name: random.choice(values)
            for name, values in (("channel", CHANNELS), ("region", REGIONS))
            if random.random() < 0.9
        }
        for event in predictions
    }
    return [{**e, "segment": by_id[e["prediction_id"]]} for e in predictions], outcomes


def of_whole(panes: dict[Any, Any]) -> dict[Any, Any]:
    return {place: summary for place, summary in panes.items() if not place[1][3]}


@pytest.mark.parametrize("seed", range(4))
def test_the_panes_of_the_whole_model_are_those_that_it_has_without_segments(seed: int) -> None:
    stream = dealt(*events(seed), 2)
    with_them = observed(rules_of(seed, *SEGMENTS), stream, Random(seed), 40)
    without = observed(rules_of(seed), stream, Random(seed), 40)
    assert of_whole(with_them["panes"]) == without["panes"]
    assert with_them["ledger"] == without["ledger"]
    assert {place[1] for place in with_them["panes"] if place[1][0] == "n"} == {
        place[1] for place in without["panes"] if place[1][0] == "n"
    }


@pytest.mark.parametrize("seed", range(4))
def test_a_segment_has_the_panes_that_its_predictions_alone_would_have(seed: int) -> None:
    predictions, outcomes = events(seed, tidy=True)
    rules = rules_of(seed, *SEGMENTS)
    if rules.maturity == "auto":  # it is the model's, of all its predictions
        rules = with_maturity(rules, 20_000)
    panes = observed(rules, dealt(predictions, outcomes, 1), Random(seed), 40)["panes"]
    mine = [e for e in predictions if e["segment"].get("channel") == "web"]
    pure = replace(rules, models={})
    alone = observed(pure, dealt(mine, outcomes, 1), Random(seed), 40)["panes"]
    found = {(k, g[:3], end): s for (k, g, end), s in panes.items() if g[3] == "channel=web"}
    expected = {(k, g[:3], end): s for (k, g, end), s in alone.items() if g[0] == "m"}
    kinds = {"prediction"}  # cohorts of a part end with the watermark of that part
    assert {p: s for p, s in found.items() if p[0] in kinds} == {
        p: s for p, s in expected.items() if p[0] in kinds
    }


@pytest.mark.parametrize("seed", range(4))
def test_batches_releases_and_restored_state_do_not_show(seed: int) -> None:
    rules, stream = rules_of(seed, *SEGMENTS), dealt(*events(seed), 2)
    expected = everything(run(rules, stream, Random(seed), largest=40))
    for release_every in (1, 10_000):
        pipeline = run(rules, stream, Random(seed + 1), largest=90, release_every=release_every)
        assert_same(everything(pipeline), expected)
    random, pipeline = Random(seed + 100), Pipeline(rules, 2)
    for side, batch in stream.batches(Random(seed), 40):
        feed(pipeline, side, batch)
        if random.random() < 0.4:
            restore_some(pipeline, rules, random)
    pipeline.end_of_input(None)
    assert_same(everything(pipeline), expected)


@pytest.mark.parametrize("seed", range(2))
def test_the_number_of_partitions_does_not_show(seed: int) -> None:
    rules = rules_of(seed, *SEGMENTS)
    found = [
        everything(run(rules, dealt(*events(seed, tidy=True), partitions), Random(1)))["alerts"]
        for partitions in (1, 2, 4)
    ]
    assert found[0]
    assert found[0] == found[1] == found[2]


def test_the_values_behind_the_first_so_many_are_one_segment() -> None:
    rules = replace(rules_of(3, ("channel",)), max_segments=2)
    made = [
        prediction(f"p{i}", 1_000 * i, segment={"channel": f"c{i}"}, _arrival=i) for i in range(9)
    ]
    panes = Panes()
    run(rules, dealt(made, [], 1), observe=panes)
    assert {group[3] for _, group, _ in panes.seen} == {
        *("", "channel=c0", "channel=c1", f"channel={OTHER}"),
    }


def test_what_a_prediction_belongs_to_is_said_in_a_way_that_is_not_ambiguous() -> None:
    group: Group = ("m", "1", "champion", '["a=b,c","EU"]')
    assert [one[3] for one in targets(group, SEGMENTS, is_compared=False)] == [
        *("", "channel=a%3Db%2Cc", "channel=a%3Db%2Cc,region=EU"),
    ]
    assert targets(group, SEGMENTS, is_compared=True) == [("m", "1", "champion", "")]
    whole: Group = ("m", "1", "champion", "")
    assert targets(whole, (), is_compared=False) == [whole]


def test_the_whole_and_all_segments_share_one_budget() -> None:
    rules = replace(rules_of(3, *SEGMENTS), max_segments=4)
    whole, segment = (rules.of_group("m", is_segment=s).budget_of("m") for s in (False, True))
    own, most = rules.budget_of("m"), 6 + 36
    for name in ("predictions", "span_ms"):
        parts = [getattr(own, name) / getattr(one, name) for one in (whole, segment)]
        assert parts[0] + most * parts[1] == pytest.approx(1.0, rel=0.01)
    assert rules.of_group("m", is_segment=True).config_hash() == rules.config_hash()
    assert rules.of_group("n", is_segment=False) is rules


def test_segments_are_names_or_pairs_of_names() -> None:
    model = {
        "owners": {"accountable": "a"},
        "runbook_url": "https://example.com",
        "segments": ["channel", ["region", "channel"]],
    }
    rules = Settings.model_validate({"models": {"m": model}}).rules()
    assert rules.segments_of("m") == (("channel",), ("channel", "region"))
    assert rules.segments_of("n") == ()
    for wrong in ("", ["a", "b", "c"], ["a", "a"], 7):
        with pytest.raises(ValueError, match="segment"):
            Settings.model_validate({"models": {"m": {**model, "segments": [wrong]}}})
    assert rules.of_state("m") != replace(rules, models={}).of_state("m")
