"""Features: what they are, and one column of them as a model is given it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Column = npt.NDArray[np.float64]
"""Doubles: numbers, the indices of levels, or flags as 0 and 1; NaN where null."""

ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of a model."""

    name: str
    kind: Literal["number", "integer", "category", "flag"]
    what: str
    levels: tuple[str, ...] = ()  # of a category, the most frequent first
    spread: float = 1.0  # of a number: its standard deviation, of its logarithm where `log`
    log: bool = False  # drifts by a factor, not by a difference
    decimals: int = 0

    @property
    def is_number(self) -> bool:
        return self.kind in {"number", "integer"}

    def moved(self, values: Column, spreads: npt.ArrayLike) -> Column:
        """Values of a number further up by so many of its spreads."""
        by = np.asarray(spreads) * self.spread
        return self.rounded(values * np.exp(by) if self.log else values + by)

    def rounded(self, values: Column) -> Column:
        return np.round(values, self.decimals)


@dataclass(slots=True)
class Served:
    """A feature as it reaches the model, faults included. Every array has one entry a request."""

    feature: Feature
    values: Column
    name: str = ""
    levels: tuple[str, ...] = ()
    absent: Mask = field(default_factory=lambda: np.zeros(0, bool))
    as_text: Mask = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        self.name = self.name or self.feature.name
        self.levels = self.levels or self.feature.levels
        if not len(self.absent):
            self.absent = np.zeros(len(self.values), bool)
        if not len(self.as_text):
            self.as_text = np.zeros(len(self.values), bool)

    def understood(self) -> Column:
        """What the model can use: NaN where null, absent, a text for a number, an unknown level."""
        lost = self.absent | self.as_text
        if self.feature.kind == "category":
            lost = lost | (self.values >= len(self.feature.levels))
        return np.where(lost, np.nan, self.values)

    def cells(self, chosen: npt.NDArray[np.int64]) -> list[Any]:
        """The values of these requests as they stand in an event; ABSENT where there is none."""
        values = self.values[chosen]
        null = np.isnan(values)
        cells = self._plain(np.where(null, 0.0, values))
        special = null | self.absent[chosen] | self.as_text[chosen]
        for at in np.flatnonzero(special).tolist():
            if self.absent[chosen[at]]:
                cells[at] = ABSENT
            elif null[at]:
                cells[at] = None
            else:
                cells[at] = str(cells[at])
        return cells

    def _plain(self, values: Column) -> list[Any]:
        found: list[Any]
        match self.feature.kind:
            case "number":
                found = values.tolist()
            case "flag":
                found = (values != 0).tolist()
            case "category":
                found = np.array(self.levels, object)[values.astype(np.int64)].tolist()
            case "integer" if np.array_equal(values, np.rint(values)):
                found = values.astype(np.int64).tolist()
            case "integer":  # scaled by a fault: each value for itself, whatever its neighbours
                found = [int(each) if each.is_integer() else each for each in values.tolist()]
        return found
