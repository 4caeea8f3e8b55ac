"""Stage 3: the only writer of alerts. One partition; findings are rare.

    (none) --drift--> firing, sequence 1 --drift, lasting, fault--> firing, sequence 2, 3, ...
                                         --quiet--> resolved --drift--> a new alert

Findings wait until every stage-2 partition has passed their ready time with their kind, and are
then taken in (ready time, pane end, faults first, series) order, so that what alerts say does not
depend on which worker was faster. The two kinds do not wait for each other: a label feed that is
hours behind must not delay what the inputs tell. No alert is of both kinds; what cohorts may
know of the other kind is in `incidents`. Those of expected errors, which cohorts may not bear out,
wait for both.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stream.alert_forms import (
    fingerprint_of,
    fired,
    folded,
    grown,
    resolved,
    told_again,
    unfolded,
    updated,
)
from stream.columns import Group
from stream.confirmed import Confirmations, kept
from stream.events import Alert, Effect, ToAlerts
from stream.firing_alerts import MAGIC, STATE_VERSION, FiringAlerts, unpack_state
from stream.incidents import Incidents, ranked
from stream.members import FAULTS, INPUTS, Member, Sign, size
from stream.numbering import Listener
from stream.records import encode
from stream.rule_book import Schedule
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack
from stream.watermark import BEFORE_ALL_MS
from stream.wire import FINDING_KINDS, Finding, FindingKind, Progress, decode_finding

RANKED = 20  # members that a root names
FLAPPING = 2  # times come back within the cooldown: then it is quiet only after another cooldown

Order = tuple[Any, ...]
_LAST_MS = 2**62  # behind every pane end


class AlertStage:
    def __init__(self, rules: Rules, model_partitions: int) -> None:
        self._schedule = Schedule(rules)
        self.epoch = 0
        self._partitions = model_partitions
        self._listener = Listener()
        self._progress: dict[int, Progress] = {}
        self._waiting: dict[Order, Finding] = {}
        self._released_ms: dict[FindingKind, int] = dict.fromkeys(FINDING_KINDS, BEFORE_ALL_MS)
        self._firing = FiringAlerts()
        self._incidents = Incidents(rules.horizon_ms)
        self._confirmations = Confirmations(self._incidents, self._firing)

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
        return self._firing.all()

    def announce(self) -> list[Effect]:
        """The firing alerts again: a new owner re-asserts the compacted state."""
        return [_to_alerts(alert, ()) for alert in self.active()]

    # -- releases

    def _release(self) -> list[Effect]:
        said = self._progress.values()
        prediction_ms = min(p.prediction_ms for p in said)
        both_ms = min(prediction_ms, *(p.cohort_ms for p in said))
        for kind in FINDING_KINDS:
            # a new owner of a stage-2 partition may say less than the one before it has said
            reached_ms = prediction_ms if kind == INPUTS else both_ms
            self._released_ms[kind] = max(self._released_ms[kind], reached_ms)
        effects: list[Effect] = list(self._inputs(self._due({INPUTS})))
        effects += self._judged(self._due({*FINDING_KINDS} - {INPUTS}))
        self._incidents.forget(self._released_ms["cohort"])
        return effects

    def _due(self, kinds: set[FindingKind]) -> list[tuple[Order, Finding]]:
        """A heap of what is ready."""
        due = [
            (_turn(finding), finding)
            for finding in self._waiting.values()
            if finding.pane_kind in kinds
            and finding.ready_ms <= self._released_ms[finding.pane_kind]
        ]
        heapq.heapify(due)
        return due

    def _inputs(self, due: list[tuple[Order, Finding]]) -> Iterator[ToAlerts]:
        while due:
            ready_ms = due[0][1].ready_ms
            grew: dict[str, None] = {}
            while due and due[0][1].ready_ms == ready_ms:
                turn, finding = heapq.heappop(due)
                yield from self._decide(turn, finding, due, grew)
            for incident_id in grew:
                yield from self._tell_root(incident_id, ready_ms)

    def _judged(self, due: list[tuple[Order, Finding]]) -> Iterator[ToAlerts]:
        """With what prediction panes have told at its ready times, before cohorts of the same."""
        for ready_ms, is_over, member in self._incidents.take_ahead(self._released_ms["cohort"]):
            while due and due[0][1].ready_ms < ready_ms:
                yield from self._decide(*heapq.heappop(due), due, {})
            turn = (ready_ms, FINDING_KINDS.index("cohort"), BEFORE_ALL_MS, member.number)
            if member.sign.kind in FAULTS:
                yield from self._fold_explained(member, turn, {}, of_inputs=False)
            elif is_over:
                yield from self._unconfirm(member.sign.group, turn, [member])
            else:
                yield from self._confirm(member.sign.group, turn, [member])
        while due:
            yield from self._decide(*heapq.heappop(due), due, {})

    # -- decisions

    def _decide(
        self,
        turn: Order,
        finding: Finding,
        due: list[tuple[Order, Finding]],
        grew: dict[str, None],
    ) -> Iterator[ToAlerts]:
        if self._waiting.pop(finding.order, None) is None:
            return  # a quiet that was not one after all
        fingerprint = fingerprint_of(finding)
        firing = self._firing.get(fingerprint)
        member = self._incidents.firing(fingerprint)
        if finding.verdict in {"quiet", "withdrawn"}:
            if firing is not None and not self._hold(finding, member, due):
                self._firing.end(fingerprint)
                self._incidents.end(fingerprint, finding.pane_end_ms, finding.ready_ms)
                yield _to_alerts(resolved(firing, finding), turn)
                if finding.pane_kind == "cohort":
                    yield from self._unconfirm(finding.group, turn)
        elif firing is not None:
            own = firing.severity if member is None else member.severity
            if finding.verdict != "raised" or own == "info":
                yield self._told(turn, self._update(firing, member, finding))
                if finding.pane_kind == "cohort":
                    yield from self._confirm(finding.group, turn)
        elif finding.verdict == "drift":
            alert, member = self._begin(fingerprint, finding)
            yield self._told(turn, alert)
            grew[member.incident_id] = None
            if member.sign.kind in FAULTS:
                yield from self._fold_explained(
                    member, turn, grew, of_inputs=member.sign.is_of_inputs
                )
            elif finding.pane_kind == "cohort":
                yield from self._confirm(finding.group, turn)

    def _confirm(
        self, group: Group, turn: Order, alone: list[Member] | None = None
    ) -> Iterator[ToAlerts]:
        """Features that drift alone, while outcomes say that the model has become worse."""
        rules = self._schedule.at(turn[0])
        for n, alert in enumerate(self._confirmations.begun(group, turn[0], rules, alone)):
            yield self._told((*turn, n), alert)

    def _unconfirm(
        self, group: Group, turn: Order, alone: list[Member] | None = None
    ) -> Iterator[ToAlerts]:
        for n, alert in enumerate(self._confirmations.ended(group, turn[0], alone)):
            yield _to_alerts(alert, (*turn, n))

    def _begin(self, fingerprint: str, finding: Finding) -> tuple[Alert, Member]:
        """A new alert, and the incident it belongs to."""
        ready_ms, sign, book = finding.ready_ms, Sign.of(finding), self._incidents
        rules = self._schedule.at(ready_ms)
        alert = fired(fingerprint, finding, rules)
        former = book.former(fingerprint, ready_ms, rules.cooldown_ms)
        cause = book.cause(sign, ready_ms)
        other = cause or former or book.related(sign, ready_ms)
        member = Member(
            number=0,
            sign=sign,
            fingerprint=fingerprint,
            alert_id=alert.id,
            incident_id=alert.id if other is None else other.incident_at(ready_ms),
            severity=alert.severity,
            action=alert.recommended_action,
            size=size(finding.detail["effect"]),
            fired_ms=ready_ms,
            fired_as=alert.severity,
            is_cause=sign.kind in FAULTS and cause is None,
            is_folded=cause is not None,
            flaps=0 if former is None else former.flaps + 1,
            alone=kept(alert) if sign.is_of_inputs else b"",
        )
        earlier = book.explained(member, of_inputs=sign.is_of_inputs)
        if other is None and earlier:  # its incident had begun before it was found
            member.incident_id = earlier[0].incident_at(ready_ms)
        book.add(member)
        if cause is not None:
            return folded(alert, cause, ready_ms), member
        return msgspec.structs.replace(alert, incident_id=member.incident_id), member

    def _update(self, firing: Alert, member: Member | None, finding: Finding) -> Alert:
        ready_ms, book = finding.ready_ms, self._incidents
        alert = updated(firing, finding, self._schedule.at(ready_ms))
        if member is None:
            return alert
        if member.flaps >= FLAPPING:
            for order in [o for o, f in self._waiting.items() if _is_held(f, finding)]:
                del self._waiting[order]
        is_news = finding.verdict == "drift"
        sign = Sign.of(finding) if is_news else member.sign
        if is_news:
            book.renew(member, alert.severity, alert.recommended_action, ready_ms)
        elif finding.verdict == "raised":
            book.renew(member, alert.severity, member.action, ready_ms)
        cause = book.cause(sign, ready_ms, None if is_news else finding.pane_end_ms)
        if cause is not None and (is_news or member.is_folded):
            book.fold(member, cause, ready_ms)
            return folded(alert, cause, ready_ms)
        if member.is_folded:
            book.unfold(member)
            return unfolded(alert, member)
        return alert

    def _fold_explained(
        self, fault: Member, turn: Order, grew: dict[str, None], *, of_inputs: bool
    ) -> Iterator[ToAlerts]:
        """What had fired before its cause did is told again."""
        rules = self._schedule.at(fault.fired_ms)
        for n, member in enumerate(self._incidents.explained(fault, of_inputs=of_inputs)):
            alert = told_again(self._firing[member.fingerprint], fault.fired_ms, rules)
            self._incidents.fold(member, fault, fault.fired_ms)
            grew[fault.incident_at(fault.fired_ms)] = None
            yield self._told((*turn, n), folded(alert, fault, fault.fired_ms))

    def _tell_root(self, incident_id: str, ready_ms: int) -> Iterator[ToAlerts]:
        """Once an incident has ten alerts, a hundred, a thousand."""
        root, members = self._incidents.root(incident_id)
        if root is None or len(members) < 10 or len(str(len(members))) <= len(str(root.told)):
            return
        self._incidents.has_told(root, len(members))
        rules = self._schedule.at(ready_ms)
        alert = told_again(self._firing[root.fingerprint], ready_ms, rules)
        turn = (ready_ms, FINDING_KINDS.index(INPUTS), _LAST_MS, root.number)
        yield self._told(turn, grown(alert, len(members), ranked(members, RANKED)))

    def _hold(
        self, finding: Finding, member: Member | None, due: list[tuple[Order, Finding]]
    ) -> bool:
        """Whether it is too early to call this quiet: it has come and gone too often."""
        cooldown_ms = self._schedule.at(finding.ready_ms).cooldown_ms
        if (
            member is None
            or member.flaps < FLAPPING
            or finding.detail.get("held")
            or not cooldown_ms
        ):
            return False
        later = msgspec.structs.replace(
            finding,
            ready_ms=finding.ready_ms + cooldown_ms,
            detail={**finding.detail, "held": True},
        )
        self._waiting[later.order] = later
        if later.ready_ms <= self._released_ms[later.pane_kind]:
            heapq.heappush(due, (_turn(later), later))
        return True

    def _told(self, turn: Order, alert: Alert) -> ToAlerts:
        self._firing.set(alert)
        return _to_alerts(alert, turn)

    # -- state

    def snapshot(self) -> list[Part]:
        base = pack(
            MAGIC,
            STATE_VERSION,
            {
                "listener": self._listener.snapshot(),
                "progress": [msgspec.to_builtins(p) for p in self._progress.values()],
                "waiting": [msgspec.to_builtins(f) for f in self._waiting.values()],
                "released_ms": self._released_ms,
                "changes": self._firing.changes,
                "schedule": self._schedule.snapshot(),
                "incidents": self._incidents.snapshot(),
            },
        )
        return [
            Part("base", None, lambda: base),
            *self._schedule.parts(),
            *self._firing.parts(),
            *self._incidents.parts(),
        ]

    @classmethod
    def restore(cls, rules: Rules, model_partitions: int, state: Mapping[str, bytes]) -> AlertStage:
        """Also of the one part "state" that 0.1.0 wrote. What is in force when, the state knows.

        Raises BrokenRecordError.
        """
        stage = cls(rules, model_partitions)
        if "state" in state:
            base: dict[str, Any] = unpack(MAGIC, 1, state["state"])
            stage._firing.restore_alerts(base["firing"])
        else:
            base = unpack_state(state["base"])
            stage._firing.restore(base["changes"], state)
            stage._schedule = Schedule.restore(base["schedule"], state)
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
        if "incidents" in base:
            stage._incidents.restore(base["incidents"], state, stage._released_ms["cohort"])
        return stage


def _turn(finding: Finding) -> Order:
    """In which findings are decided; of one pane faults first: they explain the others."""
    is_fault = finding.detail.get("kind") in FAULTS
    ready_ms, kind, pane_end_ms, *rest = finding.order
    return ready_ms, kind, pane_end_ms, not is_fault, *rest


def _is_held(waiting: Finding, finding: Finding) -> bool:
    return (
        waiting.detail.get("held", False)
        and waiting.group == finding.group
        and waiting.series == finding.series
        and waiting.alertname == finding.alertname
    )


def _to_alerts(alert: Alert, order: tuple[Any, ...]) -> ToAlerts:
    return ToAlerts(alert.fingerprint, alert.sequence, alert, encode(alert), order)
