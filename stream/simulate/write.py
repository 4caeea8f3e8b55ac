"""A simulation as files: predictions, outcomes, and the truth about them."""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import orjson

from stream.demo.events import Event
from stream.demo.write import write_lines
from stream.simulate.simulation import Simulation
from stream.simulate.spec import Spec


def write(directory: Path, spec: Spec, *, compress: bool = False) -> dict[str, int]:
    """Writes the files and returns the number of events of each side.

    predictions.ndjson, outcomes.ndjson (.gz), truth.json; with spec.training also
    training_predictions.ndjson and training_outcomes.ndjson.
    """
    directory.mkdir(parents=True, exist_ok=True)
    simulation = Simulation(spec)
    suffix = ".ndjson.gz" if compress else ".ndjson"
    counts = {"predictions": 0, "outcomes": 0}
    with ExitStack() as files:
        opened = [_open(directory / f"{side}{suffix}", files) for side in counts]
        for block in simulation.blocks():
            for side, file, events in zip(counts, opened, block, strict=True):
                file.writelines(_lines(events))
                counts[side] += len(events)
    if spec.training:
        for side, events in zip(counts, simulation.training(), strict=True):
            write_lines(directory / f"training_{side}{suffix}", (event.value for event in events))
    (directory / "truth.json").write_bytes(
        orjson.dumps(simulation.truth(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    return counts


def _open(path: Path, files: ExitStack) -> IO[bytes] | gzip.GzipFile:
    raw = files.enter_context(path.open("wb"))
    if path.suffix != ".gz":
        return raw
    # Without time and name, so that equal events are equal files.
    return files.enter_context(gzip.GzipFile("", "wb", 1, raw, mtime=0))


def _lines(events: list[Event]) -> list[bytes]:
    return [event.value + b"\n" for event in events]
