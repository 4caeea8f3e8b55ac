"""Stage 3: the only writer of alerts. One partition; findings are rare.

Findings wait until every stage-2 partition has passed their ready time with their kind, and are
then taken in (ready time, pane end, faults first, series) order, so that what alerts say does not
depend on which worker was faster. The two kinds do not wait for each other: a label feed that is
hours behind must not delay what the inputs tell. No alert is of both kinds; what cohorts may
know of the other kind is in `incidents`. Those of expected errors, which cohorts may not bear out,
wait for both. What is decided of one finding is in `alert_decisions`; between two findings falls
what is due by event time alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

from stream.alert_decisions import LAST_MS, Decisions, Said, turn_of
from stream.alert_forms import to_alerts
from stream.alert_state import AlertState, Order
from stream.events import Alert, Effect
from stream.members import INPUTS
from stream.rules import Rules
from stream.snapshot import Part
from stream.watermark import BEFORE_ALL_MS
from stream.wire import FINDING_KINDS, Finding, FindingKind, Noticed, decode_finding

_JUDGED = FINDING_KINDS.index("cohort")


class AlertStage:
    def __init__(self, rules: Rules, model_partitions: int) -> None:
        self.epoch = 0
        self._partitions = model_partitions
        self._begin(AlertState(rules))

    def _begin(self, state: AlertState) -> None:
        self._state = state
        self._decisions = Decisions(state)

    def handle(self, value: bytes) -> list[Effect]:
        """One record of the findings topic, in topic order."""
        state = self._state
        said = state.listener.hear(value)
        if said is None:
            return []
        record = decode_finding(said)
        if isinstance(record, Finding):
            if record.ready_ms > state.released_ms[record.pane_kind]:
                state.waiting[record.order] = record
            return []
        state.progress[record.partition] = record
        return self._release() if len(state.progress) == self._partitions else []

    # -- what is announced

    def next_ready_ms(self) -> int:
        """The first ready time of which nothing has been released yet."""
        return max(self._state.released_ms.values()) + 1

    def activate(self, at_ms: int, rules: Rules, announced_at: int | None = None) -> None:
        """Findings with a ready time from here on are signed by these rules. Whoever calls it has
        journaled it, and `at_ms` is at least `next_ready_ms`."""
        self._state.schedule.add(at_ms, rules, announced_at)

    def notice(self, noticed: Noticed) -> None:
        """Known from its ready time on; journaled as `activate` has it."""
        self._state.notices.add(noticed.announced_at, noticed.at_ms, noticed.notice)

    def has_activated(self, announced_at: int) -> bool:
        """What was announced at this offset: a configuration, or a notice."""
        state = self._state
        return state.schedule.has(announced_at) or state.notices.has(announced_at)

    @property
    def refused_until(self) -> int:
        """Control records before this offset that cannot be used have their dead letters."""
        return self._state.refused_until

    @refused_until.setter
    def refused_until(self, offset: int) -> None:
        self._state.refused_until = offset

    # -- reading

    def active(self) -> list[Alert]:
        return self._state.firing.all()

    def shared(self) -> dict[str, dict[str, Any]]:
        """Of each feature that models share where it stands."""
        return self._state.shared.status()

    def announce(self) -> list[Effect]:
        """The firing alerts again: a new owner re-asserts the compacted state."""
        return [to_alerts(alert, ()) for alert in self.active()]

    # -- releases

    def _release(self) -> list[Effect]:
        state = self._state
        before_ms = dict(state.released_ms)
        said = state.progress.values()
        prediction_ms = min(p.prediction_ms for p in said)
        both_ms = min(prediction_ms, *(p.cohort_ms for p in said))
        for kind in FINDING_KINDS:
            # a new owner of a stage-2 partition may say less than the one before it has said
            reached_ms = prediction_ms if kind == INPUTS else both_ms
            state.released_ms[kind] = max(state.released_ms[kind], reached_ms)
        effects: list[Effect] = list(self._inputs(self._due({INPUTS}), before_ms[INPUTS]))
        judged = self._due({*FINDING_KINDS} - {INPUTS})
        effects += self._judged(judged, before_ms["cohort"])
        state.forget()
        return effects

    def _due(self, kinds: set[FindingKind]) -> list[tuple[Order, Finding]]:
        """A heap of what is ready."""
        due = [
            (turn_of(finding), finding)
            for finding in self._state.waiting.values()
            if finding.pane_kind in kinds
            and finding.ready_ms <= self._state.released_ms[finding.pane_kind]
        ]
        heapq.heapify(due)
        return due

    def _inputs(self, due: list[tuple[Order, Finding]], told_ms: int) -> Iterator[Said]:
        """`told_ms`: up to here all was told before."""
        decisions = self._decisions
        while due:
            ready_ms = due[0][1].ready_ms
            yield from decisions.by_time(told_ms, ready_ms - 1, of_inputs=True)
            told_ms = ready_ms - 1
            grew: dict[str, None] = {}
            while due and due[0][1].ready_ms == ready_ms:
                yield from decisions.decide(heapq.heappop(due)[1], due, grew)
            for incident_id in grew:
                yield from decisions.tell_root(incident_id, ready_ms)
        yield from decisions.by_time(told_ms, self._state.released_ms[INPUTS], of_inputs=True)

    def _judged(self, due: list[tuple[Order, Finding]], told_ms: int) -> Iterator[Said]:
        """With what prediction panes have told at its ready times, before cohorts of the same."""
        decisions, until_ms = self._decisions, self._state.released_ms["cohort"]
        ahead = self._state.incidents.take_ahead(until_ms)
        while ahead or due:
            ahead_ms = ahead[0][0] if ahead else LAST_MS
            ready_ms = min(ahead_ms, due[0][1].ready_ms if due else LAST_MS)
            yield from decisions.by_time(told_ms, ready_ms - 1, of_inputs=False)
            told_ms = ready_ms - 1
            if ahead_ms == ready_ms:
                _, is_over, member = ahead.pop(0)
                turn = (ready_ms, _JUDGED, BEFORE_ALL_MS, member.number)
                yield from decisions.know(member, turn, is_over=is_over)
            else:
                yield from decisions.decide(heapq.heappop(due)[1], due, {})
        yield from decisions.by_time(told_ms, until_ms, of_inputs=False)

    # -- state

    def snapshot(self) -> list[Part]:
        return self._state.snapshot()

    @classmethod
    def restore(cls, rules: Rules, model_partitions: int, state: Mapping[str, bytes]) -> AlertStage:
        """Also of what 0.1.0 wrote. Raises BrokenRecordError."""
        stage = cls(rules, model_partitions)
        stage._begin(AlertState.restore(rules, state))
        return stage
