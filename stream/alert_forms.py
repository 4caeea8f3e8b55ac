"""What an alert says at each step of its life."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from stream.columns import Group
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
    Kind,
    ToAlerts,
)
from stream.members import FAULTS, Member, lesser
from stream.ranked_features import NONE_MOVED
from stream.records import encode
from stream.rules import CHAMPION, EscalationRule, Rules
from stream.shared_sums import NAME as SHARED
from stream.times import iso, span_text
from stream.wire import Finding

_ENDS = {"quiet": "resolved", "withdrawn": "withdrawn, judged predictions do not bear it out"}
_AS_IN_ITS_OWN = "as in its own reference, sealed since"
_UNANSWERED = "; unacknowledged for "
_IDS = uuid.UUID("6f1d6a5e-6c0b-5b1e-9d59-1e0e6a5b7c11")  # namespace of alert ids


def fingerprint_of(finding: Finding) -> str:
    """Of model, version, role, scope and alertname; the severity is not part of it."""
    parts = [*finding.group, finding.series, finding.alertname]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def fired(fingerprint: str, finding: Finding, rules: Rules) -> Alert:
    """A new alert, an incident of its own."""
    detail, (model_id, version, role, segment) = finding.detail, finding.group
    starts_at = iso(detail["change_at_ms"])
    first_id = alert_id(fingerprint, starts_at, 1)
    return Alert(
        schema_version=1,
        id=first_id,
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
        incident_id=first_id,
        summary=detail["summary"],
        recommended_action=detail["recommended_action"],
        **_signature(rules, model_id, detail["alertname"], detail["feature"]),
    )


def read_too(alert: Alert, readers: Sequence[str], told: Sequence[str]) -> Alert:
    """Of a feature that other models read from the same upstream: which, and which of them have
    told of it already."""
    if not readers:
        return alert
    shared = {"read_by": list(readers), "told_by": list(dict.fromkeys(told))}
    what = f"told by {', '.join(shared['told_by'])} too" if told else f"{', '.join(readers)} read"
    return msgspec.structs.replace(
        alert,
        evidence={**alert.evidence, "shared": shared},
        summary=f"{alert.summary}; shared: {what}{'' if told else ' it too'}",
    )


def not_alone(alert: Alert, groups: Sequence[Group]) -> Alert:
    """Of other versions and roles of its model the same is told."""
    if not groups:
        return alert
    shown = [{"version": version, "role": role} for _, version, role, _ in groups]
    roles = ["" if role == CHAMPION else f" ({role})" for _, _, role, _ in groups]
    names = [f"v{of['version']}{role}" for of, role in zip(shown, roles, strict=True)]
    return msgspec.structs.replace(
        alert,
        evidence={**alert.evidence, "versions": {"also": shown}},
        summary=f"{alert.summary}; {' and '.join(names)} too: it is not one version",
    )


def missed_by(evidence: Mapping[str, Any]) -> set[str]:
    """Series of which an objective is missed."""
    return {*evidence.get("current", {}).get("missed", ())}


def told_again(firing: Alert, ready_ms: int, rules: Rules) -> Alert:
    """The same alert, its next sequence."""
    sequence = firing.sequence + 1
    told = msgspec.structs.replace(
        firing,
        id=alert_id(firing.fingerprint, firing.starts_at, sequence),
        sequence=sequence,
        evaluated_at=iso(ready_ms),
        **_signature(rules, firing.model.id, firing.alertname, firing.scope.feature),
    )
    _inform(told.owners, firing.evidence.get("escalation", {}).get("informed", ()))
    return told


def escalated(
    firing: Alert, at_ms: int, rules: Rules, step: EscalationRule, member: Member
) -> Alert:
    """Nobody has taken it in hand: told to more people."""
    after_ms = at_ms - member.fired_ms
    told = told_again(firing, at_ms, rules)
    _inform(told.owners, step.to)
    before = firing.evidence.get("escalation", {}).get("informed", ())
    informed = [*before, *(name for name in step.to if name not in before)]
    evidence = {"step": member.escalated, "unacknowledged_ms": after_ms, "informed": informed}
    unanswered = f"{_UNANSWERED}{span_text(after_ms)}, told to {' and '.join(step.to)}"
    return msgspec.structs.replace(
        told,
        evidence={**told.evidence, "escalation": evidence},
        summary=firing.summary.partition(_UNANSWERED)[0] + unanswered,
    )


def _inform(owners: AlertOwners, names: Iterable[str]) -> None:
    owners.informed += [name for name in names if name not in owners.informed]


def updated(firing: Alert, finding: Finding, rules: Rules) -> Alert:
    """The same alert: things have changed once more, or not at all for long."""
    detail = finding.detail
    told = told_again(firing, finding.ready_ms, rules)
    told = msgspec.structs.replace(told, summary=detail["summary"])
    if finding.verdict == "lasting":
        return told
    if finding.verdict == "raised":
        summary = f"{firing.summary}; {detail['summary']}"
        return msgspec.structs.replace(told, severity=detail["severity"], summary=summary)
    told = msgspec.structs.replace(
        told,
        kind=detail["kind"] if firing.kind == "performance" else firing.kind,
        severity=detail["severity"],
        detector=AlertDetector(**detail["detector"]),
        window=AlertWindow(**detail["window"]),
        reference=AlertReference(**detail["reference"]),
        effect=AlertEffect(**detail["effect"]),
        evidence=detail["evidence"] | _escalation_of(firing),
        impact=AlertImpact(**detail["impact"]),
        recommended_action=detail["recommended_action"],
    )
    if firing.kind in FAULTS and detail["kind"] not in FAULTS:
        named = {name: part for name, part in firing.evidence.items() if name == "cause"}
        if not named:  # values beyond the reference, which are where a drift has come to
            return msgspec.structs.replace(told, kind=detail["kind"])
        # its cause was named when there was more to see: that stays
        return msgspec.structs.replace(
            told,
            severity="error",
            recommended_action="fix_pipeline",
            evidence={**told.evidence, **named},
        )
    return told


def _escalation_of(firing: Alert) -> dict[str, dict[str, Any]]:
    return {n: part for n, part in firing.evidence.items() if n == "escalation"}


def resolved(firing: Alert, finding: Finding) -> Alert:
    end, because = _ENDS[finding.verdict], finding.detail.get("because")
    if because is None and not firing.reference.id.startswith("self:"):
        now = finding.detail.get("reference", firing.reference.id)
        because = None if now == firing.reference.id else _AS_IN_ITS_OWN
    return over(firing, finding.ready_ms, because, end)


def over(firing: Alert, ready_ms: int, reason: str | None, end: str = "resolved") -> Alert:
    sequence, now = firing.sequence + 1, iso(ready_ms)
    because = f" ({reason})" if reason else ""
    return msgspec.structs.replace(
        firing,
        id=alert_id(firing.fingerprint, firing.starts_at, sequence),
        status="resolved",
        sequence=sequence,
        ends_at=now,
        evaluated_at=now,
        summary=f"{end}{because}: {firing.summary.partition('; ')[0]}",
        recommended_action="none",
    )


def folded(alert: Alert, cause: Member, ready_ms: int) -> Alert:
    """Under a fault: no worse than that, and what the fault says is to be done."""
    model_id, version, role, _ = cause.sign.group
    under = {
        "incident_id": cause.incident_at(ready_ms),
        "fingerprint": cause.fingerprint,
        "alertname": cause.sign.alertname,
        "model": model_id,
        "version": version,
        "role": role,
        "feature": cause.sign.feature,
        "since": iso(cause.sign.start_ms),
    }
    if cause.replaced is not None:
        former, name = cause.replaced
        under |= {"from": former, "to": name}
    because = _because(under)
    kind: Kind = "performance" if alert.kind == "concept_drift" else alert.kind
    summary = alert.summary.replace(NONE_MOVED, "")  # a fault has
    return msgspec.structs.replace(
        alert,
        kind=kind,
        incident_id=cause.incident_at(ready_ms),
        severity=lesser(alert.severity, cause.severity),
        recommended_action=cause.action,
        evidence={**alert.evidence, "folded_under": under},
        summary=summary + ("" if because in summary else because),
    )


def to_alerts(alert: Alert, order: tuple[Any, ...]) -> ToAlerts:
    return ToAlerts(alert.fingerprint, alert.sequence, alert, encode(alert), order)


def driven(alert: Alert, segments: Sequence[Member]) -> Alert:
    """The segments of which the same is told already."""
    if not segments:
        return alert
    shown = [{"segment": m.sign.group[3], "size": float(f"{m.size:.4g}")} for m in segments[:5]]
    return msgspec.structs.replace(
        alert,
        evidence={**alert.evidence, "segments": {"greatest": shown}},
        summary=f"{alert.summary}; most of all {shown[0]['segment']}",
    )


def unfolded(alert: Alert, member: Member) -> Alert:
    """The fault is over and the drift is not: its own severity and action again."""
    evidence = dict(alert.evidence)
    under = evidence.pop("folded_under", None)
    summary = alert.summary
    if under is not None:
        because = _because(under)
        summary = summary.replace(because, because.replace("follows from", "outlasts", 1))
    return msgspec.structs.replace(
        alert,
        severity=member.severity,
        recommended_action=member.action,
        evidence=evidence,
        summary=summary,
    )


def _because(under: Mapping[str, Any]) -> str:
    """Of what an alert is folded under, for its summary."""
    if "to" in under:
        return f"; follows from {under['to']}, which came in place of {under['from']}"
    return f"; follows from {under['alertname']} of {under['feature'] or 'its predictions'}"


def grown(root: Alert, members: int, ranked: list[dict[str, Any]]) -> Alert:
    """The root tells how many alerts its incident has, and which are the greatest."""
    names = ", ".join(dict.fromkeys(one["feature"] or one["alertname"] for one in ranked[:3]))
    summary = root.summary.partition("; an incident of ")[0]
    return msgspec.structs.replace(
        root,
        evidence={**root.evidence, "incident": {"alerts": members, "ranked": ranked}},
        summary=f"{summary}; an incident of {members} alerts, first {names}",
    )


def alert_ids(alert: Alert) -> list[str]:
    """Of all its sequences so far."""
    return [alert_id(alert.fingerprint, alert.starts_at, n + 1) for n in range(alert.sequence)]


def alert_id(fingerprint: str, starts_at: str, sequence: int) -> str:
    return str(uuid.uuid5(_IDS, f"{fingerprint}/{starts_at}/{sequence}"))


def _signature(rules: Rules, model_id: str, alertname: str, feature: str | None) -> dict[str, Any]:
    """Of what models share, the owners of the others are informed."""
    found = signature(rules, model_id)
    if alertname == SHARED and feature is not None:
        others = [rules.model(reader).owners for reader in rules.readers_of(feature, model_id)]
        for of in others:
            _inform(found["owners"], dict.fromkeys([of.accountable, *of.responsible]))
    return found


def signature(rules: Rules, model_id: str) -> dict[str, Any]:
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
