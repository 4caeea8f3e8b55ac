"""The car-loan rows as prediction and outcome events, the outcomes late and out of order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
from numpy.random import default_rng

from stream.demo import car_loan, staged

MODEL_ID = "car_loan"
MODEL_VERSION = "1"
SEED = 20_180_101

HOUR_MS = 3_600_000
NEVER = 0.1  # share of the predictions whose outcome never comes
DELAY_MEDIAN_MS = 7 * 24 * HOUR_MS
DELAY_SIGMA = 1.2
JITTER_MEAN_MS = 6 * HOUR_MS  # between being observed and being on the topic


class Event(NamedTuple):
    """One record to send. Its arrival, in event time, is its record timestamp."""

    arrival_ms: int
    key: bytes
    value: bytes


def rfc3339(times_ms: npt.NDArray[np.int64]) -> list[str]:
    """Epoch milliseconds as 2018-01-01T00:00:00.000Z."""
    texts: list[str] = np.datetime_as_string(times_ms.astype("datetime64[ms]"), unit="ms").tolist()
    return [f"{text}Z" for text in texts]


def around_the_drift(rows: int) -> range:
    """That many consecutive rows, two thirds of them before the drift.

    Raises ValueError for more rows before or after the drift than there are.
    """
    before = rows - rows // 3
    chosen = range(car_loan.DRIFT_ROW - before, car_loan.DRIFT_ROW + rows // 3)
    if rows < 3 or chosen.start < 0 or chosen.stop > car_loan.ROWS:
        raise ValueError(f"rows must be 3 to {3 * (car_loan.ROWS - car_loan.DRIFT_ROW)}: {rows}")
    return chosen


def events(
    *, seed: int = SEED, rows: range | None = None, with_faults: bool = False
) -> tuple[list[Event], list[Event]]:
    """Predictions and outcomes, each in the order of arrival. All rows: about 190,000 events.

    A row's outcome does not depend on the choice of rows, only on the seed. `with_faults`: with
    what `staged` has.
    """
    data = car_loan.load()
    chosen = np.arange(car_loan.ROWS) if rows is None else np.asarray(rows, dtype=np.int64)
    columns = {name: column[chosen].tolist() for name, column in data.features.items()}
    if with_faults:
        name = staged.NULL_FEATURE
        columns[name] = staged.with_nulls(columns[name], chosen, seed)
    outcomes = _outcomes(data, chosen, *outcome_times_ms(seed, with_faults=with_faults))
    return _predictions(data, chosen, columns), outcomes


def interleaved(predictions: list[Event], outcomes: list[Event]) -> Iterator[tuple[bool, Event]]:
    """(is a prediction, event) by arrival, so that event time advances on both topics together."""
    return heapq.merge(
        ((True, event) for event in predictions),
        ((False, event) for event in outcomes),
        key=lambda item: item[1].arrival_ms,
    )


def _predictions(
    data: car_loan.CarLoan, chosen: npt.NDArray[np.int64], columns: dict[str, list[Any]]
) -> list[Event]:
    times_ms = car_loan.predicted_at_ms(chosen)
    names = tuple(columns)
    return [
        Event(
            time_ms,
            b"loan-%d" % row,
            orjson.dumps(
                {
                    "prediction_id": f"loan-{row}",
                    "model_id": MODEL_ID,
                    "model_version": MODEL_VERSION,
                    "predicted_at": predicted_at,
                    "features": dict(zip(names, values, strict=True)),
                    "prediction": {"label": label, "score": score},
                }
            ),
        )
        for row, time_ms, predicted_at, label, score, values in zip(
            chosen.tolist(),
            times_ms.tolist(),
            rfc3339(times_ms),
            data.label[chosen].tolist(),
            data.score[chosen].tolist(),
            zip(*columns.values(), strict=True),
            strict=True,
        )
    ]


def _outcomes(
    data: car_loan.CarLoan,
    chosen: npt.NDArray[np.int64],
    observed_ms: npt.NDArray[np.int64],
    arrival_ms: npt.NDArray[np.int64],
) -> list[Event]:
    coming = chosen[arrival_ms[chosen] >= 0]
    found = [
        Event(
            arrival,
            b"loan-%d" % row,
            orjson.dumps(
                {
                    "prediction_id": f"loan-{row}",
                    "model_id": MODEL_ID,
                    "observed_at": observed_at,
                    "actual": {"label": repaid},
                }
            ),
        )
        for row, arrival, observed_at, repaid in zip(
            coming.tolist(),
            arrival_ms[coming].tolist(),
            rfc3339(observed_ms[coming]),
            data.repaid[coming].tolist(),
            strict=True,
        )
    ]
    found.sort(key=itemgetter(0))  # stable: equal arrivals stay in row order
    return found


def outcome_times_ms(
    seed: int, *, with_faults: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(observed, arrived) of the outcome of every row, epoch ms; -1 where it never comes."""
    generator = default_rng(seed)
    rows = car_loan.ROWS
    never = generator.random(rows) < NEVER
    delay_ms = DELAY_MEDIAN_MS * np.exp(DELAY_SIGMA * generator.standard_normal(rows))
    delay_ms = staged.later(delay_ms) if with_faults else delay_ms
    jitter_ms = generator.exponential(JITTER_MEAN_MS, rows)
    observed = car_loan.predicted_at_ms(np.arange(rows)) + delay_ms.astype(np.int64)
    arrived = observed + jitter_ms.astype(np.int64)
    return np.where(never, -1, observed), np.where(never, -1, arrived)
