"""Rows have the scores of their features, with the extension as without it."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from detectors import native
from stream.joint_rows import JointRows
from stream.reference import Season
from tests.parsers import Called
from tests.stream.test_unit_reading import panes_of, profile


@pytest.mark.parametrize("has_season", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_rows_are_scored_as_value_by_value(
    seed: int, has_season: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    law = profile(panes_of(random, 300, "abcdyt"))
    if has_season:
        hours = np.array([random.randrange(-9_000, 9_000) for _ in range(24)])
        seasons = {"feature:a": Season(hours, 0, 1, 1.0, 0)}
        object.__setattr__(law.reference, "seasons", seasons)
    numeric = {f"feature:{name}": name != "t" for name in "abcdyt"}
    run = panes_of(random, 60, "".join(random.sample("abcdyt", 4)), 0.7)
    found = []
    called = Called(native.EXTENSION)
    monkeypatch.setattr(native, "EXTENSION", called)
    for in_use in (False, native.IS_BUILT):
        assert not called.names
        monkeypatch.setattr(native, "IN_USE", in_use)
        joint = JointRows(law, numeric, pairs=32, per_pane=16)
        cells = joint.read(run)
        found.append((joint.joint.counts, cells.of_rows, cells.cuts))
    assert called.names - {"quantiles"} == ({"row_scores"} if native.IS_BUILT else set())
    for by_numpy, in_c in zip(*found, strict=True):
        assert by_numpy.tolist() == in_c.tolist()
