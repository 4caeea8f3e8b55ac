"""Bytes to typed events, a fetched batch at once: the only place where input is validated.

What cannot be used becomes a dead letter with a reason; the other records of the batch are not
touched by it. A bad value of one feature is no reason: it stays in the event and is counted as
`other` when the columns are built.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.events import LATEST_MS, DeadLetter, Outcome, Prediction, Records, ToDeadLetters
from stream.rules import Rules
from stream.times import to_ms

Event = TypeVar("Event", Prediction, Outcome)
_predictions = msgspec.json.Decoder(Prediction)
_outcomes = msgspec.json.Decoder(Outcome)

MAX_DEPTH = 100
_CHUNK_BYTES = 1 << 16
PARSE_ERRORS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_BRACKET_OR_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
_NOT_FINITE_OR_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|NaN|Infinity', re.DOTALL)

_REASONS = (  # part of msgspec's message -> reason; the first that fits
    ("missing required field", "missing_field"),
    ("out of range", "out_of_range"),
    ("RFC3339", "invalid_time"),
    ("timezone", "invalid_time"),
    ("observed_at", "invalid_time"),
    ("predicted_at", "invalid_time"),
    ("utf-8", "not_utf8"),
    ("surrogate", "not_utf8"),
)


class UnusableError(ValueError):
    """A record that cannot be used, for this reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Decoded(Generic[Event]):
    """The usable events of a batch (parallel), and the letters for the others."""

    events: list[Event]
    time_ms: NDArray[np.int64]
    place: NDArray[np.intp]  # of the record in the batch
    dead: list[ToDeadLetters]


def decode_predictions(
    records: Records, rules: Rules, *, include_payload: bool
) -> Decoded[Prediction]:
    def check(event: Prediction) -> None:
        said = event.prediction
        nothing = said.label is None and said.score is None and said.value is None
        _refuse(nothing, "no_prediction", "none of label, score and value is given")
        count = len(event.features)
        _refuse(count > rules.max_features, "too_many_features", f"{count} features")

    def doubtful(events: list[Prediction]) -> list[bool]:
        most = rules.max_features
        return [
            (p.score is None and p.label is None and p.value is None) or len(e.features) > most
            for e in events
            for p in (e.prediction,)
        ]

    form = _Form(_predictions.decode, attrgetter("predicted_at"), check, doubtful)
    return _decode(records, rules, form, include_payload)


def decode_outcomes(records: Records, rules: Rules, *, include_payload: bool) -> Decoded[Outcome]:
    def check(event: Outcome) -> None:
        nothing = event.actual.label is None and event.actual.value is None
        _refuse(nothing, "no_actual", "neither label nor value is given")

    def doubtful(events: list[Outcome]) -> list[bool]:
        return [a.label is None and a.value is None for e in events for a in (e.actual,)]

    form = _Form(_outcomes.decode, attrgetter("observed_at"), check, doubtful)
    return _decode(records, rules, form, include_payload)


@dataclass(frozen=True, slots=True)
class _Form(Generic[Event]):
    """What is particular to predictions and to outcomes. `check` raises UnusableError for what is
    well-formed and means nothing; `doubtful` says, of many, which ones it has to be asked about."""

    parse: Callable[[bytes], Event]
    time: Callable[[Event], datetime | int]
    check: Callable[[Event], None]
    doubtful: Callable[[list[Event]], list[bool]]


def _decode(
    records: Records, rules: Rules, form: _Form[Event], include_payload: bool
) -> Decoded[Event]:
    """All records at once; one by one only those with which something may be wrong."""
    parsing = _Parsing(records.values, form.parse, rules)
    events, index, unusable = parsing.events, parsing.index, parsing.unusable
    times = _times([form.time(event) for event in events])
    asked = np.array(form.doubtful(events), np.bool_) | (times < 0) | (times >= LATEST_MS)
    if rules.models:
        asked |= np.array([not rules.knows(event.model_id) for event in events], np.bool_)
    for i in np.flatnonzero(asked).tolist():
        try:
            _check(events[i], int(times[i]), form, rules)
        except UnusableError as error:
            unusable[index[i]] = error
    if unusable:
        kept = [i for i, place in enumerate(index) if place not in unusable]
        events, index, times = [events[i] for i in kept], [index[i] for i in kept], times[kept]
    dead = [
        letter_of(records, i, error.reason, str(error), include_payload)
        for i, error in sorted(unusable.items())
    ]
    return Decoded(events, times, np.array(index, np.intp), dead)


class _Parsing(Generic[Event]):
    """Of one batch. A part that does not parse as a whole is halved: many bad records fail early,
    so that finding them costs little more than reading the batch twice."""

    def __init__(
        self, values: Sequence[bytes | None], parse: Callable[[bytes], Event], rules: Rules
    ) -> None:
        self.events: list[Event] = []
        self.index: list[int] = []  # of the events, in the batch
        self.unusable: dict[int, UnusableError] = {}
        self._values = [value or b"" for value in values]
        self._call: Callable[[bytes], Event] = parse
        self._rules = rules
        self._doubtful = _doubtful_bytes(self._values, rules)
        self._part(0, len(values))

    def _part(self, start: int, stop: int) -> None:
        if stop - start <= 1:
            if start < stop:
                self._one(start)
            return
        if not self._doubtful[start:stop].any():
            with contextlib.suppress(*PARSE_ERRORS):  # then one of them; it is found below
                self.events += list(map(self._call, self._values[start:stop]))
                self.index += range(start, stop)
                return
        middle = (start + stop) // 2
        self._part(start, middle)
        self._part(middle, stop)

    def _one(self, place: int) -> None:
        value = self._values[place]
        try:
            self.events.append(self._call(_parsable(value, self._rules)))
            self.index.append(place)
        except UnusableError as error:
            self.unusable[place] = error
        except PARSE_ERRORS as error:
            self.unusable[place] = UnusableError(_reason(error, value), str(error))


def _check(event: Event, time_ms: int, form: _Form[Event], rules: Rules) -> None:
    form.check(event)
    _refuse(not 0 <= time_ms < LATEST_MS, "invalid_time", "before 1970 or after 2199")
    _refuse(not rules.knows(event.model_id), "unknown_model", "it is not configured")


def _times(times: list[datetime | int]) -> NDArray[np.int64]:
    if set(map(type, times)) <= {int}:
        return np.array(times, np.int64)
    return np.array([to_ms(time) for time in times], np.int64)


def _doubtful_bytes(values: Sequence[bytes], rules: Rules) -> NDArray[np.bool_]:
    """Which values may be refused before they are parsed: `_parsable` has to look at them."""
    sizes = np.array(list(map(len, values)), np.int64)
    joined = b"".join(values)
    opening = np.concatenate([np.zeros(0, np.int64), *openings_in(joined)])
    count = np.diff(np.searchsorted(opening, np.cumsum(sizes)), prepend=0)
    doubtful: NDArray[np.bool_] = (
        (sizes == 0) | (sizes > rules.max_record_bytes) | (count > MAX_DEPTH)
    )
    if not joined.isascii():
        doubtful |= np.array([not value.isascii() for value in values], np.bool_)
    return doubtful


def openings_in(joined: bytes) -> Iterator[NDArray[np.int64]]:
    """Places of the brackets that open something, a part that stays in the cache at a time."""
    cells = np.frombuffer(joined, np.uint8)
    for start in range(0, len(cells), _CHUNK_BYTES):
        # "[" and "{" differ by one bit, and with it set are equal
        is_open = (cells[start : start + _CHUNK_BYTES] | 0x20) == ord("{")
        yield np.flatnonzero(is_open) + start


def _refuse(refused: bool, reason: str, detail: str) -> None:
    if refused:
        raise UnusableError(reason, detail)


def _parsable(value: bytes, rules: Rules) -> bytes:
    """The value, if it is worth parsing: there, of a sane size, UTF-8, not nested too deep."""
    if not value:
        raise UnusableError("empty", "the record has no value")
    if len(value) > rules.max_record_bytes:
        raise UnusableError("oversize", f"{len(value)} bytes")
    if not value.isascii():
        value.decode()  # the parser does not look into fields it skips
    if value.count(b"[") + value.count(b"{") > MAX_DEPTH:
        _refuse_depth(value)
    return value


def _refuse_depth(value: bytes) -> None:
    """A fixed limit: the parser's own is Python's recursion limit, which depends on the caller."""
    depth = 0
    for token in _BRACKET_OR_STRING.finditer(value):
        first = token.group()[:1]
        depth += 1 if first in b"[{" else -1 if first in b"]}" else 0
        if depth > MAX_DEPTH:
            raise UnusableError("too_deep", f"nested deeper than {MAX_DEPTH}")


def _reason(error: Exception, value: bytes) -> str:
    if isinstance(error, RecursionError):
        return "too_deep"
    if isinstance(error, UnicodeDecodeError):
        return "not_utf8"
    text = str(error)
    for part, reason in _REASONS:
        if part in text:
            return reason
    if isinstance(error, msgspec.ValidationError):
        return "wrong_type"
    not_finite = any(m.group()[:1] != b'"' for m in _NOT_FINITE_OR_STRING.finditer(value))
    return "not_finite" if not_finite else "not_json"


def letter_of(
    records: Records, index: int, reason: str, detail: str, include_payload: bool
) -> ToDeadLetters:
    """Of one of these records."""
    payload = records.values[index] or b""
    letter = DeadLetter(
        schema_version=1,
        reason=reason,
        detail=detail[:200],
        topic=records.topic,
        partition=records.partition,
        offset=records.offsets[index],
        timestamp_ms=records.timestamps_ms[index],
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_bytes=len(payload),
        payload_base64=base64.b64encode(payload).decode() if include_payload else None,
    )
    return ToDeadLetters(letter, encode(letter))


def encode(value: Any) -> bytes:
    """Canonical JSON: fields in the order of their definition, dictionaries sorted."""
    return msgspec.json.encode(value, order="deterministic")
