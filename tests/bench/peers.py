"""Other tools over the same rows, each installed on demand into an environment of its own.

    scripts/bench peers                     minutes the first time: it installs

What is not like for like: the peers get rows that are parsed and ready in memory, and look at
predictions only; Leeway reads bytes, joins outcomes and keeps exact state. River's loop watches the
mean of 12 columns by ADWIN. whylogs makes profiles and decides nothing. Evidently, NannyML and
Frouros run one test a column and chunk of 5,000 rows: they notice a drift when a chunk is full.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.bench.core import PARTITIONS, run
from tests.bench.environments import ROOT, NotInstalledError, python_with
from tests.bench.measure import Spread, cpu_s, table
from tests.bench.workload import Workload, batches, generate

REQUIREMENTS = {
    "river": ("river==0.26.1",),
    "whylogs": ("whylogs==1.6.4", "pandas==2.3.3", "setuptools==80.9.0"),
    "evidently": ("evidently==0.7.23", "pandas==2.3.3"),
    "nannyml": ("nannyml==0.13.1", "pandas==2.3.3", "statsmodels==0.14.6"),
    "frouros": ("frouros==0.9.0",),
}
_DOES = {
    "leeway": "bytes in, alerts out, outcomes joined",
    "river": "ADWIN on 12 columns, row by row",
    "whylogs": "profiles of chunks, no decision",
    "evidently": "DataDriftPreset, chunks",
    "nannyml": "Jensen-Shannon, chunks",
    "frouros": "Kolmogorov-Smirnov on 12 columns, chunks",
}
_REPETITIONS = 3
_PEER_S = 600


def rows(predictions: list[bytes]) -> dict[str, Any]:
    """The same values as the events have."""
    events = [msgspec.json.decode(value) for value in predictions]
    floats = [f"f{j}" for j in range(10)]
    numbers = [
        [*(e["features"][n] for n in floats), e["prediction"]["score"], e["latency_ms"]]
        for e in events
    ]
    codes = [[int(e["features"][name][-2:]) for name in ("c0", "c1")] for e in events]
    return {"numbers": np.array(numbers), "categories": np.array(codes)}


def peer(name: str, data: Path) -> tuple[dict[str, Any], str]:
    """Its rate, and on which Python. Raises NotInstalledError."""
    python = python_with(name, REQUIREMENTS[name])
    quiet = os.environ | {"WHYLOGS_NO_ANALYTICS": "True", "DO_NOT_TRACK": "1"}
    command = [str(python), "-m", "tests.bench.peer_runs", name, str(data)]
    rates, version = [], ""
    for _ in range(_REPETITIONS):
        done = subprocess.run(
            command, cwd=ROOT, env=quiet, check=False, capture_output=True, text=True,
            timeout=_PEER_S,
        )  # fmt: skip
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it ended without a word"]
            raise NotInstalledError(f"{name}: does not run here: {said[-1][:160]}")
        found = msgspec.json.decode(done.stdout.splitlines()[-1])
        rates.append(found["rows"] / found["cpu_s"])
        version = found["python"]
    return Spread.of(rates).plain(), version


def measure(predictions: int, only: list[str]) -> dict[str, Any]:
    workload = Workload(predictions=predictions)
    topics = generate(workload)
    fed = list(batches(topics, PARTITIONS))
    ours = [predictions / cpu_s(lambda: run(fed)) for _ in range(_REPETITIONS)]
    rates, versions = {"leeway": Spread.of(ours).plain()}, {"leeway": platform.python_version()}
    skipped: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.npz"
        np.savez(data, **rows(topics["predictions"].values))
        for name in only:
            try:
                rates[name], versions[name] = peer(name, data)
            except NotInstalledError as error:
                skipped.append(str(error))
    found = {"rows": predictions, "rows_per_cpu_s": rates, "pythons": versions}
    return found | {"skipped": skipped}


def told(found: dict[str, Any]) -> str:
    lines = [("tool", "does", "CPython", "predictions per CPU second")]
    for name, rate in found["rows_per_cpu_s"].items():
        lines.append((name, _DOES[name], found["pythons"][name], Spread(**rate).told()))
    return "\n".join([table(lines), *(f"skipped: {line}" for line in found["skipped"])])


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--only", choices=sorted(REQUIREMENTS), action="append")


def main(given: argparse.Namespace) -> dict[str, Any]:
    return measure(given.predictions, given.only or list(REQUIREMENTS))
