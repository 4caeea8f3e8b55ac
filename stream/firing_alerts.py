"""What fires now, by fingerprint, in parts that are written anew only where something changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from stream.events import Alert
from stream.records import encode
from stream.snapshot import Part, pack, unpack

MAGIC = b"3"
STATE_VERSION = 4  # of stage 3
OLDER_VERSIONS = (1, 2, 3)  # read too: 1 is of 0.1.0, 2 knew no incidents, 3 no notices
BUCKETS = 1_024  # by fingerprint: so many parts at most
_plain = msgspec.json.Decoder(Alert)


class FiringAlerts:
    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}
        self.changes = 0  # so far
        self._versions: dict[int, int] = {}  # of a bucket: the latest of its changes

    def __getitem__(self, fingerprint: str) -> Alert:
        return self._alerts[fingerprint]

    def get(self, fingerprint: str) -> Alert | None:
        return self._alerts.get(fingerprint)

    def all(self) -> list[Alert]:
        return list(self._alerts.values())

    def set(self, alert: Alert) -> None:
        self._alerts[alert.fingerprint] = alert
        self._note(alert.fingerprint)

    def end(self, fingerprint: str) -> None:
        del self._alerts[fingerprint]
        self._note(fingerprint)

    def _note(self, fingerprint: str) -> None:
        self.changes += 1
        self._versions[_bucket(fingerprint)] = self.changes

    def parts(self) -> Iterator[Part]:
        buckets: dict[int, list[Alert]] = {}
        for fingerprint in sorted(self._alerts):
            buckets.setdefault(_bucket(fingerprint), []).append(self._alerts[fingerprint])
        for bucket, alerts in buckets.items():
            version = self._versions.get(bucket, 0)
            yield Part(f"firing/{bucket}", version, partial(_packed, version, alerts))

    def restore(self, changes: int, state: Mapping[str, bytes]) -> None:
        """Raises BrokenRecordError."""
        self.changes = changes
        for name in sorted(name for name in state if name.startswith("firing/")):
            version, alerts = unpack_state(state[name])
            self._versions[int(name.partition("/")[2])] = version
            self.restore_alerts(alerts)

    def restore_alerts(self, alerts: Iterable[bytes]) -> None:
        for data in alerts:
            alert = _plain.decode(data)
            self._alerts[alert.fingerprint] = alert


def _bucket(fingerprint: str) -> int:
    return int(fingerprint[:8], 16) % BUCKETS


def unpack_state(data: bytes) -> Any:
    """Of this version or the one before. Raises BrokenRecordError."""
    version = data[1] if len(data) > 1 else STATE_VERSION
    return unpack(MAGIC, version if version in OLDER_VERSIONS[1:] else STATE_VERSION, data)


def _packed(version: int, alerts: Iterable[Alert]) -> bytes:
    return pack(MAGIC, STATE_VERSION, [version, [encode(alert) for alert in alerts]])
