"""The bank of CUSUMs: equal to one naive account a tilt, exact however the panes are cut."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import native
from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.budget_change import rethreshold
from detectors.cusum_bank import Crossings, CusumBank
from detectors.rank_scores import SCORE_UNIT
from detectors.score_tilts import score_tilts
from detectors.tilts import NATS, Tilts

Ints = npt.NDArray[np.int64]


@pytest.fixture(autouse=True, params=["numpy", "c"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extension, where there is one, and without it."""
    if request.param == "c" and not native.IS_BUILT:
        pytest.skip("no compiler")
    monkeypatch.setattr(native, "IN_USE", request.param == "c")


COLUMNS = ("series", "pane", "theta", "statistic", "threshold", "since", "n_since", "x_since")


def some_tilts(rate: float = 1e-3) -> Tilts:
    """Two rates and two numeric series, of which one has a dependence."""
    rates = bernoulli_tilts([20, 0], [1000, 300], rate=rate)
    return Tilts.concat([rates, score_tilts([1000, 400], rate=rate, tau=[1.0, 1.5])])


def some_panes(panes: int, seed: int, shifted: bool = True) -> tuple[Ints, Ints, Ints]:
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 6, (panes, 4))
    late = (np.arange(panes) > panes / 2)[:, None] & shifted
    events = rng.binomial(n, np.where(late, 0.3, 0.02))
    noise = rng.standard_normal((panes, 4)) * np.sqrt(n) + np.where(late, 0.8, 0.0) * n
    scores = np.rint(noise * SCORE_UNIT).astype(np.int64)
    x = np.where(np.arange(4) < 2, events, scores)
    return np.cumsum(rng.integers(1, 9, panes)), x, n


def naive(tilts: Tilts, position: Ints, x: Ints, n: Ints) -> list[tuple[object, ...]]:
    """Each account by its definition, in fractions; a series stops where one of its tilts tells."""
    found = []
    for s in range(len(tilts)):
        accounts = [Fraction(0)] * tilts.gain.shape[1]
        begun: list[tuple[int, int, int]] = [(0, 0, 0)] * len(accounts)
        for row in range(len(position)):
            if n[row, s] == 0:
                continue
            for k in range(len(accounts)):
                pays = int(x[row, s]) * int(tilts.gain[s, k]) + int(n[row, s]) * int(
                    tilts.cost[s, k]
                )
                fresh = accounts[k] == 0
                accounts[k] = max(Fraction(0), accounts[k] + Fraction(pays, NATS))
                where, count, total = (int(position[row]), 0, 0) if fresh else begun[k]
                begun[k] = (where, count + int(n[row, s]), total + int(x[row, s]))
            bar = [Fraction(int(v), NATS) for v in tilts.threshold[s]]
            told = [k for k in range(len(accounts)) if accounts[k] >= bar[k]]
            if told:
                best = max(told, key=lambda k: (accounts[k], -k))
                theta = float(np.float32(tilts.theta[s, best]))  # seven digits of it are kept
                found.append((row, s, theta, float(accounts[best]),
                              float(bar[best]), *begun[best]))  # fmt: skip
                break
    return sorted(found)


def as_rows(told: Crossings, offset: int = 0) -> list[tuple[object, ...]]:
    columns = (told.pane + offset, told.series, told.theta, told.statistic, told.threshold,
               told.since, told.n_since, told.x_since)  # fmt: skip
    return list(zip(*(c.tolist() for c in columns), strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_a_bank_tells_what_naive_accounts_tell(seed: int) -> None:
    position, x, n = some_panes(400, seed)
    tilts = some_tilts()
    expected = naive(tilts, position, x, n)
    assert len(expected) == 4
    assert as_rows(CusumBank(tilts).update(position, x, n)) == expected


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 120), max_size=6))
def test_cutting_and_restoring_anywhere_change_no_bit(seed: int, cuts: list[int]) -> None:
    position, x, n = some_panes(120, seed)
    tilts = some_tilts()
    whole, bank = CusumBank(tilts), CusumBank(tilts)
    expected = as_rows(whole.update(position, x, n))
    told = []
    edges = [0, *sorted(cuts), 120]
    for start, end in pairwise(edges):
        told += as_rows(bank.update(position[start:end], x[start:end], n[start:end]), start)
        bank = CusumBank.restore(Tilts.restore(tilts.snapshot()), bank.snapshot())
    assert told == expected
    for name, values in whole.snapshot().items():
        np.testing.assert_array_equal(values, bank.snapshot()[name])


def test_series_do_not_depend_on_each_other() -> None:
    position, x, n = some_panes(300, 4)
    tilts = some_tilts()
    together, apart = CusumBank(tilts), CusumBank(tilts)
    expected = as_rows(together.update(position, x, n))
    told = []
    for s in range(4):
        told += as_rows(apart.update(position, x[:, [s]], n[:, [s]], series=[s]))
    assert sorted(told) == expected


def test_rows_without_values_change_nothing_whatever_their_sums() -> None:
    position, x, n = some_panes(200, 8)
    tilts = some_tilts()
    plain, padded = CusumBank(tilts), CusumBank(tilts)
    told = plain.update(position, x, n)
    empty = np.zeros((1, 4), dtype=np.int64)
    again = []
    for row in range(200):
        padded.update(position[row : row + 1] - 1, empty + 99, empty)
        again += as_rows(padded.update(*(v[row : row + 1] for v in (position, x, n))), row)
    assert again == as_rows(told)


def test_long_updates_are_worked_in_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    position, x, n = some_panes(300, 3)
    expected = as_rows(CusumBank(some_tilts()).update(position, x, n))
    monkeypatch.setattr("detectors.cusum_bank._CELLS", 700)
    assert as_rows(CusumBank(some_tilts()).update(position, x, n)) == expected


def test_a_series_that_crossed_is_deaf_until_it_is_restarted() -> None:
    tilts = bernoulli_tilts([100], [10_000], rate=1e-6)
    bank = CusumBank(tilts)
    ones = np.ones((100, 1), dtype=np.int64)
    first = bank.update(np.arange(100), ones, ones)
    assert len(first) == 1
    assert bank.held.tolist() == [True]
    assert bank.level().tolist() == [1.0]
    assert bank.warning().tolist() == [True]
    assert len(bank.update(np.arange(100, 200), ones, ones)) == 0
    bank.restart([0], bernoulli_tilts([100], [100], rate=1e-6))  # all events: the new normal
    assert bank.held.tolist() == [False]
    assert len(bank.update(np.arange(200, 300), ones, ones)) == 0


def test_the_estimated_change_and_what_came_since() -> None:
    rng = np.random.default_rng(1)
    events = (rng.random(3000) < np.where(np.arange(3000) < 2000, 0.1, 0.3)).astype(np.int64)
    bank = CusumBank(bernoulli_tilts([5000], [50_000], rate=5e-7))
    told = bank.update(10 * np.arange(3000), events[:, None], np.ones((3000, 1), dtype=np.int64))
    first, last = int(told.since[0]) // 10, int(told.pane[0])
    assert told.theta[0] > 0
    assert 1980 <= first <= 2020
    assert 2000 < last < 2150
    assert told.n_since[0] == last - first + 1
    assert told.x_since[0] == events[first : last + 1].sum()


def test_thresholds_lowered_below_an_account_tell_at_the_next_pane_with_values() -> None:
    tilts = score_tilts([10_000], rate=1e-9)
    bank = CusumBank(tilts)
    shift = np.full((1, 1), SCORE_UNIT, dtype=np.int64)
    one, none = np.ones((1, 1), dtype=np.int64), np.zeros((1, 1), dtype=np.int64)
    here = np.zeros(1, dtype=np.int64)
    while bank.level()[0] < 0.8:
        bank.update(here, shift, one)
    lower = rethreshold(tilts, 1e-4)
    assert (lower.threshold < tilts.threshold)[tilts.theta != 0].all()
    bank.replace(lower)
    assert len(bank.update(here, none, none)) == 0
    assert len(bank.update(here, shift, one)) == 1


def test_more_series_may_come_and_some_may_go() -> None:
    position, x, n = some_panes(200, 5)
    tilts = some_tilts()
    expected = as_rows(CusumBank(tilts).update(position, x, n))
    bank = CusumBank(tilts.take([0, 1]))
    bank.extend(tilts.take([2, 3]))
    assert len(bank) == 4
    assert as_rows(bank.update(position, x, n)) == expected
    half = CusumBank(tilts)
    half.update(position[:60], x[:60], n[:60])
    fewer = half.take([3, 1])
    rest = as_rows(fewer.update(position[60:], x[60:][:, [3, 1]], n[60:][:, [3, 1]]), 60)
    rows = {(row[0], [3, 1][row[1]], *row[2:]) for row in rest}
    assert rows == {row for row in expected if row[0] >= 60 and row[1] in (1, 3)}


def test_a_bank_of_no_series_tells_nothing_and_takes_in_others() -> None:
    tilts = some_tilts()
    none = CusumBank(tilts).take([])
    assert len(none) == 0
    assert len(none.update(np.arange(2), *np.zeros((2, 2, 0), np.int64))) == 0
    none.extend(tilts)
    position, x, n = some_panes(200, 5)
    assert as_rows(none.update(position, x, n)) == as_rows(CusumBank(tilts).update(position, x, n))


def test_what_cannot_be_is_refused() -> None:
    bank = CusumBank(some_tilts())
    position, x, n = some_panes(10, 0)
    with pytest.raises(ValueError, match="panes"):
        bank.update(position[:5], x, n)
    with pytest.raises(ValueError, match="negative"):
        bank.update(position, x, n - 10)
    with pytest.raises(ValueError, match=r"2\^30"):
        bank.update(position, x, n + 2**30)
    with pytest.raises(ValueError, match="tilts"):
        bank.replace(bank.tilts.take([0]))
    with pytest.raises(ValueError, match="account"):
        CusumBank.restore(bank.tilts.take([0]), bank.snapshot())


@pytest.mark.parametrize("seed", range(4))
def test_to_begin_anew_is_to_restart_by_the_same_tilts(seed: int) -> None:
    position, x, n = some_panes(200, seed)
    tilts = some_tilts()
    anew, restarted = CusumBank(tilts), CusumBank(tilts)
    for bank in (anew, restarted):
        bank.update(position, x, n)
        bank.rest()
    anew.begin_anew([0, 2])
    restarted.restart([0, 2], tilts.take([0, 2]))
    assert not anew.are_held(np.array([0, 2]))
    for name, values in restarted.snapshot().items():
        np.testing.assert_array_equal(values, anew.snapshot()[name])


def test_a_bank_at_rest_is_read_without_waking_it_and_what_is_made_of_it_rests() -> None:
    position, x, n = some_panes(60, seed=3, shifted=False)
    bank = CusumBank(some_tilts())
    bank.update(position, x, n)
    awake, level = bank.snapshot(), bank.level()
    bank.rest()
    assert (bank.level() == level).all()
    for name, values in bank.snapshot().items():
        np.testing.assert_array_equal(values, awake[name])
    assert not bank._awake
    bank.replace(bank.tilts)
    made = [bank, CusumBank.restore(bank.tilts, bank.snapshot()), bank.take([2, 3])]
    assert not any(one._awake for one in (*made, CusumBank(some_tilts())))
