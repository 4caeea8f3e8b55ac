"""What is done to workers and broker, drawn by a seed.

| fault | what |
|---|---|
| kill | SIGKILL of a worker; started again at once or up to 3 s later |
| terminate | SIGTERM of a worker, which must end by itself; started again at once |
| freeze | SIGSTOP of a worker past its session timeout of 6 s, then SIGCONT: a zombie wakes up |
| churn | a worker more joins the group, or leaves it again; in a row of four, 5 s apart |
| broker | SIGKILL of the broker; started again on the same data up to 4 s later |
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

from tests.chaos.fleet import Fleet, Member
from tests.integration.java_broker import JavaBroker

KINDS = {"kill": 6, "terminate": 3, "freeze": 4, "churn": 1, "broker": 2}
"""How often each is drawn, in relation."""
_CHURN_ROW = 4
_CHURN_S = 5.0
_FREE_S = 30.0
_WRITER_SHARE = 0.5  # of the victims that write the alerts, if any of them can be one


def drawn(random: Random, count: int) -> Iterator[str]:
    """The kinds of `count` faults: the first few are one of each, churn comes in rows."""
    given = 0
    opening = random.sample(sorted(KINDS), len(KINDS)) if count >= len(KINDS) else []
    while given < count:
        if opening:
            kind, row = opening.pop(), 1
        else:
            kind = random.choices([*KINDS], [*KINDS.values()])[0]
            row = _CHURN_ROW if kind == "churn" else 1
        for _ in range(min(row, count - given)):
            yield kind
            given += 1


class Faults:
    def __init__(self, fleet: Fleet, broker: JavaBroker, random: Random) -> None:
        self._fleet, self._broker, self._random = fleet, broker, random
        self._broker_up = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        """What a fault itself showed: a SIGTERM that was not obeyed."""
        self.left: Counter[int] = Counter()
        """Exit codes after SIGTERM: 0; 1 without a broker; -15 before the worker had begun."""

    async def begin(self, kind: str) -> float:
        """Begin a fault; returns when the next is due, in seconds from now."""
        random = self._random
        gap_s = _CHURN_S if kind == "churn" else random.uniform(4.0, 9.0)
        pause_s = random.choice([0.0, random.uniform(0.5, 3.0)])
        if kind == "broker":
            await self._broker_up.acquire()
            body = self._crash_broker(pause_s)
        elif kind == "churn":
            extra = [m for m in self._fleet.members[self._fleet.base :] if not m.is_busy]
            body = self._join_or_leave(random.choice(extra)) if extra else self._nothing()
        else:
            member = await self._victim()
            match kind:
                case "kill":
                    body = self._kill(member, pause_s)
                case "terminate":
                    body = self._terminate(member)
                case _:
                    body = self._freeze(member, random.uniform(7.0, 9.0))
        self.done[kind] += 1
        task = asyncio.create_task(body, name=kind)
        self._under_way.add(task)
        return gap_s

    async def over(self) -> None:
        """Returns when every fault has ended: all is as it was before. Raises what one raised."""
        await asyncio.gather(*self._under_way)

    async def _victim(self) -> Member:
        deadline = time.monotonic() + _FREE_S
        while not (free := self._fleet.free()):
            if time.monotonic() > deadline:
                raise TimeoutError("no worker runs that something could be done to")
            await asyncio.sleep(0.2)
        writers = [member for member in free if member.writes_alerts]
        is_writer = self._random.random() < _WRITER_SHARE
        member = self._random.choice(writers if is_writer and writers else free)
        member.is_busy = True
        return member

    async def _kill(self, member: Member, pause_s: float) -> None:
        member.note_peak()
        await asyncio.to_thread(member.worker.kill)
        await asyncio.sleep(pause_s)
        self._start(member)

    async def _terminate(self, member: Member) -> None:
        await self._leave(member)
        self._start(member)

    async def _leave(self, member: Member) -> None:
        member.note_peak()
        code = await asyncio.to_thread(member.worker.terminate)
        self.left[code] += 1
        if code == -signal.SIGKILL:
            self.wrong.append(f"SIGTERM did not end {member.worker.name} within 30 s")

    async def _freeze(self, member: Member, for_s: float) -> None:
        member.worker.signal(signal.SIGSTOP)
        await asyncio.sleep(for_s)
        member.worker.signal(signal.SIGCONT)
        member.is_busy = False

    async def _join_or_leave(self, member: Member) -> None:
        member.is_busy = True
        member.is_wanted = not member.is_wanted
        if member.is_wanted:
            self._start(member)
        else:
            await self._leave(member)
            member.is_busy = False

    async def _crash_broker(self, pause_s: float) -> None:
        try:
            await asyncio.to_thread(self._broker.kill)
            await asyncio.sleep(pause_s)
            await asyncio.to_thread(self._broker.start)
        finally:
            self._broker_up.release()

    async def _nothing(self) -> None:
        """Everybody who could join or leave is doing so."""

    def _start(self, member: Member) -> None:
        member.new_log()
        member.worker.start()
        member.is_busy = False
