"""What a stream says, counted naively: events as dictionaries, before and since an onset."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

import orjson

from stream.simulate import Simulation, Spec

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000
Event = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """A whole simulation, read."""

    predictions: list[Event]
    outcomes: list[Event]
    lines: list[bytes]  # of both, by arrival
    arrivals_ms: list[int]
    truth: dict[str, Any]

    @cached_property
    def before(self) -> list[Event]:
        return [p for p in self.predictions if at_ms(p["predicted_at"]) < START_MS + HOUR_MS]

    @cached_property
    def since(self) -> list[Event]:
        return [p for p in self.predictions if at_ms(p["predicted_at"]) >= START_MS + HOUR_MS]

    @cached_property
    def actual(self) -> dict[str, Any]:
        """Prediction id to label or value."""
        return {o["prediction_id"]: next(iter(o["actual"].values())) for o in self.outcomes}

    @property
    def fault(self) -> dict[str, Any]:
        (fault,) = self.truth["faults"]
        found: dict[str, Any] = fault
        return found


@lru_cache(maxsize=3)  # a stream is some 100 MB of dictionaries
def seen(*faults: str, **settings: Any) -> Seen:
    """Two hours of fraud, 4 a second, labels within minutes; faults begin after one of them."""
    if "versions" in settings:
        names = ("version", "share", "role")
        settings["versions"] = [dict(zip(names, v, strict=False)) for v in settings["versions"]]
    labels = {"median": settings.pop("label_median", "2m"), "never": settings.pop("never", "5%")}
    traffic = {"rate": settings.pop("rate", "4/s"), "daily": settings.pop("daily", 0)}
    given = {"length": "2h", "labels": labels, "traffic": traffic, "faults": faults, **settings}
    simulation = Simulation(Spec.model_validate(given))
    events = list(simulation.events())
    assert [e.arrival_ms for _, e in events] == sorted(e.arrival_ms for _, e in events)
    return Seen(
        [orjson.loads(e.value) for is_prediction, e in events if is_prediction],
        [orjson.loads(e.value) for is_prediction, e in events if not is_prediction],
        [e.value for _, e in events],
        [e.arrival_ms for _, e in events],
        simulation.truth(),
    )


def at_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def share(events: Iterable[Event], is_so: Callable[[Event], bool]) -> float:
    """Of these events, the share that is so."""
    answers = [is_so(event) for event in events]
    return sum(answers) / len(answers)


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def feature(name: str) -> Callable[[Event], Any]:
    return lambda event: event["features"].get(name)


def numbers(events: Iterable[Event], name: str) -> list[float]:
    """The numbers of a feature, those that are some."""
    return [v for e in events if isinstance(v := e["features"].get(name), int | float)]


def error(events: Iterable[Event], actual: dict[str, Any]) -> float:
    """Share of wrong labels, among the labelled."""
    known = [e for e in events if e["prediction_id"] in actual]
    return share(known, lambda e: e["prediction"]["label"] != actual[e["prediction_id"]])


def brier(events: Iterable[Event], actual: dict[str, Any]) -> float:
    known = [e for e in events if e["prediction_id"] in actual]
    return mean((e["prediction"]["score"] - actual[e["prediction_id"]]) ** 2 for e in known)


def excess(events: Iterable[Event], actual: dict[str, Any]) -> float:
    """Mean score less share of positives: 0 where scores are probabilities."""
    known = [e for e in events if e["prediction_id"] in actual]
    return mean(e["prediction"]["score"] - actual[e["prediction_id"]] for e in known)
