"""The first predictions of a model are judged before its reference says at what age."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from stream.events import Records
from stream.model_stage import ModelStage
from stream.pipeline import Pipeline
from stream.rules import ReferenceRule, Rules
from stream.snapshot import packed
from stream.wire import MaturityDecision, decode_journal
from tests.streams import TOPIC

HOUR_MS = 3_600_000
Delay = Callable[[int, Random], float]


def run_of(
    delay_ms: Delay,
    *,
    count: int = 4_000,
    every_ms: int = 2_000,
    wrong_from: int | None = None,
    rules: Rules | None = None,
    batch: int = 500,
    seed: int = 1,
) -> Pipeline:
    """Predictions of a model that is right 9 times in 10; from a row on 6 times. The label of one
    made at t ms comes `delay_ms(t)` later."""
    random, pipeline = Random(seed), Pipeline(rules or Rules(), 1)
    said: dict[str, list[tuple[int, bytes]]] = {"predictions": [], "outcomes": []}
    for i in range(count):
        at_ms = i * every_ms
        right = 0.6 if wrong_from is not None and i >= wrong_from else 0.9
        of = {"prediction_id": f"p{i}", "model_id": "m"}
        label = {"label": "a" if random.random() < right else "b"}
        made = {"model_version": "1", "predicted_at": at_ms, "prediction": {"label": "a"}}
        said["predictions"].append((at_ms, json.dumps({**of, **made, "features": {}}).encode()))
        seen_ms = at_ms + math.ceil(delay_ms(at_ms, random))
        seen = {"observed_at": seen_ms, "actual": label}
        said["outcomes"].append((seen_ms, json.dumps({**of, **seen}).encode()))
    said["outcomes"].sort()
    at = dict.fromkeys(said, 0)
    ends = range(batch * every_ms, (count + batch) * every_ms + 30 * HOUR_MS, batch * every_ms)
    for upto_ms in ends:  # both sides as time goes on
        for side, of_side in said.items():
            first = at[side]
            while at[side] < len(of_side) and of_side[at[side]][0] < upto_ms:
                at[side] += 1
            values: list[bytes | None] = [value for _, value in of_side[first : at[side]]]
            if values:
                offsets = list(range(first, at[side]))
                taken = Records(TOPIC[side], 0, offsets, [None] * len(values), values)  # type: ignore[index]
                (pipeline.predictions if side == "predictions" else pipeline.outcomes)(taken)
    pipeline.end_of_input(None)
    return pipeline


def decided(pipeline: Pipeline) -> list[MaturityDecision]:
    entries = [decode_journal(value) for value in pipeline.journal]
    return [entry for entry in entries if isinstance(entry, MaturityDecision)]


def told(pipeline: Pipeline) -> list[tuple[str, str]]:
    return [(one.alert.alertname, one.alert.status) for one in pipeline.alerts]


def soon(at_ms: int, random: Random) -> float:
    return 60_000 + 60_000 * random.random()


def in_batches(at_ms: int, random: Random) -> float:
    return 600_000 - at_ms % 600_000


def test_a_model_that_becomes_worse_on_its_first_day_is_told_then() -> None:
    pipeline = run_of(soon, wrong_from=2_500)
    alert = next(one.alert for one in pipeline.alerts if one.alert.alertname == "ErrorRateDrift")
    assert "seen" not in alert.summary
    assert alert.severity == "warning"
    assert alert.recommended_action == "investigate"
    assert alert.starts_at < "1970-01-01T01:30"
    assert alert.evaluated_at < "1970-01-01T01:40"
    (early,) = decided(pipeline)
    assert early.until_ms == 86_400_000
    assert early.maturity_ms is not None
    assert 114_000 * 5 // 4 < early.maturity_ms < 130_000 * 5 // 4


def test_a_reference_of_few_predictions_and_a_day_has_an_early_age_too() -> None:
    rules = Rules(reference=ReferenceRule(predictions=1_000))
    (early,) = decided(run_of(soon, rules=rules))
    assert early.until_ms == 86_400_000


@pytest.mark.parametrize("delay_ms", [soon, in_batches])
def test_one_that_stays_as_it_was_is_quiet(delay_ms: Delay) -> None:
    for seed in range(3):
        pipeline = run_of(delay_ms, seed=seed)
        assert len(decided(pipeline)) == 1
        assert told(pipeline) == []


def test_labels_in_batches_are_waited_for_though_those_just_before_one_come_soon() -> None:
    (early,) = decided(run_of(in_batches, every_ms=200, count=20_000))
    assert early.maturity_ms is not None
    assert early.maturity_ms >= 600_000
    assert early.decided_at_ms >= 2 * 540_000


def test_what_the_first_day_bears_out_is_the_maturity() -> None:
    pipeline = run_of(soon, count=12_000, every_ms=8_000)
    early, kept = decided(pipeline)
    assert kept.maturity_ms == early.maturity_ms
    assert (early.until_ms, kept.until_ms) == (86_400_000, None)
    ledger = pipeline.ledger()["total"]["predictions"]
    assert ledger["matured_labelled"] > 11_900
    assert told(pipeline) == []


def by_day(at_ms: int, random: Random) -> float:
    """People label from 0 to 8 h; what comes later waits for the next morning."""
    is_open = at_ms % (24 * HOUR_MS) < 8 * HOUR_MS
    return soon(at_ms, random) if is_open else 24 * HOUR_MS - at_ms % (24 * HOUR_MS)


def test_what_the_first_day_refutes_is_learned_anew_behind_it() -> None:
    rules = replace(Rules(), horizon_ms=4 * 24 * HOUR_MS)
    pipeline = run_of(by_day, count=15_000, every_ms=20_000, rules=rules)
    early, anew = decided(pipeline)
    assert early.maturity_ms is not None
    assert early.maturity_ms < 200_000
    assert anew.maturity_ms is not None
    assert anew.maturity_ms > 12 * HOUR_MS
    assert anew.decided_at_ms > 2 * 24 * HOUR_MS
    delayed = [one.alert for one in pipeline.alerts if one.alert.alertname == "LabelDelay"]
    assert [one.status for one in delayed[:2]] == ["firing", "resolved"]
    assert "judged at another age now" in delayed[1].summary


@pytest.mark.parametrize("delay_ms", [soon, by_day])
def test_neither_batches_nor_a_restored_state_change_a_byte(delay_ms: Delay) -> None:
    rules = replace(Rules(), horizon_ms=4 * 24 * HOUR_MS)
    found = []
    for batch in (11, 500, 100_000):
        pipeline = run_of(
            delay_ms, count=9_000, every_ms=20_000, rules=rules, batch=batch, wrong_from=2_500
        )
        found.append(([*map(repr, pipeline.alerts)], sorted(pipeline.journal), pipeline.ledger()))
        state = packed(pipeline.models[0].snapshot())
        again = packed(ModelStage.restore(rules, 0, 1, state).snapshot())
        assert again == state
    assert all(one == other for one, other in pairwise(found))
    assert found[0][0]


def test_what_few_were_counted_of_while_it_was_held_is_counted_when_the_day_is_over() -> None:
    rules = replace(Rules(), horizon_ms=4 * 24 * HOUR_MS)
    for fewest in (200, 5_000):  # a whole day has fewer
        rules = replace(rules, minimum_values=fewest)
        pipeline = run_of(by_day, count=9_000, every_ms=20_000, rules=rules)
        assert [entry.until_ms for entry in decided(pipeline)] == [86_400_000], "it is refuted"


def test_no_age_is_beyond_the_horizon() -> None:
    rules = replace(Rules(), horizon_ms=HOUR_MS)
    delays: list[Delay] = [lambda *_: HOUR_MS * 5 // 6, lambda *_: HOUR_MS * 3]
    runs = [run_of(of, count=12_000, every_ms=8_000, rules=rules) for of in delays]
    ages = [[entry.maturity_ms for entry in decided(one)] for one in runs]
    assert ages == [[HOUR_MS, HOUR_MS], [None]]


def test_what_was_judged_on_the_first_day_alone_ends_with_its_version() -> None:
    def no_more(at_ms: int, random: Random) -> float:
        return soon(at_ms, random) if at_ms < 12 * HOUR_MS else 1_000 * HOUR_MS

    of_model = ReferenceRule(predictions=2_000, span_ms=24 * HOUR_MS)
    times = {"horizon_ms": 48 * HOUR_MS, "forget_ms": 24 * HOUR_MS}
    rules = replace(Rules(), reference=of_model, **times)
    pipeline = run_of(no_more, count=12_000, every_ms=30_000, rules=rules)
    assert [entry.maturity_ms is None for entry in decided(pipeline)] == [False, True]
    assert pipeline.models[0].labels()
    pipeline.end_of_source(0, 12_000 * 30_000 + 96 * HOUR_MS)
    pipeline.release()
    assert pipeline.models[0].labels() == {}
    assert pipeline.models[0].watched()[0] == 0


def test_an_owner_s_own_maturity_and_further_ages_leave_no_early_age() -> None:
    for rules in (replace(Rules(), maturity=120_000), replace(Rules(), ages=(60_000,))):
        assert decided(run_of(soon, rules=rules, count=2_000)) == []
