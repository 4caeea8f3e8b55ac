"""What is made but has not arrived yet, as the clock of the simulation stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.demo.events import Event
from stream.simulate import encode
from stream.simulate.requests import Requests

_by_arrival = itemgetter(0)


@dataclass(slots=True)
class WaitingEvents:
    """Events that leave in the order of their arrival; equal arrivals in the order they came in."""

    _events: list[Event] = field(default_factory=list)

    def add(self, events: list[Event]) -> None:
        self._events += events

    def due(self, before_ms: int) -> list[Event]:
        """Removes and returns what has arrived before. O(n log n)."""
        self._events.sort(key=_by_arrival)
        count = int(np.searchsorted([event.arrival_ms for event in self._events], before_ms))
        found, self._events = self._events[:count], self._events[count:]
        return found


@dataclass(slots=True)
class WaitingOutcomes:
    """Outcomes as columns until they are due: days of them wait, and few bytes each."""

    model: str
    _arrival_ms: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _observed_ms: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _of: npt.NDArray[Any] = field(default_factory=lambda: np.zeros(0, object))  # (id, actual)

    def add(
        self,
        requests: Requests,
        arrival_ms: npt.NDArray[np.int64],
        observed_ms: npt.NDArray[np.int64],
        chosen: npt.NDArray[np.int64],
    ) -> None:
        of = np.empty(len(chosen), object)
        of[:] = list(
            zip(encode.ids(requests, chosen), encode.actual(requests, chosen), strict=True)
        )
        self._arrival_ms = np.concatenate([self._arrival_ms, arrival_ms[chosen]])
        self._observed_ms = np.concatenate([self._observed_ms, observed_ms[chosen]])
        self._of = np.concatenate([self._of, of])

    def due(self, before_ms: int) -> list[Event]:
        """Removes and returns what has arrived before, by arrival. O(waiting + n log n)."""
        is_due = self._arrival_ms < before_ms
        at = np.flatnonzero(is_due)
        at = at[np.argsort(self._arrival_ms[at], kind="stable")]
        names_and_actual = self._of[at].tolist()
        found = encode.outcomes(
            self.model,
            [name for name, _ in names_and_actual],
            self._arrival_ms[at],
            self._observed_ms[at],
            [truth for _, truth in names_and_actual],
        )
        kept = ~is_due
        self._arrival_ms = self._arrival_ms[kept]
        self._observed_ms = self._observed_ms[kept]
        self._of = self._of[kept]
        return found
