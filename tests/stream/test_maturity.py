"""`maturity: auto`: nine in ten of all, or of those that are ever labelled, else never."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from stream.pipeline import Pipeline
from stream.rules import ReferenceRule
from stream.wire import MaturityDecision, decode_journal
from tests.streams import SMALL, Event, outcome, prediction, records, with_maturity

COUNT = 100
RULES = replace(with_maturity(SMALL, "auto"), reference=ReferenceRule(COUNT, 50_000))
END_MS = 1_000 * COUNT  # of the reference: one prediction a pane, one pane a second


def decided(
    delays_ms: Sequence[int | None], *, size: int = 10_000, partitions: int = 1
) -> list[tuple[int | None, int]]:
    """(maturity, decided at) of predictions one second apart with these delays."""
    predictions = [prediction(f"p{i}", 1_000 * i) for i in range(len(delays_ms))]
    outcomes = [
        outcome(f"p{i}", 1_000 * i + delay)
        for i, delay in enumerate(delays_ms)
        if delay is not None
    ]
    outcomes.sort(key=lambda o: int(o["observed_at"]))
    pipeline = Pipeline(RULES, partitions)

    def feed(events: list[Event], side: str) -> None:
        for p in range(partitions):
            mine = [e for e in events if int(e["prediction_id"][1:]) % partitions == p]
            if mine:
                batch = records(mine, side, partition=p)  # type: ignore[arg-type]
                (pipeline.predictions if side == "predictions" else pipeline.outcomes)(batch)

    for first in range(0, len(predictions), size):
        feed(predictions[first : first + size], "predictions")
    for first in range(0, len(outcomes), size):
        feed(outcomes[first : first + size], "outcomes")
    pipeline.end_of_input(10 * RULES.horizon_ms)
    entries = [decode_journal(entry) for entry in pipeline.journal]
    assert all(isinstance(entry, MaturityDecision) for entry in entries)
    return [(e.maturity_ms, e.decided_at_ms) for e in entries if isinstance(e, MaturityDecision)]


def test_the_delay_by_which_nine_in_ten_of_all_are_labelled_is_the_maturity() -> None:
    delays = [1_000 if i % 10 else 50_000 for i in range(COUNT)]
    ((maturity, decided_at),) = decided(delays + [1] * 50)
    assert maturity == 1_008  # the upper edge of 1000's bucket
    assert decided_at >= END_MS + maturity + RULES.settled_ms
    assert decided_at < END_MS + 10_000


@pytest.mark.parametrize("never", [11, 15, 20, 24])
def test_where_labels_have_ended_nobody_waits_for_those_that_never_come(never: int) -> None:
    delays = [None if i < never else 40_000 if i == never else 1_000 for i in range(COUNT)]
    known_ms = END_MS + 4 * 1_008 + RULES.pane_ms + RULES.settled_ms
    assert decided(delays) == decided(delays, size=3) == [(1_008, known_ms)]


def test_one_in_ten_that_is_never_labelled_is_no_matter_of_luck() -> None:
    """Whether it is just less or just more: the last label of all says nothing."""
    slow: list[int | None] = [int(1_000 * 1.04**i) for i in range(89)]
    (less, _), (more, _) = (decided([*slow, last, *[None] * 10])[0] for last in (120_000, None))
    assert less == more
    assert less is not None
    assert less < 35_000


def test_labels_that_come_all_at_once_are_waited_for_though_most_come_soon() -> None:
    """Eight in ten soon, the others some day: many of them are there when the reference ends."""
    delays = [1_000 if i % 5 else (40 - i % 40) * 1_000 for i in range(COUNT)]
    (maturity, _) = decided(delays)[0]
    assert maturity is not None
    assert sum(delay <= maturity for delay in delays) >= 90


def test_a_second_wave_of_labels_is_waited_for() -> None:
    delays = [1_000 if i < 70 else 20_000 for i in range(COUNT)]
    assert decided(delays)[0][0] == 20_480


def test_two_in_three_are_not_enough_before_the_horizon() -> None:
    delays: list[int | None] = [1_000 if i % 3 else None for i in range(COUNT)]
    for i in range(0, 40, 4):
        delays[i] = 30_000 if i % 3 else None  # some of those labelled are slow
    labelled = sorted(d for d in delays if d is not None)
    ((maturity, decided_at),) = decided(delays)
    assert decided_at == END_MS + RULES.horizon_ms + RULES.settled_ms
    assert len(labelled) < 90
    assert maturity is not None
    assert sum(d <= maturity for d in labelled) * 10 >= 9 * len(labelled)
    assert sum(d < maturity * 31 / 32 - 1 for d in labelled) * 10 < 9 * len(labelled)


def test_no_outcome_by_the_horizon_means_no_maturity() -> None:
    assert decided([None] * COUNT) == [(None, END_MS + RULES.horizon_ms + RULES.settled_ms)]


def test_outcomes_after_the_horizon_are_no_reason_to_wait_for_them() -> None:
    beyond = RULES.horizon_ms + 1_000
    ((maturity, _),) = decided([beyond] * COUNT)
    assert maturity is None


def test_predictions_after_the_reference_have_no_say() -> None:
    quick = [1_000] * COUNT
    slow = [60_000] * 300
    assert decided(quick + slow)[0] == decided([*quick])[0]


@pytest.mark.parametrize("seed", range(6))
def test_neither_batches_nor_partitions_change_the_decision(seed: int) -> None:
    random = Random(seed)
    share = random.choice((0.7, 0.95, 1.0))
    delays: list[int | None] = [
        int(random.lognormvariate(9, 1)) if random.random() < share else None
        for _ in range(COUNT + 60)
    ]
    expected = decided(delays)
    assert len(expected) == 1
    assert decided(delays, size=7) == expected
    assert decided(delays, partitions=3) == expected


def test_a_decision_is_made_once_and_holds_for_all_versions() -> None:
    pipeline = Pipeline(RULES, 1)
    events = [prediction(f"p{i}", 1_000 * i, model_version=str(i % 2)) for i in range(300)]
    truths = [outcome(f"p{i}", 1_000 * i + 2_000) for i in range(300)]
    pipeline.predictions(records(events))
    pipeline.outcomes(records(truths, "outcomes"))
    pipeline.end_of_input(None)
    assert len(pipeline.journal) == 1
    terms = pipeline.ledger()["total"]["predictions"]
    assert terms["matured_labelled"] > 250
