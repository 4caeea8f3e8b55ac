"""The end of a run: a moment at which everything went through and nothing is under way."""

from __future__ import annotations

import asyncio
import time

from tests.chaos.judge import Ledgers
from tests.integration.job import Job

_SETTLED_S = 0.6


async def settled(job: Job, within_s: float) -> tuple[Ledgers, int]:
    """The ledgers, and the Unix time (ms) at which they were so. Idle partitions go on, and a
    worker may still join: both are waited out. AssertionError when it is not over in time."""
    deadline = time.monotonic() + within_s
    while True:
        await job.finished(max(1.0, deadline - time.monotonic()))
        entries = await asyncio.to_thread(job.idle_entries)
        await asyncio.sleep(_SETTLED_S)
        ledgers = await asyncio.to_thread(job.ledgers)
        until_ms = int(time.time() * 1000)
        is_whole = len(ledgers) == job.partitions and await asyncio.to_thread(job.is_finished)
        if is_whole and entries == await asyncio.to_thread(job.idle_entries):
            return ledgers, until_ms
