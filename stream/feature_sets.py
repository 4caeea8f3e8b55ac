"""The feature set that a prediction names (`payments@7`), and the first of another version.

It travels as a text measure of prediction panes, where events name one, and goes no further than
here. The first pane with one that was never seen is told to stage 3. It is no alert: what begins
with it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream.event_columns import FEATURE_SET
from stream.panes import PaneTable
from stream.rules import DAY_MS

MOST = 64  # within a day: more are no versions


@dataclass(frozen=True, slots=True)
class NewSet:
    name: str
    former: str
    since_ms: int
    end_ms: int  # of its first pane


@dataclass(slots=True)
class FeatureSetWatch:
    known: dict[int, tuple[str, int]] = field(default_factory=dict)  # hash: name, last pane end
    crowded_ms: int | None = None  # the last pane with one too many

    def run(self, table: PaneTable, pane_ms: int) -> Iterator[NewSet]:
        """Of a pane with several, that of most predictions."""
        sets = table.features.get(FEATURE_SET)
        if sets is None:
            return
        cells = sets.categories
        ends = table.pane_end[cells.pane].tolist()
        last = dict(zip(cells.key.tolist(), ends, strict=True))
        if last.keys() <= self.known.keys():  # as nearly always
            self.known |= {key: (self.known[key][0], end_ms) for key, end_ms in last.items()}
            return
        for row, end_ms in enumerate(table.pane_end.tolist()):
            of = slice(*np.searchsorted(cells.pane, [row, row + 1]).tolist())
            counts = dict(zip(cells.key[of].tolist(), cells.count[of].tolist(), strict=True))
            named = {key: (n, table.texts[key]) for key, n in counts.items()}
            new = self._see(named, end_ms, pane_ms) if named else None
            if new is not None:
                yield new

    def _see(self, named: dict[int, tuple[int, str]], end_ms: int, pane_ms: int) -> NewSet | None:
        """The sets of one pane, each with how many predictions are of it."""
        new = {key: of for key, of in named.items() if key not in self.known}
        for key in named.keys() - new.keys():
            self.known[key] = self.known[key][0], end_ms
        if not new:
            return None
        if len(self.known) + len(new) > MOST:
            day_ago_ms = end_ms - DAY_MS
            self.known = {key: of for key, of in self.known.items() if of[1] > day_ago_ms}
            if len(self.known) + len(new) > MOST:
                self.crowded_ms = end_ms
                return None
        before = sorted(self.known.values(), key=lambda of: (of[1], of[0]))
        self.known |= {key: (name, end_ms) for key, (_, name) in sorted(new.items())}
        if not before or (self.crowded_ms is not None and self.crowded_ms > end_ms - DAY_MS):
            return None
        _, name = max(new.values())
        return NewSet(name, _former(name, [of for of, _ in before]), end_ms - pane_ms, end_ms)

    def snapshot(self) -> dict[str, Any]:
        known = [[key, *of] for key, of in sorted(self.known.items())]
        return {"known": known, "crowded_ms": self.crowded_ms}

    @classmethod
    def restore(cls, plain: Mapping[str, Any]) -> FeatureSetWatch:
        known = {key: (name, end_ms) for key, name, end_ms in plain.get("known", ())}
        return cls(known, plain.get("crowded_ms"))


def _former(name: str, before: Sequence[str]) -> str:
    """What it has come in the place of: another version of the same, if there is one. `before`:
    latest seen last."""
    of_same = [other for other in before if _base(other) == _base(name)]
    return (of_same or before)[-1]


def _base(name: str) -> str:
    return name.rpartition("@")[0]
