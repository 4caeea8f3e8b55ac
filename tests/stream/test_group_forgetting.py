"""Room for so many groups, none for the silent ones: the same, however the panes come."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.model_stage import ModelStage
from stream.pipeline import Pipeline
from stream.snapshot import packed
from tests.streams import (
    SMALL,
    Stream,
    dealt,
    draw_events,
    feed,
    outcome,
    prediction,
    with_maturity,
)

TIGHT = replace(SMALL, max_groups=2, forget_ms=6_000)


class Panes:
    def __init__(self) -> None:
        self.seen: Counter[tuple[str, Any, int]] = Counter()

    def __call__(self, kind: str, group: Any, table: Any) -> None:
        self.seen.update((kind, group, end) for end in table.pane_end.tolist())


def mix(seed: int) -> Stream:
    predictions, outcomes = draw_events(Random(seed), 400)
    return dealt(predictions, outcomes, 2)


def said(rules: Any, stream: Stream, *, restarts: Random | None = None, **options: Any) -> Any:
    """(alerts, journal, references, panes watched, panes refused), and the pipeline."""
    panes = Panes()
    pipeline = Pipeline(rules, 2, observe=panes, **options)
    for side, batch in stream.batches(Random(1), 20):
        feed(pipeline, side, batch)
        if restarts is not None and restarts.random() < 0.1:
            for q, stage in enumerate(pipeline.models):
                state = packed(stage.snapshot())
                again = ModelStage.restore(rules, q, 2, state, observe=panes)
                assert packed(again.snapshot()) == state
                pipeline.models[q] = again
    pipeline.end_of_input(None)
    found = (
        [alert.value for alert in pipeline.sorted_alerts()],
        sorted(pipeline.journal),
        sorted((sealed.key, sealed.value) for sealed in pipeline.references),
        panes.seen,
        [stage.watched() for stage in pipeline.models],
    )
    return found, pipeline


@pytest.mark.parametrize("maturity", [20_000, "auto", None])
@pytest.mark.parametrize("seed", range(2))
def test_batches_releases_and_restarts_do_not_show(seed: int, maturity: Any) -> None:
    stream, rules = mix(seed), with_maturity(TIGHT, maturity)
    expected, pipeline = said(rules, stream)
    assert max(expected[3].values()) == 1, "a pane is watched once"
    assert said(rules, stream, release_every=150)[0] == expected
    assert said(rules, stream, release_every=10**6)[0] == expected
    assert said(rules, stream, restarts=Random(seed))[0] == expected
    assert sum(refused for _, refused in expected[4])
    assert max(watched for watched, _ in expected[4]) <= 2
    without_limits, _ = said(with_maturity(SMALL, maturity), stream)
    assert expected[3].keys() < without_limits[3].keys()
    for stage in pipeline.models:
        alive = len(stage._watch.roster)
        monitors = [m for model in stage._models.values() for m in model.monitors.seen()]
        assert sum(monitor.kind == "prediction" for monitor in monitors) == alive


def test_what_fires_when_its_group_is_forgotten_is_resolved() -> None:
    left = 0
    for seed in range(4):
        _, pipeline = said(replace(SMALL, forget_ms=3_000), mix(seed))
        stages = [stage for stage in pipeline.models if len(stage._watch.roster) == 0]
        assert stages, "the end of the input is so late that nobody lives"
        left += len(pipeline.alert_stage.active())
        told = Counter((a.fingerprint, a.alert.status) for a in pipeline.alerts)
        for (fingerprint, status), count in told.items():
            if status == "firing":
                assert count - told[fingerprint, "resolved"] in {0, 1}
    assert left == 0


def test_a_flood_of_models_leaves_nothing_but_its_count() -> None:
    rules = replace(SMALL, max_groups=3)
    pipeline = Pipeline(rules, 1)
    events = [
        prediction(f"p{i}", 100 * i, model_id=f"model-{i % 200}", features={"x": i})
        for i in range(2_000)
    ]
    truths = [outcome(f"p{i}", 100 * i + 50, model_id=f"model-{i % 200}") for i in range(2_000)]
    arrived = [{**event, "_arrival": 100 * i} for i, event in enumerate(events)]
    labelled = [{**event, "_arrival": 100 * i + 50} for i, event in enumerate(truths)]
    for side, batch in dealt(arrived, labelled, 1).batches(Random(0), 100):
        feed(pipeline, side, batch)
    pipeline.end_of_input(None)
    (stage,) = pipeline.models
    assert len(stage._models) == 3
    assert stage.watched() == (3, 2_000 - 3 * 10)
    assert len(b"".join(packed(stage.snapshot()).values())) < 60_000
