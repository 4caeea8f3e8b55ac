"""A fault in one line: `null:amount@20d..22d,30%,model=fraud`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream.setting_types import ms, parse_duration

OPTIONS = ("to", "ramp", "where", "model", "version", "role", "offset", "every")
_FORM = "KIND[:TARGET]@ONSET[..END][,INTENSITY][,OPTION=VALUE]..."
_TEXT = re.compile(
    r"(?P<kind>[a-z_]+)(:(?P<target>[^@]+))?@(?P<onset>[^.,]+(\.\d+[^.,]*)?)"
    r"(\.\.(?P<end>[^,]+))?(,(?P<rest>.*))?"
)


@dataclass(frozen=True, slots=True)
class FaultText:
    """What was asked for, before anybody looked whether there is such a thing."""

    kind: str
    target: str | None
    onset_ms: int  # since the start
    end_ms: int | None  # exclusive; None: until the end
    intensity: float | None
    options: Mapping[str, str]

    def __str__(self) -> str:
        end = "" if self.end_ms is None else f"..{self.end_ms}ms"
        intensity = "" if self.intensity is None else f",{self.intensity:g}"
        options = "".join(f",{name}={value}" for name, value in sorted(self.options.items()))
        target = "" if self.target is None else f":{self.target}"
        return f"{self.kind}{target}@{self.onset_ms}ms{end}{intensity}{options}"


def parse_fault(given: str | Mapping[str, Any]) -> FaultText:
    """From one line, or from a mapping with the same parts. Raises ValueError saying what is wrong.

    >>> str(parse_fault("null:amount@20d..22d,30%,model=fraud"))
    'null:amount@1728000000ms..1900800000ms,0.3,model=fraud'
    >>> str(parse_fault({"kind": "unit", "target": "amount", "onset": "1h", "intensity": "x9"}))
    'unit:amount@3600000ms,9'
    """
    if not isinstance(given, str):
        return _of_parts({str(name): str(value) for name, value in given.items()})
    match = _TEXT.fullmatch(given.strip())
    if match is None:
        raise ValueError(f"{given!r} is no fault: write {_FORM}")
    parts = {name: value for name in ("kind", "target", "onset", "end") if (value := match[name])}
    for part in filter(None, (match["rest"] or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = "intensity", part
        if name in parts:
            raise ValueError(f"{given!r} says {name} twice")
        parts[name] = value
    return _of_parts(parts)


def _of_parts(parts: dict[str, str]) -> FaultText:
    kind, onset = parts.pop("kind", ""), parts.pop("onset", "")
    if not kind or not onset:
        raise ValueError(f"a fault has a kind and an onset: {_FORM}")
    onset_ms = ms(parse_duration(onset))
    end = parts.pop("end", None)
    end_ms = None if end is None else ms(parse_duration(end))
    if end_ms is not None and end_ms <= onset_ms:
        raise ValueError(f"{kind} ends at {end}, which is not after its onset {onset}")
    intensity = parts.pop("intensity", None)
    target = parts.pop("target", None)
    unknown = set(parts) - set(OPTIONS)
    if unknown:
        raise ValueError(
            f"{kind}: unknown option {', '.join(sorted(unknown))} (there is {', '.join(OPTIONS)})"
        )
    return FaultText(
        kind,
        target,
        onset_ms,
        end_ms,
        None if intensity is None else parse_number(intensity),
        parts,
    )


def parse_number(text: str) -> float:
    """`30%`, `x100` or a plain number. Raises ValueError for anything else.

    >>> parse_number("30%"), parse_number("x100"), parse_number("-0.5")
    (0.3, 100.0, -0.5)
    """
    match = re.fullmatch(r"(?P<times>x)?(?P<number>-?\d+(\.\d+)?)(?P<percent>%)?", text.strip())
    if match is None or (match["times"] and match["percent"]):
        raise ValueError(f"{text!r} is no intensity: write 30%, x100 or a number")
    return float(match["number"]) / (100 if match["percent"] else 1)
