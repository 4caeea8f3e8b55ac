"""Stage 2's state in parts: what did not change is not written again, and nothing is missing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from stream.events import Effect, ToFindings, ToPanes
from stream.model_stage import ModelStage
from stream.snapshot import Part, packed
from stream.source_stage import SourceStage
from tests.streams import SMALL, dealt, draw_events


class Store:
    """What a checkpoint keeps: by name and version, each written once."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[int | None, bytes]] = {}
        self.written: list[str] = []

    def write(self, parts: list[Part]) -> dict[str, bytes]:
        assert len({part.name for part in parts}) == len(parts)
        self.written = []
        before, self.kept = self.kept, {}
        for part in parts:
            known = before.get(part.name)
            if known is None or part.version is None or known[0] != part.version:
                known = part.version, part.captured()()
                self.written.append(part.name)
            self.kept[part.name] = known
        return {name: data for name, (_, data) in self.kept.items()}


def panes_topic(seed: int) -> list[bytes]:
    predictions, outcomes = draw_events(Random(seed), 400)
    source = SourceStage(SMALL, 0, 1)
    effects: list[Effect] = []
    for side, batch in dealt(predictions, outcomes, 1).batches(Random(seed), 10):
        effects += source.predictions(batch) if side == "predictions" else source.outcomes(batch)
    return [effect.value for effect in effects if isinstance(effect, ToPanes)]


def found(effects: list[Effect]) -> list[bytes]:
    return [effect.value for effect in effects if isinstance(effect, ToFindings)]


@pytest.mark.parametrize("seed", range(4))
def test_a_stage_restored_again_and_again_from_the_parts_kept_says_the_same(seed: int) -> None:
    random, store = Random(seed), Store()
    whole, halved = ModelStage(SMALL, 0, 1), ModelStage(SMALL, 0, 1)
    said: list[bytes] = []
    reused = 0
    for value in panes_topic(seed):
        expected = found(whole.handle(value))
        assert found(halved.handle(value)) == expected
        said += expected
        if random.random() < 0.1:
            state = store.write(halved.snapshot())
            reused += len(state) - len(store.written)
            halved = ModelStage.restore(SMALL, 0, 1, state)
            assert packed(halved.snapshot()) == state
    assert len(said) > 50
    assert reused > 50


def test_a_checkpoint_of_an_idle_stage_writes_its_base_only() -> None:
    stage, store = ModelStage(SMALL, 0, 1), Store()
    topic = panes_topic(0)
    for value in topic:
        stage.handle(value)
    store.write(stage.snapshot())
    assert len(store.written) > 5
    state = store.write(stage.snapshot())
    assert store.written == ["base"]
    assert len(state["base"]) < 500
    restored = ModelStage.restore(SMALL, 0, 1, state)
    store.write(restored.snapshot())
    assert store.written == ["base"]


def test_parts_may_be_packed_after_the_stage_went_on() -> None:
    now, later = ModelStage(SMALL, 0, 1), ModelStage(SMALL, 0, 1)
    taken: list[tuple[dict[str, bytes], dict[str, Callable[[], bytes]]]] = []
    for number, value in enumerate(panes_topic(1)):
        now.handle(value)
        later.handle(value)
        if number % 40 == 0:
            parts = {part.name: part.captured() for part in later.snapshot()}
            taken.append((packed(now.snapshot()), parts))
    assert len(taken) > 3
    for at_once, parts in taken:
        assert {name: pack() for name, pack in parts.items()} == at_once


def test_of_what_did_not_change_nothing_is_captured_and_it_is_written_again_the_same() -> None:
    stage = ModelStage(SMALL, 0, 1)
    for value in panes_topic(0):
        stage.handle(value)
    first = packed(stage.snapshot())
    again = [part for part in stage.snapshot() if part.name.startswith(("monitors/", "rows/"))]
    assert len(again) > 3
    assert all(part.pack is None for part in again)
    assert packed(again) == {part.name: first[part.name] for part in again}
    later = ModelStage.restore(SMALL, 0, 1, first)
    parts = list(later.snapshot())
    assert {part.name for part in parts if part.pack is None} >= {part.name for part in again}
    assert packed(parts) == first
