"""What inputs have been like is told alike however far they have come since."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.rank_scores import SCORE_UNIT
from stream.inputs import KEPT_MS, PARTS, SPAN, Inputs
from stream.pane_evidence import Evidence
from stream.snapshot import pack, unpack
from stream.units import Unit
from stream.watched import Stake, Watched, WatchedUnits

PANE_MS = 1_000


class Known:
    """A profile that knows 500 values, or as many of each of three categories."""

    reference, count, bins = None, 500, np.full(3, 500)

    def number(self, name: str) -> Known:
        return self

    def text(self, name: str) -> Known:
        return self

    def season(self, name: str) -> None:
        return None


KNOWN: Any = Known()


def watched(name: str, bins: int = 0) -> Watched:
    unit = Unit(f"feature:{name}", "shape" if bins else "shift", bins or 1)
    return Watched(unit, KNOWN, Stake(not bins, 0.1, 0.1, 1e-6))


ONES = WatchedUnits([watched("a"), watched("b", 3)])


def evidence(seed: int, panes: int) -> Evidence:
    random = np.random.default_rng(seed)
    x = random.integers(0, 50, (panes, 4)) * np.array([SCORE_UNIT // 100, 1, 1, 1])
    return Evidence(x, random.integers(1, 9, (panes, 4)), x)


def rows(of: Evidence, low: int, high: int) -> Evidence:
    return Evidence(of.x[low:high], of.n[low:high], of.xx[low:high])


@given(
    seed=st.integers(0, 1_000),
    gaps=st.lists(st.sampled_from([1, 2, 7, 40, 900]), min_size=200, max_size=400),
    cuts=st.lists(st.integers(1, 399), max_size=6),
    asked=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
    restored=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_an_answer_does_not_depend_on_batches_or_on_what_came_later(
    seed: int,
    gaps: list[int],
    cuts: list[int],
    asked: list[tuple[float, float]],
    restored: bool,
) -> None:
    starts = np.cumsum(gaps) * PANE_MS
    of = evidence(seed, len(starts))
    questions = sorted(
        (int(until * starts[-1]), int(since * until * starts[-1])) for since, until in asked
    )

    # each question when just so much is there, pane by pane
    plain = Inputs(PANE_MS)
    plain.arrange(ONES, ())
    answers, done = [], 0
    for until_ms, since_ms in questions:
        upto = int(np.searchsorted(starts + PANE_MS, until_ms, "right"))
        for at in range(done, upto):
            plain.add(starts[at : at + 1], rows(of, at, at + 1))
        done = max(done, upto)
        answers.append(plain.since(since_ms, until_ms))

    # all of it first, in other batches, and put together as far as questions allow
    late = Inputs(PANE_MS)
    late.arrange(ONES, ())
    edges = sorted({0, len(starts), *(cut for cut in cuts if cut < len(starts))})
    for low, high in pairwise(edges):
        late.add(starts[low:high], rows(of, low, high))
    for (until_ms, since_ms), answer in zip(questions, answers, strict=True):
        late.settle(until_ms, at_once=True)
        if restored:
            state = unpack(b"X", 1, pack(b"X", 1, {"inputs": late.snapshot()}))
            late = Inputs(PANE_MS)
            late.restore(state["inputs"], ONES)
        assert late.since(since_ms, until_ms) == answer


def test_only_whole_blocks_within_the_time_asked_for_count() -> None:
    inputs = Inputs(PANE_MS)
    inputs.arrange(ONES, ())
    panes = SPAN * PARTS
    calm, moved = np.zeros((panes, 4), np.int64), np.full((panes, 4), SCORE_UNIT)
    ones = np.ones((panes, 4), np.int64)
    half = panes * PANE_MS
    inputs.add(np.arange(panes) * PANE_MS, Evidence(calm, ones, calm))
    inputs.add(half + np.arange(panes) * PANE_MS, Evidence(moved, ones, moved))
    (before, _), (after, _) = inputs.since(0, half), inputs.since(half, 2 * half)
    assert before.difference is not None
    assert after.difference is not None
    assert before.difference.estimate == 0.0
    assert after.difference.estimate == 1.0
    assert inputs.since(half, half) == []
    assert inputs.since(0, KEPT_MS + 1) == []


def test_what_is_put_together_is_little() -> None:
    """A year of panes, and two months of questions."""
    inputs = Inputs(PANE_MS)
    inputs.arrange(ONES, ())
    of = evidence(1, 1_000)
    for day in range(365):
        starts = day * 86_400_000 + np.arange(1_000) * 86_400
        inputs.add(starts // PANE_MS * PANE_MS, of)
        inputs.settle(int(starts[-1]), at_once=True)
    ((_, _, starts, _),) = inputs.snapshot()
    assert len(starts) <= PARTS * 20


def test_another_yardstick_begins_another_era() -> None:
    inputs = Inputs(PANE_MS)
    inputs.arrange(ONES, ())
    of, panes = evidence(3, 600), np.arange(600) * PANE_MS
    inputs.add(panes, of)
    answer = inputs.since(0, 600_999)
    assert answer[0].difference is not None
    inputs.arrange(ONES, {("feature:a", "shift")})
    inputs.add(600_000 + panes, of)
    assert inputs.since(0, 600_999) == answer
    assert inputs.since(0, 601_000)[0].difference is None  # of the new era nothing is whole yet
    assert inputs.since(600_000, 1_200_000)[0].difference is not None
