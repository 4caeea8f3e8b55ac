"""Who sleeps takes little, wakes as it was, and nobody outside can tell."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream import model_watch, monitors, own_pages
from stream.events import Effect, ToPanes
from stream.model_stage import ModelStage
from stream.monitor import Monitor
from stream.monitors import Awake
from stream.snapshot import encoded, packed
from stream.source_stage import SourceStage
from tests.streams import SMALL, dealt, draw_events

MODELS = ("k", "l", "m", "n", "o")
EVERYBODY = 1_000


def panes_topic(seed: int, size: int = 700, models: Sequence[str] = MODELS) -> list[bytes]:
    random = Random(seed)
    predictions, outcomes = draw_events(random, size, models=models)
    source, effects, last_ms = SourceStage(SMALL, 0, 1), list[Effect](), 0
    for side, batch in dealt(predictions, outcomes, 1).batches(random, 10):
        effects += source.predictions(batch) if side == "predictions" else source.outcomes(batch)
        last_ms = max(last_ms, *(at_ms or 0 for at_ms in batch.timestamps_ms))
    effects += source.end_of_input(last_ms + 1)
    return [effect.value for effect in effects if isinstance(effect, ToPanes)]


def awake(stage: ModelStage) -> list[Monitor]:
    found: Iterator[Any] = (m for of in stage._models.values() for m in of.monitors._of.values())
    return [monitor for monitor in found if isinstance(monitor, Monitor)]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("limit", [0, 4])
def test_what_is_told_and_every_byte_of_state_are_the_same_whoever_sleeps(
    seed: int, limit: int
) -> None:
    random, told = Random(seed), 0
    sleepless = ModelStage(SMALL, 0, 1, awake=EVERYBODY)
    sleepy = ModelStage(SMALL, 0, 1, awake=limit)
    for value in panes_topic(seed):
        expected = sleepless.handle(value)
        assert sleepy.handle(value) == expected
        told += len(expected)
        if random.random() < 0.01:
            assert sleepy.status() == sleepless.status()
            assert sleepy.labels() == sleepless.labels()
            assert sleepy.powers() == sleepless.powers()
    assert told > 50
    assert packed(sleepy.snapshot()) == packed(sleepless.snapshot())
    assert sleepy.refused_features() == sleepless.refused_features()


@pytest.mark.parametrize("seed", range(2))
def test_so_many_are_awake_between_two_records_and_after_a_restart(seed: int) -> None:
    stage, most = ModelStage(SMALL, 0, 1, awake=3), 0
    for value in panes_topic(seed):
        stage.handle(value)
        most = max(most, len(awake(stage)))
        assert len(awake(stage)) <= 3
    assert most == 3
    assert sum(len(model.monitors) for model in stage._models.values()) > 6
    restored = ModelStage.restore(SMALL, 0, 1, packed(stage.snapshot()), awake=3)
    assert len(awake(restored)) == 3


def test_who_grows_up_because_somebody_asks_sleeps_again() -> None:
    models = [f"young-{n}" for n in range(20)]
    stage = ModelStage(SMALL, 0, 1, awake=3)
    for value in panes_topic(0, 300, models):
        stage.handle(value)
    assert any(model.young for model in stage._models.values())
    stage.labels()
    assert not any(model.young for model in stage._models.values())
    assert len(awake(stage)) <= 3


def test_who_is_looked_at_sleeps_on() -> None:
    stage = ModelStage(SMALL, 0, 1, awake=2)
    for value in panes_topic(0):
        stage.handle(value)
    before = awake(stage)
    stage.status(), stage.labels(), stage.powers(), packed(stage.snapshot())
    assert awake(stage) == before


class Counted:
    """Stands for the monitors of a model: who was put to sleep, in order."""

    def __init__(self) -> None:
        self.slept: list[Any] = []

    def lull(self, place: Any) -> None:
        self.slept.append(place)


def rounds(limit: int, places: list[Any], times: int) -> list[list[Any]]:
    """Who is put to sleep in each round in which all of them have work in turn."""
    of, kept = Awake(limit), Counted()
    of.all = len(places)
    found: list[list[Any]] = []
    for _ in range(times):
        kept.slept = []
        for place in places:
            of.note(kept, place)  # type: ignore[arg-type]
            of.rest()
        found.append(kept.slept)
    return found


@pytest.mark.parametrize("monitors_in_all", [10, 300])
def test_where_all_have_work_in_turn_some_are_awake_whenever_they_have(
    monitors_in_all: int,
) -> None:
    places = list(range(monitors_in_all))
    found = rounds(4, places, 5)[1:]
    for slept in found:
        assert len(slept) == monitors_in_all - 4
        assert {*slept} == {*found[0]}


def test_who_has_been_idle_for_long_makes_room() -> None:
    of, kept = Awake(2), Counted()
    of.all = 3
    of.note(kept, "idle")  # type: ignore[arg-type]
    for _ in range(50):
        for place in ("a", "b"):
            of.note(kept, place)  # type: ignore[arg-type]
            of.rest()
    assert kept.slept.count("idle") == 1
    assert kept.slept[-1] == "idle"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 9), max_size=60))
def test_no_more_are_awake_than_may_be_and_none_is_lost(limit: int, work: list[int]) -> None:
    of, kept = Awake(limit), Counted()
    up: set[int] = set()
    for place in work:
        of.note(kept, place)  # type: ignore[arg-type]
        up.add(place)
        kept.slept = []
        of.rest()
        assert {*kept.slept} <= up
        up -= {*kept.slept}
        assert len(up) <= limit


@pytest.mark.parametrize("together", [1, 3, 1_000])
def test_what_is_told_does_not_depend_on_how_many_are_merged_at_once(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = panes_topic(2)
    whole, parts = ModelStage(SMALL, 0, 1), ModelStage(SMALL, 0, 1)
    for value in topic:
        expected = whole.handle(value)
        with monkeypatch.context() as patched:
            patched.setattr(model_watch, "_TOGETHER", together)
            assert parts.handle(value) == expected
    assert packed(parts.snapshot()) == packed(whole.snapshot())


def pages_of(monitor: Monitor) -> list[int]:
    """Of what is gathered, by identity."""
    own = monitor._gathering._own
    tables = [table for table in (own._settled, *own._fresh) if table is not None]
    return [id(table._pages.data) for table in tables if table._table is None]


@pytest.mark.parametrize("few", [0, 64])
def test_a_sleeper_wakes_as_it_was_and_shares_what_never_changes(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_pages, "_FEW", few)
    stage = ModelStage(SMALL, 0, 1, awake=EVERYBODY)
    for value in panes_topic(1):
        stage.handle(value)
    shared = 0
    for monitor in awake(stage):
        asleep = monitors._asleep(monitor)
        woken = monitors._woken(asleep)
        assert woken is not monitor
        assert woken.rules is monitor.rules
        assert [*map(id, woken.references)] == [*map(id, monitor.references)]
        assert pages_of(woken) == pages_of(monitor)
        shared += len(pages_of(woken))
        before, after = monitor.snapshot().to_plain(), woken.snapshot().to_plain()
        assert encoded(after) == encoded(before)
    assert bool(shared) == (few == 0)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12, dtype=np.uint8)[::2],
        np.zeros((3, 0), np.bool_),
        np.array(-0.0),
        np.array([1, 2], ">i4"),
        np.array([(1, 2.5)], [("a", "i8"), ("b", "f8")]),
        np.array(["x", None], object),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_arrays_wake_as_they_were_and_may_be_written_to(array: NDArray[Any]) -> None:
    rebuild, parts, *rest = monitors._reduced(array)
    woken = rebuild(*parts)
    if rest:  # as numpy does it
        woken.__setstate__(rest[0])
    assert (woken.dtype, woken.shape) == (array.dtype, array.shape)
    assert woken.tolist() == array.tolist()
    assert woken.flags.f_contiguous == array.copy(order="A").flags.f_contiguous
    assert woken.flags.writeable
    assert woken.tobytes() == array.tobytes()


def by_name(module: str, name: str) -> bytes:
    """A pickle of what has this name, as protocol 4 has it."""
    names = b"".join(b"\x8c" + bytes([len(of)]) + of.encode() for of in (module, name))
    return b"\x80\x04" + names + b"\x93."


@pytest.mark.parametrize(
    "place", [("subprocess", "getoutput"), ("stream.monitors", "pickle.loads")]
)
def test_nothing_but_parts_of_a_monitor_is_made_of_its_bytes(place: tuple[str, str]) -> None:
    harmful = by_name(*place)
    assert callable(pickle.loads(harmful))
    asleep = monitors._Asleep(bytes(cramjam.zstd.compress(harmful, 1)), (), is_restless=False)
    with pytest.raises(pickle.UnpicklingError, match=f"no part of a monitor: {'.'.join(place)}"):
        monitors._woken(asleep)
