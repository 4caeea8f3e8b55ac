"""river's detectors on the same samples: false alarms, delays after the same history."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, HDDMA, HDDMW

from detectors.cusum_bank import CusumBank
from tests.bench.detection_delays import SHIFTS, Shift, learn
from tests.bench.detection_draws import learn_rates
from tests.bench.detection_runs import Watch, per_million

Floats = NDArray[np.float64]

HISTORY = 5_000  # values before the change, for all alike
PLOTTED = next(s for s in SHIFTS if s.name == ".10→.20")

# defaults first; then looser and stricter, for the plot
SETTINGS: dict[str, list[tuple[str, Callable[[], Any]]]] = {
    "ADWIN": [(f"δ={d:g}", lambda d=d: ADWIN(delta=d)) for d in (0.002, 0.01, 0.05, 0.3)],
    "Page-Hinkley": [(f"λ={h:g}", lambda h=h: PageHinkley(threshold=h)) for h in (50, 25, 100)],
    "DDM": [(f"drift={d:g}", lambda d=d: DDM(drift_threshold=d)) for d in (3.0, 2.5, 4.0)],
    "HDDM_A": [(f"δ={d:g}", lambda d=d: HDDMA(drift_confidence=d)) for d in (0.001, 0.02, 0.1)],
    "HDDM_W": [(f"δ={d:g}", lambda d=d: HDDMW(drift_confidence=d)) for d in (0.001, 0.005, 0.02)],
    "KSWIN": [("α=0.005", lambda: KSWIN(alpha=0.005, seed=1))],
}  # fmt: skip
SLOW = {"KSWIN": 200}  # its samples are cut to one in so many: 3,000 updates a second
ONLY_EVENTS = {"DDM", "HDDM_A", "HDDM_W"}  # defined on 0 and 1


def false_alarms(make: Callable[[], Any], values: list[Any]) -> float:
    """Per 1M values of one long stream without a change."""
    detector, alarms = make(), 0
    for value in values:
        detector.update(value)
        alarms += detector.drift_detected
    return alarms / len(values) * 1e6


def told_after(detector: Any, values: list[Any]) -> float:
    """Values until it tells; NaN if it does not."""
    for i, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            return float(i + 1)
    return math.nan


def measure(name: str, place: int, shifts: tuple[Shift, ...], *, runs: int, quiet: int,
            horizon: int, seed: int, history: int = HISTORY) -> list[dict[str, Any]]:  # fmt: skip
    """One detector by one setting: a row for each shift it is defined on."""
    setting, make = SETTINGS[name][place]
    few = SLOW.get(name, 1)
    runs, quiet = max(runs // few, 2), quiet // few
    rows = []
    kinds = [before for before in (0.1, 0.2, None) if any(s.before == before for s in shifts)]
    for before in kinds:
        if before is None and name in ONLY_EVENTS:
            continue
        some = [s for s in shifts if s.before == before]
        rng = np.random.default_rng([seed, round(10 * (before or 0))])
        stationary = some[0].draw(rng, quiet, 1, changed=False)[:, 0]
        rate = false_alarms(make, _plain(stationary, before))
        delays: dict[str, list[float]] = {s.name: [] for s in some}
        for _ in range(runs):
            detector = make()
            for value in _plain(some[0].draw(rng, history, 1, changed=False)[:, 0], before):
                detector.update(value)
            for shift in some:
                values = _plain(shift.draw(rng, horizon, 1, changed=True)[:, 0], before)
                delays[shift.name].append(told_after(copy.deepcopy(detector), values))
        rows += [
            {"detector": name, "setting": setting, "shift": shift.name, "runs": runs}
            | {"per_million": rate, "quiet_values": quiet}
            | _delays(np.array(delays[shift.name]))
            for shift in some
        ]
    return rows


def _plain(values: Floats, before: float | None) -> list[Any]:
    return values.tolist() if before is None else values.astype(np.int64).tolist()


def _delays(found: Floats) -> dict[str, float]:
    some = found[np.isfinite(found)]
    mean = float(some.mean()) if len(some) else math.nan
    return {"mean": mean, "missed": 1.0 - len(some) / len(found)}


def leeway(shift: Shift, rate: float, count: int, *, runs: int, quiet: int, horizon: int,
           seed: int) -> dict[str, Any]:  # fmt: skip
    """The bank by one budget with a reference of `count` values: measured false alarms, delays."""
    rng = np.random.default_rng([seed, count])
    assert shift.before is not None
    series = 200
    watch = Watch(learn_rates(rng.binomial(count, shift.before, series), count, rate))
    for _ in range(0, quiet // series, 5000):
        watch.feed(watch.learnt.enter(shift.draw(rng, 5000, series, changed=False)))
    learnt = learn(shift, rng, runs, count, rate)
    bank = CusumBank(learnt.tilts)
    found = np.full(runs, np.nan)
    for start in range(0, horizon, 500):
        x = learnt.enter(shift.draw(rng, 500, runs, changed=True))
        told = bank.update(np.arange(start, start + 500), x, np.ones_like(x))
        found[told.series] = start + told.pane + 1
    name = f"Leeway, {count:,} values of reference"
    return {"detector": name, "setting": f"{rate * 1e6:g} per 1M",
            "shift": shift.name, "runs": runs,
            "per_million": per_million(watch.alerts, watch.values - watch.firing_values),
            "quiet_values": watch.values} | _delays(found)  # fmt: skip
