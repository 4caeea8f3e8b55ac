"""What is told of a series whose reference is only provisional.

Such a reference cannot know what comes and goes more slowly than it has lasted: a day, to a
reference of an hour, is a change without end. So of the values of a series one jump is told until
its reference is sealed, and a fault once more; nothing of one that was on its way, or that had
changed before. What is wrong whatever the values are (`ANYTIME`) is told as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from detectors.jump import Course
from stream.units import Measure, is_fault
from stream.watched import Key

ANYTIME: frozenset[Measure] = frozenset({"null", "absent", "type_error", "unlabelled"})


class Unsettled:
    def __init__(self) -> None:
        self._restless: set[str] = set()  # series that are known to come and go
        self._told: dict[str, bool] = {}  # series of which something was told: whether a fault

    def is_restless(self, series: str) -> bool:
        return series in self._restless

    def is_mute(self, key: Key) -> bool:
        """Whether nothing more is told of it."""
        series, measure = key
        if measure in ANYTIME:
            return False
        told = self._told.get(series)
        return series in self._restless or told is True or (told is False and not is_fault(measure))

    def may_tell(self, key: Key, course: Callable[[], Course | None]) -> bool:
        """Of a change that is found now, which is told then. `course`: what it looks like."""
        series, measure = key
        if measure in ANYTIME:
            return True
        if self.is_mute(key):
            return False
        found = course()
        if found == "restless":
            self._restless.add(series)
        if found in {"restless", "on its way"}:
            return False
        self._told[series] = is_fault(measure)
        return True

    def add_restless(self, keys: Iterable[Key]) -> None:
        """These changed while they were gathered."""
        self._restless.update(series for series, measure in keys if measure not in ANYTIME)

    def clear(self) -> None:
        self._restless.clear()
        self._told.clear()

    # -- state

    def snapshot(self) -> dict[str, Any]:
        """Where there is something."""
        restless = {"restless": sorted(self._restless)} if self._restless else {}
        return restless | ({"told": sorted(self._told.items())} if self._told else {})

    def restore(self, plain: Mapping[str, Any]) -> None:
        self._restless, self._told = set(plain.get("restless", ())), dict(plain.get("told", ()))
