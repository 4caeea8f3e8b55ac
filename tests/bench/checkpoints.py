"""What checkpoints write, and what a crash replays, at some rates of predictions.

    scripts/bench checkpoints                   1,000, 10,000 and 40,000 a second of one slot
    scripts/bench checkpoints --bound 1000000

Predictions that wait for their maturity go through stage 1 and its slot, as in a worker, on a clock
that only counts: the figures do not depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest import mock

from stream import worker_slot
from stream.checkpoint import Layout
from stream.rules import Rules
from stream.source_stage import SourceStage
from stream.worker_routes import Outgoing
from stream.worker_slot import Pace, Slot
from tests.integration.recovery import batches

RATES = ((1_000, 300), (10_000, 120), (40_000, 30))
"""Predictions a second, and for how many seconds."""
BOUND = 4_000_000
_BATCH = 5_000  # of predictions, as `batches` makes them


@dataclass
class Written:
    rate: int
    seconds: float
    state_mb: float = 0.0
    checkpoints: list[tuple[float, int]] = field(default_factory=list)  # when, bytes

    @property
    def bytes_per_s(self) -> float:
        return sum(size for _, size in self.checkpoints) / self.seconds

    @property
    def longest_s(self) -> float:
        """Between two checkpoints: so much input a crash replays at worst."""
        times = [0.0, *(at for at, _ in self.checkpoints)]
        return max(later - at for at, later in pairwise(times))

    def told(self) -> str:
        return (
            f"{self.rate:>7,} a second: state {self.state_mb:6.1f} MB after {self.seconds:.0f} s, "
            f"{len(self.checkpoints)} checkpoints, {self.bytes_per_s / 1e6:.2f} MB/s written, "
            f"at most {self.longest_s:.1f} s between two"
        )


async def _ours() -> bool:
    return True


async def _send(record: Outgoing) -> asyncio.Future[Any]:
    promise: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    promise.set_result(None)
    return promise


async def measure(rate: int, seconds: float, bound: float = BOUND) -> Written:
    """One slot that has the whole bound to itself, as `leeway worker` paces it by default."""
    found, clock = Written(rate, seconds), SimpleNamespace(now_s=0.0)
    pace = Pace(interval_s=2.0, input_bytes=16_000_000, written_per_s=bound)
    virtual = SimpleNamespace(monotonic=lambda: clock.now_s)
    with mock.patch.object(worker_slot, "time", virtual):
        core = SourceStage(Rules(), 0, 1)
        slot = Slot(1, 0, core, {"predictions": 0}, "changelog")
        layout = Layout("", 1, ("predictions",))
        for records in batches("predictions", 0):
            if clock.now_s >= seconds:
                break
            core.predictions(records)
            size_bytes = sum(len(value or b"") for value in records.values)
            slot.applied("predictions", records.offsets[-1] + 1, size_bytes, None)
            clock.now_s += _BATCH / rate
            if slot.is_due(pace):
                size = await slot.write(_send, _ours, layout, 0)
                found.checkpoints.append((clock.now_s, size or 0))
        found.state_mb = slot.state_bytes / 1e6
    return found


def main() -> int:
    parser = argparse.ArgumentParser("checkpoints", description=__doc__)
    parser.add_argument("--bound", type=float, default=BOUND, help="bytes a second")
    given = parser.parse_args()
    for rate, seconds in RATES:
        began_s = time.process_time()
        print(asyncio.run(measure(rate, seconds, given.bound)).told(), end="")
        print(f" ({time.process_time() - began_s:.0f} s of processor)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
