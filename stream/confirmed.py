"""Drifts of features that measured performance bears out: information becomes a warning.

Alerts on inputs do not know those on outcomes, which come later. So what these bear out is an alert
of its own beside that of the feature, told in the order of what outcomes say: it begins when both
fire and ends when one of them does. It spends nothing of the budget: both have told already.
"""

from __future__ import annotations

import hashlib

import msgspec

from stream.alert_forms import alert_id, over, signature
from stream.columns import Group
from stream.events import Alert
from stream.firing_alerts import FiringAlerts
from stream.incidents import Incidents
from stream.members import Member
from stream.records import encode
from stream.rules import Rules
from stream.times import iso

MOST = 20  # of one alert on outcomes: the greatest
_SUFFIX = "Confirmed"
_alert = msgspec.json.Decoder(Alert)


def kept(alert: Alert) -> bytes:
    """What is told of a feature, if it is such that performance may bear it out."""
    is_alone = alert.kind == "feature_drift" and alert.severity == "info"
    return encode(alert) if is_alone else b""


class Confirmations:
    """What outcomes bear out. No state of its own: it is among what fires."""

    def __init__(self, incidents: Incidents, firing: FiringAlerts) -> None:
        self._incidents, self._firing = incidents, firing

    def begun(
        self, group: Group, ready_ms: int, rules: Rules, alone: list[Member] | None
    ) -> list[Alert]:
        """Of these features, or of all of the group that have told alone; not yet among what
        fires."""
        found: list[Alert] = []
        measured = self._incidents.bearing_out(group)
        if not measured:
            return found
        for member in self._incidents.alone(group) if alone is None else alone:
            by = next((m for m in measured if member.is_borne_out_by(m, ready_ms)), None)
            is_new = self._firing.get(_fingerprint(member)) is None
            if by is not None and is_new and len(found) < MOST:
                since_ms = max(member.sign.found_ms, by.sign.found_ms, member.confirmed_ms + 1)
                self._incidents.confirm(member, since_ms)
                found.append(_confirmed(member, by, ready_ms, rules))
        return found

    def ended(self, group: Group, ready_ms: int, alone: list[Member] | None) -> list[Alert]:
        """Of these features, which are well again, or of all, if performance is."""
        found: list[Alert] = []
        if alone is None and self._incidents.is_worse(group):
            return found
        because = "performance is well again" if alone is None else "the feature is well again"
        for member in self._incidents.alone(group) if alone is None else alone:
            firing = self._firing.get(_fingerprint(member))
            if firing is not None:
                self._firing.end(firing.fingerprint)
                found.append(over(firing, ready_ms, because))
        return found


def _fingerprint(member: Member) -> str:
    sign = member.sign
    parts = [*sign.group, f"feature:{sign.feature}", sign.alertname + _SUFFIX]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _confirmed(member: Member, by: Member, ready_ms: int, rules: Rules) -> Alert:
    """What a feature told when it fired, as a warning."""
    told, fingerprint = _alert.decode(member.alone), _fingerprint(member)
    starts_at = iso(member.confirmed_ms)  # never twice the same: it is part of the id
    return msgspec.structs.replace(
        told,
        id=alert_id(fingerprint, starts_at, 1),
        fingerprint=fingerprint,
        alertname=member.sign.alertname + _SUFFIX,
        severity="warning",
        starts_at=starts_at,
        evaluated_at=iso(ready_ms),
        incident_id=by.incident_at(ready_ms),
        summary=f"{told.summary.partition('; ')[0]}; {by.sign.alertname} moves with it",
        **signature(rules, told.model.id),
    )
