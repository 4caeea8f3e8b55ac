"""The demo's events as files, for `leeway backtest`: predictions.ndjson and outcomes.ndjson.

python -m stream.demo.write DIR [--rows N] [--seed S] [--gzip]
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

from stream.demo import events as car_loan_events


def write_lines(path: Path, values: Iterable[bytes]) -> Path:
    """One value a line; gzip where the name ends so, its bytes free of time and name."""
    if path.suffix == ".gz":
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
            packed.writelines(value + b"\n" for value in values)
    else:
        with path.open("wb") as file:
            file.writelines(value + b"\n" for value in values)
    return path


def write(
    directory: Path,
    *,
    rows: int | None = None,
    seed: int = car_loan_events.SEED,
    compress: bool = False,
    with_faults: bool = True,
) -> tuple[Path, Path]:
    """Writes both files, in the order of arrival; rows: that many around the drift, None: all."""
    chosen = None if rows is None else car_loan_events.around_the_drift(rows)
    predictions, outcomes = car_loan_events.events(seed=seed, rows=chosen, with_faults=with_faults)
    directory.mkdir(parents=True, exist_ok=True)
    suffix = ".ndjson.gz" if compress else ".ndjson"
    return (
        write_lines(directory / f"predictions{suffix}", (event.value for event in predictions)),
        write_lines(directory / f"outcomes{suffix}", (event.value for event in outcomes)),
    )
