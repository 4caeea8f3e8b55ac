"""Records with exactly one thing wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.oracle.reading import Limits

Event = dict[str, Any]
BAD_TIMES = (
    "yesterday",
    "",
    "2026-11-22",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-22T10:00:00",
    "2026-11-22T25:00:00Z",
)
DEEP = ("[" * 5_000 + "]" * 5_000, "[" * 100 + "]" * 100, '{"a":' * 100 + "1" + "}" * 100)


def bad_prediction(random: Random, event: Event, limits: Limits) -> bytes | None:
    makers: list[Callable[[], bytes | None]] = [
        *_common(random, event, limits, "predicted_at"),
        lambda: _json({**event, "prediction": {}}),
        lambda: _json({**event, "prediction": {"label": None, "probabilities": {"a": 1.0}}}),
        lambda: _json({**event, "features": {f"f{i}": i for i in range(limits.max_features + 1)}}),
        lambda: _spliced({**event, "features": {"f0": "@"}}, random.choice(("NaN", "-Infinity"))),
        lambda: _spliced({**event, "features": {"f0": "@"}}, random.choice(("1e999", "-1e999"))),
        lambda: _spliced({**event, "prediction": {"score": "@"}}, random.choice(("1e999", "NaN"))),
        lambda: _spliced({**event, "features": {"f0": "@"}}, random.choice(DEEP)),
        lambda: _without(event, random.choice(("model_version", "prediction", "features"))),
        lambda: _json({**event, "model_version": random.choice((42, None, ["1"]))}),
        lambda: _json({**event, "features": random.choice(([], None, "x", 1))}),
        lambda: _json({**event, "prediction": random.choice(([], None, "fraud", 0.5))}),
        lambda: _json({**event, "prediction": {"score": random.choice(("0.5", True, []))}}),
        lambda: _json({**event, "prediction": {"label": random.choice((1.5, [], {}))}}),
        lambda: _json({**event, "role": random.choice((None, 1, "", "r" * 129))}),
        lambda: _json({**event, "latency_ms": random.choice(("3", True))}),
    ]
    return random.choice(makers)()


def bad_outcome(random: Random, event: Event, limits: Limits) -> bytes | None:
    makers: list[Callable[[], bytes | None]] = [
        *_common(random, event, limits, "observed_at"),
        lambda: _json({**event, "actual": {}}),
        lambda: _json({**event, "actual": {"label": None, "value": None}}),
        lambda: _spliced({**event, "actual": {"value": "@"}}, random.choice(("NaN", "Infinity"))),
        lambda: _spliced({**event, "actual": {"value": "@"}}, random.choice(("1e999", "-1e999"))),
        lambda: _without(event, "actual"),
        lambda: _json({**event, "actual": random.choice((None, "ok", 1, []))}),
        lambda: _json({**event, "actual": {"label": random.choice((1.5, [], {}))}}),
        lambda: _json({**event, "revision": random.choice(("1", 1.5, True, None, -1, 2**62 + 1))}),
        lambda: _json({**event, "retracted": random.choice(("true", 1, None))}),
    ]
    return random.choice(makers)()


def _common(
    random: Random, event: Event, limits: Limits, time_field: str
) -> list[Callable[[], bytes | None]]:
    padding = "x" * limits.max_record_bytes
    makers: list[Callable[[], bytes | None]] = [
        lambda: random.choice((None, b"")),
        lambda: random.choice((b"{", b"no json", _json(event) + b"x", b"'a'", b"\x00", b"{'a':1}")),
        lambda: _json(event)[:-1],
        lambda: random.choice((b"[]", b"null", b'"text"', b"17", b"true")),
        lambda: _json({**event, "note": "@"}).replace(b"@", b"\xff\xfe"),
        lambda: _json({**event, "model_id": "@"}).replace(b"@", b"\xc3"),
        lambda: _json({**event, "note": padding}),
        lambda: _spliced({**event, "note": "@"}, random.choice(DEEP)),
        lambda: _spliced({**event, "note": "@"}, random.choice(("NaN", "Infinity"))),
        lambda: _without(event, random.choice(("prediction_id", "model_id", time_field))),
        lambda: _json({**event, "prediction_id": random.choice((7, None, {}, "", "x" * 513))}),
        lambda: _json({**event, "model_id": random.choice((7, None, []))}),
        lambda: _json({**event, time_field: random.choice((None, 1.5, True, []))}),
        lambda: _json({**event, time_field: random.choice(BAD_TIMES)}),
        lambda: _json({**event, time_field: random.choice((-1, 10**15, 10**30))}),
    ]
    if limits.known_models:
        makers.append(lambda: _json({**event, "model_id": "nobody knows it"}))
    return makers


def _json(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def _without(event: Event, name: str) -> bytes:
    return _json({key: value for key, value in event.items() if key != name})


def _spliced(event: Event, text: str) -> bytes:
    """`"@"` replaced by something that the JSON writer would not write."""
    return _json(event).replace(b'"@"', text.encode(), 1)
