"""Records decoded into Structs made for what the ones before them had in common.

Dictionaries of features, and moments for times, are half of what reading costs in Python. So the
features of a batch whose predictions are all alike, their names and types, become a Struct, and
times are read many at once. Structs are taken apart a few hundred at a time, while they are in the
processor's cache: from memory that takes three times as long. A record that does not fit, or is not
certain to mean the same, is left to the general way (`records`), which alone knows what is refused
and why: a form is a guess at what comes next, and never changes what is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from stream.events import LATEST_MS, Label, Outcome, Prediction
from stream.records import MAX_DEPTH, PARSE_ERRORS, openings_in
from stream.rules import Rules
from stream.times import UNCERTAIN, moments_ms

_UNFAMILIAR = 16  # one record in so many, or more: the batch is read the general way
_MOST_PASSED = 63  # batches
_CHUNK = 256  # records
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


Fields = Mapping[str, Sequence[str]]
"""Of an event: its fields, and of those that are Structs theirs."""


@dataclass(frozen=True, slots=True)
class Read:
    """Events that were read, field by field ("prediction.score"), their times and their places in
    the batch (all parallel), and the other places."""

    fields: dict[str, list[Any]]
    time_ms: NDArray[np.int64]
    place: Places
    asked: Places


def taken_apart(events: Sequence[msgspec.Struct], fields: Fields) -> dict[str, Sequence[Any]]:
    """Field by field."""
    taken: dict[str, Sequence[Any]] = {}
    of_events = _transposed(events)
    for name, inner in fields.items():
        values = of_events.get(name, ())
        if not inner:
            taken[name] = values
            continue
        of_values = _transposed(values)
        taken |= {f"{name}.{field}": of_values.get(field, ()) for field in inner}
    return taken


def _transposed(structs: Sequence[msgspec.Struct]) -> dict[str, tuple[Any, ...]]:
    """All values of each field; nothing of none."""
    if not structs:
        return {}
    values = zip(*map(astuple, structs), strict=True)
    return dict(zip(structs[0].__struct_fields__, values, strict=True))


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


OF_OUTCOMES: Fields = {
    "prediction_id": (),
    "model_id": (),
    "revision": (),
    "retracted": (),
    "actual": ("label", "value"),
}


def read_predictions(values: Sequence[bytes | None], form: Form, rules: Rules) -> Read | None:
    """None: too few of them have this form."""
    if len(form.names) > rules.max_features:
        return None
    fields: Fields = {
        **dict.fromkeys(("prediction_id", "model_id", "model_version", "role"), ()),
        **dict.fromkeys(("latency_ms", "feature_set"), ()),
        **({"segment": ()} if rules.has_segments else {}),
        "features": [form.field(place) for place in range(len(form.names))],
        "prediction": form.said,
    }
    reading = _Reading(_decode_predictions(form), fields, "predicted_at", fewest_openings=3)
    return reading.of(values, rules)


def read_outcomes(values: Sequence[bytes | None], rules: Rules) -> Read | None:
    """None: too many of them need to be looked at."""
    reading = _Reading(_decode_outcome, OF_OUTCOMES, "observed_at", fewest_openings=2)
    return reading.of(values, rules)


class _Reading:
    """Of one batch."""

    def __init__(
        self, decode: Callable[[bytes], Any], fields: Fields, time: str, *, fewest_openings: int
    ) -> None:
        self._decode = decode
        self._time = time
        self._fields: Fields = {**fields, time: ()}
        self._fewest_openings = fewest_openings
        self._taken: dict[str, list[Any]] = {}
        self._asked: list[int] = []

    def of(self, values: Sequence[bytes | None], rules: Rules) -> Read | None:
        most = len(values) // _UNFAMILIAR
        at = 0
        while at < len(values):
            chunk = [value or b"" for value in values[at : at + _CHUNK]]
            if not self._is_plain(chunk, rules):
                return None
            at += self._add(chunk, at)
            if len(self._asked) > most:
                return None
        if not self._taken or not self._taken[self._time]:
            return None
        return self._read(len(values), most)

    def _is_plain(self, values: Sequence[bytes], rules: Rules) -> bool:
        """None is too large or nested too deep, and all are UTF-8: the parser does not look into
        fields that it skips. A part of a character at the end of a record is no end of JSON."""
        if max(map(len, values)) > rules.max_record_bytes:
            return False
        joined = b"".join(values)
        # all the others have opened as many brackets at least
        deepest = sum(map(len, openings_in(joined))) - self._fewest_openings * (len(values) - 1)
        if deepest > MAX_DEPTH and any(v.count(b"[") + v.count(b"{") > MAX_DEPTH for v in values):
            return False
        if joined.isascii():
            return True
        try:
            joined.decode()
        except UnicodeDecodeError:
            return False
        return True

    def _add(self, values: Sequence[bytes], at: int) -> int:
        """Up to the first that has not this form; how many there were, with that."""
        events: list[Any] = []
        try:
            events.extend(map(self._decode, values))
        except PARSE_ERRORS:  # those before it are in the list
            self._asked.append(at + len(events))
        taken = taken_apart(events, self._fields)
        for name, cells in taken.items():
            self._taken.setdefault(name, []).extend(cells)
        return min(len(events) + 1, len(values))

    def _read(self, count: int, most: int) -> Read | None:
        asked, fields = self._asked, self._taken
        place = np.delete(np.arange(count), asked)
        time_ms = _times_ms(fields.pop(self._time))
        uncertain = np.flatnonzero(time_ms == UNCERTAIN)
        if len(uncertain):
            if len(asked) + len(uncertain) > most:
                return None
            asked = sorted([*asked, *place[uncertain].tolist()])
            kept = np.flatnonzero(time_ms != UNCERTAIN)
            fields = {name: [cells[i] for i in kept.tolist()] for name, cells in fields.items()}
            time_ms, place = time_ms[kept], place[kept]
        return Read(fields, time_ms, place, np.array(asked, np.int64)) if len(place) else None


def _times_ms(times: list[Any]) -> NDArray[np.int64]:
    types = set(map(type, times))
    if types == {str}:
        return moments_ms(times)
    if types == {int} and min(times) >= 0 and max(times) < LATEST_MS:
        return np.array(times, np.int64)
    return np.full(len(times), UNCERTAIN, np.int64)
