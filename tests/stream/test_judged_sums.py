"""Sums of scores over panes, against counting row by row: reliability, expected errors, costs."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.log_buckets import bucket_of, middle_of
from stream.bounded_mean import STEPS, steps_of
from stream.columns import ABSENT, NUMBER, Column, Rows, number_column
from stream.estimated_error import ESTIMATE, TWIN, estimates
from stream.panes import PaneTable, summarise
from stream.reliability import Reliability

Judged = tuple[int, float, bool, bool]  # pane, score, whether it came true, whether it was wrong
PANES = 3
scores = st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.2, 0.25, 0.5, 0.7, 0.99, 1.0])
judged = st.lists(
    st.tuples(st.integers(1, PANES), scores, st.booleans(), st.booleans()), min_size=1, max_size=60
)


def table(rows: list[Judged], panes: int = PANES) -> PaneTable:
    """Every pane is there: one row more in each has none of the measures."""
    pane, score, true, wrong = (np.array(of) for of in zip(*rows, strict=True))
    ends = np.concatenate([pane, np.arange(1, panes + 1)]) * 1_000

    def column(values: np.ndarray, applies: np.ndarray) -> Column:
        kind = np.where(applies, NUMBER, ABSENT).astype(np.uint8)
        kind = np.concatenate([kind, np.full(panes, ABSENT, np.uint8)])
        return number_column(np.concatenate([values.astype(float), np.zeros(panes)]), kind)

    every = np.ones(len(rows), np.bool_)
    columns = {
        "outcome:error": column(wrong, every),
        "outcome:score_false": column(score, ~true),
        "outcome:score_true": column(score, true),
        "prediction:score": column(score, every),
    }
    hashes = np.arange(len(ends)).astype(np.uint64)
    return summarise(Rows(ends, hashes, columns, {}), 4, 4)


def reliability(rows: list[Judged]) -> tuple[Reliability, PaneTable]:
    """Of a reference: all in one pane."""
    made = table([(1, *rest) for _, *rest in rows], 1)
    true, false = (made.features[f"outcome:score_{came}"] for came in ("true", "false"))
    return Reliability(true, false), made


@given(judged, judged)
def test_bins_are_of_the_reference_and_every_value_is_in_one(
    before: list[Judged], now: list[Judged]
) -> None:
    of, reference = reliability(before)
    true, count = of.sums(reference)
    assert true.sum(axis=0).tolist() == of.true.tolist()
    assert count.sum(axis=0).tolist() == of.count.tolist()
    true, count = of.sums(table(now))
    pairs = Counter((pane, came) for pane, _, came, _ in now)
    for pane in range(1, PANES + 1):
        assert true[pane - 1].sum() == pairs[pane, True]
        assert count[pane - 1].sum() == pairs[pane, True] + pairs[pane, False]


@given(judged)
def test_equal_scores_are_in_one_bin_and_higher_ones_in_no_lower_bin(rows: list[Judged]) -> None:
    of, _ = reliability(rows)
    places = []
    for score in sorted({score for _, score, _, _ in rows}):
        _, count = of.sums(table([(1, score, True, False)]))
        (place,) = np.flatnonzero(count[0])
        low, high = of.between(int(place))
        assert low <= middle_of(bucket_of(np.array([score])))[0] <= high
        places.append(int(place))
    assert places == sorted(places)


@given(judged, st.sampled_from([1.0, 0.5]))
def test_expected_errors_are_those_of_each_score_and_lie_beside_the_real_ones(
    rows: list[Judged], largest: float
) -> None:
    made = table(rows)
    expected, counted, _ = estimates(made, ESTIMATE, largest)
    both, of_both, _ = estimates(made, TWIN, largest)
    for pane in range(1, PANES + 1):
        mine = [row for row in rows if row[0] == pane]
        total = Fraction(0)
        for _, score, _, _ in mine:
            middle = min(Fraction(float(middle_of(bucket_of(np.array([score])))[0])), Fraction(1))
            total += 1 - middle if largest == 1.0 else min(middle, 1 - middle)
        wanted = total / Fraction(largest) * STEPS
        assert abs(int(expected[pane - 1, 0]) - wanted) <= len(mine)  # half a step each, at most
        assert counted[pane - 1].tolist() == [len(mine)]
        assert both[pane - 1, 0] == expected[pane - 1, 0]
        assert both[pane - 1, 1] == STEPS * sum(wrong for *_, wrong in mine)
        assert of_both[pane - 1].tolist() == [len(mine), len(mine)]


@given(judged, st.sampled_from([1.0, 3.0, 100.0]))
def test_sums_of_bounded_values_are_rounded_once_a_pane(rows: list[Judged], largest: float) -> None:
    dear = [(pane, score * largest, came, wrong) for pane, score, came, wrong in rows]
    feature = table(dear).features["prediction:score"]
    total, squares = steps_of(feature, PANES, largest)
    for pane in range(1, PANES + 1):
        shares = [Fraction(cost) / Fraction(largest) for of, cost, _, _ in dear if of == pane]
        assert abs(int(total[pane - 1]) - STEPS * sum(shares)) <= 1
        assert 0 <= total[pane - 1] <= STEPS * len(shares)
        exact = STEPS**2 * sum(share**2 for share in shares)
        assert abs(int(squares[pane - 1]) - exact) <= 1 + exact / 10**12
