"""Memory of a monitored series: what stage 2 of a worker takes more with each once all are full.

    python -m tests.bench.series_memory               80 and 160 models, 2,000 predictions a second
    python -m tests.bench.series_memory 160 320 6.25  these, so many a second of each

Each model has a sealed reference of both kinds, a full window of recent rows and its detectors, and
checkpoints are written all the while, as a worker writes them. What one population takes is
compared with what another takes, each in a process of its own: what a process takes at any rate,
modules and the monitors that stay awake, is in both. Another process is stage 1, and what it says
is read one by one, so that nothing that was freed before makes room. Pages of files, which are
code, do not count. Without arguments other processes count what is held, the blocks that are in
use, and what is resident where nobody sleeps.
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

from stream.allocator import collect_rarely, give_back, keep_freed_memory, keep_no_arrays
from stream.blobs import Kept, Packing
from stream.events import ToPanes
from stream.model_stage import ModelStage
from stream.monitors import AWAKE
from stream.rules import ReferenceRule
from stream.source_stage import SourceStage
from tests.bench.workload import RULES, Workload, batches, generate

MODELS = (80, 160)
SERIES = 23  # of a model: features, score and latency of its predictions, and what judges them
PREDICTIONS_EACH = 6_000  # more than a window and a reference sample take
_RULES = replace(RULES, reference=ReferenceRule(predictions=2_500, span_ms=20_000))
_ALL_A_SECOND = 2_000  # predictions
_INTERVAL_MS = 10_000  # of event time, between checkpoints
_ALL = 1 << 30  # monitors: nobody sleeps


def say(path: Path, models: int, per_second: int) -> None:
    """All that stage 1 says of the workload while it goes on, each behind its length."""
    workload = Workload(models * PREDICTIONS_EACH, models, per_second=per_second)
    source = SourceStage(_RULES, 0, 1)
    with path.open("wb") as file:
        for side, records in batches(generate(workload), 1):
            take = source.predictions if side == "predictions" else source.outcomes
            for effect in take(records):
                if isinstance(effect, ToPanes):
                    file.write(len(effect.value).to_bytes(8))
                    file.write(effect.value)


def said(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while length := file.read(8):
            yield file.read(int.from_bytes(length))


def resident() -> int:
    """In bytes, after everything free was given back, as a worker does from time to time."""
    gc.collect()
    give_back()
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(":", 1) for line in status)["RssAnon"].split()[0]) << 10


def held() -> int:
    """In bytes: all blocks of Python and numpy that are in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def grown(path: Path, models: int, size: Callable[[], int], awake: int) -> int:
    """Bytes that stage 2 has taken once all that stage 1 says is read."""
    keep_freed_memory()  # as a worker does
    keep_no_arrays()
    collect_rarely()
    before = size()
    stage, kept, at_ms = ModelStage(_RULES, 0, 1, awake=awake), Kept(), 0
    for value in said(path):
        stage.handle(value)
        del value
        merged_ms = stage.merged_until_ms() or 0
        if merged_ms >= at_ms + _INTERVAL_MS:
            packing, at_ms = Packing(stage.snapshot(), kept, 1, at_ms), merged_ms
            for _ in packing:
                pass
            kept = packing.kept
            del packing
    bytes_grown = size() - before
    assert _series(stage) == SERIES * models, _series(stage)
    return bytes_grown


def _series(stage: ModelStage) -> int:
    """Those with a sealed reference."""
    monitors = [m for model in stage._models.values() for m in model.monitors.seen()]
    return sum(len(m.references[-1].frozen.names) for m in monitors if m.references)


def measure(of: tuple[int, int] = MODELS, each: float | None = None) -> dict[str, Any]:
    """`each`: predictions a second of a model; None: as many of all, however many they are."""
    found: dict[str, Any] = {"models": of, "series": [SERIES * models for models in of]}
    parts = {"bytes": ("resident", AWAKE)}
    if each is None:
        parts |= {"held": ("held", AWAKE), "awake": ("resident", _ALL)}
    with TemporaryDirectory() as folder:
        for models in of:
            path = Path(folder) / str(models)
            _another("say", path, models, _ALL_A_SECOND if each is None else round(models * each))
            for name, (part, awake) in parts.items():
                taken = int(_another(part, path, models, awake))
                found.setdefault(name, []).append(taken)
    further = found["series"][1] - found["series"][0]
    for name in parts:
        found[f"{name}_per_series"] = (found[name][1] - found[name][0]) / further
    return found


def _another(part: str, path: Path, models: int, number: int) -> bytes:
    """What another process prints; `number`: of predictions a second, or of monitors awake."""
    command = [sys.executable, "-m", "tests.bench.series_memory", part, path, models, number]
    arguments = list(map(str, command))
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, timeout=3_600).stdout


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["say", path, models, per_second]:
            say(Path(path), int(models), int(per_second))
        case ["resident", path, models, awake]:
            sys.stdout.write(str(grown(Path(path), int(models), resident, int(awake))))
        case ["held", path, models, awake]:
            tracemalloc.start()
            sys.stdout.write(str(grown(Path(path), int(models), held, int(awake))))
        case [few, many, each]:
            found = measure((int(few), int(many)), float(each))
            sys.stdout.write(msgspec.json.encode(found).decode())
        case _:
            sys.stdout.write(msgspec.json.encode(measure()).decode())
