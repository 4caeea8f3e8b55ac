"""One peer over the rows of the workload, in an environment that has it.

    python -m tests.bench.peer_runs PEER ROWS.npz

`ROWS.npz`: the numeric columns (n × 12), the categories (n × 2) and the seconds of each row. Rows
are ready in memory in the form each peer likes best; only its own work is timed, by processor time.
The first REFERENCE rows are the reference, chunks of CHUNK follow. Nothing of Leeway is imported.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

REFERENCE, CHUNK = 10_000, 5_000
_NAMES = [*(f"f{j}" for j in range(10)), "score", "latency_ms"]
_CATEGORIES = ["c0", "c1"]
Run = tuple[int, Callable[[], object]]
"""How many rows it looks at, and the work."""


def chunks(rows: Any) -> Iterator[Any]:
    for first in range(REFERENCE, len(rows) - CHUNK + 1, CHUNK):
        yield rows[first : first + CHUNK]


def frame(numbers: Any, categories: Any) -> Any:
    import pandas as pd

    table = pd.DataFrame(numbers, columns=_NAMES)
    for j, name in enumerate(_CATEGORIES):
        table[name] = [f"cat_{code:02d}" for code in categories[:, j]]
    return table


def river(numbers: Any, categories: Any) -> Run:
    from river.drift import ADWIN

    rows = numbers[: 4 * CHUNK].tolist()
    detectors = [ADWIN() for _ in _NAMES]

    def work() -> None:
        for row in rows:
            for detector, value in zip(detectors, row, strict=True):
                detector.update(value)

    return len(rows), work


def whylogs(numbers: Any, categories: Any) -> Run:
    import whylogs as why

    parts = list(chunks(frame(numbers, categories)))
    return len(parts) * CHUNK, lambda: [why.log(part) for part in parts]


def evidently(numbers: Any, categories: Any) -> Run:
    from evidently import Report
    from evidently.presets import DataDriftPreset

    table = frame(numbers, categories)
    reference, parts = table[:REFERENCE], list(chunks(table[: REFERENCE + 4 * CHUNK]))
    return len(parts) * CHUNK, lambda: [
        Report([DataDriftPreset()]).run(part, reference) for part in parts
    ]


def nannyml(numbers: Any, categories: Any) -> Run:
    import nannyml as nml

    table = frame(numbers, categories)
    calculator = nml.UnivariateDriftCalculator(
        column_names=[*_NAMES, *_CATEGORIES],
        continuous_methods=["jensen_shannon"],
        categorical_methods=["jensen_shannon"],
        chunk_size=CHUNK,
    ).fit(table[:REFERENCE])
    analysed = table[REFERENCE:]
    return len(analysed), lambda: calculator.calculate(analysed)


def frouros(numbers: Any, categories: Any) -> Run:
    from frouros.detectors.data_drift import KSTest

    detectors = []
    for j in range(len(_NAMES)):
        detector = KSTest()
        detector.fit(X=numbers[:REFERENCE, j])
        detectors.append(detector)
    parts = list(chunks(numbers))
    return len(parts) * CHUNK, lambda: [
        detector.compare(X=part[:, j]) for part in parts for j, detector in enumerate(detectors)
    ]


PEERS = {of.__name__: of for of in (river, whylogs, evidently, nannyml, frouros)}


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    name, path = sys.argv[1:]
    with np.load(path) as data:
        count, work = PEERS[name](data["numbers"], data["categories"])
    began_s = time.process_time()
    work()
    took_s = time.process_time() - began_s
    version = platform.python_version()
    sys.stdout.write("\n" + json.dumps({"rows": count, "cpu_s": took_s, "python": version}))


if __name__ == "__main__":
    main()
