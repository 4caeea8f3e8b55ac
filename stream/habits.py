"""What the records of one side before had in common, but for features: a guess at what comes next.

Which fields they have, which texts are the same in all, how times are written. What strays from a
habit makes it wider, until nothing strays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.events import ActualValue, Outcome, PredictedValue, Prediction
from stream.familiar_forms import Seldom
from stream.records import PARSE_ERRORS

_SAMPLED = 16  # records
_TEXTS = ("model_id", "model_version", "role", "feature_set")


fields_of = lru_cache(maxsize=8)(msgspec.structs.fields)


@lru_cache(maxsize=8)
def defaults_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Of the fields that need not be there."""
    return {one.name: one.default for one in fields_of(struct) if not one.required}


@dataclass(frozen=True, slots=True)
class Side:
    """What is particular to predictions, and to outcomes."""

    event: type[msgspec.Struct]
    time: str
    inner: str
    of_inner: type[msgspec.Struct]


PREDICTIONS = Side(Prediction, "predicted_at", "prediction", PredictedValue)
OUTCOMES = Side(Outcome, "observed_at", "actual", ActualValue)


@dataclass(frozen=True, slots=True)
class Habit:
    """What records of one side had in common beside their features."""

    fields: tuple[str, ...]  # in the order in which they are written, and no others
    inner: tuple[str, ...]  # of what was predicted, or is the truth
    same: tuple[tuple[str, str], ...]  # fields that have the same text in all
    time: int | None  # characters of the time; 0: it is an integer; None: it varies
    label: type | None  # str or int; None: it varies

    def or_so(self, other: Habit) -> Habit:
        """What both are."""
        return Habit(
            tuple(dict.fromkeys([*self.fields, *other.fields])),
            tuple(dict.fromkeys([*self.inner, *other.inner])),
            tuple(text for text in self.same if text in other.same),
            self.time if self.time == other.time else None,
            self.label if self.label == other.label else None,
        )


def habit_of(values: Iterable[bytes | None], side: Side) -> Habit | None:
    """None where a record says more than is read, or none can be read. O(n)."""
    events = [event for event in map(_parsed, values) if _is_one(event, side)]
    inners = [event[side.inner] for event in events]
    fields, inner = _names_in(events), _names_in(inners)
    if not (events and _is_of(side.event, fields) and _is_of(side.of_inner, inner)):
        return None
    times = {len(t) if type(t) is str else 0 for t in (event[side.time] for event in events)}
    labels = {type(inner["label"]) for inner in inners if inner.get("label") is not None}
    return Habit(
        fields,
        inner,
        tuple((name, events[0][name]) for name in _TEXTS if _is_same(name, events, side)),
        times.pop() if len(times) == 1 else None,
        labels.pop() if labels in ({str}, {int}) else None,
    )


def _is_of(struct: type[msgspec.Struct], names: Sequence[str]) -> bool:
    """Whether it has all these fields, and they are all that it must have."""
    fields = fields_of(struct)
    return {one.name for one in fields if one.required} <= {*names} <= {one.name for one in fields}


_parse = msgspec.json.Decoder(dict[str, Any]).decode


def _parsed(value: bytes | None) -> dict[str, Any]:
    with contextlib.suppress(*PARSE_ERRORS):
        return _parse(value or b"{}")
    return {}


def _is_one(event: Mapping[str, Any], side: Side) -> bool:
    """Whether it is worth looking at."""
    return side.time in event and isinstance(event.get(side.inner), dict)


def _names_in(records: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for record in records for name in record))


def _is_same(name: str, events: Sequence[Mapping[str, Any]], side: Side) -> bool:
    """Whether all have the same text there, and one that is allowed."""
    if name not in side.event.__struct_fields__:
        return False
    text = events[0].get(name)
    if type(text) is not str or any(event.get(name) != text for event in events):
        return False
    with contextlib.suppress(msgspec.ValidationError):
        (kind,) = (one.type for one in fields_of(side.event) if one.name == name)
        msgspec.convert(text, kind)
        return True
    return False


class Habits:
    """The habit that records of one side have had so far."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.latest: Habit | None = None
        self._seldom = Seldom()

    def meet(self, values: Sequence[bytes | None], strays: NDArray[np.int64] | None) -> None:
        """A batch of which these were not as they used to be; None: too many of them."""
        is_as_before = self.latest is not None and strays is not None and not len(strays)
        if is_as_before or not self._seldom.is_due():
            return
        odd = [] if strays is None else strays[:_SAMPLED].tolist()
        sampled = [values[place] for place in odd] + [*values[:: len(values) // _SAMPLED + 1]]
        habit = habit_of(sampled, self.side)
        if habit is not None and self.latest is not None:
            habit = self.latest.or_so(habit)
        self._seldom.looked(is_new=habit is not None and habit != self.latest)
        self.latest = habit
