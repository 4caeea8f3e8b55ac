"""Workers under a supervisor: what ends by itself is started again, and it is noted why."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

from stream.worker_slot import ALERTS
from tests.integration.job import Job
from tests.integration.worker_process import Worker

_WATCH_S = 0.5
_ASK_S = 1.0
_RESTART_S = 2.0  # as a supervisor waits that does not spin


@dataclass
class Member:
    worker: Worker
    is_wanted: bool
    is_busy: bool = False  # a fault is being done to it
    peak_mb: float = 0.0
    read: int = 0  # of its log
    writes_alerts: bool = False  # owned stage 3 when it was last asked
    ended_s: float | None = None  # when it was seen that it had ended by itself

    def note_peak(self) -> None:
        self.peak_mb = max(self.peak_mb, self.worker.peak_mb())

    def new_log(self) -> str:
        """What it has written since this was asked last."""
        said = self.worker.log()
        new, self.read = said[self.read :], len(said)
        return new


@dataclass
class Fleet:
    """`base` workers always run, but for what is done to them; the others come and go."""

    job: Job
    base: int
    ended: Counter[str] = field(default_factory=Counter)
    """Why workers ended that nobody had asked to, and how often."""
    consumed: dict[tuple[str, str], int] = field(default_factory=dict)
    stalled_s: float = 0.0
    """The longest time in which no worker applied a record."""
    _moved_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.members = [
            Member(worker, is_wanted=number < self.base)
            for number, worker in enumerate(self.job.workers)
        ]

    def start(self) -> None:
        for member in self.members:
            if member.is_wanted:
                member.worker.start()

    def free(self) -> list[Member]:
        """Running, and nothing is being done to them."""
        return [m for m in self.members if not m.is_busy and m.is_wanted and m.worker.is_running]

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            for member in self.members:
                member.note_peak()
                if member.is_wanted and not member.is_busy and not member.worker.is_running:
                    self._revive(member)
            await asyncio.to_thread(self._measure)

    def _revive(self, member: Member) -> None:
        if member.ended_s is None:
            member.ended_s = time.monotonic()
            said = re.findall(r"(?:the worker stops|leeway worker): (.*)", member.new_log())
            code = member.worker.exit_code(0)
            self.ended[f"exit {code}: {said[-1][:200] if said else 'without a word'}"] += 1
        elif time.monotonic() - member.ended_s > _RESTART_S:
            member.ended_s = None
            member.worker.start()

    def _measure(self) -> None:
        """How far it got. Of a partition without an owner what was known counts."""
        before = self.applied
        for member in self.members:
            if member.is_busy:
                continue  # it may be frozen
            slots = member.worker.get("/status", _ASK_S).get("slots", [])
            member.writes_alerts = any(slot["stage"] == ALERTS for slot in slots)
            partitions = member.worker.get("/ledger", _ASK_S).get("partitions", {})
            for partition, sides in partitions.items():
                for side, terms in sides.items():
                    known = self.consumed.get((partition, side), 0)
                    self.consumed[partition, side] = max(known, terms["consumed"])
        now_s = time.monotonic()
        self.stalled_s = max(self.stalled_s, now_s - self._moved_s)
        if self.applied > before:
            self._moved_s = now_s

    @property
    def applied(self) -> int:
        return sum(self.consumed.values())

    @property
    def peak_mb(self) -> float:
        return max(member.peak_mb for member in self.members)

    def stop(self) -> None:
        """All at once, also what is frozen."""
        for member in self.members:
            member.note_peak()
            member.worker.signal(signal.SIGKILL)
        for member in self.members:
            member.worker.kill()
