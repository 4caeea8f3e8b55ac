"""Bytes to typed events, a fetched batch at once: the only place where input is validated.

What cannot be used becomes a dead letter with a reason; the other records of the batch are not
touched by it. A bad value of one feature is no reason: it stays in the event and is counted as
`other` when the columns are built.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.events import LATEST_MS, DeadLetter, Outcome, Prediction, Records, ToDeadLetters
from stream.rules import Rules
from stream.times import to_ms

NO_TIMESTAMP = int(np.iinfo(np.int64).max)
Event = TypeVar("Event", Prediction, Outcome)
_predictions = msgspec.json.Decoder(Prediction)
_outcomes = msgspec.json.Decoder(Outcome)

MAX_DEPTH = 100
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
    record_ms: NDArray[np.int64]  # the record's timestamp; NO_TIMESTAMP where it has none
    dead: list[ToDeadLetters]


def decode_predictions(
    records: Records, rules: Rules, *, include_payload: bool
) -> Decoded[Prediction]:
    def check(event: Prediction) -> int:
        said = event.prediction
        if said.label is None and said.score is None and said.value is None:
            raise UnusableError("no_prediction", "none of label, score and value is given")
        if len(event.features) > rules.max_features:
            raise UnusableError("too_many_features", f"{len(event.features)} features")
        return to_ms(event.predicted_at)

    return _decode(records, rules, _predictions.decode, check, include_payload)


def decode_outcomes(records: Records, rules: Rules, *, include_payload: bool) -> Decoded[Outcome]:
    def check(event: Outcome) -> int:
        if event.actual.label is None and event.actual.value is None:
            raise UnusableError("no_actual", "neither label nor value is given")
        return to_ms(event.observed_at)

    return _decode(records, rules, _outcomes.decode, check, include_payload)


def _decode(
    records: Records,
    rules: Rules,
    parse: Callable[[bytes], Event],
    check: Callable[[Event], int],
    include_payload: bool,
) -> Decoded[Event]:
    events: list[Event] = []
    times: list[int] = []
    stamps: list[int] = []
    dead: list[ToDeadLetters] = []
    for i, value in enumerate(records.values):
        try:
            event = parse(_parsable(value, rules))
            time = check(event)
            _refuse(not 0 <= time < LATEST_MS, "invalid_time", "before 1970 or after 2199")
            _refuse(not rules.knows(event.model_id), "unknown_model", "it is not configured")
        except UnusableError as error:
            dead.append(_letter(records, i, error.reason, str(error), include_payload))
            continue
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            dead.append(
                _letter(records, i, _reason(error, value or b""), str(error), include_payload)
            )
            continue
        stamp = records.timestamps_ms[i]
        events.append(event)
        times.append(time)
        stamps.append(NO_TIMESTAMP if stamp is None else stamp)
    return Decoded(events, np.array(times, np.int64), np.array(stamps, np.int64), dead)


def _refuse(refused: bool, reason: str, detail: str) -> None:
    if refused:
        raise UnusableError(reason, detail)


def _parsable(value: bytes | None, rules: Rules) -> bytes:
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


def _letter(
    records: Records, index: int, reason: str, detail: str, include_payload: bool
) -> ToDeadLetters:
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
