"""Whether predictions move with a feature: alone its drift is information, then it is a warning.

feature fires (info) --a prediction fires--> raised (warning)
a prediction fires   --feature fires-------> told as a warning
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from stream.columns import FEATURE
from stream.estimated_error import ESTIMATE
from stream.unit_walk import Told
from stream.watched import Key

_SAID = ("prediction:label", "prediction:score", "prediction:value", ESTIMATE)
_MOVES = ("shift", "shape")  # faults have severities of their own


@dataclass(frozen=True, slots=True)
class Raised:
    """At a pane, an alert of a feature that fires."""

    row: int
    key: Key


class Concert:
    def __init__(self, firing: Iterable[Key]) -> None:
        """`firing`: before the panes of which `of` tells."""
        self._firing = dict.fromkeys(firing)
        self._rows: set[int] = set()  # at whose end predictions fire

    def of(self, told: Sequence[Told]) -> Iterator[Told | Raised]:
        """The same, in the order of the panes, and what they raise: once, when the first of the
        predictions begins to fire."""
        for row, of_row in groupby(told, key=lambda one: one.row):
            ones, had_moved = list(of_row), self._has_moved()
            before = list(self._firing)
            for one in ones:
                if one.crossing is not None:
                    self._firing[one.watched.key] = None
                elif not (one.lasting or one.refuted):
                    self._firing.pop(one.watched.key, None)
            if self._has_moved():
                self._rows.add(row)
            yield from ones
            if self._has_moved() and not had_moved:
                news = {one.watched.key for one in ones if one.crossing is not None}
                for name, measure in before:
                    key = (name, measure)
                    if key in self._firing and key not in news and _is_move(key):
                        yield Raised(row, key)

    def moved_along(self, one: Told) -> bool:
        """Of one that `of` has given: whether predictions fire at its pane."""
        return one.row in self._rows and _is_move(one.watched.key)

    def features(self) -> list[str]:
        """Names of those that have moved, at the pane of which `of` tells."""
        return sorted({key[0].removeprefix(FEATURE) for key in self._firing if _is_move(key)})

    def _has_moved(self) -> bool:
        return any(name in _SAID for name, _ in self._firing)


def _is_move(key: Key) -> bool:
    return key[0].startswith(FEATURE) and key[1] in _MOVES
