"""CUSUM of counts that are fewer than expected, however long it takes to be sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(slots=True)
class PoissonFall:
    """Log-likelihood ratio of counts that are `ratio` of what is expected against as many as that,
    since the slot from which on it speaks for the former.

    Intuition: a count that is too small to be sure of a fall says something; several do.

    Guarantee (theorem): of independent Poisson counts with these means or larger ones, a run of
    evidence that reaches h nats begins at a given slot with a chance of at most exp(-h); with a
    dispersion only nearly. O(1). Source: Lorden, Annals of Mathematical Statistics 42, 1971.

    >>> fall = PoissonFall()
    >>> for count in [10, 3, 3, 2, 4, 3]:
    ...     fall.update(count, 10.0, ratio=0.5)
    >>> fall.slots, fall.count, round(fall.nats, 2)
    (5, 15, 14.6)
    """

    nats: float = 0.0
    slots: int = 0
    count: int = 0
    expected: float = 0.0

    def update(self, count: int, expected: float, *, ratio: float, dispersion: float = 1.0) -> None:
        nats = self.nats + (count * math.log(ratio) + expected * (1.0 - ratio)) / dispersion
        if nats <= 0.0:
            self.clear()
            return
        self.nats, self.slots = nats, self.slots + 1
        self.count, self.expected = self.count + count, self.expected + expected

    def clear(self) -> None:
        self.nats, self.slots, self.count, self.expected = 0.0, 0, 0, 0.0

    def snapshot(self) -> list[float]:
        return [self.nats, self.slots, self.count, self.expected] if self.slots else []

    @classmethod
    def restore(cls, plain: Sequence[float]) -> Self:
        return cls(plain[0], int(plain[1]), int(plain[2]), plain[3]) if plain else cls()


def slots_until(
    threshold: float, expected: float, *, share: float, ratio: float, dispersion: float, sure: float
) -> float:
    """How many slots a fall to this share of what is expected takes until it has so many nats,
    give or take `sure` standard deviations; infinite where it gains none."""
    gain = expected * (share * math.log(ratio) + 1.0 - ratio) / dispersion
    if gain <= 0.0:
        return math.inf
    spread = -sure * math.log(ratio) * math.sqrt(expected * share / dispersion)
    return ((spread + math.sqrt(spread * spread + 4.0 * gain * threshold)) / (2.0 * gain)) ** 2
