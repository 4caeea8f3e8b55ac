"""Joint scores: a shift between features that no single one shows is found, within the budget."""

import numpy as np
import numpy.typing as npt
import pytest

from detectors.cusum_bank import CusumBank
from detectors.joint_scores import PAIRS, PROJECTIONS, JointScores
from detectors.rank_scores import SCORE_UNIT
from detectors.score_tilts import score_tilts

Ints = npt.NDArray[np.int64]
RATE = 0.05 * 0.5e-6  # the reserve of a model's budget


def rows(rng: np.random.Generator, count: int, features: int, correlation: float) -> Ints:
    """Of independent features, but for the first two."""
    z = rng.standard_normal((count, features))
    z[:, 1] = correlation * z[:, 0] + np.sqrt(1 - correlation**2) * z[:, 1]
    return np.rint(z * SCORE_UNIT).astype(np.int64)


def names(features: int) -> list[str]:
    return [f"feature {i}" for i in range(features)]


def watched(joint: JointScores, rate: float = RATE) -> CusumBank:
    contrasts = len(joint.contrasts)
    return CusumBank(score_tilts(joint.counts.sum(axis=1), rate=rate / contrasts))


def test_a_correlation_that_vanishes_is_found_where_no_feature_changes() -> None:
    rng = np.random.default_rng(1)
    joint = JointScores(names(6), rows(rng, 10_000, 6, 0.8))
    bank = watched(joint)
    quiet = joint.score(rows(rng, 5000, 6, 0.8))
    assert len(bank.update(np.arange(5000), quiet, np.ones_like(quiet))) == 0
    moved = joint.score(rows(rng, 1000, 6, 0.0))
    told = bank.update(np.arange(1000), moved, np.ones_like(moved))
    assert joint.contrasts[told.series[0]] == ("feature 0", "feature 1")
    assert told.theta[0] < 0
    assert told.pane[0] < 200


def test_among_many_features_their_sum_sees_a_common_cause() -> None:
    rng = np.random.default_rng(2)
    joint = JointScores(names(100), rows(rng, 5000, 100, 0.0))
    assert len(joint.contrasts) == PAIRS + PROJECTIONS
    bank = watched(joint)
    moved = rows(rng, 2000, 100, 0.0) + np.rint(
        rng.standard_normal((2000, 1)) * 0.5 * SCORE_UNIT
    ).astype(np.int64)
    scores = joint.score((moved / np.sqrt(1.25)).astype(np.int64))  # each feature as before
    told = bank.update(np.arange(2000), scores, np.ones_like(scores))
    assert told.series[0] == PAIRS  # the first of the projections: all signs alike
    assert told.pane[0] < 60


def test_false_alarms_of_all_contrasts_together_are_within_the_rate() -> None:
    rng = np.random.default_rng(3)
    alarms, total, rate = 0, 0, 1e-4
    for _ in range(20):
        joint = JointScores(names(5), rows(rng, 4000, 5, 0.5))
        bank = watched(joint, rate)
        for _ in range(4):
            scores = joint.score(rows(rng, 1000, 5, 0.5))
            told = bank.update(np.arange(1000), scores, np.ones_like(scores))
            bank.restart(told.series, bank.tilts.take(told.series))
            alarms, total = alarms + len(told), total + 1000
    assert alarms <= 1.5 * rate * total


def test_which_contrasts_there_are_depends_on_names_alone() -> None:
    rng = np.random.default_rng(4)
    some = rows(rng, 300, 20, 0.0)
    order = rng.permutation(20)
    one = JointScores(names(20), some)
    other = JointScores([names(20)[i] for i in order], some[:, order])
    assert {frozenset(c) for c in one.contrasts} == {frozenset(c) for c in other.contrasts}


def test_a_snapshot_scores_alike_and_rows_one_by_one_score_as_together() -> None:
    rng = np.random.default_rng(5)
    joint = JointScores(names(4), rows(rng, 500, 4, 0.3))
    more = rows(rng, 50, 4, 0.3)
    expected = joint.score(more)
    np.testing.assert_array_equal(JointScores.restore(joint.snapshot()).score(more), expected)
    np.testing.assert_array_equal(np.concatenate([joint.score(r[None]) for r in more]), expected)


def test_rows_that_join_are_as_if_they_had_been_there() -> None:
    rng = np.random.default_rng(7)
    all_rows = rows(rng, 900, 4, 0.3)
    joint = JointScores(names(4), all_rows[:300])
    joint.join(joint.tally(joint.cells(all_rows[300:])))
    whole = JointScores(names(4), all_rows)
    np.testing.assert_array_equal(joint.counts, whole.counts)
    np.testing.assert_array_equal(joint.score(all_rows), whole.score(all_rows))


def test_what_cannot_be_is_refused() -> None:
    some = rows(np.random.default_rng(6), 300, 3, 0.0)
    with pytest.raises(ValueError, match="named once"):
        JointScores(["a", "a", "b"], some)
    with pytest.raises(ValueError, match="one row"):
        JointScores(names(3), some[:0])
    with pytest.raises(ValueError, match="rows of 4"):
        JointScores(names(4), some)
    with pytest.raises(ValueError, match="too large"):
        JointScores(names(3), some * 2**20)
