"""A new owner goes on from an older checkpoint, under a new epoch: nothing changes downstream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol, TypeVar

import pytest

from stream.alert_stage import AlertStage
from stream.events import Effect, Records, ToAlerts, ToFindings, ToPanes
from stream.model_stage import ModelStage
from stream.rules import Rules
from stream.snapshot import Part, packed
from stream.source_stage import SourceStage
from tests.streams import SMALL, Side, Stream, dealt, draw_events, run

SEEDS = range(3)
Input = TypeVar("Input")


class Stage(Protocol):
    epoch: int

    def snapshot(self) -> list[Part]: ...
    def announce(self) -> list[Effect]: ...


AnyStage = TypeVar("AnyStage", bound=Stage)


class Crashes(Random):
    """When an owner dies, and how often that was."""

    takeovers = 0


def worked_off(
    stage: AnyStage,
    inputs: Sequence[Input],
    handle: Callable[[AnyStage, Input], list[Effect]],
    restore: Callable[[Mapping[str, bytes]], AnyStage],
    crashes: Crashes | None,
) -> list[Effect]:
    """Effects of a stage whose owner now and then dies, its successor going on from a snapshot
    that is a few inputs old; what was sent between the two is sent twice."""
    effects: list[Effect] = []
    at, saved_at, saved = 0, 0, packed(stage.snapshot())
    while at < len(inputs):
        effects += handle(stage, inputs[at])
        at += 1
        if crashes is None:
            continue
        if crashes.random() < 0.15:
            saved_at, saved = at, packed(stage.snapshot())
        if crashes.random() < 0.03:
            epoch = stage.epoch
            stage, at = restore(saved), saved_at
            stage.epoch = epoch + 1
            effects += stage.announce()
            crashes.takeovers += 1
    return effects


def stage_1(rules: Rules, stream: Stream, crashes: Crashes | None) -> list[list[bytes]]:
    """The panes topic: source partitions one after the other, which is an interleaving too."""
    inputs: list[list[tuple[Side, Records]]] = [[], []]
    for side, batch in stream.batches(Random(1), 15):
        inputs[batch.partition].append((side, batch))
    topics: list[list[bytes]] = [[], []]
    sources = [SourceStage(rules, p, 2) for p in range(2)]

    def handle(stage: SourceStage, given: tuple[Side, Records]) -> list[Effect]:
        side, batch = given
        return stage.predictions(batch) if side == "predictions" else stage.outcomes(batch)

    def finish(p: int) -> list[Effect]:
        def restore(state: Mapping[str, bytes]) -> SourceStage:
            sources[p] = SourceStage.restore(rules, p, 2, state)
            return sources[p]

        return worked_off(sources[p], inputs[p], handle, restore, crashes)

    effects = [*finish(0), *finish(1)]
    reached = max(
        s.watermark_ms(side) or 0 for s in sources for side in ("predictions", "outcomes")
    )
    for source in sources:
        effects += source.end_of_input(reached)
    for effect in effects:
        if isinstance(effect, ToPanes):
            topics[effect.partition].append(effect.value)
    return topics


def stage_2(rules: Rules, topics: list[list[bytes]], crashes: Crashes | None) -> list[bytes]:
    found: list[bytes] = []
    for q in range(2):
        effects = worked_off(
            ModelStage(rules, q, 2),
            topics[q],
            lambda stage, value: stage.handle(value),
            lambda state, q=q: ModelStage.restore(rules, q, 2, state),  # type: ignore[misc]
            crashes,
        )
        found += [effect.value for effect in effects if isinstance(effect, ToFindings)]
    return found


def stage_3(rules: Rules, written: list[bytes], crashes: Crashes | None) -> list[bytes]:
    effects = worked_off(
        AlertStage(rules, 2),
        written,
        lambda stage, value: stage.handle(value),
        lambda state: AlertStage.restore(rules, 2, state),
        crashes,
    )
    return [effect.value for effect in effects if isinstance(effect, ToAlerts)]


def mix(seed: int) -> Stream:
    predictions, outcomes = draw_events(Random(seed), 350)
    return dealt(predictions, outcomes, 2)


def told(stream: Stream, *crashes: Crashes | None) -> list[bytes]:
    topics = stage_1(SMALL, stream, crashes[0])
    return stage_3(SMALL, stage_2(SMALL, topics, crashes[1]), crashes[2])


@pytest.mark.parametrize("seed", SEEDS)
def test_stage_by_stage_the_alerts_are_those_of_the_pipeline(seed: int) -> None:
    stream = mix(seed)
    expected = sorted(alert.value for alert in run(SMALL, stream).alerts)
    assert expected
    assert sorted(told(stream, None, None, None)) == expected


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dying", [0, 1])
def test_takeovers_of_stage_1_or_2_change_no_alert_and_repeat_none(seed: int, dying: int) -> None:
    stream = mix(seed)
    expected = told(stream, None, None, None)
    crashes: list[Any] = [None, None, None]
    crashes[dying] = dead = Crashes(seed)
    assert sorted(told(stream, *crashes)) == sorted(expected)
    assert dead.takeovers > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_takeovers_of_all_stages_repeat_alerts_at_most_and_tell_no_others(seed: int) -> None:
    stream = mix(seed)
    expected = told(stream, None, None, None)
    dead = Crashes(seed)
    found = told(stream, dead, dead, dead)
    assert set(found) == set(expected)
    assert dead.takeovers > 5
