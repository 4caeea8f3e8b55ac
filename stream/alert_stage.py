"""Stage 3: the only writer of alerts. One partition; findings are rare.

    (none) --drift--> firing, sequence 1 --quiet--> resolved, sequence 2 --drift--> a new alert

Findings wait until every stage-2 partition has passed their ready time with their kind, and are
then taken in (ready time, pane end, series) order, so that what alerts say does not depend on
which worker was faster. The two kinds do not wait for each other: a label feed that is hours
behind must not delay what the inputs tell. No alert is of both kinds.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from stream.events import (
    Alert,
    AlertDetector,
    AlertEffect,
    AlertImpact,
    AlertModel,
    AlertOwners,
    AlertReference,
    AlertScope,
    AlertWindow,
    Effect,
    ToAlerts,
)
from stream.numbering import Listener
from stream.records import encode
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack
from stream.times import iso
from stream.watermark import BEFORE_ALL_MS
from stream.wire import KINDS, Finding, PaneKind, Progress, decode_finding

STATE_VERSION = 1
_IDS = uuid.UUID("6f1d6a5e-6c0b-5b1e-9d59-1e0e6a5b7c11")  # namespace of alert ids
_plain = msgspec.json.Decoder(Alert)


class AlertStage:
    def __init__(self, rules: Rules, model_partitions: int) -> None:
        self.rules = rules
        self.epoch = 0
        self._partitions = model_partitions
        self._listener = Listener()
        self._config_hash = rules.config_hash()
        self._progress: dict[int, Progress] = {}
        self._waiting: dict[tuple[Any, ...], Finding] = {}
        self._released_ms: dict[PaneKind, int] = dict.fromkeys(KINDS, BEFORE_ALL_MS)
        self._firing: dict[str, Alert] = {}

    def handle(self, value: bytes) -> list[Effect]:
        """One record of the findings topic, in topic order."""
        said = self._listener.hear(value)
        if said is None:
            return []
        record = decode_finding(said)
        if isinstance(record, Finding):
            if record.ready_ms > self._released_ms[record.pane_kind]:
                self._waiting[record.order] = record
            return []
        self._progress[record.partition] = record
        return self._release() if len(self._progress) == self._partitions else []

    def active(self) -> list[Alert]:
        return list(self._firing.values())

    def announce(self) -> list[Effect]:
        """The firing alerts again: a new owner re-asserts the compacted state."""
        return [_to_alerts(alert, ()) for alert in self.active()]

    def _release(self) -> list[Effect]:
        said = self._progress.values()
        reached_ms = {
            "prediction": min(p.prediction_ms for p in said),
            "cohort": min(p.cohort_ms for p in said),
        }
        for kind in KINDS:
            # a new owner of a stage-2 partition may say less than the one before it has said
            self._released_ms[kind] = max(self._released_ms[kind], reached_ms[kind])
        due = [o for o, f in self._waiting.items() if f.ready_ms <= self._released_ms[f.pane_kind]]
        effects: list[Effect] = []
        for order in sorted(due):
            alert = self._decide(self._waiting.pop(order))
            if alert is not None:
                effects.append(_to_alerts(alert, order))
        return effects

    def _decide(self, finding: Finding) -> Alert | None:
        fingerprint = _fingerprint(finding)
        firing = self._firing.get(fingerprint)
        if finding.verdict == "drift" and firing is None:
            alert = self._fire(fingerprint, finding)
            self._firing[fingerprint] = alert
            return alert
        if finding.verdict == "quiet" and firing is not None:
            del self._firing[fingerprint]
            return _resolve(firing, finding)
        return None

    def _fire(self, fingerprint: str, finding: Finding) -> Alert:
        detail, (model_id, version, role, segment) = finding.detail, finding.group
        model = self.rules.model(model_id)
        owners = model.owners
        starts_at = iso(detail["change_at_ms"])
        alert_id = _alert_id(fingerprint, starts_at, 1)
        return Alert(
            schema_version=1,
            id=alert_id,
            fingerprint=fingerprint,
            status="firing",
            sequence=1,
            alertname=detail["alertname"],
            kind=detail["kind"],
            severity=detail["severity"],
            starts_at=starts_at,
            ends_at=None,
            evaluated_at=iso(finding.ready_ms),
            model=AlertModel(model_id, version, role),
            scope=AlertScope(detail["feature"], segment or None),
            detector=AlertDetector(**detail["detector"]),
            window=AlertWindow(**detail["window"]),
            reference=AlertReference(**detail["reference"]),
            effect=AlertEffect(**detail["effect"]),
            evidence=detail["evidence"],
            impact=AlertImpact(**detail["impact"]),
            incident_id=alert_id,  # an incident of its own
            owners=AlertOwners(
                owners.accountable,
                list(owners.responsible),
                list(owners.consulted),
                list(owners.informed),
            ),
            labels=dict(model.labels),
            summary=detail["summary"],
            links={"runbook_url": model.runbook_url},
            recommended_action=detail["recommended_action"],
            config_hash=self._config_hash,
        )

    # -- state

    def snapshot(self) -> list[Part]:
        state = {
            "listener": self._listener.snapshot(),
            "progress": [msgspec.to_builtins(p) for p in self._progress.values()],
            "waiting": [msgspec.to_builtins(f) for f in self._waiting.values()],
            "released_ms": self._released_ms,
            "firing": [encode(alert) for alert in self._firing.values()],
        }
        body = pack(b"3", STATE_VERSION, state)
        return [Part("state", None, lambda: body)]

    @classmethod
    def restore(cls, rules: Rules, model_partitions: int, state: Mapping[str, bytes]) -> AlertStage:
        plain = unpack(b"3", STATE_VERSION, state["state"])
        stage = cls(rules, model_partitions)
        stage._listener.restore(plain["listener"])
        for record in plain["progress"]:
            progress = msgspec.convert(record, Progress)
            stage._progress[progress.partition] = progress
        for record in plain["waiting"]:
            finding = msgspec.convert(record, Finding)
            stage._waiting[finding.order] = finding
        stage._released_ms = plain["released_ms"]
        for data in plain["firing"]:
            alert = _plain.decode(data)
            stage._firing[alert.fingerprint] = alert
        return stage


def _to_alerts(alert: Alert, order: tuple[Any, ...]) -> ToAlerts:
    return ToAlerts(alert.fingerprint, alert.sequence, alert, encode(alert), order)


def _fingerprint(finding: Finding) -> str:
    """Of model, version, role, scope and alertname; the severity is not part of it."""
    parts = [*finding.group, finding.series, finding.alertname]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _alert_id(fingerprint: str, starts_at: str, sequence: int) -> str:
    return str(uuid.uuid5(_IDS, f"{fingerprint}/{starts_at}/{sequence}"))


def _resolve(firing: Alert, finding: Finding) -> Alert:
    sequence = firing.sequence + 1
    now = iso(finding.ready_ms)
    return msgspec.structs.replace(
        firing,
        id=_alert_id(firing.fingerprint, firing.starts_at, sequence),
        status="resolved",
        sequence=sequence,
        ends_at=now,
        evaluated_at=now,
        summary=f"resolved: {firing.summary}",
        recommended_action="none",
    )
