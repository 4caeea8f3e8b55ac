"""Experiments pane by pane: the same decisions however panes are released, and restored between."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from stream.columns import NUMBER, Column, Rows, number_column
from stream.experiment_watch import ALONE_MS, SUBJECTS, Decided, ExperimentWatch
from stream.panes import PaneTable, summarise
from stream.rules import DAY_MS, ExperimentRule
from stream.snapshot import pack, unpack

RULE = ExperimentRule("x", ("a", "b"), (0.5, 0.5), span_ms=40_000)
Row = tuple[int, int, int, float | None]
"""(pane end, variant, subject, error; None: not known)"""


def drawn(random: Random, count: int, *, shares: tuple[float, float], errors: Any) -> list[Row]:
    rows = []
    for n in range(count):
        subject = random.randint(1, 2**40)
        variant = int(random.random() >= shares[0])
        error = float(random.random() < errors[variant]) if random.random() < 0.9 else None
        rows.append((10 * (n // 3 + 1), variant, subject, error))
    return rows


def table(rows: list[Row]) -> PaneTable:
    ends, hashes = (np.array([row[i] for row in rows]) for i in (0, 2))
    known = np.array([row[3] is not None for row in rows])
    errors = number_column(np.array([row[3] or 0.0 for row in rows]))
    cells = Column(np.where(known, NUMBER, 1).astype(np.uint8), errors.bits)
    made = Rows(ends, hashes.astype(np.uint64), {"outcome:error": cells}, {})
    return summarise(made, 256, 4)


def watched(
    rows: list[Row], cuts: list[int], *, has_subjects: bool, rule: ExperimentRule = RULE
) -> tuple[list[Decided], dict[str, Any]]:
    watch = ExperimentWatch(rule, largest=1.0, has_subjects=has_subjects)
    told: list[Decided] = []
    since = 0
    for cut in [*cuts, 10**12]:
        arms = []
        for variant in range(len(rule.variants)):
            mine = [row for row in rows if row[1] == variant and since < row[0] <= cut]
            arms.append([("1", table(mine))] if mine else [])
        told += watch.update(arms)
        watch = ExperimentWatch.from_plain(unpack(b"X", 1, pack(b"X", 1, watch.to_plain())))
        since = cut
    return told, watch.status()


@pytest.mark.parametrize("has_subjects", [True, False])
def test_how_panes_are_released_does_not_show(has_subjects: bool) -> None:
    random = Random(20261129)
    rows = drawn(random, 6_000, shares=(0.5, 0.5), errors=(0.1, 0.2))
    whole = watched(rows, [], has_subjects=has_subjects)
    assert [told.decision for told in whole[0]] == ["loser"]
    for _ in range(3):
        cuts = sorted(random.sample(range(20_000), 30))
        assert watched(rows, cuts, has_subjects=has_subjects) == whole


def test_of_equal_variants_nothing_is_decided_until_the_span_is_over() -> None:
    rows = drawn(Random(1), 15_000, shares=(0.5, 0.5), errors=(0.1, 0.1))
    (told,), status = watched(rows, [], has_subjects=False)
    assert told.decision == "undecided"
    assert told.end_ms >= told.since_ms + RULE.span_ms
    assert status["is_over"]


def test_a_difference_within_the_margin_is_none() -> None:
    rows = drawn(Random(2), 15_000, shares=(0.5, 0.5), errors=(0.1, 0.2))
    rule = ExperimentRule("x", ("a", "b"), (0.5, 0.5), margin=0.15, span_ms=40_000)
    (told,), _ = watched(rows, [], has_subjects=False, rule=rule)
    assert told.decision == "undecided"


def test_where_subjects_are_not_dealt_as_planned_nothing_is_decided() -> None:
    rows = drawn(Random(3), 15_000, shares=(0.6, 0.4), errors=(0.1, 0.3))
    (mismatch, last), _ = watched(rows, [], has_subjects=True)
    assert (mismatch.decision, mismatch.variant) == ("mismatch", 1)
    assert last.decision == "undecided"


def test_a_variant_that_begins_later_or_ends_sooner_is_no_mismatch() -> None:
    rows = drawn(Random(4), 15_000, shares=(0.5, 0.5), errors=(0.1, 0.1))
    rows = [row for row in rows if row[1] == 0 or 10_000 < row[0] < 30_000]
    told, status = watched(rows, [], has_subjects=True)
    assert told == []
    assert not status["is_mismatched"]
    assert ALONE_MS == DAY_MS  # so long the other one waits for it


def test_a_subject_that_meets_both_variants_is_of_the_first() -> None:
    rows: list[Row] = [(10, 0, 7, 0.0), (10, 1, 8, 0.0), (20, 0, 9, 0.0), (20, 1, 10, 1.0)]
    rows += [(30, 1, 9, 1.0), (40, 0, 1, 0.0), (40, 1, 2, 0.0), (50, 0, 3, 0.0), (50, 1, 4, 0.0)]
    _, status = watched(rows, [25], has_subjects=True)
    assert status["crossed"] == 1
    assert [arm["subjects"] for arm in status["arms"]] == [2, 2]


def test_there_is_room_for_so_many_subjects_those_with_the_smallest_hashes() -> None:
    rows: list[Row] = [(10, 0, 1, 0.0), (10, 1, 2, 0.0)]
    count = SUBJECTS + 500
    rows += [
        (20 + 10 * (n // 200), n % 2, 10 + 7 * ((n * 7919) % count), 0.0) for n in range(count)
    ]
    rows += [(10**6, 0, 1, 0.0), (10**6, 1, 2, 0.0)]
    rule = ExperimentRule("x", ("a", "b"), (0.5, 0.5), span_ms=10**9)
    _, status = watched(rows, [], has_subjects=True, rule=rule)
    assert sum(arm["subjects"] for arm in status["arms"]) == SUBJECTS
