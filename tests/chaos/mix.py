"""Events of one kind of traffic: how many models, how wide, how they are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from tests.integration.job import START_MS, Message

NIGHT_MS = 1_500_000
"""Of a nightly label feed; a day of 25 minutes is as good as one of 24 hours."""


@dataclass(frozen=True, slots=True)
class Mix:
    models: int = 2
    hot: float = 0.0  # share of the first model beyond its equal one
    features: int = 3
    never: float = 0.1  # share of predictions without an outcome
    nightly: bool = False  # all outcomes of a day come at its end
    new_names: int = 0  # features that no event before had
    prefix: str = "m"
    drifts: bool = True


def events(mix: Mix, count: int, seed: int = 7) -> list[Message]:
    """`count` predictions, one a second, and their outcomes, in order of arrival. In the last two
    fifths (of every 4,000, if there are more) all features are higher by two standard deviations,
    and the models err more."""
    random = Random(seed)
    cycle = min(count, 4_000)
    found: list[Message] = []
    for i in range(count):
        is_shifted = mix.drifts and i % cycle >= cycle * 6 // 10
        at_ms, key = START_MS + i * 1000, f"{mix.prefix}-p{i}"
        model = f"{mix.prefix}{0 if random.random() < mix.hot else i % mix.models}"
        event: dict[str, Any] = {
            "prediction_id": key, "model_id": model, "model_version": "1", "predicted_at": at_ms,
            "features": {
                f"x{n}": round(random.gauss(2.0 * is_shifted, 1), 6) for n in range(mix.features)
            },
            "prediction": {"label": "yes" if i % 3 else "no"},
        }  # fmt: skip
        event["features"] |= {f"y{i}-{n}": n for n in range(mix.new_names)}
        found.append((at_ms, True, key.encode(), orjson.dumps(event)))
        is_wrong = random.random() < (0.45 if is_shifted else 0.05)
        seen_ms = at_ms + int(random.lognormvariate(4.0, 0.5) * 1000)
        if random.random() >= mix.never:
            label = "yes" if bool(i % 3) != is_wrong else "no"
            outcome = {
                "prediction_id": key, "model_id": model,
                "observed_at": seen_ms, "actual": {"label": label},
            }  # fmt: skip
            arrives_ms = _night(seen_ms) if mix.nightly else seen_ms
            found.append((arrives_ms, False, key.encode(), orjson.dumps(outcome)))
    return in_order(found)


def _night(at_ms: int) -> int:
    """The end of the day."""
    return START_MS + ((at_ms - START_MS) // NIGHT_MS + 1) * NIGHT_MS


def in_order(some: Sequence[Message]) -> list[Message]:
    return sorted(some, key=lambda message: message[0])
