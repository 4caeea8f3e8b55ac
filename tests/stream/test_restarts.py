"""Units that begin anew together are as if each had by itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.cusum_bank import CusumBank
from detectors.rank_scores import SCORE_UNIT
from stream.restarts import Restarts
from stream.unit_columns import UnitColumns
from stream.unit_tilts import Baseline, Terms, tilts_of
from stream.units import Unit


def terms_of(name: str, columns: int, events: int) -> Terms:
    unit = Unit(name, "shape" if columns > 1 else "null", columns)
    count = np.full(columns, 10_000)
    return Terms(unit, Baseline(np.full(columns, events), count), 0.01, 1e-5, None)


def shift_of(name: str, mean: int) -> Terms:
    x, xx = np.array([mean * SCORE_UNIT]), 10_000 * SCORE_UNIT**2
    return Terms(Unit(name, "shift"), Baseline(x, np.array([10_000]), xx), 0.1, 1e-5, None)


TERMS = [
    terms_of("feature:a", 1, 100),
    terms_of("feature:b", 3, 500),
    shift_of("feature:b", 0),
    terms_of("feature:c", 1, 7),
]
UNITS = [terms.unit for terms in TERMS]


def driven() -> tuple[CusumBank, UnitColumns]:
    bank, columns = CusumBank(tilts_of(TERMS)), UnitColumns(UNITS)
    rng = np.random.default_rng(1)
    n = np.full((40, len(bank)), 50)
    bank.update(np.arange(40), rng.binomial(n, 0.03), n)
    return bank, columns


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3_000)), max_size=6),
    st.lists(st.integers(0, 3), max_size=6),
)
def test_all_at_once_is_as_one_by_one(begun: list[tuple[int, int]], asked: list[int]) -> None:
    (once, columns), (each, _) = driven(), driven()
    restarts = Restarts(once, columns)
    for place, (number, events) in enumerate(begun):
        unit = UNITS[number]
        is_shift = unit.measure == "shift"
        terms = (
            shift_of(unit.name, events) if is_shift else terms_of(unit.name, unit.columns, events)
        )
        restarts.begin(unit.key, terms)
        each.restart(columns[unit.key], tilts_of([terms]))
        if place < len(asked):  # in between somebody asks
            key = UNITS[asked[place]].key
            of = columns[key]
            bank = restarts.bank_of(key)
            assert bank.are_held(of) == each.are_held(of)
            assert bank.warning(of).tolist() == each.warning()[of].tolist()
    restarts.settle()
    assert once.held.tolist() == each.held.tolist()
    for mine, its in (
        (once.snapshot(), each.snapshot()),
        (once.tilts.snapshot(), each.tilts.snapshot()),
    ):
        for name, values in its.items():
            np.testing.assert_array_equal(mine[name], values)
