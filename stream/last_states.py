"""Which word on `alerts.state` is the newest of its key, and where an older one stands last. Pure.

A replaced owner's producer may reach the broker behind its successor: a compacted topic would
then keep the older word for ever. All owners say words of one sequence, which the events decide, so
the newest of a key is the furthest in event time, whoever said it: a higher epoch may have begun
from an older checkpoint, said again what was said long ago, and died before the rest.
`worker_alert_states` reads the topic and writes again what is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from stream.worker_routes import Outgoing


class _Moment(msgspec.Struct, order=True, frozen=True):
    """How far in event time an alert is; times of one format, which sort as texts."""

    evaluated_at: str
    starts_at: str
    sequence: int


@dataclass(frozen=True, slots=True)
class State:
    """What an epoch said of a key."""

    epoch: int
    sequence: int
    value: bytes
    moment: _Moment


_moments = msgspec.json.Decoder(_Moment)
_BEFORE_ALL = _Moment("", "", 0)


class LastStates:
    """The newest state of each key, and which keys end with an older one. Pure.

    Memory: one alert (about 2 kB) for each fingerprint on the topic.
    """

    def __init__(self, app: str) -> None:
        self._app = app.encode()
        self._epoch = -1  # of the own words
        self._newest: dict[bytes, State] = {}
        self._said: dict[bytes, _Moment] = {}  # the own word that will stand behind the other own
        self._stale: set[bytes] = set()

    @property
    def has_stale(self) -> bool:
        return bool(self._stale)

    def own(self, epoch: int) -> None:
        """From now on this epoch speaks here; what another one of this process said is read."""
        if epoch != self._epoch:
            self._epoch, self._newest, self._said, self._stale = epoch, {}, {}, set()

    def said(self, record: Outgoing) -> None:
        """An own record, as it is handed to the producer."""
        state = _state(record.value, dict(record.headers))
        if state is not None and record.key is not None:
            self.own(state.epoch)
            self._said[record.key] = state.moment
            self._remember(record.key, state)

    def heard(self, key: bytes, value: bytes | None, headers: Mapping[str, bytes]) -> None:
        """The next record of the topic."""
        state = _state(value, headers) if headers.get("app") == self._app else None
        newest = self._newest.get(key)
        if state is None:  # a tombstone, or another app's: not ours to put right
            self._stale.discard(key)
            if newest is not None and newest.epoch != self._epoch:
                del self._newest[key]
        elif newest is not None and self._is_overwritten(key, newest, state):
            self._stale.add(key)
        else:
            self._stale.discard(key)
            self._remember(key, state)

    def _is_overwritten(self, key: bytes, newest: State, last: State) -> bool:
        if last.moment >= newest.moment or last.epoch > self._epoch:  # its owner goes on to more
            return False
        said = self._said.get(key)
        is_on_its_way = said is not None and said >= newest.moment
        return last.epoch < self._epoch or not is_on_its_way

    def _remember(self, key: bytes, state: State) -> None:
        known = self._newest.get(key)
        if known is None or known.moment <= state.moment:
            self._newest[key] = state

    def take_stale(self) -> list[tuple[bytes, State]]:
        """What is to be written again."""
        taken = [(key, self._newest[key]) for key in sorted(self._stale)]
        self._stale = set()
        return taken


def _state(value: bytes | None, headers: Mapping[str, bytes]) -> State | None:
    """None: a tombstone, or a record that says no epoch."""
    if value is None:
        return None
    try:
        epoch, sequence = int(headers["epoch"]), int(headers["sequence"])
    except (KeyError, ValueError):
        return None
    return State(epoch, sequence, value, _moment(value))


def _moment(value: bytes) -> _Moment:
    """What is no alert is older than any."""
    try:
        return _moments.decode(value)
    except msgspec.DecodeError:
        return _BEFORE_ALL
