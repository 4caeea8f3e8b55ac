"""What predictions waiting for their maturity cost one worker: memory, lookups, writing.

    scripts/bench pending                       10k, 100k, 1M and 10M rows
    scripts/bench pending --rows 1000000 --factor 8

Rows go straight into what stage 1 holds them in (`stream.pending`) and remembers their ids in
(`stream.identity`); decoding is not part of it. Each size is measured in a process of its own, so
that resident memory is of that size alone. Times are of the processor, not of the clock.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stream import sorted_runs
from stream.identity import IdMemory
from stream.pending import HELD, Pending
from stream.rules import Rules
from stream.run import Columns
from stream.snapshot import Part

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
BATCH = 2_000
ASKED = 200_000
AGE_MS = 86_400_000
_COLUMNS = (
    ("rows", "{:>10,}"),
    ("runs", "{:>5}"),
    ("resident_bytes", "{:>9.1f}"),
    ("peak_bytes", "{:>9.1f}"),
    ("append_ns", "{:>9.0f}"),
    ("hit_ns", "{:>7.0f}"),
    ("miss_ns", "{:>7.0f}"),
    ("copies", "{:>7.2f}"),
    ("written", "{:>8.2f}"),
    ("written_aging", "{:>8.2f}"),
)
_HEAD = (
    "      rows  runs  resident      peak    append     hit    miss  copies  written   aging\n"
    "                  bytes/row bytes/row  ns/row      ns      ns  per row   times   times"
)


@dataclass
class Written:
    """What checkpoints write: parts that the one before had not."""

    known: set[tuple[str, int | None]]
    bytes: int = 0

    def checkpoint(self, parts: list[Part]) -> None:
        now = {(part.name, part.version) for part in parts}
        fresh = [part for part in parts if (part.name, part.version) not in self.known]
        self.bytes += sum(len(part.captured()()) for part in fresh)
        self.known = now


class Held:
    """Predictions of one model, a millisecond apart, and their ids."""

    def __init__(self, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self.pending = Pending(Rules(maturity=AGE_MS, horizon_ms=AGE_MS))
        self.ids = IdMemory("ids")
        self.code = self.pending.code_of(("m", "1", "champion", ""))
        self.rows = 0

    def add(self, count: int) -> None:
        keys = self._random.integers(0, 2**64, (count, 2), np.uint64)
        times = np.arange(self.rows, self.rows + count)
        self.rows += count
        assert self.ids.apply(keys, times, times + AGE_MS).all()
        columns: Columns = {n: np.zeros(count, empty.dtype) for n, empty in HELD.items()}
        columns |= {"key": keys[:, 0].copy(), "check": keys[:, 1].copy(), "time": times}
        columns["group"] += np.int32(self.code)
        columns["label"] = self._random.integers(0, 3, count).astype(np.uint64)
        columns["score"] = self._random.random(count)
        self.pending.hold(columns)

    def age(self, upto: int) -> int:
        """The first rows reach their maturity; how many left."""
        rules = Rules()
        reached_ms = upto + AGE_MS + rules.pane_ms + rules.grace_ms
        left = self.pending.take_due(reached_ms)
        self.ids.purge(upto + AGE_MS)
        return 0 if left is None else len(left["key"])

    def parts(self) -> list[Part]:
        return [*self.pending.parts(), *self.ids.parts()]

    def copies(self) -> float:
        runs = (self.pending.runs, self.ids.runs)
        return sum(r.copied for r in runs) / sum(r.appended for r in runs)


def measure(rows: int, checkpoint_rows: int) -> dict[str, Any]:
    before, _ = _memory()
    held, append_s = Held(), 0.0
    for _ in range(0, rows, BATCH):
        began = time.process_time()
        held.add(min(BATCH, rows - held.rows))
        append_s += time.process_time() - began
    after, peak = _memory()
    there = np.concatenate([run.columns["key"][:: max(1, rows // ASKED)] for run in
                            held.pending.runs.runs])  # fmt: skip
    absent = np.random.default_rng(2).integers(0, 2**64, len(there), np.uint64)
    hit_s, hits = _lookups(held, np.random.default_rng(3).permutation(there))
    miss_s, misses = _lookups(held, absent)
    assert (hits, misses) == (len(there), 0)
    return {
        "rows": rows,
        "runs": len(held.pending.runs.runs),
        "resident_bytes": (after - before) / rows,
        "peak_bytes": (peak - before) / rows,
        "append_ns": append_s / rows * 1e9,
        "hit_ns": hit_s / len(there) * 1e9,
        "miss_ns": miss_s / len(there) * 1e9,
        "copies": held.copies(),
        "written": amplification(rows, checkpoint_rows),
        "written_aging": amplification(rows, checkpoint_rows, lives=2),
    }


def amplification(rows: int, checkpoint_rows: int, lives: int = 1) -> float:
    """Bytes of parts newly written, over those of every row written once. `lives`: rows in all, by
    how many are held at a time; the older ones mature meanwhile."""
    held, written = Held(), Written(set())
    for at in range(0, lives * rows, BATCH):
        held.add(min(BATCH, lives * rows - held.rows))
        if lives > 1:
            held.age(held.rows - rows)
        if (at // BATCH + 1) % max(1, checkpoint_rows // BATCH) == 0:
            written.checkpoint(held.parts())
    written.checkpoint(held.parts())
    once = Written(set())
    once.checkpoint(held.parts())
    on_average = once.bytes / (len(held.pending.runs) + len(held.ids.runs))
    return written.bytes / (2 * lives * rows * on_average)


def _lookups(held: Held, keys: Any) -> tuple[float, int]:
    """(seconds, rows found)"""
    began, found = time.process_time(), 0
    for start in range(0, len(keys), BATCH):
        found += len(held.pending.find(keys[start : start + BATCH]).index)
    return time.process_time() - began, found


def _memory() -> tuple[int, int]:
    """Resident now, and at most so far, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    most_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize(), most_kb * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench pending", description=__doc__)
    parser.add_argument("--rows", type=int, action="append", help=f"default: {SIZES}")
    parser.add_argument("--checkpoint", type=int, default=20_000, help="every so many rows")
    parser.add_argument("--factor", type=int, choices=(2, 4, 8), default=4, help="runs merged")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        sorted_runs.FACTOR_BITS = given.factor.bit_length() - 1
        found = measure(given.rows[0], given.checkpoint)
        print("  ".join(form.format(found[name]) for name, form in _COLUMNS))
        return
    print(_HEAD, flush=True)
    for rows in given.rows or SIZES:
        options = ["--one", "--rows", str(rows), "--checkpoint", str(given.checkpoint)]
        command = [sys.executable, "-m", "tests.bench.pending", *options]
        subprocess.run([*command, "--factor", str(given.factor)], check=True)


if __name__ == "__main__":
    main()
