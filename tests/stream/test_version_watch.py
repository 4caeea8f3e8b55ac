"""Versions beside the one to go back to: in the same hours where both answer, else a reference."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from stream.columns import Rows, number_column
from stream.frozen_table import FrozenTable
from stream.panes import PaneTable, collapse, summarise
from stream.reference import Reference
from stream.rules import HOUR_MS, RollbackRule
from stream.snapshot import pack, unpack
from stream.version_watch import VersionTold, VersionWatch

MINUTE = 60_000
Errors = dict[int, list[float]]


def drawn(random: Random, minutes: range, rate: float) -> Errors:
    """Five judged predictions a minute."""
    return {
        MINUTE * (minute + 1): [float(random.random() < rate) for _ in range(5)]
        for minute in minutes
    }


def table(errors: Errors) -> PaneTable:
    ends = np.repeat(np.array([*errors], np.int64), [len(of) for of in errors.values()])
    values = np.concatenate([np.array(of) for of in errors.values()])
    columns = {"outcome:error": number_column(values)}
    return summarise(Rows(ends, np.arange(len(ends), dtype=np.uint64), columns, {}), 4, 4)


def reference(errors: Errors) -> Reference:
    group = ("m", "1", "champion", "")
    whole = collapse([table(errors)], max(errors), 4, 4)
    return Reference(group, "cohort", min(errors), max(errors), FrozenTable(whole))


def watched(
    own: Errors, other: Errors, cuts: list[int], known: Errors | None = None
) -> list[VersionTold]:
    """Released together up to each cut, stored and restored between."""
    watch = VersionWatch("1", RollbackRule(alpha=0.05), min(own), 1.0)
    if known:
        watch.know(reference(known))
    told: list[VersionTold] = []
    since = 0
    for cut in [*cuts, 10**12]:
        parts = [{end: of for end, of in one.items() if since < end <= cut} for one in (own, other)]
        told += watch.update(*([table(part)] if part else [] for part in parts))
        watch = VersionWatch.from_plain(unpack(b"V", 1, pack(b"V", 1, watch.to_plain())))
        since = cut
    return told


def test_a_version_that_errs_more_than_the_other_in_the_same_hours_is_worse() -> None:
    random = Random(1)
    own, other = (drawn(random, range(600), rate) for rate in (0.2, 0.1))
    (told,) = watched(own, other, [])
    assert told.is_worse
    assert told.reference_id == ""
    assert told.other.n <= told.own.n
    for _ in range(5):
        cuts = sorted(random.sample(range(600 * MINUTE), 12))
        assert watched(own, other, cuts) == [told]


def test_hours_in_which_only_one_answers_do_not_count() -> None:
    """The other one errs as much, but has answered in the quiet hours only."""
    random = Random(2)
    quiet, busy = range(300), range(300, 900)
    own = drawn(random, quiet, 0.1) | drawn(random, busy, 0.4)
    other = drawn(random, quiet, 0.1)
    assert watched(own, other, []) == []


@pytest.mark.parametrize(("rate", "is_worse"), [(0.1, False), (0.25, True)])
def test_one_that_answers_alone_is_compared_with_the_reference(rate: float, is_worse: bool) -> None:
    random = Random(3)
    known = drawn(random, range(600), 0.1)
    own = drawn(random, range(700, 1_300), rate)
    told = watched(own, {}, [800 * MINUTE], known)
    assert [one.is_worse for one in told] == [True] * is_worse
    assert all(one.reference_id.startswith("ref-") for one in told)


def test_without_anything_to_compare_with_nothing_is_told() -> None:
    assert watched(drawn(Random(4), range(600), 0.9), {}, []) == []


def test_once_it_is_no_worse_it_is_quiet() -> None:
    random = Random(5)
    other = drawn(random, range(4_000), 0.1)
    own = drawn(random, range(300), 0.3) | drawn(random, range(300, 4_000), 0.05)
    told = watched(own, other, [HOUR_MS])
    assert [one.is_worse for one in told] == [True, False]
