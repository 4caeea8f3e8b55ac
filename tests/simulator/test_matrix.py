"""One SHA-256 of the alerts, whoever works, in whatever order, live or replayed."""

from __future__ import annotations

from dataclasses import replace

from tests.simulator.matrix import cells, differing, outcomes


def test_workers_interleavings_crashes_replays_and_partitions_make_one_sha() -> None:
    results = outcomes(cells(5, workers=(1, 4)))
    assert differing(results) == []
    assert len(results) == 50
    assert {r.cell.partitions for r in results} == {1, 2, 8}
    assert all(r.alerts >= 2 for r in results)
    assert sum(r.disturbances for r in results) > 100
    assert sum(r.advances for r in results if r.cell.kind == "silent") >= 5


def test_an_alert_more_is_a_difference() -> None:
    """The matrix sees what it is there to see."""
    results = outcomes(cells(2, workers=(1,)), jobs=1)
    for kind in ("untidy", "tidy"):
        of_kind = [r for r in results if r.cell.kind == kind]
        other = replace(of_kind[0], live="other", replay="other")
        assert differing([other, *of_kind[1:]]) != []
