"""Event mixes that a processor would rather not meet, drawn from a given random source.

A mix is two lists of raw records per partition. Each bad record has exactly one thing wrong with
it, so that its reason does not depend on the order in which a reader happens to look.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from typing import Any

from tests.oracle.bad_records import bad_outcome, bad_prediction
from tests.oracle.world import Raw, World
from tests.oracle.worlds import MODELS, draw_world

Event = dict[str, Any]
Timed = tuple[float, int | None, bytes | None, str]  # arrival, record timestamp, value, key

TEXTS = (
    "DE",
    "FR",
    "",
    "größe",
    "東京",
    "🚗",
    "null",
    "1.5",
    "a b",
    "NaN",
    "x" * 300,
    "x" * 65,
    "x" * 64,
)
NUMBERS = (
    0,
    1,
    -1,
    0.1,
    -0.0,
    1e100,
    -1e100,
    1e-100,
    -3e-77,
    2**53 + 1,
    2015,
    2027.5,
    1e16,
    3.7e9,
    5e-324,
    1e-200,
)
OTHERS: tuple[Any, ...] = (
    [],
    {},
    [1, [2, [3]]],
    {"a": {"b": None}},
    1e101,
    -1e300,
    10**120,
    10**101,
)


@dataclass(frozen=True)
class Mix:
    world: World
    predictions: list[list[Raw]]
    outcomes: list[list[Raw]]


def draw_mix(random: Random, size: int) -> Mix:
    world = draw_world(random)
    partitions = random.randint(1, 4)
    events = draw_predictions(random, world, size)
    outcomes = draw_outcomes(random, world, events)
    said = [_timed(random, world, e, "predicted_at", e["_arrival"]) for e in events]
    seen = [_timed(random, world, e, "observed_at", e["_arrival"]) for e in outcomes]
    limits = world.limits
    said += _spoil(random, events, lambda event: bad_prediction(random, event, limits))
    seen += _spoil(random, outcomes, lambda event: bad_outcome(random, event, limits))
    return Mix(world, _deal(random, said, partitions), _deal(random, seen, partitions))


def draw_predictions(random: Random, world: World, size: int) -> list[Event]:
    now = random.choice((0, 1_763_800_000_000))
    gap_ms = random.choice((150, 3_000, 12_000))
    models = random.sample(MODELS, random.randint(1, len(MODELS)))
    typical = {model: {f"f{i}": random.choice((0, 1)) for i in range(4)} for model in models}
    events: list[Event] = []
    for i in range(size):
        now += random.randint(0, 2 * gap_ms)
        if random.random() < 0.02:
            now += random.choice((world.pane_ms, world.horizon_ms, 5 * world.horizon_ms))
        if events and random.random() < 0.03:
            events += _at_the_edge_of_late(world, events[-1], now)
            now = events[-1]["_arrival"]
        if events and random.random() < 0.25:
            events.append(_echo(random, world, random.choice(events[-30:]), now))
            continue
        model = random.choice(models)
        back = random.choice(
            (0, 0, world.grace_ms // 2, world.grace_ms, 2 * world.grace_ms + 9_000)
        )
        events.append(
            {
                "prediction_id": random.choice((f"p{i}", f"ü-{i}-東")),
                "model_id": model,
                "model_version": random.choice("12"),
                "predicted_at": max(0, now - random.randint(0, back)),
                "features": _features(random, typical[model]),
                "prediction": _said(random, model),
                "_arrival": now,
                **(
                    {"role": random.choice(("champion", "shadow"))} if random.random() < 0.5 else {}
                ),
                **({"latency_ms": random.choice((3, 12.3, None))} if random.random() < 0.5 else {}),
                **(
                    {"segment": {"channel": "web"}, "later": [None], "feature_set": f"f@{now % 3}"}
                    if random.random() < 0.2
                    else {}
                ),
            }
        )
    return events


def _echo(random: Random, world: World, event: Event, now: int) -> Event:
    """The same again, or nearly: a duplicate, a fan-out, or an id used again."""
    memory = world.memory_ms(event["model_id"])
    changed: Event = random.choice(
        (
            {},
            {"model_version": "2"},
            {"role": "shadow"},
            {"predicted_at": now},
            {"predicted_at": now, "model_version": "2"},
            {"predicted_at": event["predicted_at"] + memory + random.choice((-1, 0, 1))},
            {"features": {}, "prediction": {"score": 0.25}},
        )
    )
    return {**event, **changed, "_arrival": now}


def _at_the_edge_of_late(world: World, event: Event, now: int) -> list[Event]:
    """A pane's last moment: the watermark comes to stand exactly at its end plus the grace."""
    edge = world.pane_end(now) + world.grace_ms
    mark = {**event, "predicted_at": edge, "_arrival": edge}
    return [mark] + [
        {**event, "predicted_at": at, "role": f"role of {at}", "_arrival": edge}
        for at in (now, world.pane_end(now))
    ]


def _features(random: Random, typical: dict[str, int]) -> Event:
    features: Event = {}
    for name, usual in typical.items():
        kind = usual
        chance = random.random()
        if chance < 0.1:
            features[name] = random.choice((None, True, False, random.choice(OTHERS)))
        elif chance < 0.2:
            kind = 1 - usual
        elif chance < 0.25:
            continue
        if name not in features:
            features[name] = (
                random.choice(TEXTS)
                if kind
                else random.choice((random.choice(NUMBERS), random.uniform(-1e6, 1e6)))
            )
    if random.random() < 0.1:
        features[random.choice(("größe", "", "a.b", "prediction:score"))] = random.choice(NUMBERS)
    return features


def _said(random: Random, model: str) -> Event:
    score = random.choice((0, 1, 0.5, 0.25, 1.5, -1, random.random()))
    choices: dict[str, tuple[Event, ...]] = {
        "fraud": (
            {"label": random.choice(("fraud", "ok")), "score": score},
            {"label": random.choice(("fraud", "ok")), "score": None},
        ),
        "preis-größe": ({"value": random.choice((0, 17, -2.5, random.uniform(-9, 9)))},),
        "churn": (
            {"score": score},
            {"label": random.choice((True, False, 0, 1, "1", "true")), "score": score},
        ),
        "sizes": (
            {"label": random.choice(("S", "M", "größe", 38, "38")), "value": 3},
            {"score": score, "probabilities": {"S": 0.5, "M": 0.5}},
            {"label": "S", "score": score, "value": 0.125},
        ),
    }
    return random.choice(choices[model])


def _actual(random: Random, model: str) -> Event:
    choices: dict[str, tuple[Event, ...]] = {
        "fraud": ({"label": "fraud"}, {"label": "ok"}, {"label": None, "value": 1}),
        "preis-größe": ({"value": random.uniform(-9, 9)}, {"value": 17}, {"label": "17"}),
        "churn": tuple({"label": x} for x in (True, False, 0, 1, "1", "true", "TRUE", "Yes", "no")),
        "sizes": ({"label": "S"}, {"label": 38}, {"label": "größe", "value": 3.5}, {"value": 3}),
    }
    return random.choice(choices[model])


def draw_outcomes(random: Random, world: World, predictions: list[Event]) -> list[Event]:
    outcomes: list[Event] = []
    tidy = random.random() < 0.5  # nine in ten are labelled in time: maturity need not wait
    labelled_share = 1.0 if tidy else random.choice((0.95, 0.8, 0.3, 0.0))
    quick = tidy or random.random() < 0.5
    for prediction in predictions:
        if random.random() >= labelled_share:
            continue
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            delay_ms = _delay(random, world, prediction, quick)
            observed = max(0, prediction["predicted_at"] + delay_ms)
            outcome = {
                "prediction_id": prediction["prediction_id"],
                "model_id": prediction["model_id"],
                "observed_at": observed,
                "actual": _actual(random, prediction["model_id"]),
                "_arrival": observed + random.choice((0, 0, 1_000, 40_000)) * random.random(),
            }
            if random.random() < 0.3:
                outcome["revision"] = random.choice((0, 1, 2, 2**62))
            if random.random() < (0.02 if tidy else 0.2):
                outcome["retracted"] = random.random() < 0.7
            outcomes.append(outcome)
            if random.random() < 0.1:
                later = random.choice((0, 5_000, 2 * world.horizon_ms))
                outcomes.append({**outcome, "_arrival": outcome["_arrival"] + later})
        if random.random() < 0.03:
            outcomes += _at_the_edge_of_memory(random, world, outcomes[-1])
        if random.random() < 0.05:
            outcomes.append({**outcomes[-1], "prediction_id": f"nobody-{len(outcomes)}"})
    return outcomes


def _at_the_edge_of_memory(random: Random, world: World, outcome: Event) -> list[Event]:
    """The same outcome again when it is just, or no longer, remembered."""
    memory_ms = world.horizon_ms + world.settled_ms + random.choice((0, 1))
    edge = outcome["observed_at"] + memory_ms
    mark = {**outcome, "observed_at": edge, "revision": 77, "_arrival": edge}
    return [mark, {**outcome, "_arrival": edge}]


def _delay(random: Random, world: World, prediction: Event, quick: bool) -> int:
    configured = world.maturity_of(prediction["model_id"])
    age = configured if isinstance(configured, int) else world.horizon_ms // 3
    if quick and random.random() < 0.95:
        return random.randint(0, world.horizon_ms // 6)
    return random.choice(
        (
            random.randint(0, age),
            random.randint(0, age),
            age + random.choice((-1, 0, 1)),
            world.horizon_ms + random.choice((-1, 0, 1, 20_000)),
            -random.randint(0, world.grace_ms),
            -world.grace_ms + random.choice((-1, 0, 1, -20_000)),
            0,
        )
    )


def _timed(random: Random, world: World, event: Event, time_field: str, arrival: float) -> Timed:
    at: int = event[time_field]
    timestamp: int | None = max(int(arrival), at)
    if world.future_bound_ms is not None and timestamp is not None and random.random() < 0.08:
        timestamp = at - world.future_bound_ms + random.choice((0, -1, -1, -90_000))
        timestamp = max(timestamp, 0)
    elif random.random() < 0.05:
        timestamp = None
    return arrival, timestamp, encode(random, event, time_field), event["prediction_id"]


def encode(random: Random, event: Event, time_field: str) -> bytes:
    public = {name: value for name, value in event.items() if not name.startswith("_")}
    if time_field in public and random.random() < 0.3:
        public[time_field] = _rfc3339(random, public[time_field])
    if random.random() < 0.3:
        names = list(public)
        random.shuffle(names)
        public = {name: public[name] for name in names}
    return json.dumps(public, ensure_ascii=random.random() < 0.5).encode()


def _rfc3339(random: Random, at: int) -> str:
    offset_minutes = random.choice((0, 0, 120, -210))
    local = at + offset_minutes * 60_000
    days, in_day = divmod(local, 86_400_000)
    seconds, ms = divmod(in_day, 1000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    fraction = f".{ms:03}" if ms or random.random() < 0.5 else ""
    fraction += random.choice(("", "999")) if fraction else ""
    hours, minutes = divmod(abs(offset_minutes), 60)
    zone = f"{'-' if offset_minutes < 0 else '+'}{hours:02}:{minutes:02}" if offset_minutes else "Z"
    return f"{_date(days)}T{clock}{fraction}{zone}"


def _date(days: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=days)).isoformat()


def _spoil(
    random: Random, events: list[Event], make: Callable[[Event], bytes | None]
) -> list[Timed]:
    spoiled: list[Timed] = []
    for _ in range(random.randint(0, max(2, len(events) // 6)) if events else 0):
        event = random.choice(events)
        clean = {name: value for name, value in event.items() if not name.startswith("_")}
        arrival = event["_arrival"] + random.random()
        spoiled.append((arrival, int(arrival), make(clean), f"bad-{random.random()}"))
    return spoiled


def _deal(random: Random, records: list[Timed], partitions: int) -> list[list[Raw]]:
    dealt: list[list[Raw]] = [[] for _ in range(partitions)]
    offsets = [random.choice((0, 5_000)) for _ in range(partitions)]
    for _, timestamp, value, key in sorted(records, key=lambda record: record[0]):
        partition = zlib.crc32(key.encode()) % partitions
        dealt[partition].append((offsets[partition], timestamp, value))
        offsets[partition] += random.choice((1, 1, 1, 2))  # transactions leave gaps
    return dealt


def hurried(mix: Mix, random: Random) -> Mix:
    """The same, decided early where that may be."""
    span_ms = mix.world.pane_ms * random.choice((8, 20, 30))
    rule = (random.choice((5, 20)), span_ms)
    world = replace(mix.world, maturity={"": "auto"}, ages={}, reference=rule)
    limits = replace(world.limits, known_models=frozenset())
    return replace(mix, world=replace(world, first=random.choice((1, 2, 4)), limits=limits))
