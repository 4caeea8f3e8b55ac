"""Which word on `alerts.state` is the newest of its key, and where an older one stands last. Pure.

A replaced owner's producer may reach the broker behind its successor: a compacted topic would
then keep the older word for ever. Of two records of a key the one of the higher epoch is newer,
within an epoch the later one. `worker_alert_states` reads the topic and writes again what is
overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream.worker_routes import Outgoing


@dataclass(frozen=True, slots=True)
class State:
    """What an epoch said of a key."""

    epoch: int
    sequence: int
    value: bytes


class LastStates:
    """The newest state of each key, and which keys end with an older one. Pure.

    Memory: one alert (about 2 kB) for each fingerprint on the topic.
    """

    def __init__(self, app: str) -> None:
        self._app = app.encode()
        self._epoch = -1  # of the own words
        self._newest: dict[bytes, State] = {}
        self._stale: set[bytes] = set()

    @property
    def has_stale(self) -> bool:
        return bool(self._stale)

    def own(self, epoch: int) -> None:
        """From now on this epoch speaks here; what another one of this process said is read."""
        if epoch != self._epoch:
            self._epoch, self._newest, self._stale = epoch, {}, set()

    def said(self, record: Outgoing) -> None:
        """An own record, as it is handed to the producer: it is newer than whatever is read."""
        state = _state(record.value, dict(record.headers))
        if state is not None and record.key is not None:
            self.own(state.epoch)
            self._newest[record.key] = state

    def heard(self, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> None:
        """The next record of the topic."""
        state = _state(value, headers) if headers.get("app") == self._app else None
        newest = self._newest.get(key)
        if state is None:  # a tombstone, or another app's: not ours to put right
            self._stale.discard(key)
            if newest is not None and newest.epoch != self._epoch:
                del self._newest[key]
        elif newest is not None and state.epoch < newest.epoch:
            self._stale.add(key)
        else:
            self._stale.discard(key)
            if state.epoch != self._epoch:  # own words: a later one may be on its way
                self._newest[key] = state

    def take_stale(self) -> list[tuple[bytes, State]]:
        """What is to be written again. Nothing behind a newer epoch's words: its owner does it."""
        taken = [(key, self._newest[key]) for key in sorted(self._stale)]
        self._stale = set()
        return [(key, state) for key, state in taken if state.epoch <= self._epoch]


def _state(value: bytes | None, headers: Mapping[str, bytes]) -> State | None:
    """None: a tombstone, or a record that says no epoch."""
    if value is None:
        return None
    try:
        return State(int(headers["epoch"]), int(headers["sequence"]), value)
    except (KeyError, ValueError):
        return None
