"""How many false alerts a model may raise, and whose part of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.budget import (
    COMPARED,
    DECLARED,
    EXPECTED,
    LATE,
    LATE_JUDGED,
    OBJECTIVES,
    TRAFFIC,
    WEIGHTS,
    false_alerts_per_prediction,
    late_share,
    shares,
)
from stream.rules import DAY_MS, BudgetRule

PURSES = st.lists(st.sampled_from(sorted({*WEIGHTS, "expected"} - {"reserve"})), max_size=60)


def test_the_weights_are_one_budget() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@given(PURSES)
def test_the_shares_of_any_items_add_up_to_no_more_than_one_budget(purses: list[str]) -> None:
    assert sum(shares(purses)) <= 1 + 1e-12  # type: ignore[arg-type]


def test_a_purse_is_shared_in_equal_parts_and_the_others_do_not_matter() -> None:
    found = shares(["features"] * 5 + ["performance"] * 2)
    assert found == [0.05] * 5 + [0.15] * 2


def test_the_stricter_of_predictions_and_time_holds() -> None:
    rule = BudgetRule(predictions=1_000, span_ms=10 * DAY_MS)
    assert false_alerts_per_prediction(rule, 10, DAY_MS) == 1 / 1_000  # 10 d are 100 predictions
    assert false_alerts_per_prediction(rule, 10_000, DAY_MS) == pytest.approx(1 / 100_000)


def test_the_reserve_is_what_is_spent_of_it() -> None:
    spent = LATE + LATE_JUDGED + EXPECTED + DECLARED + COMPARED + TRAFFIC + OBJECTIVES
    assert spent <= WEIGHTS["reserve"]


@given(st.sets(st.integers(1, 5_000)), st.booleans())
def test_late_features_in_any_places_have_no_more_than_their_part(
    places: set[int], judged: bool
) -> None:
    spent = sum(5 * late_share(place, judged=judged) for place in places)
    assert spent <= (LATE_JUDGED if judged else LATE)
