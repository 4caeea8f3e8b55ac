"""A configuration comes into force at a pane: the same one, however and by whom it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream.alert_stage import AlertStage
from stream.events import ToAlerts, ToFindings, ToPanes
from stream.members import FAULTS
from stream.model_stage import ModelStage
from stream.pipeline import Pipeline
from stream.rules import (
    AdwinRule,
    BudgetRule,
    FloorRule,
    ModelRule,
    Owners,
    PageHinkleyRule,
    RateRule,
    Rules,
)
from stream.snapshot import packed
from tests.streams import SMALL, Stream, dealt, draw_events, feed, run

AT_MS = 1_763_800_000_000 + 100_000  # in the midst of the events drawn
CHANGES: dict[str, dict[str, Any]] = {
    "owners": {"models": {"m": ModelRule(owners=Owners("other")), "n": ModelRule()}},
    "a delta and a clock": {"adwin": AdwinRule(delta=0.01, clock=7)},
    "rates off": {"rates": RateRule(enabled=False)},
    "rates that count otherwise": {"rates": RateRule(min_rise=0.3)},
    "adwin off": {"adwin": AdwinRule()},
    "page-hinkley on": {"page_hinkley": PageHinkleyRule(enabled=True, threshold=0.5)},
    "values": {"minimum_values": 5},
    "a budget": {"budget": BudgetRule(predictions=100_000)},
    "floors": {"floors": FloorRule(shift=0.7)},
    "values that resolve": {"resolve_values": 40},
    "resolving sooner": {"resolve_after_panes": 4},
}


def mix(seed: int) -> Stream:
    predictions, outcomes = draw_events(Random(seed), 400)
    return dealt(predictions, outcomes, 2)


def whole(pipeline: Pipeline, stream: Stream) -> None:
    for side, batch in stream.batches(Random(1), 20):
        feed(pipeline, side, batch)
    pipeline.end_of_input(None)


def activated(pipeline: Pipeline, changes: Mapping[int, Rules]) -> None:
    stages: list[Any] = [*pipeline.models, pipeline.alert_stage]
    for at_ms, rules in changes.items():
        for stage in stages:
            stage.activate(at_ms, rules)


def alerts(stream: Stream, changes: Mapping[int, Rules], *, release_every: int = 1) -> list[Any]:
    pipeline = Pipeline(SMALL, 2, release_every=release_every)
    activated(pipeline, changes)
    whole(pipeline, stream)
    return pipeline.sorted_alerts()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_shows_from_its_ready_time_on_and_not_before(name: str) -> None:
    changed = replace(SMALL, **CHANGES[name])
    differ = 0
    for seed in range(3):
        stream = mix(seed)
        plain = run(SMALL, stream).sorted_alerts()
        found = alerts(stream, {AT_MS: changed})
        assert before(found) == before(plain)
        assert len(before(found)) > 0
        hashes = {a.alert.config_hash for a in found if a.order[0] >= AT_MS and is_new(a)}
        assert hashes <= {changed.config_hash()}
        differ += found != plain
    assert differ


def before(found: list[ToAlerts]) -> list[bytes]:
    return [alert.value for alert in found if alert.order[0] < AT_MS]


def is_new(alert: ToAlerts) -> bool:
    return alert.alert.status == "firing"


@pytest.mark.parametrize("name", CHANGES)
def test_batches_releases_and_restarts_do_not_show(name: str) -> None:
    seed = list(CHANGES).index(name)
    stream = mix(seed)
    changes = {AT_MS: replace(SMALL, **CHANGES[name]), AT_MS + 25_000: SMALL}
    expected = [alert.value for alert in alerts(stream, changes)]
    assert [a.value for a in alerts(stream, changes, release_every=130)] == expected
    assert [a.value for a in alerts(stream, changes, release_every=10**6)] == expected
    assert sorted(restarted(stream, changes, Random(seed))) == sorted(expected)


def restarted(stream: Stream, changes: Mapping[int, Rules], random: Random) -> list[bytes]:
    """By stages that are restored on the way, and hear of each change only shortly before it."""
    panes: list[list[bytes]] = [[], []]
    pipeline = Pipeline(SMALL, 2)
    kept = pipeline._perform

    def noted(effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, ToPanes):
                panes[effect.partition].append(effect.value)
        kept(effects)

    pipeline._perform = noted  # type: ignore[method-assign]
    whole(pipeline, stream)
    findings: list[bytes] = []
    for q in range(2):
        stage, told = ModelStage(SMALL, q, 2), 0
        for value in panes[q]:
            told += tell(stage, changes, told)
            findings += [e.value for e in stage.handle(value) if isinstance(e, ToFindings)]
            if random.random() < 0.1:
                stage = ModelStage.restore(SMALL, q, 2, packed(stage.snapshot()))
    last, told = AlertStage(SMALL, 2), 0
    found: list[bytes] = []
    for value in findings:
        told += tell(last, changes, told)
        found += [e.value for e in last.handle(value) if isinstance(e, ToAlerts)]
        if random.random() < 0.1:
            last = AlertStage.restore(SMALL, 2, packed(last.snapshot()))
    return found


def tell(stage: Any, changes: Mapping[int, Rules], told: int) -> int:
    """Announces a change when it is less than ten seconds ahead."""
    ahead = list(changes.items())[told:]
    if not ahead or stage.next_ready_ms() < ahead[0][0] - 10_000:
        return 0
    at_ms, rules = ahead[0]
    stage.activate(max(at_ms, stage.next_ready_ms()), rules)
    return 1


def test_what_a_change_ends_while_it_fires_is_resolved() -> None:
    off = replace(SMALL, adwin=AdwinRule(enabled=False), rates=RateRule(enabled=False))
    ended = 0
    for seed in range(3):
        stream = mix(seed)
        found = [a for a in alerts(stream, {AT_MS: off}) if is_of_what_is_off(a)]
        assert [a for a in found if a.order[0] >= AT_MS and is_new(a)] == []
        resolved_ms = [a.order[0] for a in found if not is_new(a) and a.order[0] >= AT_MS]
        ended += sum(ready_ms < AT_MS + 10_000 for ready_ms in resolved_ms)  # 30 panes otherwise
    assert ended


def is_of_what_is_off(told: ToAlerts) -> bool:
    return told.alert.alertname.endswith("Adwin") or told.alert.kind in FAULTS


def test_the_first_ready_time_not_released_yet_rises_with_the_releases() -> None:
    pipeline = Pipeline(SMALL, 2)
    stages: list[Any] = [*pipeline.models, pipeline.alert_stage]
    assert all(stage.next_ready_ms() < 0 for stage in stages)
    whole(pipeline, mix(0))
    assert all(stage.next_ready_ms() > AT_MS for stage in stages)
