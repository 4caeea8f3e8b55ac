"""A stream without any drift: whoever alerts on it is wrong.

    python -m stream.demo.stationary DIR [--rows N] [--seed S] [--gzip]

Every column is drawn independently from one fixed distribution, of kinds that detectors stumble
over: heavy tails, values far from zero (years, epochs, balances), counts, rare and many categories,
nulls. The score is calibrated: the outcome is true with exactly its probability.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from numpy.random import Generator, default_rng

from stream.demo.events import HOUR_MS, Event, rfc3339
from stream.demo.write import write_lines

ROWS = 200_000
SEED = 7
MODEL_ID = "stationary"
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
GAP_MEAN_MS = 500
NEVER = 0.05  # share of the predictions whose outcome never comes
DELAY_MEDIAN_MS = HOUR_MS
DELAY_SIGMA = 0.8

COUNTRIES = ("DE", "FR", "GB", "NL", "ES", "IT", "PL", "SE", "AT", "CH", "LI", "MT")
FIVE_YEARS_S = 5 * 365 * 86_400


def features(draw: Generator, rows: int) -> dict[str, list[Any]]:
    """The twelve features by name, `rows` values each: eight numbers, three texts, a boolean."""
    falling = 1.0 / np.arange(1, len(COUNTRIES) + 1) ** 2
    countries = draw.choice(len(COUNTRIES), rows, p=falling / falling.sum())
    return {
        "amount": np.round(draw.lognormal(3.5, 1.2, rows), 2).tolist(),
        "balance": np.round(draw.normal(20_000, 5_000, rows), 2).tolist(),
        "items": draw.poisson(2.3, rows).tolist(),
        "year_built": draw.integers(1960, 2025, rows).tolist(),
        "signed_up_at": (START_MS // 1000 - draw.integers(1, FIVE_YEARS_S, rows)).tolist(),
        "distance_km": draw.exponential(8.0, rows).tolist(),
        "utilization": draw.beta(2.0, 5.0, rows).tolist(),
        "temperature_c": _some_null(draw, np.round(draw.normal(11, 7, rows), 1).tolist(), 0.03),
        "country": [COUNTRIES[code] for code in countries.tolist()],
        "merchant": [f"m{code}" for code in np.minimum(draw.zipf(1.5, rows), 500).tolist()],
        "channel": _some_null(draw, draw.choice(("web", "app", "phone"), rows).tolist(), 0.01),
        "returning": (draw.random(rows) < 0.6).tolist(),
    }


def events(*, seed: int = SEED, rows: int = ROWS) -> tuple[list[Event], list[Event]]:
    """Predictions and outcomes, each in the order of arrival; the same seed, the same bytes."""
    draw = default_rng(seed)
    times_ms = START_MS + np.cumsum(draw.exponential(GAP_MEAN_MS, rows)).astype(np.int64)
    score = np.round(draw.beta(0.6, 1.4, rows), 4)
    latency_ms = np.round(draw.lognormal(2.5, 0.4, rows), 1)
    actual = draw.random(rows) < score
    columns = features(draw, rows)
    outcomes = _outcomes(draw, times_ms, actual)
    return _predictions(times_ms, score, latency_ms, columns), outcomes


def _some_null(draw: Generator, values: list[Any], share: float) -> list[Any]:
    nulls = (draw.random(len(values)) < share).tolist()
    return [None if null else value for null, value in zip(nulls, values, strict=True)]


def _predictions(
    times_ms: npt.NDArray[np.int64],
    score: npt.NDArray[np.float64],
    latency_ms: npt.NDArray[np.float64],
    columns: dict[str, list[Any]],
) -> list[Event]:
    names = tuple(columns)
    parallel = zip(
        times_ms.tolist(),
        rfc3339(times_ms),
        score.tolist(),
        latency_ms.tolist(),
        zip(*columns.values(), strict=True),
        strict=True,
    )
    return [
        Event(
            time_ms,
            b"s-%d" % row,
            orjson.dumps(
                {
                    "prediction_id": f"s-{row}",
                    "model_id": MODEL_ID,
                    "model_version": "1",
                    "predicted_at": predicted_at,
                    "features": dict(zip(names, values, strict=True)),
                    "prediction": {"label": probability >= 0.5, "score": probability},
                    "latency_ms": latency,
                }
            ),
        )
        for row, (time_ms, predicted_at, probability, latency, values) in enumerate(parallel)
    ]


def _outcomes(
    draw: Generator, times_ms: npt.NDArray[np.int64], actual: npt.NDArray[np.bool_]
) -> list[Event]:
    rows = len(times_ms)
    delay_ms = DELAY_MEDIAN_MS * np.exp(DELAY_SIGMA * draw.standard_normal(rows))
    observed_ms = times_ms + delay_ms.astype(np.int64)
    coming = np.flatnonzero(draw.random(rows) >= NEVER)
    in_order = coming[np.argsort(observed_ms[coming], kind="stable")]
    return [
        Event(
            time_ms,
            b"s-%d" % row,
            orjson.dumps(
                {
                    "prediction_id": f"s-{row}",
                    "model_id": MODEL_ID,
                    "observed_at": observed_at,
                    "actual": {"label": label},
                }
            ),
        )
        for row, time_ms, observed_at, label in zip(
            in_order.tolist(),
            observed_ms[in_order].tolist(),
            rfc3339(observed_ms[in_order]),
            actual[in_order].tolist(),
            strict=True,
        )
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="stationary", description="Writes a prediction and outcome stream without any drift."
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--gzip", action="store_true")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    suffix = ".ndjson.gz" if arguments.gzip else ".ndjson"
    streams = events(seed=arguments.seed, rows=arguments.rows)
    for name, stream in zip(("predictions", "outcomes"), streams, strict=True):
        write_lines(directory / f"{name}{suffix}", (event.value for event in stream))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
