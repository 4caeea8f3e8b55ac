"""Stage 3: the only writer of alerts. One partition; findings are rare.

    (none) --drift--> firing, sequence 1 --drift, lasting--> firing, sequence 2, 3, ...
                                         --quiet--> resolved --drift--> a new alert

Findings wait until every stage-2 partition has passed their ready time with their kind, and are
then taken in (ready time, pane end, series) order, so that what alerts say does not depend on
which worker was faster. The two kinds do not wait for each other: a label feed that is hours
behind must not delay what the inputs tell. No alert is of both kinds, but for those of expected
errors, which cohorts may not bear out: these wait for both.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
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
from stream.rule_book import Schedule
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack
from stream.times import iso
from stream.watermark import BEFORE_ALL_MS
from stream.wire import FINDING_KINDS, Finding, FindingKind, Progress, decode_finding

STATE_VERSION = 2
BUCKETS = 1_024  # of firing alerts, by fingerprint: so many parts at most
_MAGIC = b"3"
_ENDS = {"quiet": "resolved", "withdrawn": "withdrawn, judged predictions do not bear it out"}
_IDS = uuid.UUID("6f1d6a5e-6c0b-5b1e-9d59-1e0e6a5b7c11")  # namespace of alert ids
_plain = msgspec.json.Decoder(Alert)


class AlertStage:
    def __init__(self, rules: Rules, model_partitions: int) -> None:
        self._schedule = Schedule(rules)
        self.epoch = 0
        self._partitions = model_partitions
        self._listener = Listener()
        self._progress: dict[int, Progress] = {}
        self._waiting: dict[tuple[Any, ...], Finding] = {}
        self._released_ms: dict[FindingKind, int] = dict.fromkeys(FINDING_KINDS, BEFORE_ALL_MS)
        self._firing: dict[str, Alert] = {}
        self._changes = 0  # of what fires, so far
        self._versions: dict[int, int] = {}  # of a bucket: the latest of its changes

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

    # -- configuration

    def next_ready_ms(self) -> int:
        """The first ready time of which nothing has been released yet."""
        return max(self._released_ms.values()) + 1

    def activate(self, at_ms: int, rules: Rules, announced_at: int | None = None) -> None:
        """Findings with a ready time from here on are signed by these rules. Whoever calls it has
        journaled it, and `at_ms` is at least `next_ready_ms`."""
        self._schedule.add(at_ms, rules, announced_at)

    def has_activated(self, announced_at: int) -> bool:
        return self._schedule.has(announced_at)

    # -- reading

    def active(self) -> list[Alert]:
        return list(self._firing.values())

    def announce(self) -> list[Effect]:
        """The firing alerts again: a new owner re-asserts the compacted state."""
        return [_to_alerts(alert, ()) for alert in self.active()]

    def _release(self) -> list[Effect]:
        said = self._progress.values()
        prediction_ms = min(p.prediction_ms for p in said)
        cohort_ms = min(p.cohort_ms for p in said)
        reached_ms = {
            "prediction": prediction_ms,
            "cohort": cohort_ms,
            "estimate": min(prediction_ms, cohort_ms),
        }
        for kind in FINDING_KINDS:
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
            self._note(fingerprint)
            return alert
        if firing is None:
            return None
        if finding.verdict == "raised" and firing.severity != "info":
            return None
        if finding.verdict not in {"quiet", "withdrawn"}:
            alert = _update(firing, finding, self._schedule.at(finding.ready_ms))
            self._firing[fingerprint] = alert
            self._note(fingerprint)
            return alert
        del self._firing[fingerprint]
        self._note(fingerprint)
        return _resolve(firing, finding)

    def _note(self, fingerprint: str) -> None:
        self._changes += 1
        self._versions[_bucket(fingerprint)] = self._changes

    def _fire(self, fingerprint: str, finding: Finding) -> Alert:
        detail, (model_id, version, role, segment) = finding.detail, finding.group
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
            summary=detail["summary"],
            recommended_action=detail["recommended_action"],
            **_signature(self._schedule.at(finding.ready_ms), model_id),
        )

    # -- state

    def snapshot(self) -> list[Part]:
        base = pack(
            _MAGIC,
            STATE_VERSION,
            {
                "listener": self._listener.snapshot(),
                "progress": [msgspec.to_builtins(p) for p in self._progress.values()],
                "waiting": [msgspec.to_builtins(f) for f in self._waiting.values()],
                "released_ms": self._released_ms,
                "changes": self._changes,
                "schedule": self._schedule.snapshot(),
            },
        )
        return [
            Part("base", None, lambda: base),
            *self._schedule.parts(),
            *self._firing_parts(),
        ]

    def _firing_parts(self) -> Iterator[Part]:
        buckets: dict[int, list[Alert]] = {}
        for fingerprint in sorted(self._firing):
            buckets.setdefault(_bucket(fingerprint), []).append(self._firing[fingerprint])
        for bucket, alerts in buckets.items():
            version = self._versions.get(bucket, 0)
            yield Part(f"firing/{bucket}", version, partial(_packed, version, alerts))

    @classmethod
    def restore(cls, rules: Rules, model_partitions: int, state: Mapping[str, bytes]) -> AlertStage:
        """Also of the one part "state" that 0.1.0 wrote. What is in force when, the state knows.

        Raises BrokenRecordError.
        """
        stage = cls(rules, model_partitions)
        if "state" in state:
            base: dict[str, Any] = unpack(_MAGIC, 1, state["state"])
            stage._restore_firing(base["firing"])
        else:
            base = unpack(_MAGIC, STATE_VERSION, state["base"])
            stage._changes = base["changes"]
            stage._schedule = Schedule.restore(base["schedule"], state)
            for name in sorted(name for name in state if name.startswith("firing/")):
                version, alerts = unpack(_MAGIC, STATE_VERSION, state[name])
                stage._versions[int(name.partition("/")[2])] = version
                stage._restore_firing(alerts)
        stage._listener.restore(base["listener"])
        for record in base["progress"]:
            progress = msgspec.convert(record, Progress)
            stage._progress[progress.partition] = progress
        for record in base["waiting"]:
            finding = msgspec.convert(record, Finding)
            stage._waiting[finding.order] = finding
        released_ms = base["released_ms"]
        least_ms = min(released_ms.values())  # 0.1.0 knew no estimates
        stage._released_ms = {kind: released_ms.get(kind, least_ms) for kind in FINDING_KINDS}
        return stage

    def _restore_firing(self, alerts: Iterable[bytes]) -> None:
        for data in alerts:
            alert = _plain.decode(data)
            self._firing[alert.fingerprint] = alert


def _bucket(fingerprint: str) -> int:
    return int(fingerprint[:8], 16) % BUCKETS


def _packed(version: int, alerts: Iterable[Alert]) -> bytes:
    return pack(_MAGIC, STATE_VERSION, [version, [encode(alert) for alert in alerts]])


def _to_alerts(alert: Alert, order: tuple[Any, ...]) -> ToAlerts:
    return ToAlerts(alert.fingerprint, alert.sequence, alert, encode(alert), order)


def _fingerprint(finding: Finding) -> str:
    """Of model, version, role, scope and alertname; the severity is not part of it."""
    parts = [*finding.group, finding.series, finding.alertname]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _alert_id(fingerprint: str, starts_at: str, sequence: int) -> str:
    return str(uuid.uuid5(_IDS, f"{fingerprint}/{starts_at}/{sequence}"))


def _signature(rules: Rules, model_id: str) -> dict[str, Any]:
    """Whose it is, by the rules in force."""
    model = rules.model(model_id)
    owners = model.owners
    return {
        "owners": AlertOwners(
            owners.accountable,
            list(owners.responsible),
            list(owners.consulted),
            list(owners.informed),
        ),
        "labels": dict(model.labels),
        "links": {"runbook_url": model.runbook_url},
        "config_hash": rules.config_hash(),
    }


def _update(firing: Alert, finding: Finding, rules: Rules) -> Alert:
    """The same alert: things have changed once more, or not at all for long."""
    sequence, detail = firing.sequence + 1, finding.detail
    told = msgspec.structs.replace(
        firing,
        id=_alert_id(firing.fingerprint, firing.starts_at, sequence),
        sequence=sequence,
        evaluated_at=iso(finding.ready_ms),
        summary=detail["summary"],
        **_signature(rules, firing.model.id),
    )
    if finding.verdict == "lasting":
        return told
    if finding.verdict == "raised":
        summary = f"{firing.summary}; {detail['summary']}"
        return msgspec.structs.replace(told, severity=detail["severity"], summary=summary)
    return msgspec.structs.replace(
        told,
        severity=detail["severity"],
        detector=AlertDetector(**detail["detector"]),
        window=AlertWindow(**detail["window"]),
        reference=AlertReference(**detail["reference"]),
        effect=AlertEffect(**detail["effect"]),
        evidence=detail["evidence"],
        impact=AlertImpact(**detail["impact"]),
        recommended_action=detail["recommended_action"],
    )


def _resolve(firing: Alert, finding: Finding) -> Alert:
    sequence = firing.sequence + 1
    now, reason = iso(finding.ready_ms), finding.detail.get("because")
    because = f" ({reason})" if reason else ""
    return msgspec.structs.replace(
        firing,
        id=_alert_id(firing.fingerprint, firing.starts_at, sequence),
        status="resolved",
        sequence=sequence,
        ends_at=now,
        evaluated_at=now,
        summary=f"{_ENDS[finding.verdict]}{because}: {firing.summary.partition('; ')[0]}",
        recommended_action="none",
    )
