"""What the group assigns to this worker and a claim of somebody else has taken.

A new owner's claim follows a revocation, so a member of the group never reads one of what it still
owns. Such a claim came late: of a worker that was frozen in its takeover, or waited for a leader.
Nobody works on that partition then. Its assigned owner has all assigned anew, and claims it again.

    claim read --a worker that was replaced would know by now--> rejoin the group
               --again and again, or no rebalance comes--> stop
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable

from stream.refusals import OvertakenError
from stream.worker_host import Host

log = logging.getLogger(__name__)

_HEARTBEATS = 3  # within which the group tells a worker that it was replaced
_TAKEN = 3
_TAKEN_S = 60.0
_TRIES = 3
_TRIES_S = 600.0
_REBALANCE_TIMEOUTS = 5  # without one having come of a try


class Overtaken:
    def __init__(self, host: Host, rejoin: Callable[[], Awaitable[None]]) -> None:
        kafka = host.settings.kafka
        self._host = host
        self._rejoin = rejoin
        self._member_s = _HEARTBEATS * kafka.heartbeat.total_seconds()
        self._rebalance_s = _REBALANCE_TIMEOUTS * kafka.rebalance_timeout.total_seconds()
        self._tries_s: deque[float] = deque(maxlen=_TRIES)
        self._tried_in = -1  # generation of the last try
        self._instance_id = kafka.instance_id
        self._taken_s: deque[float] = deque(maxlen=_TAKEN)
        self._taken_in = -1  # generation of the last of these

    async def check(self, now_s: float) -> None:
        """Called every moment; `now_s` is of the monotonic clock, as `Host.overtaken` has it."""
        self._check_name(now_s)
        due = [
            (key, now_s - since_s)
            for key, since_s in self._host.overtaken.items()
            if now_s - since_s > self._member_s
        ]
        if not due or self._host.is_draining:
            return
        (stage, partition), for_s = due[0]
        if self._tried_in != self._host.generation:
            if len(self._tries_s) == _TRIES and now_s - self._tries_s[0] < _TRIES_S:
                self._host.fail(_overtaken(stage, partition, f"{_TRIES} times in a row"))
                return
            self._tried_in = self._host.generation
            self._tries_s.append(now_s)
            log.warning(
                "stage %d partition %d is still assigned here: it is claimed anew", stage, partition
            )
            await self._rejoin()
        elif for_s > self._rebalance_s:
            self._host.fail(_overtaken(stage, partition, "and no rebalance follows"))

    def _check_name(self, now_s: float) -> None:
        """Two workers under one name take everything from each other, heartbeat by heartbeat."""
        generation = self._host.generation
        if self._instance_id is None or not self._host.overtaken or self._taken_in == generation:
            return
        self._taken_in = generation
        self._taken_s.append(now_s)
        if len(self._taken_s) == _TAKEN and now_s - self._taken_s[0] < _TAKEN_S:
            self._host.fail(
                OvertakenError(
                    f"everything was taken from this worker {_TAKEN} times in a minute: another "
                    f"one runs under the same kafka.instance_id, {self._instance_id}"
                )
            )


def _overtaken(stage: int, partition: int, how: str) -> OvertakenError:
    return OvertakenError(
        f"stage {stage} partition {partition} was claimed by another worker, but is still assigned "
        f"to this one, {how}: start it again, and it claims it anew"
    )
