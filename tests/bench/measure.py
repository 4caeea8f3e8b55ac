"""What the parts of the benchmark share: processor time, taking turns, what ran where."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("leeway", "faust-streaming", "aiokafka", "numpy", "msgspec", "orjson")


@dataclass(frozen=True)
class Spread:
    """Of some repetitions."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def told(self, form: str = ",.0f") -> str:
        return f"{self.median:{form}} ({self.low:{form}}–{self.high:{form}})"

    def plain(self) -> dict[str, float]:
        return {"median": self.median, "low": self.low, "high": self.high}


def cpu_s(work: Callable[[], object]) -> float:
    """Processor time of this process (all its threads) that the work takes."""
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def interleaved(works: dict[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """CPU seconds of each repetition: all works take turns, so that a slow minute of the machine
    slows all of them."""
    took: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repetitions):
        for name, work in works.items():
            took[name].append(cpu_s(work))
    return took


def ratios(rates: Sequence[float], limits: Sequence[float]) -> Spread:
    """Of each repetition its own."""
    return Spread.of([rate / limit for rate, limit in zip(rates, limits, strict=True)])


def peak_memory_mb() -> float:
    """Of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def circumstances() -> dict[str, Any]:
    """Commit, versions and machine: what a figure is worthless without."""
    return {
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
