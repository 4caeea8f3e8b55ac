"""Small seeded streams of raw records, and ways to feed them to the stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, cast

from stream.events import Records
from stream.grouped_rows import pieces
from stream.partitioning import partition_of
from stream.pipeline import Pipeline
from stream.rules import AdwinRule, BudgetRule, FloorRule, Maturity, ReferenceRule, Rules
from stream.wire import Block, Bundle, PaneRecord

Side = Literal["predictions", "outcomes"]
Event = dict[str, Any]
Raw = tuple[int, bytes]  # record timestamp in ms, value
TOPIC = {"predictions": "leeway.predictions", "outcomes": "leeway.outcomes"}

SMALL = Rules(
    pane_ms=1_000,
    grace_ms=2_000,
    future_bound_ms=60_000,
    maturity=20_000,
    horizon_ms=120_000,
    reference=ReferenceRule(predictions=60, span_ms=10_000),
    adwin=AdwinRule(enabled=True, delta=0.3, clock=4),
    minimum_values=30,
    resolve_after_panes=30,
    resolve_values=10,
    budget=BudgetRule(predictions=200, span_ms=60_000),
    floors=FloorRule(shift=2.0, error=0.5, shape=0.4),
    pane_rows=6,
    window_rows=48,
    max_categories=4,
)
"""Rules under which a few hundred events seal references, decide maturities, fire and resolve."""


def prediction(prediction_id: str, at_ms: int, **changed: Any) -> Event:
    made: Event = {
        "prediction_id": prediction_id,
        "model_id": "m",
        "model_version": "1",
        "predicted_at": at_ms,
        "features": {},
        "prediction": {"label": "yes"},
    }
    return made | changed


def outcome(prediction_id: str, at_ms: int, **changed: Any) -> Event:
    made: Event = {
        "prediction_id": prediction_id,
        "model_id": "m",
        "observed_at": at_ms,
        "actual": {"label": "yes"},
    }
    return made | changed


def value_of(event: Event) -> bytes:
    return json.dumps(event).encode()


def records(
    events: Sequence[Event | bytes | None],
    side: Side = "predictions",
    *,
    partition: int = 0,
    first_offset: int = 0,
    timestamp_ms: int | None = None,
) -> Records:
    """One batch; no record timestamps unless one is given for all."""
    values = [value_of(e) if isinstance(e, dict) else e for e in events]
    offsets = list(range(first_offset, first_offset + len(values)))
    return Records(TOPIC[side], partition, offsets, [timestamp_ms] * len(values), values)


@dataclass(frozen=True)
class Stream:
    """Raw records of each partition and side, in offset order."""

    predictions: list[list[Raw]]
    outcomes: list[list[Raw]]

    def batches(self, random: Random, largest: int) -> Iterator[tuple[Side, Records]]:
        """Any interleaving of the topics and partitions, in batches of 1 to `largest`."""
        left: dict[tuple[Side, int], list[Raw]] = {}
        for p, raws in enumerate(self.predictions):
            left["predictions", p] = raws
        for p, raws in enumerate(self.outcomes):
            left["outcomes", p] = raws
        at = dict.fromkeys(left, 0)
        open_ends = [key for key, raws in left.items() if raws]
        while open_ends:
            side, partition = key = random.choice(open_ends)
            first = at[key]
            part = left[key][first : first + random.randint(1, largest)]
            at[key] = first + len(part)
            if at[key] == len(left[key]):
                open_ends.remove(key)
            offsets = list(range(first, at[key]))
            times: list[int | None] = [t for t, _ in part]
            yield side, Records(TOPIC[side], partition, offsets, times, [v for _, v in part])


def dealt(predictions: list[Event], outcomes: list[Event], partitions: int) -> Stream:
    """By `_arrival`, to the partition of the prediction id."""

    def side(events: list[Event]) -> list[list[Raw]]:
        parts: list[list[Raw]] = [[] for _ in range(partitions)]
        for event in sorted(events, key=lambda e: e["_arrival"]):
            public = {k: v for k, v in event.items() if not k.startswith("_")}
            key = partition_of(str(event["prediction_id"]).encode(), partitions)
            value = event.get("_raw") or value_of(public)
            timestamp = int(event["_timestamp"] if "_timestamp" in event else event["_arrival"])
            parts[key].append((timestamp, bytes(value)))
        return parts

    return Stream(side(predictions), side(outcomes))


def run(
    rules: Rules,
    stream: Stream,
    random: Random | None = None,
    *,
    largest: int = 50,
    end: bool = True,
    **options: Any,
) -> Pipeline:
    pipeline = Pipeline(rules, len(stream.predictions), **options)
    for side, batch in stream.batches(random or Random(0), largest):
        feed(pipeline, side, batch)
    if end:
        pipeline.end_of_input(None)
    return pipeline


def feed(pipeline: Pipeline, side: Side, batch: Records) -> None:
    (pipeline.predictions if side == "predictions" else pipeline.outcomes)(batch)


def blocks_of(record: PaneRecord) -> list[Block]:
    """A block, or those that a bundle is in place of."""
    if isinstance(record, Bundle):
        place = record.source, record.epoch, record.kind
        return [Block(*place, group, of.rows(), None) for group, of in pieces(record.rows)]
    return [record] if isinstance(record, Block) else []


def alert_bytes(pipeline: Pipeline) -> list[bytes]:
    """Sorted: alerts of different fingerprints may leave in another order."""
    return sorted(alert.value for alert in pipeline.alerts)


def draw_events(
    random: Random, size: int, *, tidy: bool = False, models: Sequence[str] = ("m", "n")
) -> tuple[list[Event], list[Event]]:
    """Predictions and outcomes with a shift of the values, of the nulls and of the errors.

    `tidy`: nothing is late, future, dead or a duplicate, and outcomes arrive in order.
    """
    now = random.choice((0, 1_763_800_000_000))
    gap_ms = random.choice((40, 400, 1_600))
    shift_at = int(size * random.uniform(0.4, 0.6))
    back_at = int(size * random.uniform(0.75, 1.5))
    predictions: list[Event] = []
    outcomes: list[Event] = []
    for i in range(size):
        now += random.randint(0, 2 * gap_ms)
        shifted = shift_at <= i < back_at
        made = _draw_prediction(random, f"p{i}", now, shifted=shifted, part=i / size, models=models)
        if not tidy:
            made["predicted_at"] = max(0, now - random.choice((0, 0, 0, 900, 2_400, 6_000)))
        predictions.append(made)
        outcomes += _draw_outcomes(random, made, shifted, tidy)
        if not tidy and random.random() < 0.1:
            predictions += _spoiled(random, random.choice(predictions[-20:]), now)
    return predictions, outcomes


def _draw_prediction(
    random: Random, name: str, now: int, *, shifted: bool, part: float, models: Sequence[str]
) -> Event:
    features: Event = {
        "x": random.gauss(5.0 if shifted else 0.0, 1.0),
        "year": random.randint(2018, 2027) if shifted else random.randint(2015, 2024),
        "country": random.choice("DEFG" if not shifted else "DEFGHIJ"),
    }
    if random.random() < (0.5 if shifted else 0.02):
        features["year"] = None
    if random.random() < 0.05:
        features["x"] = random.choice(("n/a", [1], 1e300, None, True))
    if random.random() < 0.03 or part > 0.3:
        features["rare"] = random.random()
    return prediction(
        name,
        now,
        model_id=random.choice(models),
        model_version="2" if part > 0.65 and random.random() < 0.5 else "1",
        role="shadow" if random.random() < 0.1 else "champion",
        features=features,
        prediction={"label": "yes", "score": round(random.random(), 3)},
        _arrival=now,
    )


def _draw_outcomes(random: Random, made: Event, shifted: bool, tidy: bool) -> list[Event]:
    if random.random() < 0.1:
        return []
    drawn = []
    for revision in range(1, random.choice((2, 2, 2, 3))):
        at = made["predicted_at"] + random.choice(
            (random.randint(0, 15_000), random.randint(0, 15_000), random.randint(0, 150_000))
        )
        wrong = random.random() < (0.6 if shifted else 0.1)
        drawn.append(
            outcome(
                made["prediction_id"],
                at,
                model_id=made["model_id"],
                actual={"label": "no" if wrong else "yes"},
                revision=revision,
                retracted=random.random() < 0.05,
                _arrival=at if tidy else at + random.choice((0, 0, 3_000)),
            )
        )
        if not tidy and random.random() < 0.1:
            drawn.append({**drawn[-1], "_arrival": drawn[-1]["_arrival"] + 1_000})
    return drawn


def _spoiled(random: Random, event: Event, now: int) -> list[Event]:
    spoil: Callable[[], Event] = random.choice(
        (
            dict,
            lambda: {"role": "challenger"},
            lambda: {"predicted_at": now + 10**7, "_timestamp": now},
            lambda: {"_raw": b"{"},
            lambda: {"model_version": 7},
        )
    )
    return [{**event, "_arrival": now, **spoil()}]


def with_maturity(rules: Rules, maturity: int | str | None) -> Rules:
    return replace(rules, maturity=cast("Maturity", maturity))
