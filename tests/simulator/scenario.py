"""What one seed draws: rules, a stream, and how rough the weather is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from stream.rules import AdwinRule, ReferenceRule, Rules
from tests.streams import SMALL, Raw, Side, Stream, dealt, draw_events, with_maturity

TINY = replace(
    SMALL,
    reference=ReferenceRule(predictions=12, span_ms=1_000),
    adwin=AdwinRule(delta=0.9, clock=1),
    minimum_values=8,
    resolve_after_panes=3,
)
"""Rules under which a hundred events fire and resolve alerts."""

CALM_SEED = 28  # of the first 150 the one with the fewest I/O boundaries
Arrival = tuple[Side, int, Raw]


@dataclass(frozen=True)
class Scenario:
    rules: Rules
    partitions: int
    stream: Stream
    arrivals: list[Arrival]  # in the order in which producers append them
    end_ms: int  # the greatest event time, as the end of the input says it
    workers: int
    faults: int
    idle_s: float | None  # None: nothing is ever idle
    repeat: float  # chance that a record of a topic between the stages is there twice
    fragment_bytes: int


def draw(random: Random) -> Scenario:
    partitions = random.choice((2, 2, 3))
    maturity = random.choice(("auto", "auto", 20_000, None))
    models = random.choice((("m",), ("m",), ("m",), ("m", "n")))
    predictions, outcomes = draw_events(random, random.randint(60, 100), models=models)
    stream = dealt(predictions, outcomes, partitions)
    idle_s = random.choice((None, 1.0, 3.0))
    return Scenario(
        rules=with_maturity(TINY, maturity),
        partitions=partitions,
        stream=stream,
        arrivals=_arrivals(random, stream, silent=idle_s is not None),
        end_ms=_latest_ms(stream),
        workers=random.randint(1, 3),
        faults=random.randint(2, 8),
        idle_s=idle_s,
        repeat=random.choice((0.0, 0.03)),
        fragment_bytes=random.choice((900_000, 900_000, 700)),
    )


def calm() -> Scenario:
    """A fixed scenario in which nothing fails by itself: an alert fires and is resolved, and a
    maturity is decided. For crashes at places that are counted."""
    random = Random(CALM_SEED)
    predictions, outcomes = draw_events(random, 60, models=("m",))
    stream = dealt(predictions, outcomes, 2)
    return Scenario(
        rules=with_maturity(TINY, "auto"),
        partitions=2,
        stream=stream,
        arrivals=_arrivals(random, stream, silent=False),
        end_ms=_latest_ms(stream),
        workers=2,
        faults=0,
        idle_s=None,
        repeat=0.0,
        fragment_bytes=900_000,
    )


def _latest_ms(stream: Stream) -> int:
    return max(raw[0] for part in [*stream.predictions, *stream.outcomes] for raw in part)


def _arrivals(random: Random, stream: Stream, *, silent: bool) -> list[Arrival]:
    """By record timestamp; where something is `silent`, one partition for a part of the time."""
    sides: dict[Side, list[list[Raw]]] = {
        "predictions": stream.predictions,
        "outcomes": stream.outcomes,
    }
    flat: list[Arrival] = [
        (side, p, raw)
        for side, parts in sides.items()
        for p, part in enumerate(parts)
        for raw in part
    ]
    flat.sort(key=lambda arrival: arrival[2][0])  # stable: a partition keeps its order
    if not silent:
        return flat
    start = int(len(flat) * random.uniform(0.1, 0.5))
    end = start + int(len(flat) * random.uniform(0.2, 0.5))
    sleeper = random.randrange(len(stream.predictions))
    during = flat[start:end]
    kept = [a for a in during if a[1] != sleeper]
    held = [a for a in during if a[1] == sleeper]
    return [*flat[:start], *kept, *held, *flat[end:]]
