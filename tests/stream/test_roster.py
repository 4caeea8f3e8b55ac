"""Which groups are watched follows from their panes, not from how those were released."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from stream.columns import Group
from stream.roster import Life, Roster

FORGET_MS = 5_000


def group(name: str) -> Group:
    return ("m", name, "champion", "")


def lives(panes: dict[str, list[int]], cuts: list[int], limit: int) -> tuple[list[list[int]], int]:
    """Lives over all releases, and the panes refused; restored between any two releases."""
    roster, held = Roster(limit, FORGET_MS), dict[Group, list[Life]]()
    start = 0
    for until in cuts:
        ends = {
            group(name): np.array([e for e in of if start < e <= until], np.int64)
            for name, of in panes.items()
        }
        given = {g: e for g, e in ends.items() if len(e)}
        for born, life in roster.admit(given, until):
            held.setdefault(born, []).append(life)
        assert len(roster) <= limit
        restored = Roster(limit, FORGET_MS)
        restored.refused = roster.refused
        for of, its in held.items():
            for life in its:
                restored.enter(of, life)
        assert len(restored) == len(roster)
        roster, start = restored, until
    found = [[int(g[1]), *life.to_plain()[:3]] for g, its in held.items() for life in its]
    return sorted(found), roster.refused


@pytest.mark.parametrize("seed", range(30))
def test_however_the_panes_are_released_the_lives_are_the_same(seed: int) -> None:
    random = Random(seed)
    panes = {
        str(n): sorted(random.sample(range(1_000, 60_001, 1_000), random.randint(1, 30)))
        for n in range(8)
    }
    whole = lives(panes, [60_000], 3)
    assert lives(panes, list(range(1_000, 61_000, 1_000)), 3) == whole
    some = sorted({*random.sample(range(1_000, 60_000, 500), 6), 60_000})
    assert lives(panes, some, 3) == whole
    found, refused = whole
    inside = sum(first <= end <= last for n, first, last, _ in found for end in panes[str(n)])
    assert inside + refused == sum(map(len, panes.values()))
    assert refused


def test_at_no_time_do_more_groups_live_than_there_is_room_for() -> None:
    panes = {str(n): list(range(1_000 * n, 40_000, 1_000)) for n in range(1, 9)}
    found, refused = lives(panes, [40_000], 3)
    for end in range(1_000, 40_000, 1_000):
        alive = [n for n, first, last, _ in found if first <= end <= last]
        assert len(alive) == min(end // 1_000, 3)
    assert refused == sum(len(panes[str(n)]) for n in range(4, 9))


def test_a_silence_ends_a_life_and_makes_room_and_the_group_may_come_back() -> None:
    panes = {"1": [1_000, 6_000, 20_000], "2": [11_000, 11_500, 12_000]}
    assert lives(panes, [30_000], 1) == (
        [[1, 1_000, 6_000, True], [1, 20_000, 20_000, True], [2, 11_500, 12_000, True]],
        1,  # at 11,000 the silence is not longer than what is waited for
    )
