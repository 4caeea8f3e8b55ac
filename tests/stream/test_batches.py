"""From how many batches of panes it is said how values depend."""

from __future__ import annotations

import numpy as np
import pytest

from stream.batches import BATCHES, FEWEST, Batches
from stream.pane_evidence import Evidence

LARGE = 100  # rows of a pane, where a batch has ten


def gathered(panes: int, *, is_deployed: bool) -> Batches:
    batches = Batches(10 * BATCHES, is_deployed=is_deployed)
    rows = np.full((panes, 1), LARGE)
    batches.add(Evidence(rows // 2, rows, rows // 2), rows[:, 0])
    return batches


@pytest.mark.parametrize("panes", [3, FEWEST - 1, FEWEST])
@pytest.mark.parametrize("is_deployed", [False, True])
def test_few_panes_that_are_more_than_a_batch_say_it_beside_a_deployed_law_alone(
    panes: int, is_deployed: bool
) -> None:
    batches = gathered(panes, is_deployed=is_deployed)
    for one in (batches, Batches.restore(batches.snapshot())):
        found = one.sums()
        assert (found is not None) == (is_deployed or panes == FEWEST)
        assert found is None or found[1].sum() == panes * LARGE


def test_no_law_hears_of_few_rows() -> None:
    assert Batches(10 * BATCHES, is_deployed=True).sums() is None
    batches = Batches(LARGE * BATCHES, is_deployed=True)
    rows = np.full((FEWEST - 1, 1), LARGE)
    batches.add(Evidence(rows // 2, rows, rows // 2), rows[:, 0])
    assert batches.sums() is None
