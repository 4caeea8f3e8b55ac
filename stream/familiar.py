"""Records decoded into Structs made for what the ones before them had in common.

Dictionaries of features, and moments for times, are half of what reading costs in Python. So the
features of a batch whose predictions are all alike, their names and types, become a Struct, and
times are read many at once. A record that does not fit, or is not certain to mean the same, is left
to the general way (`records`), which alone knows what is refused and why: a form is a guess at what
comes next, and never changes what is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from types import NoneType
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.events import LATEST_MS, Label, Outcome, Prediction
from stream.records import MAX_DEPTH, PARSE_ERRORS, openings_in
from stream.rules import Rules
from stream.times import UNCERTAIN, moments_ms

_UNFAMILIAR = 16  # one record in so many, or more: the batch is read the general way
_MOST_PASSED = 63  # batches
_OF_PREDICTIONS = ("label", "score", "value")
Kind = Literal["number", "number or null", "text", "text or null", "any"]
Places = NDArray[np.int64]
_TYPES: dict[Kind, Any] = {
    "number": float,
    "number or null": float | None,
    "text": str,
    "text or null": str | None,
    "any": Any,
}


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


@dataclass(frozen=True, slots=True)
class Read:
    """Events that were read and their places in the batch (parallel), and the other places."""

    events: list[Any]
    time_ms: NDArray[np.int64]
    place: Places
    asked: Places


class Forms:
    """The form that batches had of late."""

    def __init__(self) -> None:
        self.latest: Form | None = None
        self._pass, self._passed = 0, 0  # batches that are not looked at, and were not

    def meet(self, events: Sequence[Prediction]) -> None:
        """A batch that had to be read the general way. Where they rarely are alike, few of them are
        looked at."""
        self._passed += 1
        if self._passed <= self._pass:
            return
        form = form_of(events)
        unfamiliar = form is None or form == self.latest
        self.latest, self._passed = form, 0
        self._pass = min(2 * self._pass + 1, _MOST_PASSED) if unfamiliar else 0


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
        for field in _OF_PREDICTIONS
        if any(getattr(event.prediction, field) is not None for event in events)
    ]
    return Form(tuple(names), tuple(kinds.values()), tuple(said))


def _kind(types: set[type]) -> Kind:
    if types <= {float, int}:
        return "number"
    if types == {str}:
        return "text"
    if types <= {float, int, NoneType} and len(types) > 1:
        return "number or null"
    return "text or null" if types == {str, NoneType} else "any"


def _made_anew(struct: type[msgspec.Struct], **kinds: Any) -> type[msgspec.Struct]:
    """With other types of these fields."""
    fields: list[Any] = []
    for one in msgspec.structs.fields(struct):
        kind = kinds.get(one.name, one.type)
        fields.append((one.name, kind) if one.required else (one.name, kind, one.default))
    return msgspec.defstruct(f"Familiar{struct.__name__}", fields, gc=False)


@lru_cache(maxsize=16)
def _decode_predictions(form: Form) -> Callable[[bytes], Any]:
    features = msgspec.defstruct(
        "FamiliarFeatures",
        [(form.field(i), _TYPES[kind]) for i, kind in enumerate(form.kinds)],
        rename={form.field(i): name for i, name in enumerate(form.names)},
        forbid_unknown_fields=True,
        gc=False,
    )
    of_said = {"label": Label | None, "score": float | None, "value": float | None}
    said = msgspec.defstruct(
        "FamiliarValue",
        [(field, of_said[field], None) for field in form.said],
        forbid_unknown_fields=True,
        gc=False,
    )
    made = _made_anew(Prediction, predicted_at=str | int, features=features, prediction=said)
    return msgspec.json.Decoder(made).decode


_decode_outcome = msgspec.json.Decoder(_made_anew(Outcome, observed_at=str | int)).decode


def read_predictions(values: Sequence[bytes | None], form: Form, rules: Rules) -> Read | None:
    """None: too few of them have this form."""
    if len(form.names) > rules.max_features:
        return None
    decode = _decode_predictions(form)
    return _read(values, decode, "predicted_at", rules, fewest_openings=3)


def read_outcomes(values: Sequence[bytes | None], rules: Rules) -> Read | None:
    """None: too many of them need to be looked at."""
    return _read(values, _decode_outcome, "observed_at", rules, fewest_openings=2)


def _read(
    values: Sequence[bytes | None],
    decode: Callable[[bytes], Any],
    time: str,
    rules: Rules,
    *,
    fewest_openings: int,
) -> Read | None:
    given = [value or b"" for value in values]
    most = len(given) // _UNFAMILIAR
    if not _are_plain(given, rules):
        return None
    events: list[Any] = []
    asked: list[int] = []
    while len(events) + len(asked) < len(given):
        try:
            events.extend(map(decode, islice(given, len(events) + len(asked), None)))
        except PARSE_ERRORS:  # those before it are in the list
            asked.append(len(events) + len(asked))
            if len(asked) > most:
                return None
    if _may_be_deep(given, fewest_openings * len(events), fewest_openings):
        return None
    place = np.delete(np.arange(len(given)), asked)
    time_ms = _times_ms(list(map(attrgetter(time), events)))
    uncertain = np.flatnonzero(time_ms == UNCERTAIN)
    if len(uncertain):
        if len(asked) + len(uncertain) > most:
            return None
        asked = sorted([*asked, *place[uncertain].tolist()])
        kept = np.flatnonzero(time_ms != UNCERTAIN)
        events, time_ms, place = [events[i] for i in kept.tolist()], time_ms[kept], place[kept]
    if not events:
        return None
    return Read(events, time_ms, place, np.array(asked, np.int64))


def _are_plain(values: Sequence[bytes], rules: Rules) -> bool:
    """None is too large, and all are UTF-8: the parser does not look into fields that it skips. A
    part of a character at the end of a record is no end of JSON."""
    if max(map(len, values), default=0) > rules.max_record_bytes:
        return False
    joined = b"".join(values)
    if joined.isascii():
        return True
    try:
        joined.decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_be_deep(values: Sequence[bytes], openings: int, fewest: int) -> bool:
    """Whether a record may be nested too deep: all the others of those that were read have opened
    `fewest` brackets at least, `openings` together."""
    opened = sum(map(len, openings_in(b"".join(values))))
    if opened - openings + fewest <= MAX_DEPTH:
        return False
    return any(value.count(b"[") + value.count(b"{") > MAX_DEPTH for value in values)


def _times_ms(times: list[Any]) -> NDArray[np.int64]:
    types = set(map(type, times))
    if types == {str}:
        return moments_ms(times)
    if types == {int} and min(times) >= 0 and max(times) < LATEST_MS:
        return np.array(times, np.int64)
    return np.full(len(times), UNCERTAIN, np.int64)
