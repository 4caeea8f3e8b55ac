"""References that grow: pooled exactly, and blind to nothing large from 200 values on."""

import numpy as np
import pytest

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.cusum_bank import CusumBank
from detectors.rank_scores import SCORE_UNIT
from detectors.score_tilts import score_tilts
from detectors.working_reference import merge_events, merge_scores, provisional_due


def test_events_add() -> None:
    k, n = merge_events([3, 0], [10, 20], [5, 1], [5, 30])
    assert (k.tolist(), n.tolist()) == ([8, 1], [15, 50])
    with pytest.raises(ValueError, match="events"):
        merge_events(3, 10, 9, 1)


def test_scores_pool_as_if_they_were_one_sample() -> None:
    rng = np.random.default_rng(1)
    z = np.rint(rng.normal(0.4, 1.3, 1000) * SCORE_UNIT).astype(np.int64)
    old, new = z[:600], z[600:]
    n, mean, sd = merge_scores(
        400, new.sum(), (new.astype(float) ** 2).sum(),
        n0=600, mean0=old.mean() / SCORE_UNIT, sd0=old.std() / SCORE_UNIT,
    )  # fmt: skip
    assert (int(n), float(mean), float(sd)) == pytest.approx(
        (1000, z.mean() / SCORE_UNIT, z.std() / SCORE_UNIT)
    )
    alone = merge_scores(400, new.sum(), (new.astype(float) ** 2).sum())
    assert float(alone[1]) == pytest.approx(new.mean() / SCORE_UNIT)
    with pytest.raises(ValueError, match="no values"):
        merge_scores(0, 0, 0)
    with pytest.raises(ValueError, match="squares"):
        merge_scores(10, 10 * SCORE_UNIT, 0)


def test_after_an_alarm_the_new_level_is_the_normal_one_and_the_next_change_is_found() -> None:
    rng = np.random.default_rng(2)
    z = rng.standard_normal(12_000) + np.repeat([0.0, 1.0, 2.0], 4000)
    x = np.rint(z * SCORE_UNIT).astype(np.int64)[:, None]
    n, at = np.ones_like(x), np.arange(12_000)
    bank = CusumBank(score_tilts([10_000], rate=5e-7))
    first = bank.update(at, x, n)
    assert 4000 <= first.pane[0] < 4060
    learnt = slice(first.pane[0] + 1, first.pane[0] + 1001)
    count, mean, sd = merge_scores([1000], x[learnt].sum(axis=0), (x[learnt] ** 2).sum(axis=0))
    bank.restart([0], score_tilts(count, rate=5e-7, mean=mean, sd=sd))
    rest = slice(learnt.stop, None)
    second = bank.update(at[rest], x[rest], n[rest])
    assert 8000 <= second.pane[0] + learnt.stop < 8060


def test_a_provisional_reference_sees_a_large_change_at_once() -> None:
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(50):
        nulls = (rng.random(700) < np.where(np.arange(700) < 500, 0.0, 0.3)).astype(np.int64)
        last, bank = 0, None
        for i in range(700):
            if provisional_due(i, last) and not (bank and bank.warning().any()):
                tilts = bernoulli_tilts([nulls[:i].sum()], [i], rate=5e-7, up_only=True)
                bank, last = CusumBank(tilts), i
            one = np.ones((1, 1), dtype=np.int64)
            if bank and len(bank.update(np.array([i]), nulls[i : i + 1, None], one)):
                found += 500 <= i < 600
                break
    assert found >= 48
