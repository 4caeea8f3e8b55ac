"""How long runs of one value are, as far as a reference has seen: a weekday, the customer of a job.

What comes in runs has not stopped varying while a run is no longer than those before, and so many
of its values are worth one. A run is what a look of `stale_watch` finds so many rows of and the
next one does not; those that are told are faults, and none of these.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from stream.constant import Run, commonest_of
from stream.reference import Reference, Runs
from stream.watermark import BEFORE_ALL_MS

SHORTEST = 64  # rows
_ENOUGH = 2  # runs from which more are to be expected
_BY_CHANCE = 1e-9  # of all values of a reference
_LONGER = 2.0  # times the longest: a run that is no usual one


def are_usual(runs: Runs | None) -> bool:
    return runs is not None and runs.seen >= _ENOUGH


def is_usual(runs: Runs | None, run: Run, end_ms: int) -> bool:
    """Up to this pane. Traffic comes and goes: a run is longer than usual in values and in time."""
    if runs is None or not are_usual(runs):
        return False
    ms = end_ms - run.first_end_ms
    return run.count <= _LONGER * runs.values or ms <= _LONGER * runs.ms


@dataclass(slots=True)
class _Open:
    kind: int  # of cell
    bits: int
    since_ms: int
    end_ms: int
    values: int

    def goes_on(self, run: Run, since_ms: int) -> bool:
        """In a run that has been there since the last look, or for as long as rows are known."""
        return (self.kind, self.bits) == (run.kind, run.bits) and (
            run.is_all or run.first_end_ms <= since_ms
        )


def _are_by_chance(name: str, longest: int, reference: Reference) -> bool:
    """Whether values that come independently of each other would have such a run too."""
    most = commonest_of(name, reference)
    if most is None or most.commonest >= most.values:
        return True
    share = most.commonest / most.values
    return math.log(most.values) + longest * math.log(share) > math.log(_BY_CHANCE)


class UsualRuns:
    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._ended: dict[str, Runs] = {}
        self._values = 0  # predictions since the last look
        self._look_ms = BEFORE_ALL_MS  # end of its pane

    def count(self, predictions: int) -> None:
        self._values += predictions

    def look(self, end_ms: int, runs: Mapping[str, Run], names: Collection[str] | None) -> None:
        """`runs`: the latest values of what one pane holds one value of, and that is not known to
        be stuck; `names`: to be followed, None: whatever has runs."""
        was, self._open = self._open, {}
        for name, run in runs.items():
            if run.count < SHORTEST or (names is not None and name not in names):
                continue
            before = was.get(name)
            if before is not None and before.goes_on(run, self._look_ms):
                del was[name]
                before.end_ms, before.values = end_ms, before.values + self._values
                self._open[name] = before
            else:
                self._open[name] = _Open(run.kind, run.bits, run.first_end_ms, end_ms, run.count)
        if names is None:
            for name, ended in was.items():
                self._ended[name] = self._with(name, ended)
        else:
            self._ended = {}
        self._values, self._look_ms = 0, end_ms

    def _with(self, name: str, run: _Open) -> Runs:
        so_far, ms = self._ended.get(name, Runs(0, 0, 0)), run.end_ms - run.since_ms
        return Runs(so_far.seen + 1, max(so_far.values, run.values), max(so_far.ms, ms))

    def ended(self, name: str) -> Runs | None:
        return self._ended.get(name)

    def whole(self, name: str, run: Run) -> Run:
        """The latest run, from before the rows at hand on."""
        known = self._open.get(name)
        if known is None:
            return run
        return replace(run, count=max(known.values, run.count), first_end_ms=known.since_ms)

    def forget(self, name: str) -> None:
        """It is stuck: that is no usual run."""
        self._open.pop(name, None)

    def all(self, reference: Reference) -> dict[str, Runs]:
        """So far, that which has not ended included. What has little else but one value in the
        reference has runs of that by chance; a weekday, in a reference of a day, has not."""
        found = self._ended | {name: self._with(name, run) for name, run in self._open.items()}
        usual = [name for name in sorted(found) if are_usual(found[name])]
        return {
            name: found[name]
            for name in usual
            if not _are_by_chance(name, found[name].values, reference)
        }

    def snapshot(self) -> list[Any] | None:
        if not self._open and not self._ended:
            return None
        opened = [[name, *astuple(run)] for name, run in self._open.items()]
        ended = [[name, *runs] for name, runs in self._ended.items()]
        return [self._values, self._look_ms, opened, ended]

    @classmethod
    def restore(cls, plain: list[Any] | None) -> UsualRuns:
        runs = cls()
        if plain is not None:
            runs._values, runs._look_ms, opened, ended = plain
            runs._open = {name: _Open(*run) for name, *run in opened}
            runs._ended = {name: Runs(*of) for name, *of in ended}
        return runs
