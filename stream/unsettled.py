"""What is told of a series whose reference is only provisional.

Such a reference cannot know what comes and goes more slowly than it has lasted: a day, to a
reference of an hour, is a change without end. So until its reference is sealed a unit tells three
jumps, each of which begins behind the one before, or one fault of its values; nothing of what was
on its way, or had changed before. What is wrong whatever the values are (`ANYTIME`) is told as
ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from detectors.jump import Course
from stream.units import Measure, is_fault
from stream.watched import Key

ANYTIME: frozenset[Measure] = frozenset({"null", "absent", "type_error", "unlabelled"})
_MOST = 3  # jumps of a unit
_ALL = ""  # measures


class Span(NamedTuple):
    """Of a change: since when, and the end of the pane with which it is found."""

    since_ms: int
    end_ms: int


class _Said(NamedTuple):
    """What was told of a unit."""

    times: int = 0
    until_ms: int = 0  # end of the pane with which it was told last


class Unsettled:
    def __init__(self) -> None:
        # units known to come and go; _ALL of a series
        self._restless: frozenset[tuple[str, str]] = frozenset()
        self._told: dict[Key, _Said] = {}

    def is_mute(self, key: Key) -> bool:
        """Whether nothing more is told of it."""
        measure = key[1]
        if measure in ANYTIME:
            return False
        most = 1 if is_fault(measure) else _MOST
        is_restless = key in self._restless or (key[0], _ALL) in self._restless
        return is_restless or self._told.get(key, _NOTHING).times >= most

    def may_tell(self, key: Key, span: Span, course: Callable[[int], Course | None]) -> bool:
        """Of a change that is found now, which is told then. `course`: what it looks like, from a
        time on."""
        if key[1] in ANYTIME:
            return True
        said = self._told.get(key, _NOTHING)
        if self.is_mute(key) or span.since_ms < said.until_ms:
            return False
        found = course(said.until_ms)
        if found == "restless":
            self._restless |= {key}
        if found in {"restless", "on its way"}:
            return False
        self._told[key] = _Said(said.times + 1, span.end_ms)
        return True

    def add_restless(self, keys: Iterable[Key]) -> None:
        """These changed while they were gathered."""
        self._restless |= {(name, _ALL) for name, measure in keys if measure not in ANYTIME}

    def clear(self) -> None:
        self._restless = frozenset()
        self._told.clear()

    # -- state

    def snapshot(self) -> dict[str, Any]:
        """Where there is something."""
        restless = {"restless": [*map(list, sorted(self._restless))]} if self._restless else {}
        told = [[*key, *said] for key, said in sorted(self._told.items())]
        return restless | ({"told": told} if told else {})

    def restore(self, plain: Mapping[str, Any]) -> None:
        known = plain.get("restless", ())
        self._restless = frozenset((name, measure) for name, measure in known)
        told = plain.get("told", ())
        self._told = {(name, measure): _Said(*said) for name, measure, *said in told}


_NOTHING = _Said()
