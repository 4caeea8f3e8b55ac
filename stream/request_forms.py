"""What a request on `leeway.actions` says."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stream.alert_forms import signature
from stream.columns import Group
from stream.events import Alert, Request, RequestModel, RequestType, ToActions, TrainingWindow
from stream.members import FAULTS, Member
from stream.records import encode
from stream.rules import Rules
from stream.times import iso
from stream.wire import Finding

_IDS = uuid.UUID("b6c0a3de-3b0e-5a55-8f0c-6a8d6e1c2f90")  # namespace of the ids of requests


def to_actions(request: Request) -> ToActions:
    order = (request.requested_at, request.type, request.id)
    return ToActions(request.fingerprint, request, encode(request), order)


def fingerprint(type_: RequestType, group: Group, cause: str) -> str:
    """The same cause has the same in every run. A pipeline is that of a model, whoever tells."""
    of = group[:1] if type_ == "fix_pipeline" else group
    return hashlib.sha256(msgspec.json.encode([type_, *of, cause])).hexdigest()[:16]


def asked(
    type_: RequestType,
    group: Group,
    at_ms: int,
    rules: Rules,
    *,
    cause: str,
    reasons: Sequence[dict[str, Any]],
    summary: str,
    incident_id: str | None = None,
    feature: str | None = None,
    window: tuple[int | None, int] | None = None,
    target: str | None = None,
    evidence: dict[str, Any] | None = None,
) -> Request:
    """`cause`: what it is asked for; the same cause has the same fingerprint and id in every run.
    `window`: of the predictions to train with."""
    model_id, version, role, _ = group
    named = fingerprint(type_, group, cause)
    start_ms, end_ms = (None, None) if window is None else window
    return Request(
        schema_version=1,
        id=str(uuid.uuid5(_IDS, named)),
        type=type_,
        fingerprint=named,
        requested_at=iso(at_ms),
        model=RequestModel(model_id, version or None, role),
        feature=feature,
        incident_id=incident_id,
        reasons=list(reasons),
        training_window=None
        if end_ms is None
        else TrainingWindow(None if start_ms is None else iso(start_ms), iso(end_ms)),
        target=target,
        evidence=evidence or {},
        summary=summary,
        **signature(rules, model_id),
    )


def reason(alert: Alert, trigger: str) -> dict[str, Any]:
    """An alert, as a reason."""
    return {
        "trigger": trigger,
        "alertname": alert.alertname,
        "alert_id": alert.id,
        "fingerprint": alert.fingerprint,
        "since": alert.starts_at,
        "summary": alert.summary,
    }


def left_out(
    members: Iterable[Member], since_ms: int | None, at_ms: int
) -> tuple[dict[str, Any], str]:
    """What of a training window (None: from the reference on) a broken pipeline has made."""
    spans = [
        {
            "alertname": m.sign.alertname,
            "feature": m.sign.feature,
            "start": iso(m.sign.start_ms),
            "end": iso(m.ended_ms) if m.ended_ms is not None and m.is_over(at_ms) else None,
        }
        for m in sorted(members, key=lambda m: (m.sign.start_ms, m.place))
        if m.sign.kind in FAULTS and m.fired_ms <= at_ms and m.is_cause_at(at_ms)
        if since_ms is None or not m.is_over(at_ms) or (m.ended_ms or 0) > since_ms
    ]
    if not spans:
        return {}, ""
    first, more = spans[0], f" and {len(spans) - 1} more" if len(spans) > 1 else ""
    until = f"to {first['end']}" if first["end"] else "on"
    named = f"{first['alertname']} of {first['feature']}{more}"
    return {"broken": spans}, f", but not from {first['start']} {until} ({named})"


def of_event(announced_at: int) -> str:
    """The cause that a business event is."""
    return f"event {announced_at}"


def of_alert(type_: RequestType, alert: Alert, member: Member, at_ms: int, rules: Rules) -> Request:
    """Asked for by one alert: fix its pipeline, or go back to the version before."""
    model, who = alert.model, f"{alert.model.id} v{alert.model.version}"
    told = alert.summary.partition("; ")[0]  # begins with whose it is: of a role, of a segment
    found = told.removeprefix(f"{who}: ")
    target, evidence = None, {}
    if type_ == "fix_pipeline":
        # alerts on inputs know nothing of those on outcomes, and so not what these asked for
        cause = alert.incident_id + ("" if member.sign.is_of_inputs else " outcomes")
        is_whose = told.startswith((f"{model.id}: ", f"{model.id} "))
        summary = f"fix the pipeline of {told if is_whose else f'{who}: {found}'}"
    else:
        cause = member.alert_id
        target = rules.rollback_target(model.id, model.version)
        evidence = {"effect": msgspec.to_builtins(alert.effect), **alert.evidence}
        back_to = f"v{target}" if target else "the version before it"
        summary = f"roll {who} back to {back_to}: {found}"
    return asked(
        type_,
        member.sign.group,
        at_ms,
        rules,
        cause=cause,
        reasons=[reason(alert, alert.kind)],
        summary=summary,
        incident_id=alert.incident_id,
        feature=alert.scope.feature,
        target=target,
        evidence=evidence,
    )


def of_inputs(type_: RequestType, alert: Alert, member: Member) -> str:
    """The fingerprint under which alerts on inputs of the same incident ask for it."""
    return fingerprint(type_, member.sign.group, alert.incident_id)


def of_finding(finding: Finding, rules: Rules) -> Request:
    """Asked for by stage 2, of a comparison: detail has `type`, `cause`, `summary`, and may have
    `target`, `evidence`, `reasons`, `feature`."""
    detail = finding.detail
    return asked(
        detail["type"],
        finding.group,
        finding.ready_ms,
        rules,
        cause=detail["cause"],
        reasons=detail.get("reasons", []),
        summary=detail["summary"],
        feature=detail.get("feature"),
        target=detail.get("target"),
        evidence=detail.get("evidence", {}),
    )
