"""Faults put into events that were recorded: what `leeway drill` does to a history.

The same words as the simulator's faults, as far as an event shows what they need: those of the
pipeline, latency, and outcomes that stop. The world itself cannot be changed in a recording.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import xxhash

from stream.events import Records
from stream.simulate.catalogue import FAULTS
from stream.simulate.fault_text import FaultText
from stream.times import moment_ms

Features = dict[str, Any]


class Injection:
    """One fault, from an event time on."""

    def __init__(self, fault: FaultText, onset_ms: int) -> None:
        """Raises ValueError where a recording cannot have it."""
        if fault.kind not in (*_ON_FEATURES, "latency", "labels_stop"):
            there = ", ".join((*_ON_FEATURES, "latency", "labels_stop"))
            raise ValueError(f"{fault.kind} cannot be put into a recording: there is {there}")
        if fault.kind in _ON_FEATURES and not fault.target:
            raise ValueError(f"{fault.kind} needs a feature: {fault.kind}:FEATURE")
        default = FAULTS[fault.kind].default
        self.size = fault.intensity if fault.intensity is not None else (default or 1.0)
        self.names = (fault.target or "").split("+")
        if fault.kind == "swap" and len(self.names) != 2:
            raise ValueError("swap needs two features: swap:A+B")
        self.fault, self.onset_ms = fault, onset_ms
        self.model = fault.options.get("model")
        self.touched = 0
        self._stuck: Any = None

    def predictions(self, records: Records) -> Records:
        return replace(records, values=[self._prediction(value) for value in records.values])

    def outcomes(self, records: Records) -> Records:
        """Those that do not come any more are as if they had never been sent."""
        if self.fault.kind != "labels_stop":
            return records
        kept = [n for n, value in enumerate(records.values) if not self._is_of_it(value)]
        self.touched += len(records.values) - len(kept)
        return replace(
            records,
            offsets=[records.offsets[n] for n in kept],
            timestamps_ms=[records.timestamps_ms[n] for n in kept],
            values=[records.values[n] for n in kept],
        )

    def _is_of_it(self, value: bytes | None) -> bool:
        event = _event(value, "observed_at")
        return event is not None and self._has_begun(event, "observed_at")

    def _has_begun(self, event: dict[str, Any], time: str) -> bool:
        if self.model is not None and event.get("model_id") != self.model:
            return False
        try:
            return moment_ms(str(event[time])) >= self.onset_ms
        except (KeyError, ValueError):
            return False

    def _prediction(self, value: bytes | None) -> bytes | None:
        event = _event(value, "predicted_at")
        if event is None or not self._has_begun(event, "predicted_at"):
            return value
        kind, features = self.fault.kind, event.get("features")
        if kind == "latency" and "latency_ms" in event:
            event["latency_ms"] = event["latency_ms"] * self.size
        elif kind in _ON_FEATURES and isinstance(features, dict) and self.names[0] in features:
            if kind in _OF_A_SHARE and _draw(str(event.get("prediction_id"))) >= self.size:
                return value
            _ON_FEATURES[kind](self, features)
        else:
            return value
        self.touched += 1
        return json.dumps(event).encode()

    # -- on the features of an event

    def _null(self, features: Features) -> None:
        features[self.names[0]] = None

    def _missing(self, features: Features) -> None:
        del features[self.names[0]]

    def _rename(self, features: Features) -> None:
        to = self.fault.options.get("to", f"{self.names[0]}_v2")
        features[to] = features.pop(self.names[0])

    def _retype(self, features: Features) -> None:
        features[self.names[0]] = str(features[self.names[0]])

    def _new_category(self, features: Features) -> None:
        features[self.names[0]] = self.fault.options.get("to", "NEW")

    def _scale(self, features: Features) -> None:
        value = features[self.names[0]]
        if isinstance(value, int | float):
            offset = float(self.fault.options.get("offset", "0"))
            features[self.names[0]] = float(f"{value * self.size + offset:.12g}")

    def _stale(self, features: Features) -> None:
        if self._stuck is None:
            self._stuck = features[self.names[0]]
        features[self.names[0]] = self._stuck

    def _swap(self, features: Features) -> None:
        one, other = self.names
        if other in features:
            features[one], features[other] = features[other], features[one]


_ON_FEATURES: dict[str, Callable[[Injection, Features], None]] = {
    "null": Injection._null,
    "missing": Injection._missing,
    "rename": Injection._rename,
    "retype": Injection._retype,
    "new_category": Injection._new_category,
    "unit": Injection._scale,
    "skew": Injection._scale,
    "stale": Injection._stale,
    "swap": Injection._swap,
}
_OF_A_SHARE = ("null", "missing", "rename", "retype", "new_category", "stale", "swap")


def last_ms(values: Sequence[bytes | None]) -> int | None:
    """The greatest time of predictions."""
    found: list[int] = []
    for value in values:
        event = _event(value, "predicted_at")
        try:
            found += [] if event is None else [moment_ms(str(event["predicted_at"]))]
        except ValueError:
            continue
    return max(found, default=None)


def _event(value: bytes | None, time: str) -> dict[str, Any] | None:
    """None: none that one could change."""
    try:
        event = msgspec.json.decode(value or b"")
    except msgspec.DecodeError:
        return None
    return event if isinstance(event, dict) and time in event else None


def _draw(prediction_id: str) -> float:
    """From 0 to 1, always the same for one id."""
    return xxhash.xxh3_64_intdigest(prediction_id.encode()) / 2**64
