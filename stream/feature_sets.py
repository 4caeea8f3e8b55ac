"""The feature set that a prediction names (`payments@7`), and the first of another version.

It travels as a text measure of prediction panes, where events name one, and goes no further than
here. The first pane with one that was never seen is told to stage 3, which says so to people where
something begins with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from stream.event_columns import FEATURE_SET
from stream.panes import PaneTable
from stream.rules import DAY_MS

LASTING_MS = DAY_MS
MOST = 64  # within a day: more are no versions


class NewSet(msgspec.Struct, frozen=True):
    name: str
    count: int
    since_ms: int
    found_ms: int  # end of its first pane
    before: tuple[str, ...]  # latest seen last

    @property
    def former(self) -> str:
        """What it has come in the place of: another version of the same, if there is one."""
        of_same = [name for name in self.before if _base(name) == _base(self.name)]
        return (of_same or self.before)[-1]


@dataclass(slots=True)
class FeatureSetWatch:
    """Of a pane one thing is told: what comes while another one fires ends it, and waits for the
    next pane."""

    known: dict[int, tuple[str, int]] = field(default_factory=dict)  # hash: name, last pane end
    until_ms: int | None = None  # what fires, until then
    crowded_ms: int | None = None  # the last pane with one too many
    waiting: list[NewSet] = field(default_factory=list)

    def run(self, table: PaneTable, pane_ms: int) -> Iterator[tuple[int, NewSet | str]]:
        """(pane end, what is new there, or why what fires is over)."""
        sets = table.features.get(FEATURE_SET)
        if sets is None and not self.has_more:
            return
        for row, end_ms in enumerate(table.pane_end.tolist()):
            if sets is not None:
                cells = sets.categories
                of = slice(*np.searchsorted(cells.pane, [row, row + 1]).tolist())
                counts = dict(zip(cells.key[of].tolist(), cells.count[of].tolist(), strict=True))
                self._see(
                    {key: (n, table.texts[key]) for key, n in counts.items()}, end_ms, pane_ms
                )
            if self.until_ms is not None:
                if self.waiting or end_ms >= self.until_ms:
                    self.until_ms = None
                    yield end_ms, "another one has come" if self.waiting else "a day has passed"
            elif self.waiting:
                new = self.waiting.pop(0)
                self.until_ms = new.found_ms + LASTING_MS
                yield end_ms, new

    def _see(self, named: dict[int, tuple[int, str]], end_ms: int, pane_ms: int) -> None:
        """The sets of one pane, each with how many predictions are of it."""
        new = {key: of for key, of in named.items() if key not in self.known}
        for key in named.keys() - new.keys():
            self.known[key] = self.known[key][0], end_ms
        if not new:
            return
        if len(self.known) + len(new) > MOST:
            day_ago_ms = end_ms - DAY_MS
            self.known = {key: of for key, of in self.known.items() if of[1] > day_ago_ms}
            if len(self.known) + len(new) > MOST:
                self.crowded_ms = end_ms
                return
        before = sorted(self.known.values(), key=lambda of: (of[1], of[0]))
        self.known |= {key: (name, end_ms) for key, (_, name) in sorted(new.items())}
        if before and (self.crowded_ms is None or self.crowded_ms <= end_ms - DAY_MS):
            count, name = max(new.values())
            names = tuple(name for name, _ in before)
            self.waiting.append(NewSet(name, count, end_ms - pane_ms, end_ms, names))

    @property
    def is_firing(self) -> bool:
        return self.until_ms is not None

    @property
    def has_more(self) -> bool:
        """Whether there is something to tell of panes that name none."""
        return self.is_firing or bool(self.waiting)

    def end(self) -> None:
        self.until_ms, self.waiting = None, []

    def snapshot(self) -> list[Any]:
        known = [[key, *of] for key, of in sorted(self.known.items())]
        return [known, self.until_ms, self.crowded_ms, msgspec.to_builtins(self.waiting)]

    @classmethod
    def restore(cls, plain: Sequence[Any]) -> FeatureSetWatch:
        """Where only names were known, they are as if seen long ago."""
        known, until_ms, crowded_ms, waiting = [*plain, None, []][:4]
        return cls(
            {key: (name, of[0] if of else 0) for key, name, *of in known},
            until_ms,
            crowded_ms,
            msgspec.convert(waiting, list[NewSet]),
        )


def _base(name: str) -> str:
    return name.rpartition("@")[0]
