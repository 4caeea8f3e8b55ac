"""Panes of which nothing can be told yet are held, and worked off once something can be."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from stream.agenda import Agenda
from stream.columns import Group
from stream.model_parts import encode
from stream.model_stage import ModelStage
from stream.panes import PaneTable
from stream.pipeline import Pipeline
from stream.snapshot import packed
from tests.simulator.events import TINY
from tests.streams import (
    SMALL,
    Event,
    alert_bytes,
    dealt,
    draw_events,
    outcome,
    prediction,
    run,
    with_maturity,
)

RULES = (SMALL, replace(TINY, minimum_values=20), with_maturity(SMALL, "auto"))


def at_once(kind: str, group: Group, table: PaneTable) -> None:
    """Who looks at every pane is told of it when it is due: none is held."""


def young(pipeline: Pipeline) -> int:
    models = [model for stage in pipeline.models for model in stage._models.values()]
    return sum(panes.count for model in models for panes in model.young.values())


@pytest.mark.parametrize("seed", range(6))
def test_what_is_held_for_a_while_changes_no_byte(seed: int) -> None:
    random, rules = Random(seed), RULES[seed % len(RULES)]
    events = draw_events(random, 300, tidy=bool(seed % 2)) if seed < 3 else plain(300, random)
    stream = dealt(*events, 2)
    held, watched = run(rules, stream, end=False), run(rules, stream, end=False, observe=at_once)
    assert young(watched) == 0
    for pipeline in (held, watched):
        pipeline.end_of_input(None)
    assert alert_bytes(held) == alert_bytes(watched)
    assert [r.value for r in held.references] == [r.value for r in watched.references]
    assert held.journal == watched.journal
    assert held.summary() == watched.summary()  # who asks for labels has all panes worked off
    assert young(held) == 0
    assert monitors(held) == monitors(watched)


def plain(size: int, random: Random) -> tuple[list[Event], list[Event]]:
    """Of three models, of one version each."""
    predictions, outcomes = [], []
    for i in range(size):
        at_ms, model = 700 * i, f"m{i % 3}"
        shift = 5.0 if i > 2 * size // 3 else 0.0
        made = prediction(f"p{i}", at_ms, model_id=model, features={"x": random.gauss(shift, 1.0)})
        seen_ms = at_ms + random.randrange(9_000)
        label = outcome(f"p{i}", seen_ms, model_id=model)
        predictions.append(made | {"_arrival": at_ms})
        outcomes.append(label | {"_arrival": seen_ms})
    return predictions, outcomes


def monitors(pipeline: Pipeline) -> list[bytes]:
    models = [model for stage in pipeline.models for model in stage._models.values()]
    found = [monitor.snapshot().to_plain() for m in models for monitor in m.monitors.seen()]
    return [encode(plain) for plain in found]


def test_what_is_held_is_in_the_state_and_comes_back() -> None:
    rules = replace(SMALL, minimum_values=50)
    stream = dealt(*plain(60, Random(3)), 1)
    one, other = run(rules, stream, end=False), run(rules, stream, end=False)
    assert young(one) > 0
    stored = packed(other.models[0].snapshot())
    other.models[0] = ModelStage.restore(rules, 0, 1, stored)
    assert young(other) == young(one)
    assert packed(other.models[0].snapshot()) == stored
    for pipeline in (one, other):
        pipeline.end_of_input(None)
    assert packed(one.models[0].snapshot()) == packed(other.models[0].snapshot())


def test_a_release_looks_at_models_with_panes_that_are_due() -> None:
    agenda = Agenda()
    agenda.note("a", 2_000, judged=False)
    agenda.note("a", 1_000, judged=False)
    agenda.note("b", 3_000, judged=False)
    agenda.note("b", 1_000, judged=True)
    assert agenda.due(999, judged=False) == set()
    assert agenda.due(2_500, judged=False) == {"a"}
    assert agenda.due(2_500, judged=False) == set()  # not noted again
    agenda.note("a", 2_600, judged=False)
    agenda.forget("b")
    assert agenda.due(9_000, judged=False) == {"a"}
    assert agenda.due(9_000, judged=True) == set()
