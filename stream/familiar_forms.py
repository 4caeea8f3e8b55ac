"""What the features of the predictions before had in common: a guess at what comes next.

Where records are rarely alike, few of them are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Literal

from stream.events import Prediction

_MOST_PASSED = 63  # batches
OF_PREDICTED = ("label", "score", "value")
Kind = Literal["number", "number or null", "flag", "flag or null", "text", "text or null", "any"]


@dataclass(frozen=True, slots=True)
class Form:
    """What predictions of a batch had in common: their features, and what they said."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    said: tuple[str, ...]

    @staticmethod
    def field(place: int) -> str:
        """What the Struct calls a feature: not every name is one of Python."""
        return f"f{place}"


def form_of(events: Sequence[Prediction]) -> Form | None:
    """None where they are not alike. O(cells)."""
    names = events[0].features.keys() if events else ()
    if any(event.features.keys() != names for event in events):
        return None
    if any('"' in name or "\\" in name or not name.isprintable() for name in names):
        return None  # how such a name is written varies
    kinds = {name: _kind({type(event.features[name]) for event in events}) for name in names}
    said = [
        field
        for field in OF_PREDICTED
        if any(getattr(event.prediction, field) is not None for event in events)
    ]
    return Form(tuple(names), tuple(kinds.values()), tuple(said))


def _kind(types: set[type]) -> Kind:
    if types <= {float, int}:
        return "number"
    if types == {bool}:
        return "flag"
    if types == {str}:
        return "text"
    if types <= {float, int, NoneType} and len(types) > 1:
        return "number or null"
    if types == {bool, NoneType}:
        return "flag or null"
    return "text or null" if types == {str, NoneType} else "any"


class Seldom:
    """Says when to look: where it brings nothing new, less and less often."""

    def __init__(self) -> None:
        self._pass, self._passed = 0, 0  # batches that are not looked at, and were not

    def is_due(self) -> bool:
        self._passed += 1
        return self._passed > self._pass

    def looked(self, *, is_new: bool) -> None:
        self._passed = 0
        self._pass = 0 if is_new else min(2 * self._pass + 1, _MOST_PASSED)


class Forms:
    """The form that batches had of late."""

    def __init__(self) -> None:
        self.latest: Form | None = None
        self._seldom = Seldom()

    def meet(self, events: Sequence[Prediction]) -> None:
        """A batch that had to be read the general way. Where they rarely are alike, few of them are
        looked at."""
        if not self._seldom.is_due():
            return
        form = form_of(events)
        self._seldom.looked(is_new=form is not None and form != self.latest)
        self.latest = form
