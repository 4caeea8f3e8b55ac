"""When so much of the input is unusable that going on would throw it away."""

from __future__ import annotations

from collections import deque


class TooManyDeadLetters(Exception):
    """The share of dead letters passed the configured limit; the worker stops."""


class DeadLetterLimit:
    """More than `ratio` of the last `window` records, and at least `minimum` dead letters."""

    def __init__(self, *, ratio: float, window: int, minimum: int) -> None:
        self._ratio, self._window, self._minimum = ratio, window, minimum
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._dead = 0

    def count(self, records: int, dead: int) -> None:
        """One more batch. Raises TooManyDeadLetters. Amortised O(1)."""
        self._batches.append((records, dead))
        self._records += records
        self._dead += dead
        while self._records - self._batches[0][0] >= self._window:
            old_records, old_dead = self._batches.popleft()
            self._records -= old_records
            self._dead -= old_dead
        if self._dead >= self._minimum and self._dead > self._ratio * self._records:
            raise TooManyDeadLetters(
                f"{self._dead} of the last {self._records} records are dead letters "
                f"(dead_letters.limit.ratio {self._ratio}): see the dead-letter topic for reasons, "
                "mend the producer or raise the limit, and start again"
            )
