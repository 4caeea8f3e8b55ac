"""Models of which everything comes and goes with the hour: how often that is told for nothing.

Whole backtests with `season: day`, from the first prediction on, so before there is a reference
too: traffic, features, texts (of which one comes at night only), scores, latencies, errors and how
late labels are all have their daily cycle, and every day is as the others. With `change` a step
comes to one feature at a day.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from stream.rules import DAY_MS, HOUR_MS

START_MS = 1_699_920_000_000  # 2023-11-14, midnight
PER_DAY, REFERENCE_DAYS = 4_000, 4
STEP = 0.5  # σ
Event = dict[str, Any]

CONFIG = f"""\
season: day
pane: 1m
outcomes: {{maturity: 6h}}
reference: {{predictions: {PER_DAY * REFERENCE_DAYS // 2}, span: {REFERENCE_DAYS}d}}
models:
  m: {{owners: {{accountable: bench}}, runbook_url: "https://example.com/m"}}
"""


def quiet(*, models: int, days: int, seed: int) -> dict[str, Any]:
    """Alerts where every day is as the others; `early`: of them those before the reference."""
    sealed_ms = START_MS + REFERENCE_DAYS * DAY_MS
    told = [one for i in range(models) for one in alerts(days, seed=seed + i)]
    count = models * days * PER_DAY
    return {
        "change": "none", "models": models, "predictions": count, "alerts": len(told),
        "early": sum(_ms(one["evaluated_at"]) < sealed_ms for one in told),
        "per_million": len(told) / count * 1e6, "names": sorted({a["alertname"] for a in told}),
    }  # fmt: skip


def found(*, models: int, change: int, seed: int) -> dict[str, Any]:
    """A step at this day: how often it is told within a day, and nothing else; hours until then."""
    began_ms, delays, others = START_MS + change * DAY_MS, [], 0
    for i in range(models):
        told = alerts(change + 1, seed=seed + i, change=change)
        mine = [
            _ms(one["evaluated_at"]) - began_ms for one in told if one["scope"]["feature"] == "x"
        ]
        delays += [min(mine) / HOUR_MS] if mine and min(mine) > 0 else []
        others += len(told) - len(mine)
    return {
        "change": f"{STEP:g} σ", "models": models, "predictions": models * (change + 1) * PER_DAY,
        "alerts": others, "found": len(delays) / models, "hours": float(np.mean(delays)),
    }  # fmt: skip


def alerts(days: int, *, seed: int, change: int | None = None) -> list[Event]:
    """That began, over so many days."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "leeway.yaml").write_text(CONFIG, encoding="utf-8")
        predictions, outcomes = zip(*rows(days, seed=seed, change=change), strict=True)
        _write(folder / "p.ndjson", predictions)
        _write(folder / "o.ndjson", sorted(outcomes, key=itemgetter("observed_at")))
        subprocess.run(
            [sys.executable, "-m", "stream", "backtest", "--config", folder / "leeway.yaml",
             "--predictions", folder / "p.ndjson", "--outcomes", folder / "o.ndjson",
             "--alerts", folder / "a.ndjson"],
            check=True, capture_output=True,
        )  # fmt: skip
        lines = (folder / "a.ndjson").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    return [one for one in told if one["status"] == "firing" and one["sequence"] == 1]


def rows(days: int, *, seed: int, change: int | None = None) -> Iterator[tuple[Event, Event]]:
    """(prediction, outcome), by the time of predictions."""
    rng = np.random.default_rng([seed, 24])
    at_ms = START_MS + _times(rng, days)
    swing = np.sin(2 * np.pi * (at_ms % DAY_MS) / DAY_MS)
    count = len(at_ms)
    x, y, z = rng.standard_normal((3, count)) + swing * np.array([[1.0], [0.3], [-2.0]])
    if change is not None:
        x[at_ms >= START_MS + change * DAY_MS] += STEP
    is_night = (at_ms // HOUR_MS) % 24 < 5
    texts = np.where(is_night & (rng.random(count) < 0.3), "night", "day")
    kinds = np.where(rng.random(count) < 0.5 + 0.3 * swing, "a", "b")
    is_null = rng.random(count) < 0.01
    score = 1 / (1 + np.exp(-(rng.standard_normal(count) + swing)))
    truth = rng.random(count) < np.clip(score + 0.05 * swing, 0.0, 1.0)
    late_ms = (rng.exponential(0.5 + 0.2 * swing, count) * HOUR_MS).astype(int)
    latency = 20 * np.exp(0.4 * rng.standard_normal(count) + 0.3 * swing)
    for i in range(count):
        features = {
            "x": round(float(x[i]), 6), "amount": round(float(np.exp(z[i])), 6),
            "y": None if is_null[i] else round(float(y[i]), 6),
            "when": str(texts[i]), "kind": str(kinds[i]),
        }  # fmt: skip
        yield (
            {
                "prediction_id": f"p{i}", "model_id": "m", "model_version": "1",
                "predicted_at": int(at_ms[i]), "features": features,
                "prediction": {
                    "label": int(score[i] >= 0.5), "score": round(float(score[i]), 6)
                },
                "latency_ms": round(float(latency[i]), 3),
            },
            {
                "prediction_id": f"p{i}", "model_id": "m",
                "observed_at": int(at_ms[i] + late_ms[i]), "actual": {"label": int(truth[i])},
            },
        )  # fmt: skip


def _write(file: Path, events: Iterable[Event]) -> None:
    lines = (json.dumps(event) for event in events)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _times(rng: np.random.Generator, days: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Twice as many at noon as on average, hardly any at midnight."""
    hours = np.arange(days * 24)
    per_hour = PER_DAY / 24 * (1 - 0.8 * np.cos(2 * np.pi * (hours % 24 + 0.5) / 24))
    counts = rng.poisson(per_hour)
    times = np.repeat(hours * HOUR_MS, counts) + rng.integers(0, HOUR_MS, counts.sum())
    return np.sort(times)


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000
