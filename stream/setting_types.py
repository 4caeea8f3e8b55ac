"""Durations (`10s`, `1.5h`), sizes (`1MB`) and counts of the configuration.

A number without a unit is refused: whether `grace: 30` means seconds or milliseconds
is exactly the question that a configuration must not leave open.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    WrapValidator,
)

from stream.judgement import label_text

_MS_PER = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
}
_BYTES_PER = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_DURATION = r"^\d+(\.\d+)?\s*(ms|s|m|h|d|w)$"
_SIZE = r"^\d+(\.\d+)?\s*(B|kB|KB|MB|GB|KiB|MiB|GiB)$"
_MS_MAX = 100 * 365 * _MS_PER["d"]


def parse_duration(text: object) -> timedelta:
    """`250ms`, `10s`, `5m`, `1.5h`, `30d`, `2w` as a timedelta of whole milliseconds.

    Raises ValueError for anything else, a number without a unit included.

    >>> parse_duration("1.5h")
    datetime.timedelta(seconds=5400)
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.match(_DURATION, text):
        raise ValueError(f"{text!r} is no duration: write a number and a unit, such as 10s or 30d")
    ms = _scaled(text, _MS_PER)
    if ms > _MS_MAX:
        raise ValueError(f"{text!r} is more than 100 years")
    return timedelta(milliseconds=ms)


def parse_size(text: object) -> int:
    """`500B`, `1MB` (10⁶ bytes), `16MiB` (2²⁰ bytes) as bytes; ValueError for anything else.

    >>> parse_size("1MB"), parse_size("1MiB")
    (1000000, 1048576)
    """
    if not isinstance(text, str) or not re.match(_SIZE, text):
        raise ValueError(f"{text!r} is no size: write a number and a unit, such as 500kB or 16MB")
    return _scaled(text, _BYTES_PER)


def ms(duration: timedelta) -> int:
    """The duration in whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def whole_ms(duration_ms: int) -> timedelta:
    """The inverse of `ms`."""
    return timedelta(milliseconds=duration_ms)


def duration_text(duration: timedelta | str) -> str:
    """As it would be written in the file, in the largest unit that divides it.

    >>> duration_text(timedelta(hours=36)), duration_text(timedelta(days=2))
    ('36h', '2d')
    """
    if isinstance(duration, str):
        return duration
    unit = max(
        (u for u in _MS_PER if u != "w" and ms(duration) % _MS_PER[u] == 0), key=_MS_PER.__getitem__
    )
    return f"{ms(duration) // _MS_PER[unit]}{unit}"


def _scaled(text: str, scale: dict[str, int]) -> int:
    unit = text.lstrip("0123456789. ")
    exact = Decimal(text.removesuffix(unit).strip()) * scale[unit]
    if exact != int(exact):
        raise ValueError(f"{text!r} is finer than the smallest unit")
    return int(exact)


def _maturity(value: object) -> timedelta | Literal["auto", "none"]:
    if value == "auto":
        return "auto"
    if value == "none":
        return "none"
    if value is None:
        raise ValueError("write auto, none (the word) or a duration such as 14d")
    return _positive(parse_duration(value))


def _segment_names(value: object) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n for n in names):
        raise ValueError("write a name, such as channel, or two, such as [channel, region]")
    if not 1 <= len(names) <= 2 or len(set(names)) < len(names):
        raise ValueError("a segment is one name, or two that differ")
    return tuple(sorted(map(str, names)))


def _silence(value: object) -> timedelta | Literal["auto", "none"]:
    found = _maturity(value)
    if isinstance(found, timedelta) and found < timedelta(minutes=10):
        raise ValueError("a silence is 10m at least")
    return found


def _duration_or_none(value: object) -> timedelta | Literal["none"]:
    return "none" if value == "none" else _positive(parse_duration(value))


def _positive(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("must be more than 0")
    return duration


def _ages(value: object) -> tuple[timedelta, ...]:
    """Rising."""
    if not isinstance(value, list | tuple):
        raise ValueError("write a list of durations such as [1h, 1d]")  # noqa: TRY004 pydantic wants ValueError
    return tuple(sorted({_positive(parse_duration(age)) for age in value}))


def _number_not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number")  # noqa: TRY004 pydantic wants ValueError
    return value


def _or_auto(value: object, number: Callable[[object], float]) -> float | str:
    return "auto" if value == "auto" else number(value)


_DURATION_SCHEMA = {"type": "string", "pattern": _DURATION, "examples": ["10s", "30d"]}
_SIZE_SCHEMA = WithJsonSchema({"type": "string", "pattern": _SIZE, "examples": ["1MB"]})


def _word_or_duration(*words: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"enum": list(words)}, _DURATION_SCHEMA]})


_AS_TEXT = PlainSerializer(duration_text, return_type=str, when_used="json")

Duration = Annotated[
    timedelta, PlainValidator(parse_duration), _AS_TEXT, WithJsonSchema(_DURATION_SCHEMA)
]
PositiveDuration = Annotated[
    timedelta,
    PlainValidator(lambda value: _positive(parse_duration(value))),
    _AS_TEXT,
    WithJsonSchema(_DURATION_SCHEMA),
]
DurationOrNone = Annotated[
    timedelta | Literal["none"],
    PlainValidator(_duration_or_none),
    _AS_TEXT,
    _word_or_duration("none"),
]
MaturityAge = Annotated[
    timedelta | Literal["auto", "none"],
    PlainValidator(_maturity),
    _AS_TEXT,
    _word_or_duration("auto", "none"),
]
Silence = Annotated[
    timedelta | Literal["auto", "none"],
    PlainValidator(_silence),
    _AS_TEXT,
    _word_or_duration("auto", "none"),
]
_SIZE_TEXT = PlainSerializer(lambda size: f"{size}B", return_type=str, when_used="json")

Ages = Annotated[
    tuple[timedelta, ...],
    PlainValidator(_ages),
    PlainSerializer(lambda ages: [duration_text(a) for a in ages], when_used="json"),
    WithJsonSchema({"type": "array", "items": _DURATION_SCHEMA}),
]
Bytes = Annotated[int, Field(ge=1), BeforeValidator(parse_size), _SIZE_TEXT, _SIZE_SCHEMA]

# The bounds stand before the validator, where pydantic still writes them into the schema.
_NUMBER = BeforeValidator(_number_not_bool)
Count = Annotated[int, Field(ge=1), _NUMBER]
BudgetCount = Annotated[int, Field(ge=100), _NUMBER]  # thresholds are not made for more
PartitionCount = Annotated[int, Field(ge=1, le=10_000), _NUMBER]
ReplicaCount = Annotated[int, Field(ge=1, le=100), _NUMBER]
Port = Annotated[int, Field(ge=1, le=65_535), _NUMBER]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), _NUMBER]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False), _NUMBER]
LabelText = Annotated[
    str,
    Field(min_length=1),
    BeforeValidator(lambda v: label_text(v) if isinstance(v, bool | int) else v),
]
SegmentNames = Annotated[
    tuple[str, ...],
    BeforeValidator(_segment_names),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 2,
                    "maxItems": 2,
                },
            ]
        }
    ),
]
Ratio = Annotated[float, Field(gt=1, allow_inf_nan=False), _NUMBER]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False), _NUMBER]
_AS_IT_IS = PlainSerializer(lambda value: value)


def _auto_or(**bounds: float) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "number"} | bounds]})


# A union would show in the paths of errors; the word stays a word.
ShareOrAuto = Annotated[
    Share, WrapValidator(_or_auto), _AS_IT_IS, _auto_or(exclusiveMinimum=0, exclusiveMaximum=1)
]
PositiveOrAuto = Annotated[
    Positive, WrapValidator(_or_auto), _AS_IT_IS, _auto_or(exclusiveMinimum=0)
]
ShareOrAll = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), _NUMBER]
