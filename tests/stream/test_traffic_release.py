"""Where no rules let traffic tell anything, its model is left alone: nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from stream.model_stage import ModelStage
from stream.pipeline import Pipeline
from stream.rules import HOUR_MS, Rules, TrafficRule
from stream.snapshot import packed
from stream.traffic_release import TrafficRelease
from tests.streams import dealt, feed, prediction

MINUTE_MS = HOUR_MS // 60
ON = Rules(maturity=None, traffic=TrafficRule(silence=HOUR_MS))
OFF = replace(ON, traffic=TrafficRule(enabled=False, silence=HOUR_MS))
HOURS = 12


def run(changes: dict[int, Rules], *, announced: int = 0, restarts: bool = True) -> Pipeline:
    """One model goes on, the other one falls silent after two hours. `announced`: with which
    batch changes become known."""
    random, pipeline = Random(1), Pipeline(OFF, 1)
    events = [
        prediction(f"{model}{n}", n * MINUTE_MS, model_id=model, _arrival=n * MINUTE_MS)
        for n in range(0, HOURS * 60, 2)
        for model in ("m", "n")
        if model == "m" or n < 120
    ]
    waiting = dict(changes)
    for number, (side, batch) in enumerate(dealt(events, [], 1).batches(random, 12)):
        if number >= announced:
            for effective_ms, rules in waiting.items():
                for stage in (*pipeline.models, pipeline.alert_stage):
                    stage.activate(effective_ms, rules)
            waiting = {}
        feed(pipeline, side, batch)
        if restarts and random.random() < 0.2:
            state = packed(pipeline.models[0].snapshot())
            pipeline.models[0] = ModelStage.restore(OFF, 0, 1, state)
    return pipeline


def planned(pipeline: Pipeline) -> dict[str, int | None]:
    return {name: of.next_traffic_ms for name, of in pipeline.models[0]._models.items()}


def told(pipeline: Pipeline) -> list[bytes]:
    return [alert.value for alert in pipeline.sorted_alerts()]


def test_nothing_is_planned_where_nothing_can_be_told() -> None:
    pipeline = run({})
    assert planned(pipeline) == {"m": None, "n": None}
    assert told(pipeline) == []


@pytest.mark.parametrize("announced", [0, 20])
@pytest.mark.parametrize(
    "changes", [{7 * HOUR_MS: ON}, {7 * HOUR_MS: ON, 9 * HOUR_MS: OFF, 10 * HOUR_MS: ON}]
)
def test_what_is_told_under_later_rules_is_as_if_it_had_been_looked_at_all_along(
    announced: int, changes: dict[int, Rules], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(run(changes, announced=announced))
    monkeypatch.setattr(TrafficRelease, "_rest", lambda *_: None)
    awake = run(changes, restarts=False)
    assert None not in planned(awake).values()
    assert told(awake) == found
    assert any(b'"Silence"' in one for one in found)
