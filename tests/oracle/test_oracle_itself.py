"""The oracle on cases small enough to be worked out by hand, and the reach of the mixes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from tests.oracle.ledger import REFUSALS, TERMS
from tests.oracle.maturity import bucket_edge
from tests.oracle.mixes import draw_mix
from tests.oracle.oracle import Answer, answer
from tests.oracle.reading import Limits
from tests.oracle.world import Raw, World

WORLD = World(
    pane_ms=10_000,
    grace_ms=30_000,
    horizon_ms=300_000,
    future_bound_ms=None,
    maturity={"": 60_000},
    reference=(20, 0),
    pane_rows=4,
    max_categories=3,
    limits=Limits(20_000, 12, frozenset()),
)


def said(at: int, name: str = "p", **more: Any) -> dict[str, Any]:
    event = {"prediction_id": name, "model_id": "m", "model_version": "1", "predicted_at": at}
    return {**event, "features": {}, "prediction": {"label": "a"}, **more}


def seen(at: int, label: str = "a", name: str = "p", **more: Any) -> dict[str, Any]:
    event = {"prediction_id": name, "model_id": "m", "observed_at": at}
    return {**event, "actual": {"label": label}, **more}


def ask(
    predictions: list[dict[str, Any]], outcomes: list[dict[str, Any]], world: World = WORLD
) -> Answer:
    def raw(events: list[dict[str, Any]]) -> list[list[Raw]]:
        return [[(i, None, json.dumps(event).encode()) for i, event in enumerate(events)]]

    return answer(world, raw(predictions), raw(outcomes), ended=True)


def terms(result: Answer, side: str) -> dict[str, int]:
    hidden = ("consumed", "applied")
    return {name: n for name, n in result.ledger[0][side].items() if n and name not in hidden}


LATER = said(500_000, "later")


def test_outcome_at_exactly_the_maturity_is_counted_not_joined() -> None:
    result = ask([said(1_000), LATER], [seen(61_000)])
    assert terms(result, "predictions") == {"matured_unlabelled": 1, "pending": 1}
    assert terms(result, "outcomes") == {"orphan_expired": 1}
    result = ask([said(1_000), LATER], [seen(60_999)])
    assert terms(result, "predictions") == {"matured_labelled": 1, "pending": 1}
    assert terms(result, "outcomes") == {"joined": 1}


def test_highest_revision_counts_whatever_the_order_and_the_lower_is_superseded() -> None:
    for revisions in ((1, 2), (2, 1)):
        labels = {1: "b", 2: "a"}
        outcomes = [seen(2_000 + i, labels[r], revision=r) for i, r in enumerate(revisions)]
        result = ask([said(1_000), LATER], outcomes)
        assert terms(result, "outcomes") == {"joined": 1, "superseded": 1}
        error = result.panes["cohort", ("m", "1", "champion", ""), 10_000].features["outcome:error"]
        assert (error.number, error.total) == (1, Fraction(0))


def test_retracted_outcome_leaves_its_prediction_unlabelled() -> None:
    result = ask([said(1_000), LATER], [seen(2_000), seen(2_000, revision=2, retracted=True)])
    assert terms(result, "predictions") == {"matured_unlabelled": 1, "pending": 1}
    assert terms(result, "outcomes") == {"retracted": 1, "superseded": 1}


def test_outcome_before_its_prediction_joins_within_grace_only() -> None:
    assert terms(ask([said(40_000), LATER], [seen(10_000)]), "outcomes") == {"joined": 1}
    assert terms(ask([said(40_001), LATER], [seen(10_000)]), "outcomes") == {"orphan_expired": 1}


def test_behind_the_watermark_by_pane_and_grace_is_late_and_a_repetition_is_a_duplicate() -> None:
    last = said(39_999, "q")
    assert terms(ask([last, said(9_999)], []), "predictions") == {"pending": 2}
    last = said(40_000, "q")
    assert terms(ask([last, said(9_999)], []), "predictions") == {"late": 1, "pending": 1}
    assert terms(ask([last, last], []), "predictions") == {"duplicate": 1, "pending": 1}


def test_one_outcome_goes_to_every_version_of_its_prediction() -> None:
    result = ask([said(1_000), said(1_500, model_version="2"), LATER], [seen(2_000, "b")])
    assert terms(result, "predictions") == {"matured_labelled": 2, "pending": 1}
    assert terms(result, "outcomes") == {"joined": 1}


def test_maturity_is_the_first_bucket_edge_by_which_nine_in_ten_are_labelled() -> None:
    # 5,001 ms lies between 39 * 128 = 4,992 and 40 * 128 = 5,120. The reference ends at 10,000; it
    # was watched for 5,120 ms, and all of that has settled, at 10,000 + 5,120 + 70,000.
    auto = replace(WORLD, maturity={"": "auto"}, reference=(10, 0))
    predictions = [*(said(i, f"p{i}") for i in range(10)), LATER]
    outcomes = [seen(5_001 + i, name=f"p{i}") for i in range(9)]
    assert ask(predictions, outcomes, auto).decisions == {"m": (5_120, 85_120)}
    # Eight, and no more within four times as long: known at 10,000 + 4 * 5,120 + 10,000 + 70,000.
    assert ask(predictions, outcomes[1:], auto).decisions == {"m": (5_120, 110_480)}
    # Too few: the last look is at 10,000 + 300,000 + 70,000, at those that have one.
    assert ask(predictions, outcomes[2:], auto).decisions == {"m": (5_120, 380_000)}
    assert ask(predictions, [], auto).decisions == {"m": (None, 380_000)}


def test_sums_are_exact_fractions() -> None:
    events = [said(i, f"p{i}", features={"x": x}) for i, x in enumerate((1e100, 0.1, -1e100))]
    pane = ask([*events, LATER], []).panes["prediction", ("m", "1", "champion", ""), 10_000]
    assert pane.features["feature:x"].total == Fraction(0.1)
    assert len(pane.sample) == 3


@pytest.mark.parametrize("delay", [1, 31, 63, 64, 65, 127, 128, 5_000, 10**9])
def test_bucket_edges_have_five_mantissa_bits(delay: int) -> None:
    edge = bucket_edge(delay)
    assert edge >= delay
    shift = max(0, edge.bit_length() - 6)
    assert edge % (1 << shift) == 0
    assert edge - delay < (1 << shift)


def test_the_mixes_reach_every_ledger_term_every_reason_and_every_kind_of_decision() -> None:
    reached: Counter[str] = Counter()
    for seed in range(80):
        mix = draw_mix(Random(seed), 100)
        result = answer(mix.world, mix.predictions, mix.outcomes, ended=True)
        for part in result.ledger:
            for side, names in TERMS.items():
                entry = part[side]
                assert entry["consumed"] == entry["applied"] + sum(entry[x] for x in REFUSALS)
                assert entry["applied"] == sum(entry[x] for x in names)
                reached.update({f"{side} {name}": n for name, n in entry.items()})
        reached.update(reason for _, _, _, reason in result.dead)
        for model_id, (age, _) in result.decisions.items():
            reached["never" if age is None else "age"] += 1
            assert mix.world.maturity_of(model_id) == "auto"
        reached["decided early"] += sum(
            (at - mix.world.settled_ms) % mix.world.pane_ms != 0  # the last look is at a pane's end
            for _, at in result.decisions.values()
        )
        reached.update(kind for kind, _, _ in result.panes)
        reached["sampled"] += sum(len(p.sample) < p.rows for p in result.panes.values())
    wanted = {f"{side} {name}" for side, names in TERMS.items() for name in names}
    wanted |= {f"predictions {name}" for name in REFUSALS} - {"predictions shed"}
    wanted |= {"outcomes duplicate", "outcomes future", "outcomes dead_lettered"}
    wanted |= {"oversize", "not_json", "not_utf8", "missing_field", "wrong_type", "out_of_range"}
    wanted |= {"invalid_time", "unknown_model", "empty", "too_many_features", "too_deep"}
    wanted |= {"no_prediction", "no_actual", "not_finite", "never", "age", "prediction", "cohort"}
    wanted |= {"decided early"}
    assert {name for name in wanted | {"sampled"} if not reached[name]} == set()
