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

from stream.events import LATEST_MS, ActualValue, Label, Outcome, Prediction
from stream.gathered_fields import (
    Cells,
    Constants,
    Doubles,
    Field,
    Ids,
    Listed,
    NumberCells,
    TextCells,
)
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
    """Events that were read: what was gathered of each field ("prediction.score"), their times,
    UNCERTAIN where one is, their places in the batch (all parallel), and the other places."""

    fields: dict[str, Any]
    texts: dict[int, str]
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


@dataclass(frozen=True, slots=True)
class _Decoders:
    """Of events of one form. `whole` takes those that have no other field, so that nothing of a
    record is skipped; `part` may skip fields, and the parser does not look into these."""

    part: Callable[[bytes], Any]
    whole: Callable[[bytes], Any] | None


def _decoder(
    struct: type[msgspec.Struct], *, is_whole: bool, **kinds: Any
) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(_made_anew(struct, is_whole=is_whole, **kinds)).decode


def _made_anew(
    struct: type[msgspec.Struct], *, is_whole: bool, **kinds: Any
) -> type[msgspec.Struct]:
    """With other types of these fields."""
    fields: list[Any] = []
    for one in msgspec.structs.fields(struct):
        kind = kinds.get(one.name, one.type)
        fields.append((one.name, kind) if one.required else (one.name, kind, one.default))
    name = f"Familiar{struct.__name__}"
    return msgspec.defstruct(name, fields, forbid_unknown_fields=is_whole, gc=False)


@lru_cache(maxsize=16)
def _of_predictions(form: Form) -> _Decoders:
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
    kinds = {"predicted_at": str | int, "features": features, "prediction": said}
    whole = None if "any" in form.kinds else _decoder(Prediction, is_whole=True, **kinds)
    return _Decoders(_decoder(Prediction, is_whole=False, **kinds), whole)


_of_outcomes = _Decoders(
    _decoder(Outcome, is_whole=False, observed_at=str | int),
    _decoder(
        Outcome,
        is_whole=True,
        observed_at=str | int,
        actual=_made_anew(ActualValue, is_whole=True),
    ),
)


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
    listed = ["model_id", "model_version", "role", "feature_set"]
    if rules.has_segments:
        listed.append("segment")
    features = [form.field(place) for place in range(len(form.names))]
    fields: Fields = {
        **dict.fromkeys([*listed, "prediction_id", "latency_ms"], ()),
        "features": features,
        "prediction": form.said,
    }
    texts: dict[int, str] = {}
    gathered: dict[str, Field] = {name: Listed() for name in listed}
    gathered |= {"prediction_id": Ids(), "latency_ms": Doubles()}
    for field in form.said:
        gathered[f"prediction.{field}"] = Listed() if field == "label" else Doubles()
    for field, kind in zip(features, form.kinds, strict=True):
        gathered[f"features.{field}"] = _cells(kind, texts)
    decoders = _of_predictions(form)
    reading = _Reading(decoders, fields, gathered, "predicted_at", fewest_openings=3)
    return reading.of(values, texts, rules)


def _cells(kind: Kind, texts: dict[int, str]) -> Field:
    if kind in ("number", "number or null"):
        return NumberCells()
    return TextCells(texts) if kind == "text" else Cells(texts)


def read_outcomes(values: Sequence[bytes | None], rules: Rules) -> Read | None:
    """None: too many of them need to be looked at."""
    gathered: dict[str, Field] = {
        "model_id": Listed(),
        "prediction_id": Ids(),
        "revision": Constants(np.int64),
        "retracted": Constants(np.bool_),
        "actual.label": Listed(),
        "actual.value": Doubles(),
    }
    reading = _Reading(_of_outcomes, OF_OUTCOMES, gathered, "observed_at", fewest_openings=2)
    return reading.of(values, {}, rules)


class _Reading:
    """Of one batch."""

    def __init__(
        self,
        decoders: _Decoders,
        fields: Fields,
        gathered: Mapping[str, Field],
        time: str,
        *,
        fewest_openings: int,
    ) -> None:
        self._decoders = decoders
        self._is_whole = decoders.whole is not None  # so far
        self._gathered = gathered
        self._time = time
        self._times: list[Any] = []
        self._fields: Fields = {**fields, time: ()}
        self._fewest_openings = fewest_openings
        self._asked: list[int] = []

    def of(
        self, values: Sequence[bytes | None], texts: dict[int, str], rules: Rules
    ) -> Read | None:
        most = len(values) // _UNFAMILIAR
        at = 0
        while at < len(values):
            chunk = [value or b"" for value in values[at : at + _CHUNK]]
            if max(map(len, chunk)) > rules.max_record_bytes:
                return None
            if not (self._is_whole or self._is_plain(chunk)):
                return None
            at += self._add(chunk, at)
            if len(self._asked) > most:
                return None
        time_ms = _times_ms(self._times)
        if len(self._asked) + np.count_nonzero(time_ms == UNCERTAIN) > most or not len(time_ms):
            return None
        fields = {name: field.made() for name, field in self._gathered.items()}
        place = np.delete(np.arange(len(values)), self._asked)
        return Read(fields, texts, time_ms, place, np.array(self._asked, np.int64))

    def _is_plain(self, values: Sequence[bytes]) -> bool:
        """None is nested too deep, and all are UTF-8: the parser does not look into fields that it
        skips. A part of a character at the end of a record is no end of JSON."""
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
        whole, read = self._decoders.whole if self._is_whole else None, len(values)
        try:
            events.extend(map(whole or self._decoders.part, values))
        except PARSE_ERRORS:  # those before it are in the list
            read = len(events)
            if whole:
                self._is_whole = False  # it is asked again: it may be alike in what is read
            else:
                self._asked.append(at + read)
                read += 1
        if events:
            taken = taken_apart(events, self._fields)
            self._times += taken[self._time]
            for name, field in self._gathered.items():
                field.add(taken[name])
        return read


def _times_ms(times: list[Any]) -> NDArray[np.int64]:
    types = set(map(type, times))
    if types == {str}:
        return moments_ms(times)
    if types == {int} and min(times) >= 0 and max(times) < LATEST_MS:
        return np.array(times, np.int64)
    return np.full(len(times), UNCERTAIN, np.int64)
