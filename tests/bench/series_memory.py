"""Memory of a monitored series: what stage 2 holds of it once everything is full.

    python -m tests.bench.series_memory

Each model has a sealed reference of both kinds, a full window of recent rows and its detectors.
Another process is stage 1, and what it says is read one by one, so that the growth of resident
memory is stage 2's alone: nothing that was freed before makes room for it. Pages of files, which
are code, do not count. A third process counts what is held: the blocks that are in use.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from stream import frozen_table, recent_rows
from stream.allocator import give_back
from stream.events import ToPanes
from stream.model_stage import ModelStage
from stream.rules import ReferenceRule
from stream.source_stage import SourceStage
from tests.bench.workload import RULES, Workload, batches, generate

MODELS = 40
PREDICTIONS_EACH = 6_000  # more than a window and a reference sample take
_RULES = replace(RULES, reference=ReferenceRule(predictions=2_500, span_ms=20_000))


def say(path: Path) -> None:
    """All that stage 1 says of the workload, each behind its length."""
    workload = Workload(predictions=MODELS * PREDICTIONS_EACH, models=MODELS, per_second=2_000)
    source, found = SourceStage(_RULES, 0, 1), list[ToPanes]()
    last_ms = 0
    for side, records in batches(generate(workload), 1):
        take = source.predictions if side == "predictions" else source.outcomes
        found += [e for e in take(records) if isinstance(e, ToPanes)]
        last_ms = max(last_ms, *(t or 0 for t in records.timestamps_ms))
    found += [e for e in source.end_of_input(last_ms) if isinstance(e, ToPanes)]
    with path.open("wb") as file:
        for effect in found:
            file.write(len(effect.value).to_bytes(8))
            file.write(effect.value)


def said(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while length := file.read(8):
            yield file.read(int.from_bytes(length))


def resident() -> int:
    """In bytes, after everything free was given back, as a worker does from time to time."""
    gc.collect()
    frozen_table.put_away()
    recent_rows.put_away()
    give_back()
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    of = dict(line.split(":", 1) for line in status)
    return int(of["RssAnon"].split()[0]) << 10


def held() -> int:
    """In bytes: all blocks of Python and numpy that are in use."""
    gc.collect()
    give_back()
    return tracemalloc.get_traced_memory()[0]


def grown(path: Path, size: Callable[[], int]) -> tuple[int, int]:
    """(bytes, series) that stage 2 has once all that stage 1 says is read."""
    before = size()
    stage = ModelStage(_RULES, 0, 1)
    for value in said(path):
        stage.handle(value)
    del value  # the last one was said at once, by all models
    bytes_grown = size() - before
    sealed = [
        monitor.references[-1]
        for model in stage._models.values()
        for monitor in model.monitors.values()
        if monitor.references
    ]
    assert len(sealed) == 2 * MODELS, len(sealed)
    return bytes_grown, sum(len(reference.frozen.names) for reference in sealed)


def measure() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "said"
        _another("say", path)
        used, series = grown(path, resident)
        found: dict[str, Any] = {"series": series, "groups": MODELS, "bytes": used}
        found["bytes_per_series"] = used / series
        found["held_per_series"] = int(_another("held", path)) / series
    return found


def _another(part: str, path: Path) -> bytes:
    """What another process prints."""
    command = [sys.executable, "-m", "tests.bench.series_memory", part, str(path)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=300).stdout


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["say", path]:
            say(Path(path))
        case ["held", path]:
            tracemalloc.start()
            sys.stdout.write(str(grown(Path(path), held)[0]))
        case _:
            sys.stdout.write(msgspec.json.encode(measure()).decode())
