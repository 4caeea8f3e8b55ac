"""What is watched of a group: units, each of one series or of the bins of one distribution.

A unit is what an alert is about: the ranks of a numeric series (`shift`), the shares of its bins or
categories (`shape`), or the rate of one kind of fault or error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeGuard, get_args

from stream.budget import Purse

Item = tuple[Purse, str, str]
Fault = Literal["null", "absent", "type_error", "out_of_range", "unseen"]
Measure = Literal["shift", "shape", "rate"] | Fault

FAULTS: tuple[Fault, ...] = get_args(Fault)
OF_NUMBERS: tuple[Fault, ...] = ("null", "absent", "type_error", "out_of_range")
OF_TEXTS: tuple[Fault, ...] = ("null", "absent", "type_error", "unseen")
SHAPED = ("prediction:label", "prediction:score", "prediction:value")
JUDGED: dict[str, Measure] = {
    "outcome:error": "rate",
    "outcome:brier": "shift",
    "outcome:absolute_error": "shift",
}
"""Of a cohort; the other measures are evidence."""


@dataclass(frozen=True, slots=True)
class Unit:
    name: str  # feature:<name>, prediction:<measure>, outcome:<measure>
    measure: Measure
    columns: int = 1

    @property
    def purse(self) -> Purse:
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


def is_fault(measure: str) -> TypeGuard[Fault]:
    return measure in FAULTS
