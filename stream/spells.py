"""Stretches of panes within which the same units fire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from stream.unit_walk import Told
from stream.watched import Key


def spells(
    firing: Iterable[Key], told: Iterable[Told], panes: int
) -> Iterator[tuple[int, int, set[str]]]:
    """(first pane, end, series of which some unit fires): a pane at which one begins or ends counts
    as firing."""
    now = set(firing)
    by_row: dict[int, list[Told]] = {}
    for one in told:
        if not one.lasting:
            by_row.setdefault(one.row, []).append(one)
    cuts = sorted({0, panes, *(cut for row in by_row for cut in (row, row + 1))})
    for first, end in pairwise(cuts):
        at = by_row.get(first, [])
        now |= {one.watched.key for one in at}
        yield first, end, {name for name, _ in now}
        now -= {one.watched.key for one in at if one.crossing is None}
