"""What stage 3 decides of one finding, in the order in which `alert_stage` takes them.

(none) --drift--> firing, sequence 1 --drift, lasting, fault--> firing, sequence 2, 3, ...
                                     --quiet--> resolved --drift--> a new alert
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import msgspec

from stream.alert_forms import (
    alert_id,
    driven,
    escalated,
    fingerprint_of,
    fired,
    folded,
    grown,
    missed_by,
    not_alone,
    read_too,
    resolved,
    to_alerts,
    told_again,
    unfolded,
    updated,
)
from stream.alert_news import news_of
from stream.alert_state import AlertState, Order
from stream.columns import Group
from stream.concept import without_concept
from stream.confirmed import Confirmations, kept
from stream.escalation import Escalations
from stream.events import Alert, ToActions, ToAlerts
from stream.governance import Governance
from stream.incidents import ranked
from stream.members import (
    FAULTS,
    INPUTS,
    Member,
    Sign,
    before_after,
    graver,
    size,
)
from stream.recurrence import come_again, onsets_behind
from stream.requests import Requests
from stream.shared_sums import NAME as SHARED
from stream.times import iso
from stream.version_losses import both_lost, has_turned, is_to_go_back, was_as_good
from stream.wire import FINDING_KINDS, Finding

RANKED = 20  # members that a root names
FLAPPING = 2  # times come back within the cooldown: then it is quiet only after another cooldown
LAST_MS = 2**62  # behind every pane end
Said = ToAlerts | ToActions


class Decisions:
    def __init__(self, state: AlertState) -> None:
        self._state = state
        self._escalations = Escalations(state)
        self._confirmations = Confirmations(state.incidents, state.firing)
        self._requests = Requests(state)
        self._governance = Governance(state)

    def decide(
        self,
        finding: Finding,
        due: list[tuple[Order, Finding]],
        grew: dict[str, None],
    ) -> Iterator[Said]:
        if self._state.waiting.pop(finding.order, None) is None:
            return  # a quiet that was not one after all
        if finding.verdict == "request":
            yield from self._requests.of_finding(finding)
        elif finding.verdict == "pooled":
            rules = self._state.schedule.at(finding.ready_ms)
            for found in self._state.shared.hear(finding, rules):
                yield from self._apply(found, due, grew)
        elif finding.verdict == "cause":
            yield from self._learn(finding, grew)
        elif finding.verdict == "stands":
            yield from self._stand(finding)
        elif finding.verdict == "seen":
            for found in self._governance.seen(finding):
                yield from self._apply(found, due, grew)
        else:
            yield from self._apply(finding, due, grew)

    def _apply(
        self,
        finding: Finding,
        due: list[tuple[Order, Finding]],
        grew: dict[str, None],
    ) -> Iterator[Said]:
        turn, fingerprint = turn_of(finding), fingerprint_of(finding)
        firing = self._state.firing.get(fingerprint)
        member = self._state.incidents.firing(fingerprint)
        if finding.verdict in {"quiet", "withdrawn"}:
            if firing is not None and not self._hold(finding, member, due):
                self._state.firing.end(fingerprint)
                self._state.incidents.end(fingerprint, finding.pane_end_ms, finding.ready_ms)
                self._requests.touch(firing.model.id)
                yield to_alerts(resolved(firing, finding), turn)
                if finding.pane_kind == "cohort":
                    yield from self._unconfirm(finding.group, turn)
        elif firing is not None:
            own = firing.severity if member is None else member.severity
            if member is not None and self._is_as_told(firing, member, finding):
                self._go_on(member, finding)
            elif finding.verdict != "raised" or own == "info":
                alert = self._update(firing, member, finding)
                yield self._told(turn, alert)
                yield from self._requests.of_alert(alert, member, finding.ready_ms)
                if finding.pane_kind == "cohort":
                    yield from self._confirm(finding.group, turn)
        elif finding.verdict == "drift":
            alert, member = self._begin(fingerprint, finding)
            yield self._told(turn, alert)
            yield from self._requests.of_alert(alert, member, finding.ready_ms)
            grew[member.incident_id] = None
            yield from self._name_driver(member, turn)
            if member.is_cause:
                yield from self.fold_explained(
                    member, turn, grew, of_inputs=member.sign.is_of_inputs
                )
            if finding.pane_kind == "cohort" and member.sign.kind not in FAULTS:
                yield from self._confirm(finding.group, turn)

    def _learn(self, finding: Finding, grew: dict[str, None]) -> Iterator[Said]:
        """A cause that is no alert: a new feature set."""
        ready_ms, book = finding.ready_ms, self._state.incidents
        sign, fingerprint = Sign.of(finding), fingerprint_of(finding)
        own_id = alert_id(fingerprint, iso(sign.start_ms), 1)
        related = book.related(sign, ready_ms)
        member = Member(
            number=0,
            sign=sign,
            fingerprint=fingerprint,
            alert_id=own_id,
            incident_id=own_id if related is None else related.incident_at(ready_ms),
            severity="critical",  # what follows keeps its own
            action="fix_pipeline",
            size=0.0,
            fired_ms=ready_ms,
            quiet_ms=ready_ms,
            is_cause=True,
            replaced=(finding.detail["from"], finding.detail["to"]),
        )
        book.add(member)
        yield from self.fold_explained(member, turn_of(finding), grew, of_inputs=True)

    def know(self, member: Member, turn: Order, *, is_over: bool) -> Iterator[Said]:
        """What prediction panes have told, or its end, where cohorts have come as far."""
        group = member.sign.group
        if member.sign.kind in FAULTS:
            yield from self.fold_explained(member, turn, {}, of_inputs=False)
        elif is_over:
            yield from self._unconfirm(group, turn, [member])
        else:
            yield from self._confirm(group, turn, [member])

    def _confirm(
        self, group: Group, turn: Order, alone: list[Member] | None = None
    ) -> Iterator[ToAlerts]:
        """Features that drift alone, while outcomes say that the model has become worse."""
        rules = self._state.schedule.at(turn[0])
        for n, alert in enumerate(self._confirmations.begun(group, turn[0], rules, alone)):
            yield self._told((*turn, n), alert)

    def _unconfirm(
        self, group: Group, turn: Order, alone: list[Member] | None = None
    ) -> Iterator[ToAlerts]:
        for n, alert in enumerate(self._confirmations.ended(group, turn[0], alone)):
            yield to_alerts(alert, (*turn, n))

    def _begin(self, fingerprint: str, finding: Finding) -> tuple[Alert, Member]:
        """A new alert, and the incident it belongs to."""
        ready_ms, book = finding.ready_ms, self._state.incidents
        finding = self._with_what_was_told(finding)
        sign = Sign.of(finding)
        rules = self._state.schedule.at(ready_ms)
        alert = fired(fingerprint, finding, rules)
        former = book.former(fingerprint, ready_ms, rules.cooldown_ms)
        last = book.former(fingerprint, ready_ms, book.kept_ms)
        onsets = [] if last is None else onsets_behind(last)
        alert = come_again(alert, sign.start_ms, onsets, rules)
        cause = book.cause(sign, ready_ms)
        readers = rules.readers_of(sign.feature or "", sign.group[0])
        upstream = book.upstream(sign, ready_ms, readers)
        told = [of.sign.group[0] for of in upstream if of.sign.alertname != SHARED]
        alert = read_too(alert, readers, told) if told or sign.alertname != SHARED else alert
        beside = self._versions_beside(sign, finding)
        alert = not_alone(alert, [of.sign.group for of in beside])
        other = cause or former or next(iter([*upstream, *beside]), None)
        other = other or book.related(sign, ready_ms)
        member = Member(
            number=0,
            sign=sign,
            fingerprint=fingerprint,
            alert_id=alert.id,
            incident_id=alert.id if other is None else other.incident_at(ready_ms),
            severity=alert.severity,
            action=alert.recommended_action,
            size=size(finding.detail["effect"]),
            moved=before_after(finding.detail),
            fired_ms=ready_ms,
            fired_as=alert.severity,
            gravest=alert.severity if former is None else graver(alert.severity, former.gravest),
            retold=0 if former is None else former.retold,
            turns=0 if former is None else former.turns,
            is_cause=(sign.kind in FAULTS or is_to_go_back(finding)) and cause is None,
            is_folded=cause is not None,
            flaps=0 if former is None else former.flaps + 1,
            alone=kept(alert) if sign.is_of_inputs else b"",
            onsets=onsets,
        )
        earlier = book.explained(member, of_inputs=sign.is_of_inputs)
        if other is None and earlier:  # its incident had begun before it was found
            member.incident_id = earlier[0].incident_at(ready_ms)
        book.add(member)
        alert = driven(alert, book.drivers(sign, ready_ms))
        if cause is not None:
            return folded(alert, cause, ready_ms), member
        return msgspec.structs.replace(alert, incident_id=member.incident_id), member

    def _versions_beside(self, sign: Sign, finding: Finding) -> list[Member]:
        """Other versions of the model of which the same is told, and may have the same cause: it
        began at about the same time, or the same objective is missed."""
        found = self._state.incidents.versions_beside(sign)
        missed = missed_by(finding.detail["evidence"])
        return [
            of
            for of in found
            if (missed & missed_by(self._state.firing[of.fingerprint].evidence))
            or (not missed and sign.begins_with(of.sign))
        ]

    def _name_driver(self, member: Member, turn: Order) -> Iterator[ToAlerts]:
        """What had been told of the model as a whole is told again, once, with its segment."""
        book, ready_ms = self._state.incidents, member.fired_ms
        whole = book.whole_of(member.sign)
        alert = None if whole is None else self._state.firing.get(whole.fingerprint)
        if whole is None or alert is None or "segments" in alert.evidence:
            return
        alert = told_again(alert, ready_ms, self._state.schedule.at(ready_ms))
        yield self._told((*turn, 0), driven(alert, book.drivers(whole.sign, ready_ms)))

    def _with_what_was_told(self, finding: Finding) -> Finding:
        """Concept drift only where nothing was told of the inputs; back to another version only
        where that had not become worse than its reference itself."""
        if is_to_go_back(finding):
            model_id, _, *rest = finding.group
            target = finding.detail["evidence"]["reference"]
            had_lost = self._state.incidents.bearing_out((model_id, target["version"], *rest))
            if had_lost and not target["same_hours"]:
                return msgspec.structs.replace(finding, detail=both_lost(finding.detail))
            signs = (m.sign for m in self._state.incidents.bearing_out(finding.group))
            own = [sign for sign in signs if sign.alertname != finding.alertname]
            turned_ms = was_as_good(finding, own)
            if turned_ms is not None and not target["same_hours"]:
                turned = has_turned(finding.detail, turned_ms)
                return msgspec.structs.replace(finding, detail=turned)
        if finding.detail.get("kind") != "concept_drift":
            return finding
        if not self._state.incidents.has_told_of_inputs(Sign.of(finding), finding.ready_ms):
            return finding
        return msgspec.structs.replace(finding, detail=without_concept(finding.detail))

    def _update(self, firing: Alert, member: Member | None, finding: Finding) -> Alert:
        ready_ms, book = finding.ready_ms, self._state.incidents
        finding = self._with_what_was_told(finding)
        rules = self._state.schedule.at(ready_ms)
        alert = updated(firing, finding, rules)
        if member is None:
            return alert
        self._go_on(member, finding)
        is_news = finding.verdict == "drift"
        sign = Sign.of(finding) if is_news else member.sign
        if is_news:
            alert = come_again(alert, sign.start_ms, onsets_behind(member), rules)
            alert = not_alone(alert, [of.sign.group for of in self._versions_beside(sign, finding)])
        if is_news:
            book.renew(member, alert.severity, alert.recommended_action, ready_ms, alert.kind)
        elif finding.verdict == "raised":
            book.renew(member, alert.severity, member.action, ready_ms, alert.kind)
        cause = book.cause(sign, ready_ms, None if is_news else finding.pane_end_ms, of=member)
        if cause is not None and (is_news or member.is_folded):
            book.fold(member, cause, ready_ms)
            return folded(alert, cause, ready_ms)
        if member.is_folded:
            book.unfold(member)
            return unfolded(alert, member)
        return alert

    def _stand(self, finding: Finding) -> Iterator[Said]:
        """Where all that it follows from had been over before what says so, it says its own."""
        ready_ms, book = finding.ready_ms, self._state.incidents
        member = book.firing(fingerprint_of(finding))
        if member is None:
            return
        since_ms, turn = book.stand(member, finding.pane_end_ms), turn_of(finding)
        rules = self._state.schedule.at(ready_ms)
        under = self._state.firing[member.fingerprint].evidence.get("folded_under", {})
        outlasting = book.outlasting(member, ready_ms, since_ms, under.get("alertname"))
        for n, one in enumerate(outlasting):
            alert = told_again(self._state.firing[one.fingerprint], ready_ms, rules)
            cause = book.cause(one.sign, ready_ms, since_ms, of=one)
            if cause is None:
                book.unfold(one)
                alert = unfolded(alert, one)
            else:
                book.fold(one, cause, ready_ms)
                alert = folded(unfolded(alert, one), cause, ready_ms)
            yield self._told((*turn, n), alert)
            yield from self._requests.of_alert(alert, one, ready_ms)

    def _is_as_told(self, firing: Alert, member: Member, finding: Finding) -> bool:
        """Nothing that a person would do otherwise."""
        if finding.verdict != "drift":
            return False
        finding = self._with_what_was_told(finding)
        cause = self._state.incidents.cause(Sign.of(finding), finding.ready_ms, of=member)
        news = news_of(firing, member, finding, cause)
        if news is not None:
            self._state.incidents.tell_again(member, news)
        return news is None

    def _go_on(self, member: Member, finding: Finding) -> None:
        """What was held to be quiet is not."""
        if member.flaps >= FLAPPING:
            for order in [o for o, f in self._state.waiting.items() if _is_held(f, finding)]:
                del self._state.waiting[order]

    def fold_explained(
        self, fault: Member, turn: Order, grew: dict[str, None], *, of_inputs: bool
    ) -> Iterator[Said]:
        """What had fired before its cause did is told again."""
        rules = self._state.schedule.at(fault.fired_ms)
        for n, member in enumerate(self._state.incidents.explained(fault, of_inputs=of_inputs)):
            alert = told_again(self._state.firing[member.fingerprint], fault.fired_ms, rules)
            self._state.incidents.fold(member, fault, fault.fired_ms)
            grew[fault.incident_at(fault.fired_ms)] = None
            yield self._told((*turn, n), folded(alert, fault, fault.fired_ms))

    def tell_root(self, incident_id: str, ready_ms: int) -> Iterator[Said]:
        """Once an incident has ten alerts, a hundred, a thousand."""
        root, members = self._state.incidents.root(incident_id)
        if root is None or len(members) < 10 or len(str(len(members))) <= len(str(root.told)):
            return
        self._state.incidents.has_told(root, len(members))
        rules = self._state.schedule.at(ready_ms)
        alert = told_again(self._state.firing[root.fingerprint], ready_ms, rules)
        turn = (ready_ms, FINDING_KINDS.index(INPUTS), LAST_MS, root.number)
        yield self._told(turn, grown(alert, len(members), ranked(members, RANKED)))

    def by_time(self, told_ms: int, until_ms: int, *, of_inputs: bool) -> Iterator[Said]:
        """What is due behind `told_ms` and up to `until_ms` though nothing was found: what nobody
        has taken in hand; of inputs, versions that answer no more; of what was judged, what is to
        be retrained."""
        for ready_ms, quiet in self._silent(until_ms) if of_inputs else ():
            yield from self._escalate(told_ms, ready_ms - 1, of_inputs=True)
            told_ms = ready_ms - 1
            yield from self._apply(quiet, [], {})
        yield from self._escalate(told_ms, until_ms, of_inputs=of_inputs)

    def _silent(self, until_ms: int) -> list[tuple[int, Finding]]:
        """What is over because nothing comes any more."""
        silent = [*self._governance.silent(until_ms), *self._state.shared.silent(until_ms)]
        return sorted(silent, key=lambda one: one[0])

    def _escalate(self, told_ms: int, until_ms: int, *, of_inputs: bool) -> Iterator[Said]:
        state = self._state
        due = self._escalations.due(until_ms, of_inputs=of_inputs, since_ms=told_ms + 1)
        for at_ms, (_, kind, number), member, step_number, step in due:
            if not of_inputs:
                yield from self._requests.retrain(told_ms, at_ms)
                told_ms = at_ms
            state.incidents.escalate(member, step_number, at_ms)
            rules, alert = state.schedule.at(at_ms), state.firing[member.fingerprint]
            told = escalated(alert, at_ms, rules, step, member)
            yield self._told((at_ms, kind, LAST_MS + 1, number), told)
        if not of_inputs:
            yield from self._requests.retrain(told_ms, until_ms)

    def _hold(
        self, finding: Finding, member: Member | None, due: list[tuple[Order, Finding]]
    ) -> bool:
        """Whether it is too early to call this quiet: it has come and gone too often."""
        cooldown_ms = self._state.schedule.at(finding.ready_ms).cooldown_ms
        if (
            member is None
            or member.flaps < FLAPPING
            or finding.detail.get("held")
            or finding.series == "version"
            or (
                finding.alertname == SHARED and "because" in finding.detail
            )  # a day was long enough
            or not cooldown_ms
        ):
            return False
        later = msgspec.structs.replace(
            finding,
            ready_ms=finding.ready_ms + cooldown_ms,
            detail={**finding.detail, "held": True},
        )
        self._state.waiting[later.order] = later
        if later.ready_ms <= self._state.released_ms[later.pane_kind]:
            heapq.heappush(due, (turn_of(later), later))
        return True

    def _told(self, turn: Order, alert: Alert) -> ToAlerts:
        self._state.firing.set(alert)
        self._requests.touch(alert.model.id)
        return to_alerts(alert, turn)


def turn_of(finding: Finding) -> Order:
    """In which findings are decided; of one pane faults first: they explain the others. And
    segments before their models, which name them."""
    is_fault, is_whole = finding.detail.get("kind") in FAULTS, not finding.group[3]
    ready_ms, kind, pane_end_ms, *rest = finding.order
    return ready_ms, kind, pane_end_ms, not is_fault, is_whole, *rest


def _is_held(waiting: Finding, finding: Finding) -> bool:
    return (
        waiting.detail.get("held", False)
        and waiting.group == finding.group
        and waiting.series == finding.series
        and waiting.alertname == finding.alertname
    )
