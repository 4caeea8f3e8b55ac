"""Records decoded into Structs made for what the ones before them had in common.

Dictionaries of features, and moments for times, are half of what reading costs in Python. So the
features of a batch whose predictions are all alike, their names and types, become a Struct, and
times are read many at once. Structs are taken apart a few hundred at a time, while they are in the
processor's cache: from memory that takes three times as long. A record that does not fit, or is not
certain to mean the same, is left to the general way (`records`), which alone knows what is refused
and why: what was learned is a guess at what comes next, and never changes what is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from stream.familiar_decoders import (
    Decoders,
    of_habit,
    of_outcomes,
    of_predictions,
    together_in,
)
from stream.familiar_forms import OF_PREDICTED, Form, Kind
from stream.gathered_fields import (
    Cells,
    Constants,
    Doubles,
    Field,
    Ids,
    KnownCells,
    Listed,
    NumberCells,
    TextCells,
    Texts,
    Times,
)
from stream.habits import OUTCOMES, PREDICTIONS, Habit, Side, defaults_of
from stream.known_texts import Known
from stream.records import MAX_DEPTH, PARSE_ERRORS, openings_in
from stream.rules import Rules
from stream.times import UNCERTAIN

_UNFAMILIAR = 16  # one record in so many, or more: the batch is read another way
_CHUNK = 256  # records
_BROKEN = 8  # one chunk in so many that cannot be read together, or more: each is read one by one
Places = NDArray[np.int64]
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
    seen: dict[str, list[str]] = field(default_factory=dict)
    """The texts of features of which they were not known beforehand."""


def taken_apart(events: Sequence[msgspec.Struct], fields: Fields) -> dict[str, Sequence[Any]]:
    """Field by field."""
    taken: dict[str, Sequence[Any]] = {}
    of_events = _transposed(events)
    for name, inner in fields.items():
        values = of_events.get(name, ())
        if not inner:
            taken[name] = values
        elif len(inner) == 1:
            taken[f"{name}.{inner[0]}"] = tuple(map(attrgetter(inner[0]), values))
        else:
            of_values = _transposed(values)
            taken |= {f"{name}.{one}": of_values.get(one, ()) for one in inner}
    return taken


def _transposed(structs: Sequence[msgspec.Struct]) -> dict[str, tuple[Any, ...]]:
    """All values of each field; nothing of none."""
    if not structs:
        return {}
    values = zip(*map(astuple, structs), strict=True)
    return dict(zip(structs[0].__struct_fields__, values, strict=True))


OF_OUTCOMES: Fields = {
    "prediction_id": (),
    "model_id": (),
    "revision": (),
    "retracted": (),
    "actual": ("label", "value"),
}


@dataclass(frozen=True, slots=True)
class Guess:
    """Of predictions."""

    form: Form
    habit: Habit | None = None
    known: Known = ()


def read_predictions(values: Sequence[bytes | None], guess: Guess, rules: Rules) -> Read | None:
    """None: too few of them have this form."""
    form, habit, known = guess.form, guess.habit, guess.known
    if len(form.names) > rules.max_features:
        return None
    if habit is not None and (decoders := of_habit(PREDICTIONS, habit, form, known)) is not None:
        read = _read_predictions(values, decoders, guess, rules)
        if read is not None:
            return read
    return _read_predictions(values, of_predictions(form), Guess(form), rules)


def _read_predictions(
    values: Sequence[bytes | None], decoders: Decoders, guess: Guess, rules: Rules
) -> Read | None:
    form, habit = guess.form, guess.habit
    texts: dict[int, str] = {}
    gathered: dict[str, Field] = {
        name: Texts() for name in ("model_id", "model_version", "role", "feature_set")
    }
    gathered["predicted_at"] = Times(None if habit is None else habit.time)
    gathered |= {"prediction_id": Ids(), "latency_ms": Doubles(), **_of_inner(PREDICTIONS, habit)}
    if rules.has_segments:
        gathered["segment"] = Listed()
    of_known = dict(guess.known)
    for place, (name, kind) in enumerate(zip(form.names, form.kinds, strict=True)):
        gathered[f"features.{form.field(place)}"] = _cells(kind, of_known.get(name), texts)
    if habit is None:
        known = {f"prediction.{name}": None for name in OF_PREDICTED if name not in form.said}
    else:
        known = _known_from(habit, PREDICTIONS)
    reading = _Reading(PREDICTIONS, decoders, gathered, known, fewest_openings=3)
    read = reading.of(values, texts, rules)
    if read is not None:
        for place, name in enumerate(form.names):
            cells = gathered[f"features.{form.field(place)}"]
            if isinstance(cells, TextCells):
                read.seen[name] = cells.seen()
    return read


def _of_inner(side: Side, habit: Habit | None) -> dict[str, Field]:
    """What was predicted, or is the truth."""
    of_label: type[Field] = Listed if habit is None or habit.label is None else Texts
    fields = {"label": of_label, "score": Doubles, "value": Doubles}
    known = side.of_inner.__struct_fields__
    return {f"{side.inner}.{name}": made() for name, made in fields.items() if name in known}


def _known_from(habit: Habit, side: Side) -> dict[str, Any]:
    """What all have alike: texts, and what they do not say."""
    unsaid = {n: d for n, d in defaults_of(side.event).items() if n not in habit.fields}
    of_inner = defaults_of(side.of_inner).items()
    unsaid |= {f"{side.inner}.{n}": d for n, d in of_inner if n not in habit.inner}
    return {**dict(habit.same), **unsaid}


def _cells(kind: Kind, known: Sequence[str] | None, texts: dict[int, str]) -> Field:
    if kind == "text" and known is not None:
        return KnownCells(known, texts)
    if kind in ("number", "number or null", "flag", "flag or null"):
        return NumberCells()
    return TextCells(texts) if kind == "text" else Cells(texts)


def read_outcomes(values: Sequence[bytes | None], habit: Habit | None, rules: Rules) -> Read | None:
    """None: too many of them need to be looked at."""
    if habit is not None and (decoders := of_habit(OUTCOMES, habit)) is not None:
        read = _read_outcomes(values, decoders, habit, rules)
        if read is not None:
            return read
    return _read_outcomes(values, of_outcomes(), None, rules)


def _read_outcomes(
    values: Sequence[bytes | None], decoders: Decoders, habit: Habit | None, rules: Rules
) -> Read | None:
    gathered: dict[str, Field] = {
        "model_id": Texts(),
        "prediction_id": Ids(),
        "observed_at": Times(None if habit is None else habit.time),
        "revision": Constants(np.int64),
        "retracted": Constants(np.bool_),
        **_of_inner(OUTCOMES, habit),
    }
    known = {} if habit is None else _known_from(habit, OUTCOMES)
    return _Reading(OUTCOMES, decoders, gathered, known, fewest_openings=2).of(values, {}, rules)


class _Reading:
    """Of one batch."""

    def __init__(
        self,
        side: Side,
        decoders: Decoders,
        gathered: dict[str, Field],
        known: Mapping[str, Any],
        *,
        fewest_openings: int,
    ) -> None:
        """`known`: values of fields that are the same in all, and are not looked at."""
        self._decoders = decoders
        self._is_whole = decoders.whole is not None  # so far
        self._all = gathered
        self._known = {name: known[name] for name in gathered.keys() & known.keys()}
        self._gathered = {n: one for n, one in gathered.items() if n not in known}
        self._fields: dict[str, list[str]] = {}
        self._time = side.time
        for name in self._gathered:
            outer, _, inner = name.partition(".")
            self._fields.setdefault(outer, []).extend([inner] if inner else [])
        self._fewest_openings = fewest_openings
        self._asked: list[int] = []
        self._together, self._broken = 0, 0  # chunks that were tried so, and that failed

    def of(
        self, values: Sequence[bytes | None], texts: dict[int, str], rules: Rules
    ) -> Read | None:
        most = len(values) // _UNFAMILIAR
        at = 0
        while at < len(values):
            chunk = values[at : at + _CHUNK]
            taken = self._taken_together(chunk, rules)
            if taken is not None:
                self._gather(taken)
                at += len(chunk)
                continue
            there = [value or b"" for value in chunk]
            if max(map(len, there)) > rules.max_record_bytes:
                return None
            if not (self._is_whole or self._is_plain(there)):
                return None
            at += self._one_by_one(there, at)
            if len(self._asked) > most:
                return None
        time_ms = self._all.pop(self._time).made()
        if len(self._asked) + np.count_nonzero(time_ms == UNCERTAIN) > most or not len(time_ms):
            return None
        for name, value in self._known.items():
            self._all[name].add_same(value, len(time_ms))
        fields = {name: one.made() for name, one in self._all.items()}
        place = np.delete(np.arange(len(values)), self._asked)
        return Read(fields, texts, time_ms, place, np.array(self._asked, np.int64))

    def _taken_together(
        self, values: Sequence[bytes | None], rules: Rules
    ) -> dict[str, Sequence[Any]] | None:
        """None: one of them at least has to be looked at by itself."""
        together = self._decoders.together if self._is_whole else None
        if together is None or self._broken * _BROKEN > self._together + _BROKEN:
            return None
        self._together += 1
        with contextlib.suppress(TypeError, *PARSE_ERRORS):  # TypeError: null, or no value
            joined = together_in(values)  # type: ignore[arg-type]
            events = together(joined) if len(joined) <= rules.max_record_bytes else ()
            if len(events) == 2 * len(values) - 1:
                return taken_apart(events[::2], self._fields)
        self._broken += 1
        return None

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

    def _one_by_one(self, values: Sequence[bytes], at: int) -> int:
        """How many there were; where it turns out that they have other fields, up to the first of
        these."""
        events: list[Any] = []
        whole, part = self._decoders.whole if self._is_whole else None, self._decoders.part
        remaining, read = iter(values), len(values)
        strays = 0
        while True:
            try:
                events.extend(map(whole or part, remaining))  # type: ignore[arg-type]
                break
            except PARSE_ERRORS:  # those before it are in the list
                if whole and part:
                    self._is_whole = False  # it is asked again: it may be alike in what is read
                    read = len(events)
                    break
                self._asked.append(at + len(events) + strays)
                strays += 1
        if events:
            self._gather(taken_apart(events, self._fields))
        return read

    def _gather(self, taken: Mapping[str, Sequence[Any]]) -> None:
        for name, one in self._gathered.items():
            one.add(taken[name])
