"""Bytes to events the slow way: the standard library's JSON and one check after another.

Nothing here is shared with the processor. A record comes out as a `Prediction`, an `Outcome`, or
the reason why it is a dead letter.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_DEPTH = 100  # the outermost object is the first level
YEAR_2200_MS = 7_258_118_400_000
LARGEST_REVISION = 2**62
SURROGATE = re.compile("[\ud800-\udfff]")
# Small letters and a space are RFC 3339's; an offset without its colon is let pass.
RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d))",
    re.ASCII,
)


class Dead(Exception):
    """A record that cannot be used; the only argument is the reason."""


@dataclass(frozen=True)
class Limits:
    max_record_bytes: int
    max_features: int
    known_models: frozenset[str]  # empty: every model is known


@dataclass(eq=False)
class Prediction:
    prediction_id: str
    model_id: str
    version: str
    role: str
    at: int
    label: str | None
    score: float | None
    value: float | None
    latency_ms: float | None
    feature_set: str | None
    features: dict[str, Any]
    is_held: bool = True  # for an outcome

    @property
    def group(self) -> tuple[str, str, str, str]:
        return (self.model_id, self.version, self.role, "")


@dataclass(eq=False)
class Outcome:
    prediction_id: str
    model_id: str
    observed_at: int
    label: str | None
    value: float | None
    revision: int
    retracted: bool
    effective: int = 0


def read_prediction(raw: bytes | None, limits: Limits) -> Prediction:
    event = _object(raw, limits)
    said = _field(event, "prediction", dict)
    features = _field(event, "features", dict)
    _finite(features)
    for text in (_optional_dict(event, "segment") or {}).values():
        if not isinstance(text, str):
            raise Dead("wrong_type")
    probabilities = _optional_dict(said, "probabilities") or {}
    for name in probabilities:
        if _optional_number(probabilities, name) is None:
            raise Dead("wrong_type")
    latency = _optional_number(event, "latency_ms")
    prediction = Prediction(
        prediction_id=_identifier(event, "prediction_id"),
        model_id=_identifier(event, "model_id"),
        version=_identifier(event, "model_version"),
        role=_identifier(event, "role", 128) if "role" in event else "champion",
        at=_time(event, "predicted_at"),
        label=_label(said),
        score=_optional_number(said, "score"),
        value=_optional_number(said, "value"),
        latency_ms=latency,
        feature_set=_optional_text(event, "feature_set"),
        features=features,
    )
    if prediction.label is None and prediction.score is None and prediction.value is None:
        raise Dead("no_prediction")
    if len(features) > limits.max_features:
        raise Dead("too_many_features")
    _known(prediction.model_id, limits)
    return prediction


def read_outcome(raw: bytes | None, limits: Limits) -> Outcome:
    event = _object(raw, limits)
    actual = _field(event, "actual", dict)
    outcome = Outcome(
        prediction_id=_identifier(event, "prediction_id"),
        model_id=_identifier(event, "model_id"),
        observed_at=_time(event, "observed_at"),
        label=_label(actual),
        value=_optional_number(actual, "value"),
        revision=_revision(event) if "revision" in event else 1,
        retracted=_field(event, "retracted", bool) if "retracted" in event else False,
    )
    if outcome.label is None and outcome.value is None:
        raise Dead("no_actual")
    _known(outcome.model_id, limits)
    return outcome


def _known(model_id: str, limits: Limits) -> None:
    if limits.known_models and model_id not in limits.known_models:
        raise Dead("unknown_model")


def _object(raw: bytes | None, limits: Limits) -> dict[str, Any]:
    if not raw:
        raise Dead("empty")
    if len(raw) > limits.max_record_bytes:
        raise Dead("oversize")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Dead("not_utf8") from None
    if _depth(text) > MAX_DEPTH:
        raise Dead("too_deep")
    try:
        event = json.loads(text, parse_constant=_not_finite)
    except json.JSONDecodeError:
        raise Dead("not_json") from None
    if not isinstance(event, dict):
        raise Dead("wrong_type")
    if SURROGATE.search(json.dumps(event, ensure_ascii=False)):
        raise Dead("not_utf8")
    return event


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    return deepest


def _not_finite(_token: str) -> None:
    raise Dead("not_finite")


def _finite(value: Any) -> None:
    """What nobody reads may be beyond the doubles; a feature may not."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _finite(inner)
    elif value in (float("inf"), float("-inf")):
        raise Dead("out_of_range")


def _field(event: dict[str, Any], name: str, kind: type) -> Any:
    if name not in event:
        raise Dead("missing_field")
    if not isinstance(event[name], kind) or (kind is int and isinstance(event[name], bool)):
        raise Dead("wrong_type")
    return event[name]


def _identifier(event: dict[str, Any], name: str, longest: int = 512) -> str:
    text: str = _field(event, name, str)
    if not 1 <= len(text) <= longest:
        raise Dead("wrong_type")
    return text


def _revision(event: dict[str, Any]) -> int:
    revision: int = _field(event, "revision", int)
    if not 0 <= revision <= LARGEST_REVISION:
        raise Dead("wrong_type")
    return revision


def _optional_number(event: dict[str, Any], name: str) -> float | None:
    number = event.get(name)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise Dead("wrong_type")
    try:
        number = float(number)
    except OverflowError:
        raise Dead("out_of_range") from None
    _finite(number)
    return number


def _optional_dict(event: dict[str, Any], name: str) -> dict[str, Any] | None:
    return None if event.get(name) is None else _field(event, name, dict)


def _optional_text(event: dict[str, Any], name: str) -> str | None:
    return None if event.get(name) is None else _field(event, name, str)


def _label(said: dict[str, Any]) -> str | None:
    """The label as text: true and false in lower case, integers in decimal."""
    label = said.get("label")
    if label is None:
        return None
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, int | str):
        return str(label)
    raise Dead("wrong_type")


def _time(event: dict[str, Any], name: str) -> int:
    """Epoch milliseconds; to the nearest microsecond, of which the milliseconds are taken."""
    if name not in event:
        raise Dead("missing_field")
    at = event[name]
    if isinstance(at, str):
        at = _rfc3339(at)
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < YEAR_2200_MS:
        raise Dead("invalid_time")
    return at


def _rfc3339(text: str) -> int:
    match = RFC3339.fullmatch(text)
    if match is None:
        raise Dead("invalid_time")
    day, clock, fraction, sign, hours, minutes = match.groups()
    try:
        local = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
    except ValueError:
        raise Dead("invalid_time") from None
    shift_s = 0 if sign is None else (3_600 * int(hours) + 60 * int(minutes)) * int(f"{sign}1")
    seconds = (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) - shift_s
    digits = (fraction or "") + "0000000"
    microseconds = int(digits[:6]) + (digits[6] >= "5")
    return (seconds * 1_000_000 + microseconds) // 1_000
