"""How many false alerts a model may raise, and whose part of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.budget import WEIGHTS, false_alerts_per_prediction, shares, unspendable
from stream.rules import DAY_MS, BudgetRule

PURSES = st.lists(st.sampled_from(sorted(WEIGHTS)), max_size=60)


def test_the_weights_are_one_budget() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@given(PURSES)
def test_the_shares_of_any_items_add_up_to_no_more_than_one_budget(purses: list[str]) -> None:
    assert sum(shares(purses)) <= 1 + 1e-12  # type: ignore[arg-type]


@given(PURSES)
def test_what_comes_later_takes_nothing_from_what_came_before(purses: list[str]) -> None:
    before = shares(purses)  # type: ignore[arg-type]
    assert shares([*purses, "reserve"])[: len(purses)] == before  # type: ignore[list-item]


def test_a_purse_is_shared_in_equal_parts_and_the_others_do_not_matter() -> None:
    found = shares(["features"] * 5 + ["performance"] * 2)
    assert found == [0.05] * 5 + [0.15] * 2


def test_the_stricter_of_predictions_and_time_holds() -> None:
    rule = BudgetRule(predictions=1_000, span_ms=10 * DAY_MS)
    assert false_alerts_per_prediction(rule, 10, DAY_MS) == 1 / 1_000  # 10 d are 100 predictions
    assert false_alerts_per_prediction(rule, 10_000, DAY_MS) == pytest.approx(1 / 100_000)


def test_what_is_unspendable_is_left_when_all_that_may_be_late_has_asked() -> None:
    late = shares(["reserve"] * (5 * 20 + 1))
    assert sum(late) + unspendable(20) <= WEIGHTS["reserve"]
    assert unspendable(20) > 0.0
