"""Feature sets: read where they are asked for, told once, whatever the batching."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from stream.columns import ABSENT, NULL, Column, Rows, column
from stream.feature_sets import FEATURE_SET, LASTING_MS, FeatureSetWatch
from stream.panes import summarise
from stream.pipeline import Pipeline
from stream.rules import ModelRule, Rules
from tests.stream.test_determinism import Panes, assert_same, everything, restore_some
from tests.streams import SMALL, Event, dealt, feed, prediction, run

ASKED = replace(SMALL, maturity=None, models={"m": ModelRule(feature_sets=True), "n": ModelRule()})
NEW_MS = 60_000


def events(models: str = "mn") -> list[Event]:
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
                features={"x": random.gauss(3.0 * (at_ms >= NEW_MS), 1.0)},
                feature_set=name,
                _arrival=at_ms,
            )
        )
    return made


def told(rules: Rules, made: list[Event]) -> list[tuple[str, str, str]]:
    alerts = [one.alert for one in run(rules, dealt(made, [], 2)).sorted_alerts()]
    sets = [a for a in alerts if a.alertname == "FeatureSetChange"]
    return [(a.model.id, a.status, str(a.evidence["current"]["feature_set"])) for a in sets]


def test_the_first_of_another_version_is_told_once_and_what_drifts_then_follows_from_it() -> None:
    assert told(ASKED, events()) == [("m", "firing", "payments@8")]
    alerts = [one.alert for one in run(ASKED, dealt(events(), [], 2)).sorted_alerts()]
    drifts = [a for a in alerts if a.kind == "feature_drift" and a.scope.feature == "x"]
    under = {a.model.id: a.evidence.get("folded_under", {}).get("model") for a in drifts}
    causes = {a.evidence.get("folded_under", {}).get("alertname") for a in drifts}
    assert "FeatureSetChange" in causes
    assert under["m"] == "m"
    assert under["n"] != "m"


def test_it_is_read_only_where_it_is_asked_for() -> None:
    panes = Panes()
    run(ASKED, dealt(events(), [], 1), observe=panes)
    having = {g[0] for (_, g, _), s in panes.seen.items() if FEATURE_SET in s["features"]}
    assert having == {"m"}
    assert told(replace(ASKED, models={}), events()) == []


def test_after_a_day_it_is_over() -> None:
    later = prediction("z", NEW_MS + LASTING_MS + 5_000, _arrival=10**9, feature_set="payments@8")
    made = [*events("m"), {**later, "_timestamp": NEW_MS + LASTING_MS + 5_000}]
    assert [status for _, status, _ in told(ASKED, made)] == ["firing", "resolved"]


def test_it_is_over_then_even_where_none_is_named_any_more() -> None:
    ends = np.arange(1, 9) * LASTING_MS // 4
    names = ["payments@7", "payments@8", *[None] * 6]
    texts: dict[int, str] = {}
    sets = column(names, texts)
    sets = Column(np.where(sets.kind == NULL, ABSENT, sets.kind).astype(np.uint8), sets.bits)
    rows = Rows(ends, np.arange(8, dtype=np.uint64), {FEATURE_SET: sets}, texts)

    def told(cuts: list[int]) -> list[tuple[int, str | None]]:
        watch, found = FeatureSetWatch(), []
        for first, last in pairwise([0, *cuts, 8]):
            part = summarise(rows.take(np.arange(first, last)), 8, 8).without_ghosts()
            found += [(int(part.pane_end[one.row]), one.name) for one in watch.run(part, 1_000)]
        return found

    assert told([]) == [(int(ends[1]), "payments@8"), (int(ends[5]), None)]
    assert told([2, 3, 5]) == told([1, 6]) == told([])


@pytest.mark.parametrize("seed", range(3))
def test_batches_and_restored_state_do_not_show(seed: int) -> None:
    stream = dealt(events(), [], 2)
    expected = everything(run(ASKED, stream, Random(seed), largest=40))
    assert_same(everything(run(ASKED, stream, Random(9), largest=9, release_every=1)), expected)
    random, pipeline = Random(seed), Pipeline(ASKED, 2)
    for side, batch in stream.batches(Random(seed), 40):
        feed(pipeline, side, batch)
        restore_some(pipeline, ASKED, random)
    pipeline.end_of_input(None)
    assert_same(everything(pipeline), expected)
