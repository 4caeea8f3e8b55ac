"""The tables of detectors/calibrated.py: false alarms of ADWIN and Page-Hinkley by setting.

.venv/bin/python -m tests.bench.detection_calibration    (some five minutes of processor time)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from detectors.adwin import Adwin
from detectors.page_hinkley import PageHinkley

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

BLOCK = 100_000
SEED = 20261128
UNIT_RANGE: dict[str, Draw] = {
    "bernoulli .5": lambda rng, size: (rng.random(size) < 0.5).astype(np.float64),
    "bernoulli .05": lambda rng, size: (rng.random(size) < 0.05).astype(np.float64),
    "uniform": lambda rng, size: rng.random(size),
}
DELTAS = (0.9, 0.5, 0.2, 0.1, 0.05)
THRESHOLDS = (25.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0)  # in σ, with δ = 0.01 σ


def per_million(detector: Adwin | PageHinkley, draw: Draw, values: int) -> float:
    """Alarms per 1M values of one stream without a change, one value a pane."""
    rng, alarms = np.random.default_rng(SEED), 0
    ones, zeros = np.ones(BLOCK, dtype=np.int64), np.zeros(BLOCK)
    for _ in range(values // BLOCK):
        alarms += len(detector.update_many(draw(rng, BLOCK), ones, zeros))
    return alarms / values * 1e6


def main() -> None:
    print("ADWIN, clock 32: false alarms per 1M")
    for delta in DELTAS:
        found = {k: per_million(Adwin(delta=delta), d, 4_000_000) for k, d in UNIT_RANGE.items()}
        print(f"  δ = {delta:<5}", "  ".join(f"{k}: {v:.1f}" for k, v in found.items()), flush=True)
    print("Page-Hinkley, δ = 0.01 σ: false alarms per 1M normal values")
    for threshold in THRESHOLDS:
        detector = PageHinkley(delta=0.01, threshold=threshold)
        values = 2_000_000 if threshold < 200 else 10_000_000
        found_normal = per_million(detector, lambda rng, size: rng.standard_normal(size), values)
        print(f"  λ = {threshold:<5} σ: {found_normal:.1f}", flush=True)


if __name__ == "__main__":
    main()
