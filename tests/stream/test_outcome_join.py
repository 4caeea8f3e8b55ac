"""How outcomes meet predictions: before, after, again, withdrawn, too late, never; exact terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream import pending
from stream.outcome_join import Delays, OutcomeJoin
from stream.pipeline import Pipeline, imbalance
from stream.rules import ModelRule, Rules
from stream.snapshot import packed
from tests.streams import SMALL, Event, outcome, prediction, records, with_maturity

MADE_MS, AGE_MS = 100_000, 20_000
LATER_MS = 1_000_000


def joined(
    predictions: list[Event],
    outcomes: list[Event],
    *,
    rules: Rules = SMALL,
    outcomes_first: bool = False,
    end_ms: int | None = LATER_MS,
) -> dict[str, int]:
    """The ledger's terms of the join (those that are not 0), outcomes in the order given."""
    pipeline = Pipeline(rules, 1)
    if outcomes_first:
        pipeline.outcomes(records(outcomes, "outcomes"))
    pipeline.predictions(records(predictions))
    if not outcomes_first:
        pipeline.outcomes(records(outcomes, "outcomes"))
    if end_ms is not None:
        pipeline.end_of_input(end_ms)
    total = pipeline.ledger()["total"]
    assert imbalance(total) == []
    names = ("matured_labelled", "matured_unlabelled", "pending", "unjoined")
    terms = {name: total["predictions"][name] for name in names}
    of_outcomes = (
        "duplicate",
        "joined",
        "superseded",
        "retracted",
        "orphan_waiting",
        "orphan_expired",
    )
    terms |= {name: total["outcomes"][name] for name in of_outcomes}
    return {name: count for name, count in terms.items() if count}


P = prediction("p", MADE_MS)


@pytest.mark.parametrize("outcomes_first", [False, True])
def test_an_outcome_joins_whichever_topic_is_read_first(outcomes_first: bool) -> None:
    found = joined([P], [outcome("p", MADE_MS + 5_000)], outcomes_first=outcomes_first)
    assert found == {"matured_labelled": 1, "joined": 1}


@pytest.mark.parametrize(
    ("age_ms", "labelled"),
    [
        (-SMALL.grace_ms - 1, False),  # before the prediction by more than the grace
        (-SMALL.grace_ms, True),
        (0, True),
        (AGE_MS - 1, True),
        (AGE_MS, False),  # maturity is strict
    ],
)
def test_an_outcome_counts_from_minus_grace_up_to_but_not_at_the_maturity(
    age_ms: int, labelled: bool
) -> None:
    found = joined([P], [outcome("p", MADE_MS + age_ms)])
    if labelled:
        assert found == {"matured_labelled": 1, "joined": 1}
    else:
        assert found == {"matured_unlabelled": 1, "orphan_expired": 1}


def test_an_outcome_behind_its_partitions_watermark_counts_as_of_the_watermark() -> None:
    mark = outcome("q", MADE_MS + AGE_MS)
    behind = outcome("p", MADE_MS + 1)
    assert joined([P], [mark, behind]) == {"matured_unlabelled": 1, "orphan_expired": 2}
    assert joined([P], [behind, mark])["joined"] == 1


def test_one_outcome_goes_to_every_version_and_role_of_its_prediction() -> None:
    others = [P, P | {"model_version": "2"}, P | {"role": "shadow"}]
    found = joined(others, [outcome("p", MADE_MS)])
    assert found == {"matured_labelled": 3, "joined": 1}


def test_an_outcome_does_not_join_a_prediction_of_another_model() -> None:
    found = joined([P], [outcome("p", MADE_MS, model_id="n")])
    assert found == {"matured_unlabelled": 1, "orphan_expired": 1}


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_the_highest_revision_within_the_age_wins_whatever_the_order(
    order: tuple[int, ...],
) -> None:
    revisions = [outcome("p", MADE_MS + 10, revision=r) for r in order]
    assert joined([P], revisions) == {"matured_labelled": 1, "joined": 1, "superseded": 2}


def test_a_revision_after_maturity_is_counted_and_changes_nothing() -> None:
    found = joined(
        [P], [outcome("p", MADE_MS + 10), outcome("p", MADE_MS + AGE_MS + 10, revision=2)]
    )
    assert found == {"matured_labelled": 1, "joined": 1, "orphan_expired": 1}


def test_a_retraction_leaves_the_prediction_unlabelled() -> None:
    told = [outcome("p", MADE_MS), outcome("p", MADE_MS, revision=2, retracted=True)]
    assert joined([P], told) == {"matured_unlabelled": 1, "superseded": 1, "retracted": 1}


def test_a_retraction_can_be_corrected() -> None:
    told = [
        outcome("p", MADE_MS, revision=2, retracted=True),
        outcome("p", MADE_MS, revision=3),
    ]
    assert joined([P], told) == {"matured_labelled": 1, "superseded": 1, "joined": 1}


def test_the_same_revision_again_is_a_duplicate() -> None:
    told = [outcome("p", MADE_MS), outcome("p", MADE_MS + 1, actual={"label": "no"})]
    assert joined([P], told) == {"matured_labelled": 1, "joined": 1, "duplicate": 1}


def test_an_outcome_after_the_horizon_is_counted_not_joined() -> None:
    rules = with_maturity(SMALL, SMALL.horizon_ms)
    found = joined([P], [outcome("p", MADE_MS + SMALL.horizon_ms)], rules=rules)
    assert found == {"matured_unlabelled": 1, "orphan_expired": 1}


def test_a_prediction_that_never_gets_an_outcome_matures_unlabelled() -> None:
    assert joined([P], []) == {"matured_unlabelled": 1}


def test_without_maturity_nothing_is_held() -> None:
    found = joined([P], [outcome("p", MADE_MS)], rules=with_maturity(SMALL, None))
    assert found == {"unjoined": 1, "orphan_expired": 1}


@pytest.mark.parametrize(("beyond_ms", "term"), [(-1, "pending"), (0, "matured_labelled")])
@pytest.mark.parametrize("slow", ["predictions", "outcomes"])
def test_a_cohort_is_judged_when_both_watermarks_reach_pane_end_grace_and_maturity(
    beyond_ms: int, term: str, slow: str
) -> None:
    ready = MADE_MS + SMALL.pane_ms + SMALL.grace_ms + AGE_MS
    marks = {"predictions": LATER_MS, "outcomes": LATER_MS, slow: ready + beyond_ms}
    pipeline = Pipeline(SMALL, 1)
    pipeline.predictions(records([P]))
    pipeline.outcomes(records([outcome("p", MADE_MS)], "outcomes"))
    pipeline.advance(0, "predictions", marks["predictions"])
    pipeline.advance(0, "outcomes", marks["outcomes"])
    total = pipeline.ledger()["total"]
    assert imbalance(total) == []
    assert total["predictions"][term] == 1
    assert total["outcomes"]["joined"] == 1


@pytest.mark.parametrize(("beyond_ms", "term"), [(-1, "orphan_waiting"), (0, "orphan_expired")])
def test_an_orphan_waits_until_no_prediction_can_belong_to_it(beyond_ms: int, term: str) -> None:
    pipeline = Pipeline(SMALL, 1)
    pipeline.outcomes(records([outcome("p", MADE_MS)], "outcomes"))
    settled = MADE_MS + SMALL.pane_ms + SMALL.settled_ms
    pipeline.advance(0, "predictions", settled + beyond_ms)
    assert pipeline.ledger()["total"]["outcomes"][term] == 1


def test_predictions_without_room_are_unjoined_but_stay_in_their_panes() -> None:
    rules = replace(SMALL, max_pending=2)
    events = [prediction(f"p{i}", MADE_MS) for i in range(5)]
    truths = [outcome(f"p{i}", MADE_MS) for i in range(5)]
    rows: dict[str, int] = {}

    def observe(kind: str, _group: Any, table: Any) -> None:
        rows[kind] = rows.get(kind, 0) + int(table.rows.sum())

    pipeline = Pipeline(rules, 1, observe=observe)
    for at in range(0, 5, 2):  # the cap holds from the batch on that follows the one that fills it
        pipeline.predictions(records(events[at : at + 2], first_offset=at))
    pipeline.outcomes(records(truths, "outcomes"))
    pipeline.end_of_input(LATER_MS)
    total = pipeline.ledger()["total"]
    assert imbalance(total) == []
    assert (total["predictions"]["unjoined"], total["predictions"]["matured_labelled"]) == (3, 2)
    assert rows == {"prediction": 5, "cohort": 2}


def test_delays_after_a_pane_are_those_of_later_panes_alone() -> None:
    ends = np.array([1_000, 2_000, 3_000])
    found = Delays(ends, ends - 500, ends + 5, np.array([1, 2, 3])).after(2_000)
    assert found.outcome_pane_end.tolist() == [3_000]
    assert found.prediction_pane_end.tolist() == [2_500]
    assert found.edge_ms.tolist() == [3_005]
    assert found.count.tolist() == [3]


def columns_of_one(code: int, at_ms: int) -> dict[str, Any]:
    one = {"key": 1, "check": 2, "group": code, "time": at_ms, "has": 1, "label": 3}
    return {name: np.array([value]) for name, value in one.items()} | {
        "score": np.zeros(1),
        "value": np.zeros(1),
    }


def test_a_model_that_later_rules_know_has_its_maturity_from_them() -> None:
    few = replace(SMALL, models={"m": ModelRule()})
    more = replace(few, models={**few.models, "n": ModelRule(maturity=None)})
    join = OutcomeJoin(few)
    code = join.code_of(("n", "1", "champion", ""))
    assert join.held.ages(0).tolist() == [AGE_MS]
    join.use(more)
    join.hold(columns_of_one(code, MADE_MS), np.ones(1, np.bool_))
    assert join.pending() == 0
    assert join.matured["unjoined"] == 1
    join.use(few)
    join.hold(columns_of_one(code, MADE_MS), np.ones(1, np.bool_))
    assert join.pending() == 1


def test_a_model_that_later_rules_know_matures_at_their_age() -> None:
    few = replace(SMALL, models={"m": ModelRule()})
    more = replace(few, models={**few.models, "n": ModelRule(maturity=1)})
    join = OutcomeJoin(few)
    codes = [join.code_of((model, "1", "champion", "")) for model in ("m", "n")]
    join.hold(columns_of_one(codes[0], MADE_MS), np.ones(1, np.bool_))
    assert list(join.mature(MADE_MS)) == []
    join.use(more)
    join.hold(columns_of_one(codes[1], MADE_MS), np.ones(1, np.bool_))
    due_ms = MADE_MS + SMALL.pane_ms + SMALL.grace_ms + 1
    assert list(join.mature(due_ms - 1)) == []
    ((kind, cohorts),) = join.mature(due_ms)
    ((group, rows),) = cohorts.dealt()
    assert kind == "cohort"
    assert (group[0], rows.pane_end.tolist()) == ("n", [MADE_MS + SMALL.pane_ms])
    assert join.pending() == 1


def test_codes_of_groups_that_are_gone_are_given_again_the_lowest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "_FORGET_AT_LEAST", 4)
    join, most = OutcomeJoin(SMALL), 0
    for version in range(60):
        at_ms = MADE_MS + version * LATER_MS
        for model in ("m", "n"):
            code = join.code_of((model, f"{version}", "champion", ""))
            free = [place for place, group in enumerate(join.held.groups[:code]) if group is None]
            assert free == [], "a lower code was free"
            join.hold(columns_of_one(code, at_ms), np.ones(1, np.bool_))
        matured = [group for _, of in join.mature(at_ms + LATER_MS) for group, _ in of.dealt()]
        assert {group[1] for group in matured} == {f"{version}"}
        most = max(most, len(join.held.groups))
    assert most <= 8, "forgotten when they have doubled, and used again"
    assert join.matured["matured_unlabelled"] == 120


def test_restored_while_an_early_age_is_not_reached_what_is_never_joined_stays_gone() -> None:
    rules = with_maturity(SMALL, "auto")
    join = OutcomeJoin(rules)
    code = join.code_of(("m", "1", "champion", ""))
    made = [columns_of_one(code, MADE_MS + n * SMALL.pane_ms) for n in range(5)]
    together = {name: np.concatenate([one[name] for one in made]) for name in made[0]}
    join.hold(together, np.ones(5, np.bool_))
    join.learn("m", AGE_MS, MADE_MS + 4 * SMALL.pane_ms)
    assert list(join.mature(MADE_MS)) == []
    join.learn("m", None)
    assert list(join.mature(MADE_MS)) == []
    again = OutcomeJoin.restore(rules, join.snapshot(), packed(join.parts()))
    for one in (join, again):
        assert one.pending() == 4
        assert sum(len(rows) for _, rows in one.mature(MADE_MS + LATER_MS)) == 4
