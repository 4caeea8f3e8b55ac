"""Memory of a monitored series: what stage 2 holds of it once everything is full.

    python -m tests.bench.series_memory

Each model has a sealed reference of both kinds, a full window of recent rows and its detectors.
What stage 1 says is kept as bytes, so that the growth of resident memory is stage 2's alone.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from dataclasses import replace
from pathlib import Path
from resource import getpagesize
from typing import Any

import msgspec

from stream.events import ToPanes
from stream.model_stage import ModelStage
from stream.rules import ReferenceRule
from stream.source_stage import SourceStage
from tests.bench.workload import RULES, Workload, batches, generate

MODELS = 40
PREDICTIONS_EACH = 6_000  # more than a window and a reference sample take
_RULES = replace(RULES, reference=ReferenceRule(predictions=2_500, span_ms=20_000))


def said() -> list[ToPanes]:
    """All that stage 1 says of the workload."""
    workload = Workload(predictions=MODELS * PREDICTIONS_EACH, models=MODELS, per_second=2_000)
    source, found = SourceStage(_RULES, 0, 1), list[ToPanes]()
    last_ms = 0
    for side, records in batches(generate(workload), 1):
        take = source.predictions if side == "predictions" else source.outcomes
        found += [e for e in take(records) if isinstance(e, ToPanes)]
        last_ms = max(last_ms, *(t or 0 for t in records.timestamps_ms))
    return found + [e for e in source.end_of_input(last_ms) if isinstance(e, ToPanes)]


def resident() -> int:
    """In bytes, after everything free was given back."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * getpagesize()


def measure() -> dict[str, Any]:
    effects = said()
    before = resident()
    stage = ModelStage(_RULES, 0, 1)
    for effect in effects:
        stage.handle(effect.value)
    used = resident() - before
    sealed = [
        monitor.references[-1]
        for model in stage._models.values()
        for monitor in model.monitors.values()
        if monitor.references
    ]
    assert len(sealed) == 2 * MODELS, len(sealed)
    series = sum(len(reference.frozen.names) for reference in sealed)
    return {"series": series, "groups": MODELS, "bytes": used, "bytes_per_series": used / series}


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(measure()).decode())
