"""Units that are read together have the numbers that each has alone."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from detectors import native
from stream.columns import Rows
from stream.frozen_table import FrozenTable
from stream.identity import hash_ids
from stream.pane_evidence import PaneReader
from stream.panes import PaneTable, collapse, summarise
from stream.profile import Profile
from stream.rate_events import faults
from stream.reference import Reference
from stream.unit_reading import Asked, Together
from stream.units import FAULTS, Measure, Unit, is_fault
from tests.cells import feature_columns
from tests.parsers import Called

GROUP = ("m", "1", "champion", "")
MOST = 50  # categories


def panes_of(random: Random, rows: int, names: str, moved: float = 0.0) -> PaneTable:
    """`a` to `d` are numbers (of `c` some are texts), `y` years, `t` texts; some are missing."""
    draws: dict[str, Any] = {
        "a": lambda: random.gauss(moved, 1.0),
        "b": lambda: random.choice((None, 0.0, 1.5, random.expovariate(1.0 + moved))),
        "c": lambda: random.choice((random.random(), random.random(), "text", [1])),
        "d": lambda: 10.0 ** random.uniform(-3.0, 3.0 + moved),
        "y": lambda: 2000 + random.randrange(20),
        "t": lambda: random.choice("xyzuvw"[: 4 + (moved > 0)]),
    }
    cells = [{n: draws[n]() for n in names if random.random() < 0.9} for _ in range(rows)]
    texts: dict[int, str] = {}
    columns = feature_columns(cells, "feature:", texts)
    ends = 1_000 * (1 + np.sort([random.randrange(5) for _ in range(rows)]))
    hashes = hash_ids([str(random.random()) for _ in range(rows)])[:, 0].copy()
    return summarise(Rows(ends, hashes, columns, texts), 64, MOST)


def profile(table: PaneTable) -> Profile:
    whole = collapse([table], table.last_end_ms, 64, MOST)
    return Profile(Reference(GROUP, "prediction", 0, 5_000, FrozenTable(whole)), 20, MOST)


def asked(of: Profile, names: str) -> list[Asked]:
    units: list[Asked] = []
    for name in (f"feature:{n}" for n in names):
        numbers, texts = of.number(name), of.text(name)
        if numbers is not None:
            units += [(Unit(name, "shift"), of, True)]
            units += [(Unit(name, "shape", len(numbers.bins)), of, True)]
        elif texts is not None:
            units += [(Unit(name, "shape", len(texts.bins)), of, False)]
        measures: list[Measure] = [fault for fault in FAULTS if fault != "unlabelled"]
        units += [(Unit(name, measure), of, numbers is not None) for measure in measures]
    return units


def alone(run: PaneTable, unit: Unit, of: Profile, *, numeric: bool) -> tuple[Any, Any, Any]:
    """x, n, xx of one unit: (panes, columns) each."""
    feature, panes = run.features.get(unit.name), len(run)
    if is_fault(unit.measure):
        x, n = faults(
            run, feature, unit.measure, numeric=numeric, profile=of, name=unit.name,
            max_categories=MOST,
        )  # fmt: skip
        return x[:, None], n[:, None], x[:, None]
    if feature is None:
        none = np.zeros((panes, unit.columns), np.int64)
        return none, none, none
    pane = np.searchsorted(run.pane_end, run.sample.pane_end).astype(np.int64)
    numbers, texts = of.number(unit.name), of.text(unit.name)
    if unit.measure == "shift":
        assert numbers is not None
        count, x, xx = numbers.sums(numbers.cells(run, unit.name, pane), panes)
        return x[:, None], count[:, None], xx[:, None]
    if numeric:
        assert numbers is not None
        x = numbers.shape(numbers.cells(run, unit.name, pane), panes)
    else:
        assert texts is not None
        x = texts.shape(feature, panes)
    return x, np.repeat(x.sum(axis=1)[:, None], unit.columns, axis=1), x


@pytest.mark.parametrize("way", ["numpy", "c"])
@pytest.mark.parametrize("seed", range(12))
def test_units_read_together_are_those_read_alone(
    seed: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    one, other = profile(panes_of(random, 400, "abcdyt")), profile(panes_of(random, 90, "ad"))
    units = [*asked(one, "abcdyt"), *asked(other, "ad")]
    random.shuffle(units)
    names = "".join(random.sample("abcdyt", random.randrange(7)))
    run = panes_of(random, random.choice((1, 60)), names, random.choice((0.0, 0.7)))
    if way == "c" and not native.IS_BUILT:
        pytest.skip("no compiler")
    called = Called(native.EXTENSION)
    monkeypatch.setattr(native, "EXTENSION", called)
    monkeypatch.setattr(native, "IN_USE", way == "c")
    read = PaneReader(run, MOST).read(Together(units))
    assert called.names == ({"ranks", "faults"} if way == "c" else set())
    first = 0
    for unit, of, numeric in units:
        at = slice(first, first + unit.columns)
        first += unit.columns
        found = (read.x[:, at], read.n[:, at], read.xx[:, at])
        expected = alone(run, unit, of, numeric=numeric)
        for array, wanted in zip(found, expected, strict=True):
            assert array.tolist() == wanted.tolist(), unit
