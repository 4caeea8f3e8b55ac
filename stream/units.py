"""What is watched of a group: units, each of one series or of the bins of one distribution.

A unit is what an alert is about: the ranks of a numeric series (`shift`), the shares of its bins or
categories (`shape`), the rate of an error or of one kind of fault, the mean of what lies between 0
and a largest value (`mean`), how often scores come true (`calibration`), or the errors that scores
let expect (`estimate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeGuard, get_args

from stream.bounded_mean import STEPS
from stream.budget import Purse
from stream.estimated_error import TWIN
from stream.feature_table import Ints

Item = tuple[Purse, str, str]
_ALIKE = 4096
Fault = Literal["null", "absent", "type_error", "out_of_range", "unseen", "unlabelled"]
Measure = Literal["shift", "shape", "rate", "mean", "calibration", "estimate", "stale"] | Fault

Key = tuple[str, Measure]

COVERAGE: Measure = "unlabelled"
FAULTS: tuple[Fault, ...] = get_args(Fault)
OF_NUMBERS: tuple[Fault, ...] = ("null", "absent", "type_error", "out_of_range")
OF_TEXTS: tuple[Fault, ...] = ("null", "absent", "type_error", "unseen")
SHAPED = ("prediction:label", "prediction:score", "prediction:value")


@dataclass(frozen=True, slots=True)
class Unit:
    name: str  # feature:<name>, prediction:<measure>, outcome:<measure>
    measure: Measure
    columns: int = 1
    scale: float = 1.0  # the largest value, of a mean

    @classmethod
    def of(cls, name: str, measure: Measure, columns: int = 1, scale: float = 1.0) -> Unit:
        """Those that are alike are one: versions, segments and models share features."""
        return _unit(name, measure, columns, scale)

    @property
    def key(self) -> Key:
        return _key(self.name, self.measure)

    @property
    def is_mean(self) -> bool:
        """Of values between 0 and a largest one."""
        return self.measure in {"mean", "estimate"}

    @property
    def steps(self) -> int:
        """Of a value 1, as it is summed."""
        return STEPS if self.is_mean else 1

    @property
    def is_coverage(self) -> bool:
        """While it tells, the others of its kind of panes are undecided."""
        return self.measure == COVERAGE

    @property
    def is_split(self) -> bool:
        """Each of its columns counts values of its own, not all of them the same ones."""
        return self.measure == "calibration"

    @property
    def is_twin(self) -> bool:
        """It tells nothing by itself: see `estimated_error`."""
        return self.name == TWIN

    def counted(self, n: Ints) -> Ints:
        """Values of each pane, each once, from those of the columns: (panes, columns)."""
        counted: Ints = n.sum(axis=1) if self.is_split else n[:, 0]
        return counted

    @property
    def is_rate(self) -> bool:
        """Of values in [0, 1] that no reference was fitted to."""
        return is_fault(self.measure) or self.measure in {"rate", "mean"}

    @property
    def purse(self) -> Purse:
        if self.is_twin:
            return "expected"
        if self.name.startswith("outcome:"):
            return "performance"
        if self.name.startswith("prediction:"):
            return "prediction"
        return "quality" if is_fault(self.measure) else "features"

    @property
    def item(self) -> Item:
        """What the budget counts: ranks and shape of a series are one item."""
        return self.purse, self.name, self.measure if is_fault(self.measure) else "values"

    @property
    def up_only(self) -> bool:
        """Faults that become fewer are no fault."""
        return is_fault(self.measure)


@lru_cache(maxsize=_ALIKE)
def _unit(name: str, measure: Measure, columns: int, scale: float) -> Unit:
    return Unit(name, measure, columns, scale)


@lru_cache(maxsize=_ALIKE)
def _key(name: str, measure: Measure) -> Key:
    return name, measure


def is_fault(measure: str) -> TypeGuard[Fault]:
    return measure in FAULTS
