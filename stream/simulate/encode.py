"""Answers and outcomes as events: the JSON of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from stream.demo.events import Event, rfc3339
from stream.simulate.deployment import Answers
from stream.simulate.features import ABSENT
from stream.simulate.population import SEGMENTS
from stream.simulate.requests import Requests

SUBJECT = "customer"  # the feature that says whom the prediction of a variant is of
SENDING_MS = 50.0  # mean time from the answer to the topic

Indices = npt.NDArray[np.int64]


def ids(requests: Requests, chosen: Indices) -> list[str]:
    prefix = "-".join(filter(None, (requests.model.name, requests.source)))
    return [f"{prefix}-{number}" for number in (requests.first + chosen).tolist()]


def predictions(requests: Requests, answers: Answers) -> list[Event]:
    """One event for each living request that this deployment answers, by event time. O(cells)."""
    chosen = np.flatnonzero(answers.asked & requests.alive)
    if not len(chosen):
        return []
    times_ms, latency = requests.times_ms[chosen], answers.latency[chosen]
    sending = requests.draws("sending", answers.deployment.drawn_as).exponential(
        SENDING_MS, len(requests)
    )[chosen]
    names = ids(requests, chosen)
    said = answers.deployment
    fixed = {
        "model_id": requests.model.name,
        "model_version": said.version,
        "role": said.role,
    }
    customers = requests.customer[chosen].tolist()
    is_dealt = said.role not in {"champion", "shadow"}
    parallel = zip(
        (times_ms + np.ceil(latency + sending).astype(np.int64)).tolist(),
        names,
        rfc3339(times_ms),
        _features(answers, chosen),
        _said(requests, answers, chosen),
        _segments(requests, chosen),
        _feature_sets(requests, answers, chosen),
        np.round(latency, 1).tolist(),
        customers,
        strict=True,
    )
    events = []
    for arrival_ms, name, time, features, prediction, segment, feature_set, took, who in parallel:
        event = {
            "prediction_id": name,
            **fixed,
            "predicted_at": time,
            "features": features,
            "prediction": prediction,
            "segment": segment,
            "feature_set": feature_set,
            "latency_ms": took,
        }
        if is_dealt:
            event["subject"] = f"c-{who}"  # the unit of randomisation; as a feature, to be watched
            event["features"] = features | {SUBJECT: f"c-{who}"}
        events.append(Event(arrival_ms, name.encode(), orjson.dumps(event)))
    return events


def outcomes(
    model: str, names: Sequence[str], arrival_ms: Indices, observed_ms: Indices, actual: list[Any]
) -> list[Event]:
    """One event for each outcome (parallel sequences), in the order given."""
    return [
        Event(
            arrival,
            name.encode(),
            orjson.dumps(
                {"prediction_id": name, "model_id": model, "observed_at": time, "actual": truth}
            ),
        )
        for arrival, name, time, truth in zip(
            arrival_ms.tolist(), names, rfc3339(observed_ms), actual, strict=True
        )
    ]


def _features(answers: Answers, chosen: Indices) -> Iterator[dict[str, Any]]:
    present = [one for one in answers.inputs.values() if not one.absent[chosen].all()]
    names = [one.name for one in present]
    rows: Iterable[tuple[Any, ...]] = zip(*(one.cells(chosen) for one in present), strict=True)
    if not present:
        return iter({} for _ in range(len(chosen)))
    if any(one.absent[chosen].any() for one in present):
        return (
            {name: cell for name, cell in zip(names, row, strict=True) if cell is not ABSENT}
            for row in rows
        )
    return (dict(zip(names, row, strict=True)) for row in rows)


def _said(requests: Requests, answers: Answers, chosen: Indices) -> list[dict[str, Any]]:
    if requests.model.task == "regression":
        return [{"value": each} for each in _priced(answers.response[chosen])]
    score = np.round(answers.probability[chosen], 6)
    label = (score >= answers.threshold[chosen]).astype(np.int64)
    return [
        {"label": one, "score": each}
        for one, each in zip(label.tolist(), score.tolist(), strict=True)
    ]


def actual(requests: Requests, chosen: Indices) -> list[dict[str, Any]]:
    """The truth, as it stands in an outcome."""
    if requests.model.task == "regression":
        return [{"value": each} for each in np.round(requests.value[chosen], 2).tolist()]
    return [{"label": one} for one in requests.positive[chosen].astype(np.int64).tolist()]


def _priced(response: npt.NDArray[np.float64]) -> list[float]:
    found: list[float] = np.round(np.exp(response), 2).tolist()
    return found


_COMBINED = [
    dict(zip(SEGMENTS, values, strict=True))
    for values in np.stack(
        np.meshgrid(*([name for name, _ in each] for each in SEGMENTS.values()), indexing="ij"), -1
    )
    .reshape(-1, len(SEGMENTS))
    .tolist()
]


def _segments(requests: Requests, chosen: Indices) -> list[dict[str, str]]:
    """One dictionary for all requests of the same segments."""
    sizes = [len(values) for values in SEGMENTS.values()]
    parts = tuple(requests.segments[dimension][chosen] for dimension in SEGMENTS)
    return [_COMBINED[code] for code in np.ravel_multi_index(parts, sizes).tolist()]


def _feature_sets(requests: Requests, answers: Answers, chosen: Indices) -> list[str]:
    name, _, version = (answers.deployment.feature_set or requests.model.feature_set).partition("@")
    revisions = requests.revision[chosen]
    texts = [f"{name}@{int(version) + more}" for more in range(int(revisions.max()) + 1)]
    return [texts[revision] for revision in revisions.tolist()]
