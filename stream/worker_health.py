"""Whether the worker is alive: what /health says, and when it stops by itself.

Durations are counted in ticks that this loop saw, not in time that passed: after a pause of the
whole process (a suspended machine, a long computation) nothing has been silent yet.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from stream.refusals import Refusal
from stream.worker_host import Host
from stream.worker_watch import Watch

_TICK_S = 1.0
_ILL_SILENCE_S = 15.0
_MAX_SILENCE_S = 45.0
_ILL_RESTORING_S = 120.0
_MAX_RESTORING_S = 300.0
_MAX_TAKEOVER_S = 900.0  # a claim may wait for a leader, and the journal may be long
_ILL_UNACKNOWLEDGED_S = 20.0  # the producer gives up after `worker_app.PRODUCE_TIMEOUT_S`


class BrokerGoneError(Exception):
    """No broker answers."""


class StuckRecoveryError(Exception):
    """Partitions are assigned and their state is not being restored."""


class OutOfGroupError(Refusal):
    """Nobody keeps this worker in its group."""


class Answers(Protocol):
    """A reader that polls without end, whatever else waits: the journal's."""

    def last_answer_ms(self) -> int | None: ...


class Restoring(Protocol):
    def restoring(self) -> tuple[bool, int] | None: ...

    def group_error(self) -> BaseException | None: ...


class Health:
    def __init__(self, host: Host, watch: Watch, answers: Answers, positions: Restoring) -> None:
        self._host, self._watch = host, watch
        self._answers, self._positions = answers, positions
        self._answer_ms: int | None = None
        self._progress: tuple[bool, int] | None = None
        self.silent_s = 0.0  # since a broker answered a poll
        self.stuck_s = 0.0  # since the restoring of what is assigned last moved

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick()

    def tick(self) -> None:
        """Called once a second. Stops the worker when waiting longer would be silence."""
        answer_ms, progress = self._answers.last_answer_ms(), self._positions.restoring()
        self.silent_s = self.silent_s + _TICK_S if answer_ms == self._answer_ms else 0.0
        is_stuck = progress is not None and progress == self._progress
        self.stuck_s = self.stuck_s + _TICK_S if is_stuck else 0.0
        self._answer_ms, self._progress = answer_ms, progress
        group_error = self._positions.group_error()
        if group_error is not None:
            self._host.fail(self._out_of_group(group_error))
        if self.silent_s >= _MAX_SILENCE_S:
            self._host.fail(self._broker_gone())
        is_taking_over = progress is not None and progress[0]
        if self.stuck_s >= (_MAX_TAKEOVER_S if is_taking_over else _MAX_RESTORING_S):
            self._host.fail(self._stuck_recovery())

    def ills(self) -> list[str]:
        """What is wrong, for a person; empty: healthy."""
        unacknowledged_s = max((s.unacknowledged_s for s in self._host.slots()), default=0.0)
        found = {
            f"failed: {self._host.failure}": self._host.failure is not None,
            "a partition with records to read does not progress": not self._watch.is_progressing,
            "no broker answers": self.silent_s >= _ILL_SILENCE_S,
            "assigned partitions are not being restored": self.stuck_s >= _ILL_RESTORING_S,
            "outputs are not acknowledged": unacknowledged_s >= _ILL_UNACKNOWLEDGED_S,
        }
        return [text for text, is_ill in found.items() if is_ill]

    def _out_of_group(self, error: BaseException) -> OutOfGroupError:
        name = self._host.settings.kafka.instance_id
        cause = f" (runs another worker under the same kafka.instance_id, {name}?)" if name else ""
        return OutOfGroupError(f"the worker fell out of its group: {error}{cause}")

    def _broker_gone(self) -> BrokerGoneError:
        return BrokerGoneError(
            f"no broker of {self._host.settings.kafka.bootstrap} has answered for "
            f"{self.silent_s:.0f} s: check that they run and can be reached (leeway doctor); a "
            "new start goes on at the last checkpoint"
        )

    def _stuck_recovery(self) -> StuckRecoveryError:
        return StuckRecoveryError(
            f"partitions are assigned and nothing of their state was read for {self.stuck_s:.0f} s:"
            " check the leaders of the changelog and journal topics; a new start tries again"
        )
