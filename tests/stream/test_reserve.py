"""What a model spends: at no pane is it more than its budget, whatever comes late, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.budget import LATE, WEIGHTS, late_share
from stream.columns import ABSENT, NUMBER, TEXT, Rows, column, number_column, text_hash
from stream.monitor import Monitor
from stream.panes import PaneTable, summarise
from stream.reference import Reference
from stream.rules import ReferenceRule, Rules
from tests.stream.monitors import GROUP, restored

ROWS, PANES = 20, 60
RULES = Rules(
    pane_ms=1_000,
    grace_ms=0,
    maturity=None,
    minimum_values=40,
    reference=ReferenceRule(predictions=300, span_ms=15_000),
    pane_rows=ROWS,
    window_rows=256,
)
KNOWN = ("feature:a", "feature:b", "prediction:score")


@dataclass(frozen=True)
class Late:
    """A feature that comes at a pane, is there in so many predictions, and moves at another one.
    `hardly`: it had been there from the beginning, but in one prediction of 50."""

    first: int
    share: float
    is_text: bool
    moves: int
    hardly: bool = False


LATE_ONES = st.lists(
    st.builds(
        Late,
        st.integers(0, PANES - 5),
        st.sampled_from((0.02, 0.3, 1.0)),
        st.booleans(),
        st.integers(0, 2 * PANES),
        st.booleans(),
    ),
    max_size=9,
)


def panes(late: list[Late], order: list[int], seed: int) -> PaneTable:
    """`order`: by which they are named."""
    random = np.random.default_rng(seed)
    pane = np.repeat(np.arange(PANES), ROWS)
    texts = {text_hash(text): text for text in "uvw"}
    columns = {name: column(random.random(len(pane)).tolist(), texts) for name in KNOWN}
    for one, place in zip(late, order, strict=True):
        values = random.standard_normal(len(pane)) + 3.0 * (pane >= one.moves)
        often = np.where(pane >= one.first, one.share, 0.02 if one.hardly else 0.0)
        there = random.random(len(pane)) < often
        kind = np.where(there, TEXT if one.is_text else NUMBER, ABSENT).astype(np.uint8)
        if one.is_text:
            words = np.where(values > 1, "u", np.where(values < -1, "v", "w")).tolist()
            of = column(words, texts)
            of = replace(of, kind=kind, bits=np.where(there, of.bits, np.uint64(0)))
        else:
            of = number_column(values, kind)
        columns[f"feature:{place:02}"] = of
    hashes = random.integers(0, 2**63, len(pane)).astype(np.uint64)
    rows = Rows((pane + 1) * RULES.pane_ms, hashes, columns, texts)
    return summarise(rows, RULES.pane_rows, RULES.max_categories)


def spent(monitor: Monitor) -> tuple[float, float]:
    """(of the whole budget, of what is for late features)."""
    units = monitor._detection.watch.watched.values()
    law = monitor.reference
    late = [] if law is None else [u.share for u in units if u.profile.reference.id != law.id]
    return sum(one.share for one in units), sum(late)


@cache
def former() -> Reference:
    """Of a version that knew none of the late ones."""
    monitor = Monitor(RULES, GROUP, "prediction", RULES.reference)
    _, (sealed,) = monitor.update(panes([], [], 0))
    return sealed


@settings(max_examples=30, deadline=None)
@given(LATE_ONES, st.randoms(use_true_random=False), st.integers(0, 99), st.booleans())
def test_whatever_comes_when_the_budget_and_the_reserve_are_kept_at_every_pane(
    late: list[Late], random: Random, seed: int, inherits: bool
) -> None:
    order = random.sample(range(len(late)), len(late))
    table = panes(late, order, seed)
    inherited = former() if inherits else None
    monitor = Monitor(RULES, GROUP, "prediction", RULES.reference, inherited)
    for pane in range(PANES):
        end_ms = (pane + 1) * RULES.pane_ms
        monitor.update(table.between(end_ms, end_ms))
        whole, of_late = spent(monitor)
        assert whole <= 1.0 - WEIGHTS["performance"] + 1e-9
        assert of_late <= LATE


def test_features_that_come_one_after_the_other_have_a_place_each_whatever_their_names() -> None:
    late = [Late(16 + 2 * i, 1.0, False, 2 * PANES, hardly=True) for i in range(5)]
    monitor = Monitor(RULES, GROUP, "prediction", RULES.reference)
    monitor.update(panes(late, [4, 3, 2, 1, 0], seed=1))
    watched = monitor._detection.watch.watched
    shares = [watched[f"feature:{place:02}", "null"].share for place in range(5)]
    assert shares == [late_share(place, judged=False) for place in (5, 4, 3, 2, 1)]
    again = restored(monitor, RULES)._detection.watch.watched
    assert [one.share for one in again.values()] == [one.share for one in watched.values()]
