"""The owner of stage 3 reads `alerts.state` back, as `stream.worker_alert_states` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.last_states import LastStates
from stream.worker_routes import Outgoing, Sender, alert_headers
from tests.simulator.slot import ALERTS, SETTINGS, Slot

if TYPE_CHECKING:
    from tests.simulator.worker import Worker

_TOPIC = SETTINGS.topics.alerts_state


class AlertStates:
    def __init__(self, worker: Worker) -> None:
        self.repaired = 0
        self._worker = worker
        self._states = LastStates(SETTINGS.app)
        self._topic = worker.log.part((_TOPIC, 0))
        self._slot: Slot | None = None  # whose words are read
        self._position = 0

    def said(self, record: Outgoing) -> None:
        if record.topic == _TOPIC:
            self._states.said(record)

    @property
    def is_behind(self) -> bool:
        slot = self._worker.slots.get((ALERTS, 0))
        if slot is None:
            return False
        is_read = slot is self._slot and self._position == len(self._topic)
        return not is_read or self._states.has_stale

    def read(self, count: int) -> None:
        """Some records more; at the end, what a former owner has overwritten is put right."""
        slot = self._worker.slots[ALERTS, 0]
        if slot is not self._slot:
            self._slot, self._position = slot, 0
            self._states.own(slot.core.epoch)
        for entry in self._topic[self._position : self._position + count]:
            assert entry.key is not None
            self._states.heard(entry.key, entry.value, dict(entry.headers))
            self._position += 1
        if self._position == len(self._topic) and self._states.has_stale:
            self._repair(slot)

    def _repair(self, slot: Slot) -> None:
        sender = Sender(self._worker.name, slot.partition, slot.core.epoch, 0)
        again = [
            Outgoing(
                _TOPIC, 0, key, state.value, alert_headers(state.sequence, sender, SETTINGS.app)
            )
            for key, state in self._states.take_stale()
        ]
        self._worker.emit(slot, again)
        self.repaired += len(again)
