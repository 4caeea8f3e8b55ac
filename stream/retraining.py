"""When to ask for a model to be retrained, and with which predictions.

By the configuration in force (`retrain`), on the clock of what was judged: it has come as far as
predictions and outcomes both have. A version and role is asked for once for each cause (an
incident, a business event, an age), when one of its triggers holds and nothing stands against it:

| trigger | holds while |
|---|---|
| performance | an alert on outcomes that says `retrain` itself fires |
| drifts | so many drifts of inputs or predictions, severe enough, fire and follow from no fault |
| cadence | `StaleModel` fires: nobody has retrained it for `every` |
| business event | from the ready time of one that is named in `events` on |

Against it stand a fault in the same incident, and a fault of a feature that is no older than
`EXPLAINS_MS`, whatever it explains (the pipeline is to be fixed first: what comes meanwhile is
nothing to train with); that the version is to be rolled back or was to end; a request of the same
model and role within `cooldown`; and that it is a shadow. `retrained`, as somebody told, answers
what fired before and ends the cooldown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stream.alert_state import AlertState
from stream.columns import Group
from stream.events import Request
from stream.members import (
    BETWEEN,
    DRIFTS,
    FAULTS,
    VERSION_WORSE,
    Member,
    is_at_least,
)
from stream.request_forms import asked, fingerprint, left_out, of_event, reason
from stream.rules import RetrainRule
from stream.shared_sums import NAME as SHARED
from stream.times import iso, span_text


@dataclass(slots=True)
class Case:
    """Why a version is to be retrained."""

    cause: str
    reasons: list[dict[str, Any]]
    found: str  # in the words of a summary
    since_ms: int | None = None  # of the change; None: of the reference
    incident_id: str | None = None


class Retraining:
    def __init__(self, state: AlertState) -> None:
        self._state = state
        self._due: dict[str, tuple[int, Group, Case] | None] = {}  # by model
        self._seen: tuple[int, int] | None = None  # how much was announced by then
        self._touched: dict[str, None] = {}

    def touch(self, model_id: str) -> None:
        """Something of this model has been told."""
        self._touched[model_id] = None

    def due(self, until_ms: int, since_ms: int) -> Iterator[tuple[int, Request]]:
        """By ready time, what is to be asked for from `since_ms` to `until_ms`. Before that all was
        asked for. Whoever takes one notes it before the next."""
        while True:
            self._look(since_ms)
            due = [(found[0], model) for model, found in self._due.items() if found is not None]
            at_ms, model_id = min(due, default=(until_ms + 1, ""))
            if at_ms > until_ms:
                return
            found = self._due[model_id]
            assert found is not None
            yield at_ms, self._request(*found)
            self.touch(model_id)

    def _look(self, since_ms: int) -> None:
        state = self._state
        seen = state.notices.changes, len(state.schedule.in_force())
        if seen != self._seen:
            self._seen = seen
            self._touched = dict.fromkeys([*state.incidents.models(), *state.notices.models()])
        for model_id in self._touched:
            self._due[model_id] = self._first(model_id, since_ms)
            if self._due[model_id] is None:
                del self._due[model_id]
        self._touched = {}

    def _first(self, model_id: str, since_ms: int) -> tuple[int, Group, Case] | None:
        """The first time, at `since_ms` or later, at which one of its versions is to be retrained,
        as far as is known."""
        speaking = {group: self._speaking(group) for group in self._groups(model_id)}
        if not any(speaking.values()) and not self._state.notices.events(model_id, since_ms):
            return None
        for at_ms in sorted(self._moments(model_id, speaking, since_ms)):
            rule = self._state.schedule.at(at_ms).retrain_of(model_id)
            for group, members in speaking.items():
                case = self._case(group, rule, at_ms, members)
                if case is not None:
                    return at_ms, group, case
        return None

    def _speaking(self, group: Group) -> list[Member]:
        """Alerts that may be a reason, at some time and under some rules in force."""
        counts = [r.retrain_of(group[0]).drifts for r in self._state.schedule.in_force()]
        counts_drifts = any(drifts is not None for drifts in counts)
        return [
            m
            for m in self._state.incidents.of_group(group)
            if _is_loss(m) or _is_stale(m) or (counts_drifts and _is_drift(m))
        ]

    def _groups(self, model_id: str) -> list[Group]:
        """Of which alerts are known, and last the model as a whole."""
        known = [g for g in self._state.incidents.groups(model_id) if g[2] != "shadow"]
        return [*sorted(known), (model_id, "", "champion", "")]

    def _moments(
        self, model_id: str, speaking: dict[Group, list[Member]], since_ms: int
    ) -> set[int]:
        """At which anything may change that `_case` looks at."""
        state = self._state
        times: set[int | None] = {since_ms}
        members = [m for of in speaking.values() for m in of]
        named = {name for m in members for name, _ in m.incidents()}
        for member in self._obstacles((model_id, "", "champion", "")):
            times |= {member.quiet_ms, member.explains_until_ms + 1, member.drift_ms}
        for member in (*members, *self._faults(model_id)):
            if named.isdisjoint(name for name, _ in member.incidents()):
                continue
            times |= {member.fired_ms, member.quiet_ms, self._state.incidents.past_ms(member)}
            times.add(member.drift_ms)
            times |= {at_ms for at_ms, _ in member.moves}
        for group in speaking:
            last_ms = state.requested.retrain_ms(group)
            if last_ms is not None:
                cooldowns = {r.retrain_of(model_id).cooldown_ms for r in state.schedule.in_force()}
                times |= {last_ms + cooldown_ms for cooldown_ms in cooldowns}
        times |= {from_ms for from_ms, _, _ in state.schedule.spans(since_ms)}
        times |= {at_ms for at_ms, _ in state.notices.of_model(model_id)}
        return {at_ms for at_ms in times if at_ms is not None and at_ms >= since_ms}

    # -- what speaks for it, and against it

    def _case(
        self, group: Group, rule: RetrainRule, at_ms: int, speaking: list[Member]
    ) -> Case | None:
        answered_ms = self._state.notices.retrained_ms(group, at_ms)
        asked_ms = self._state.requested.retrain_ms(group)
        is_recent = asked_ms is not None and asked_ms + rule.cooldown_ms > at_ms
        if is_recent and not (asked_ms is not None and answered_ms > asked_ms):
            return None
        if self._is_hindered(group, at_ms):
            return None
        speaking = [m for m in speaking if answered_ms < m.fired_ms <= at_ms]
        cases = [
            *self._performance(rule, at_ms, speaking),
            *self._drifts(rule, at_ms, speaking),
            *self._cadence(at_ms, speaking),
            *self._events(group, rule, at_ms, answered_ms),
        ]
        requested = self._state.requested
        return next(
            (c for c in cases if fingerprint("retrain", group, c.cause) not in requested), None
        )

    def _performance(self, rule: RetrainRule, at_ms: int, speaking: list[Member]) -> Iterator[Case]:
        if not rule.performance:
            return
        losses = [m for m in speaking if _is_loss(m)]
        broken = self._broken(losses, at_ms)
        firing = [m for m in losses if m.incident_at(at_ms) not in broken]
        for incident_id, members in _by_incident(firing, at_ms):
            alerts = [self._state.firing[m.fingerprint] for m in members]
            reasons = [reason(alert, "performance") for alert in alerts]
            found = alerts[0].summary.partition("; ")[0].partition(": ")[2]
            yield Case(incident_id, reasons, found, _since_ms(members), incident_id)

    def _drifts(self, rule: RetrainRule, at_ms: int, speaking: list[Member]) -> Iterator[Case]:
        """Inputs may be further than this clock: of them counts what is known of each time."""
        drifts = [
            m
            for m in speaking
            if rule.drifts is not None and _is_drift(m) and not m.is_over(at_ms)
            if is_at_least(m.fired_as, rule.severity_at_least)
        ]
        if rule.drifts is None or len(drifts) < rule.drifts:
            return
        broken = self._broken(drifts, at_ms)
        of_feature: dict[str | None, list[Member]] = {}
        for fault in self._faults(drifts[0].sign.group[0]):
            past_ms = self._state.incidents.past_ms(fault)
            if fault.fired_ms <= at_ms and (past_ms is None or at_ms < past_ms):
                of_feature.setdefault(fault.sign.feature, []).append(fault)
        firing = [
            m
            for m in drifts
            if m.incident_at(at_ms) not in broken
            if not any(
                self._state.incidents.explains(f, m.sign, at_ms)
                for f in _that_may_explain(m, of_feature)
            )
        ]
        if len(firing) < rule.drifts:
            return
        for incident_id, members in _by_incident(firing, at_ms):
            names = list(dict.fromkeys(m.sign.feature or m.sign.alertname for m in members))
            found = f"{len(firing)} drifts, {', '.join(names[:3])} among them"
            reasons = [_drift(m) for m in members]
            yield Case(incident_id, reasons, found, _since_ms(members), incident_id)

    def _cadence(self, at_ms: int, speaking: list[Member]) -> Iterator[Case]:
        """See `governance`; inputs may be further than this clock."""
        for member in speaking:
            if _is_stale(member) and not member.is_over(at_ms):
                since_ms = member.sign.start_ms
                found = f"nobody has for {span_text(at_ms - since_ms)}"
                yield Case(member.alert_id, [_drift(member, "cadence")], found, since_ms)

    def _events(
        self, group: Group, rule: RetrainRule, at_ms: int, answered_ms: int
    ) -> Iterator[Case]:
        """Of the model as a whole."""
        model_id, version, *_ = group
        for announced_at, held_ms, said in self._state.notices.events(model_id, at_ms):
            if not version and answered_ms < held_ms <= at_ms and said.name in rule.events:
                told = {"name": said.name, "by": said.by, "note": said.note}
                reasons = [{"trigger": "business_event", **told}]
                yield Case(of_event(announced_at), reasons, f"business event {said.name}")

    def _broken(self, members: list[Member], at_ms: int) -> set[str]:
        """Incidents of their model whose pipeline is to be fixed first."""
        faults = self._faults(members[0].sign.group[0]) if members else ()
        return {
            m.incident_at(at_ms)
            for m in faults
            if m.fired_ms <= at_ms and m.is_cause_at(at_ms) and not m.is_over(at_ms)
        }

    def _is_hindered(self, group: Group, at_ms: int) -> bool:
        """Whether a version (none: the model as a whole) is not to be trained by then."""
        if self._state.schedule.at(at_ms).version_of(*group[:2]).is_past(at_ms):
            return True
        return any(
            member.fired_ms <= at_ms <= member.explains_until_ms
            for member in self._obstacles(group)
            if member.is_cause_at(at_ms) and not member.is_over(at_ms)
        )

    def _obstacles(self, group: Group) -> Iterator[Member]:
        """Errors of its pipeline, and that it is to be rolled back; of a model as a whole those of
        all its versions."""
        model_id, version, role, _ = group
        for of in self._groups(model_id):
            if version and of[1:3] != (version, role):
                continue
            for member in self._state.incidents.of_group(of):
                if member.is_cause and _hinders(member):
                    yield member

    def _faults(self, model_id: str) -> Iterator[Member]:
        for group in self._groups(model_id):
            for member in self._state.incidents.of_group(group):
                if member.is_cause and member.sign.kind in FAULTS:
                    yield member

    # -- what is asked

    def _request(self, at_ms: int, group: Group, case: Case) -> Request:
        model_id, version, *_ = group
        answered_ms = self._state.notices.retrained_ms(group, at_ms)
        since_ms = answered_ms if case.since_ms is None and answered_ms >= 0 else case.since_ms
        begin = "its reference" if since_ms is None else iso(since_ms)
        who = f"{model_id} v{version}" if version else model_id
        past_ms = self._state.incidents.past_ms  # what is as old may be forgotten or not
        faults = [m for m in self._obstacles(group) if at_ms < (past_ms(m) or at_ms + 1)]
        broken, without = left_out(faults, since_ms, at_ms)
        return asked(
            "retrain",
            group,
            at_ms,
            self._state.schedule.at(at_ms),
            cause=case.cause,
            reasons=case.reasons,
            summary=f"retrain {who} with what came since {begin}{without}: {case.found}",
            evidence=broken,
            incident_id=case.incident_id,
            window=(since_ms, at_ms),
        )


def _is_loss(member: Member) -> bool:
    """Of its own clock, so as it is now."""
    is_firing = member.quiet_ms is None and not member.is_folded
    return is_firing and member.action == "retrain" and not member.sign.is_of_inputs


def _hinders(cause: Member) -> bool:
    """New categories are something to learn, and a new feature set is a moment."""
    sign = cause.sign
    is_broken = sign.feature is not None and sign.alertname != "UnseenCategories"
    return sign.alertname == VERSION_WORSE or (sign.kind in FAULTS and is_broken)


def _is_drift(member: Member) -> bool:
    sign = member.sign
    is_drift = sign.is_of_inputs and sign.kind in DRIFTS and sign.alertname != SHARED
    return is_drift and not sign.is_skew  # the pipeline is to be fixed, which training cannot


def _that_may_explain(
    drift: Member, of_feature: dict[str | None, list[Member]]
) -> Iterator[Member]:
    """Of faults by feature those that a drift may follow from."""
    feature = drift.sign.feature
    if feature is None:
        for faults in of_feature.values():
            yield from faults
        return
    for name in {feature, *feature.split(BETWEEN), None}:  # of none: feature sets
        yield from of_feature.get(name, ())


def _is_stale(member: Member) -> bool:
    return member.sign.alertname == "StaleModel"


def _by_incident(members: list[Member], at_ms: int) -> Iterator[tuple[str, list[Member]]]:
    """By when they fired."""
    found: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda m: m.place):
        found.setdefault(member.incident_at(at_ms), []).append(member)
    yield from found.items()


def _since_ms(members: list[Member]) -> int:
    return min(member.sign.start_ms for member in members)


def _drift(member: Member, trigger: str = "drifts") -> dict[str, Any]:
    sign = member.sign
    return {
        "trigger": trigger,
        "alertname": sign.alertname,
        "fingerprint": member.fingerprint,
        "alert_id": member.alert_id,
        "feature": sign.feature,
        "since": iso(sign.start_ms),
    }
