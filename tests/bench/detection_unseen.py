"""Streams that nobody tuned to: public generators with known drifts, through `leeway backtest`.

Each stream is one of river's generators, with a model that was trained on its first rows and then
left alone; the change is another concept of the same generator. Leeway has its defaults, and gets
features, scores and labels, a second late; river's detectors get the errors of the same model, one
by one and at once, as their users feed them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from river.datasets import synth
from river.tree import HoeffdingTreeClassifier

from stream.times import iso
from tests.bench.detection_peers import SETTINGS

Row = tuple[dict[str, Any], Any]
START_MS, EVERY_MS, LABEL_MS = 1_700_000_000_000, 6_000, 1_000  # 14,400 predictions a day
TRAINED = 5_000  # rows
PEERS = {name: settings[0][1] for name, settings in SETTINGS.items() if name != "KSWIN"}

STREAMS: dict[str, Callable[[int, int], Any]] = {
    # concept 0 or 1, seed
    "SEA": lambda concept, seed: synth.SEA(variant=2 * concept, noise=0.1, seed=seed),
    "Agrawal": lambda concept, seed: synth.Agrawal(classification_function=3 * concept, seed=seed),
    "Hyperplane": lambda concept, seed: synth.Hyperplane(
        n_features=8, noise_percentage=0.05, seed=seed + 100 * concept
    ),
    "LED": lambda concept, seed: synth.LEDDrift(
        n_drift_features=4 * concept, noise_percentage=0.1, irrelevant_features=True, seed=seed
    ),
    "RandomRBF": lambda concept, seed: synth.RandomRBF(
        seed_model=7 + concept, seed_sample=seed, n_classes=2, n_features=6, n_centroids=20
    ),
}


@dataclass(frozen=True)
class Found:
    """Of one detector on one stream."""

    false: int  # alerts before the change, or all of them where nothing changes
    delay: float | None  # predictions from the change to the first alert behind it


def rows(name: str, seed: int, length: int, change: int | None) -> Iterator[Row]:
    """`change`: the row from which the other concept holds."""
    begin = STREAMS[name](0, seed)
    if change is None:
        return islice(iter(begin), length)
    other = STREAMS[name](1, seed)
    return chain(islice(iter(begin), change), islice(iter(other), length - change))


def judged(stream: Iterator[Row]) -> Iterator[tuple[dict[str, Any], Any, Any, float]]:
    """(features, truth, said, its probability), by a model that learns from the first rows only."""
    model = HoeffdingTreeClassifier()
    for i, (x, y) in enumerate(stream):
        truth = int(y)
        said = model.predict_proba_one(x)
        label = max(sorted(said), key=said.__getitem__) if said else truth
        # of two labels the probability of 1, as the score of a label 0/1 is meant
        score = float(said.get(1 if set(said) <= {0, 1} else label, 0.0))
        if i < TRAINED:
            model.learn_one(x, truth)
        yield {str(name): value for name, value in x.items()}, truth, label, score


def measure(name: str, seed: int, length: int, change: int | None) -> dict[str, Found]:
    """Leeway and its peers on one stream."""
    errors = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        with (
            (folder / "p.ndjson").open("w", encoding="utf-8") as predictions,
            (folder / "o.ndjson").open("w", encoding="utf-8") as outcomes,
        ):
            for i, (features, truth, label, score) in enumerate(
                islice(judged(rows(name, seed, length + TRAINED, _plus(change))), TRAINED, None)
            ):
                errors.append(int(label != truth))
                at_ms = START_MS + i * EVERY_MS
                print(json.dumps(_prediction(i, at_ms, features, label, score)), file=predictions)
                print(json.dumps(_outcome(i, at_ms, truth)), file=outcomes)
        alerts = _backtest(folder)
    began = iso(START_MS + EVERY_MS * (length if change is None else change))
    told = [a for a in alerts if a["status"] == "firing" and a["sequence"] == 1]
    first = min((a["evaluated_at"] for a in told if a["evaluated_at"] >= began), default=None)
    late = None if first is None or change is None else (_ms(first) - _ms(began)) / EVERY_MS
    found = {"Leeway": Found(sum(a["evaluated_at"] < began for a in told), late)}
    for peer, make in PEERS.items():
        detector, alarms = make(), []
        for i, error in enumerate(errors):
            detector.update(error)
            if detector.drift_detected:
                alarms.append(i)
        end = length if change is None else change
        behind = [i - end for i in alarms if i >= end]
        delay = float(behind[0]) if behind and change is not None else None
        found[peer] = Found(sum(i < end for i in alarms), delay)
    return found


def table(seeds: int, length: int, change: int) -> Iterator[dict[str, Any]]:
    """A row a stream and detector: over seeds, with a change and without one."""
    for name in STREAMS:
        quiet = [measure(name, 10 + seed, length, None) for seed in range(seeds)]
        moved = [measure(name, 20 + seed, length, change) for seed in range(seeds)]
        for detector in quiet[0]:
            delays = [run[detector].delay for run in moved]
            some = sorted(d for d in delays if d is not None)
            yield {
                "stream": name,
                "detector": detector,
                "rows": seeds * (length + change),  # without a change so far
                "false": sum(run[detector].false for run in (*quiet, *moved)),
                "missed": len(delays) - len(some),
                "delay": some[len(some) // 2] if some else "",
                "runs": len(delays),
            }


def _plus(change: int | None) -> int | None:
    return None if change is None else change + TRAINED


def _prediction(
    i: int, at_ms: int, features: dict[str, Any], label: Any, score: float
) -> dict[str, Any]:
    return {
        "prediction_id": f"p{i}",
        "model_id": "m",
        "model_version": "1",
        "predicted_at": at_ms,
        "features": features,
        "prediction": {"label": label, "score": score},
    }


def _outcome(i: int, at_ms: int, truth: Any) -> dict[str, Any]:
    label = {"label": truth}
    return {"prediction_id": f"p{i}", "model_id": "m", "observed_at": at_ms + LABEL_MS,
            "actual": label}  # fmt: skip


def _backtest(folder: Path) -> list[dict[str, Any]]:
    subprocess.run(
        [sys.executable, "-m", "stream", "backtest", "--predictions", folder / "p.ndjson",
         "--outcomes", folder / "o.ndjson", "--alerts", folder / "a.ndjson"],
        check=True, capture_output=True,
    )  # fmt: skip
    lines = (folder / "a.ndjson").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _ms(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp() * 1000
