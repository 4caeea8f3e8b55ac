"""Feature sets: what begins with a new one follows from it, whatever the batching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import ABSENT, NULL, Column, Rows, column
from stream.event_columns import FEATURE_SET
from stream.events import Alert, Request
from stream.feature_sets import MOST, FeatureSetWatch
from stream.monitor import Monitor
from stream.panes import PaneTable, summarise
from stream.pipeline import Pipeline
from stream.rules import DAY_MS, ModelRule, Rules
from tests.stream.monitors import restored
from tests.stream.test_determinism import assert_same, everything, restore_some
from tests.streams import SMALL, Event, dealt, feed, outcome, prediction, run

RULES = replace(SMALL, maturity=None)
NEW_MS = 60_000


def events(models: str = "m", *, shift: float = 3.0, **more: object) -> list[Event]:
    """Every half second one; of the one set until the first minute is over, then of another; some
    name none."""
    random = Random(3)
    made = []
    for i in range(400):
        at_ms = 500 * i
        name = None if random.random() < 0.1 else f"payments@{7 + (at_ms >= NEW_MS)}"
        made.append(
            prediction(
                f"p{i}",
                at_ms,
                model_id=models[i % len(models)],
                features={"x": random.gauss(shift * (at_ms >= NEW_MS), 1.0)},
                feature_set=name,
                _arrival=at_ms,
                **more,
            )
        )
    return made


def alerts(rules: Rules, made: Sequence[Event], judged: Sequence[Event] = ()) -> list[Alert]:
    return [one.alert for one in run(rules, dealt(made, judged, 2)).sorted_alerts()]


# -- what people are told


def test_a_drift_that_begins_with_another_version_follows_from_it() -> None:
    told = alerts(RULES, events())
    assert {a.kind for a in told} <= {"feature_drift", "data_quality"}
    drift = next(a for a in told if a.kind == "feature_drift" and a.scope.feature == "x")
    assert drift.recommended_action == "fix_pipeline"
    under = drift.evidence["folded_under"]
    assert (under["from"], under["to"]) == ("payments@7", "payments@8")
    assert {a.incident_id for a in told} == {under["incident_id"]}


def test_where_nothing_begins_with_it_nothing_is_told() -> None:
    assert alerts(RULES, events(shift=0.0)) == []


def test_a_model_that_is_not_to_be_watched_for_it_is_not() -> None:
    off = replace(RULES, models={"m": ModelRule(feature_sets=False), "n": ModelRule()})
    under = [a.evidence.get("folded_under", {}) for a in alerts(off, events("mn"))]
    assert {of["model"] for of in under if of.get("alertname") == "FeatureSetChange"} == {"n"}


def losses(at_ms: int) -> list[Event]:
    """Outcomes of `events`: right before, half of them wrong since."""
    random = Random(4)
    return [
        outcome(
            f"p{i}",
            500 * i + 5_000,
            _arrival=500 * i + 5_000,
            actual={"label": "no" if 500 * i >= at_ms and random.random() < 0.9 else "yes"},
        )
        for i in range(400)
    ]


def test_a_loss_that_begins_with_it_follows_from_it_though_no_feature_drifts() -> None:
    told = alerts(replace(RULES, maturity=20_000), events(shift=0.0), losses(NEW_MS))
    loss = next(a for a in told if a.alertname == "ErrorRateDrift")
    assert loss.recommended_action == "fix_pipeline"
    assert loss.evidence["folded_under"]["to"] == "payments@8"


def requested(made: Sequence[Event], judged: Sequence[Event]) -> list[Request]:
    rules = replace(RULES, maturity=20_000)
    return [one.request for one in run(rules, dealt(made, judged, 2)).sorted_actions()]


def test_what_follows_from_it_has_the_pipeline_fixed_once_and_nothing_retrained() -> None:
    asked = requested(events(), losses(NEW_MS))
    assert [request.type for request in asked] == ["fix_pipeline"]


# -- what the watch sees

Panes = Sequence[Sequence[str | None]]
Told = list[tuple[int, str, str]]
PANE_MS = DAY_MS // 2


def table_of(panes: Panes) -> PaneTable:
    """Pane n ends at n · PANE_MS."""
    rows = [(PANE_MS * n, name) for n, pane in enumerate(panes, 1) for name in pane]
    texts: dict[int, str] = {}
    sets = column([name for _, name in rows], texts)
    sets = Column(np.where(sets.kind == NULL, ABSENT, sets.kind).astype(np.uint8), sets.bits)
    ends = np.array([end for end, _ in rows], np.int64)
    cells = Rows(ends, np.arange(len(rows), dtype=np.uint64), {FEATURE_SET: sets}, texts)
    return summarise(cells, 8, 200)


def watched(panes: Panes, cuts: Sequence[int] = ()) -> Told:
    """(pane, name, former), restored at each cut."""
    table, watch, told = table_of(panes), FeatureSetWatch(), []
    for first, last in pairwise([0, *cuts, len(panes)]):
        part = table.between(PANE_MS * (first + 1), PANE_MS * last).without_ghosts()
        told += [(new.end_ms // PANE_MS, new.name, new.former) for new in watch.run(part, PANE_MS)]
        watch = FeatureSetWatch.restore(watch.snapshot())
    return told


def test_each_version_is_told_once_with_its_first_pane() -> None:
    panes = [["a@7"], ["a@8"], ["a@9"], ["a@9"], [None], ["a@9"]]
    expected: Told = [(2, "a@8", "a@7"), (3, "a@9", "a@8")]
    assert watched(panes) == watched(panes, range(1, 6)) == expected


def test_it_is_compared_with_the_latest_version_of_the_same() -> None:
    panes = [["a@7", "b@1"], ["a@8", "b@1"], ["b@1", "a@7"], ["a@7", "b@1"], ["a@9", "b@1"]]
    assert watched(panes) == [(2, "a@8", "a@7"), (5, "a@9", "a@7")]


def test_the_first_of_all_and_one_that_comes_back_are_not_new() -> None:
    panes = [["a@7"], ["a@8"], ["a@7"], ["a@8"], ["a@7"]]
    assert watched(panes) == [(2, "a@8", "a@7")]


def test_so_many_that_they_are_no_versions_are_not_told() -> None:
    panes = [["b@1", *(f"a@{n}-{i}" for i in range(MOST // 2 + 1))] for n in range(12)]
    assert [one for one in watched(panes) if one[0] > 2] == []


def test_of_a_version_a_day_each_is_told_however_long_that_goes_on() -> None:
    panes = [[f"a@{n // 4}"] for n in range(8 * MOST)]
    assert [name for _, name, _ in watched(panes)] == [f"a@{n}" for n in range(1, 2 * MOST)]


names = st.none() | st.sampled_from(["a@1", "a@2", "a@3", "b@1", "b@2"])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(names, min_size=1, max_size=3), min_size=1, max_size=12), st.data())
def test_batches_and_restarts_do_not_show(panes: Panes, data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(1, max(len(panes) - 1, 1))))
    told = watched(panes)
    assert watched(panes, sorted(cut for cut in cuts if cut < len(panes))) == told
    firsts: dict[str, int] = {}
    for n, pane in enumerate(panes, 1):
        for name in pane:
            firsts.setdefault(name or "", n)
    assert all(firsts[name] == n for n, name, _ in told)
    assert len({n for n, *_ in told}) == len(told)


@pytest.mark.parametrize("seed", range(3))
def test_whole_runs_are_the_same_whatever_the_batches_and_restarts(seed: int) -> None:
    rules = replace(RULES, maturity=20_000)
    stream = dealt(events("mn"), losses(NEW_MS), 2)
    expected = everything(run(rules, stream, Random(seed), largest=40))
    assert_same(everything(run(rules, stream, Random(9), largest=9, release_every=1)), expected)
    random, pipeline = Random(seed), Pipeline(rules, 2)
    for side, batch in stream.batches(Random(seed), 40):
        feed(pipeline, side, batch)
        restore_some(pipeline, rules, random)
    pipeline.end_of_input(None)
    assert_same(everything(pipeline), expected)


def test_a_pane_that_names_too_many_is_remembered_over_a_restart() -> None:
    rules = replace(RULES, max_categories=2 * MOST)

    def pane(number: int, names: Sequence[str]) -> PaneTable:
        ends = np.full(len(names), number * rules.pane_ms)
        texts: dict[int, str] = {}
        cells = {FEATURE_SET: column(list(names), texts)}
        rows = Rows(ends, np.arange(len(names), dtype=np.uint64), cells, texts)
        return summarise(rows, rules.pane_rows, rules.max_categories)

    for names in (["a@1"], [f"a@{n}" for n in range(MOST + 1)]):
        told = []
        for is_restored in (False, True):
            monitor = Monitor(rules, ("m", "1", "champion", ""), "prediction", rules.reference)
            monitor.update(pane(1, names))
            monitor = restored(monitor, rules) if is_restored else monitor
            told.append([f for n in (2, 3) for f in monitor.update(pane(n, [f"a@{n}"]))[0]])
        assert told[0] == told[1]
