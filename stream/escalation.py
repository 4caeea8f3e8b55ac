"""Which alerts are told again because nobody has taken them in hand.

By the configuration in force, in event time: `after` the alert fired, while it still fires, is
severe enough, and neither it nor its incident was acknowledged. Of an incident the first alert of
each model that is severe enough speaks for the others: a storm is not told twice.
Alerts on inputs and on outcomes have clocks of their own; see `incidents`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream.alert_state import AlertState
from stream.members import Member, is_at_least
from stream.rules import EscalationRule

Due = tuple[int, tuple[int, int, int], Member, int, EscalationRule]
"""When, the place of the member, the member, and its step: by number, from 0."""


class Escalations:
    def __init__(self, state: AlertState) -> None:
        self._state = state
        self._known: dict[bool, tuple[object, int, Due | None]] = {}

    def due(self, until_ms: int, *, of_inputs: bool, since_ms: int) -> Iterator[Due]:
        """By ready time, those up to `until_ms` of one clock; before `since_ms` all were told.
        Whoever takes one tells it and notes it before the next."""
        if not any(rules.escalates for rules in self._state.schedule.in_force()):
            return
        while (found := self._first(since_ms, of_inputs=of_inputs)) and found[0] <= until_ms:
            yield found
            since_ms = found[0]  # no step before the one before it

    def _first(self, since_ms: int, *, of_inputs: bool) -> Due | None:
        state = self._state
        seen = state.firing.changes, state.notices.changes, len(state.schedule.in_force())
        known = self._known.get(of_inputs)
        if known is not None and known[0] == seen and known[1] <= since_ms:
            found = known[2]
            if found is None or found[0] >= since_ms:
                return found
        first: Due | None = None
        for member in state.incidents.all_firing():
            if member.sign.is_of_inputs == of_inputs:
                due = self._of(member, since_ms)
                first = due if first is None or (due and due[:2] < first[:2]) else first
        self._known[of_inputs] = seen, since_ms, first
        return first

    def _of(self, member: Member, since_ms: int) -> Due | None:
        """When the next step of this alert is due, at `since_ms` or later: the first for which no
        other alert speaks."""
        for from_ms, to_ms, rules in self._state.schedule.spans(since_ms):
            steps = rules.escalations_of(member.sign.group[0])
            found: list[Due] = []
            for number in range(member.escalated, len(steps)):
                at_ms = self._of_step(member, steps, number, max(since_ms, from_ms))
                if at_ms is not None and at_ms < to_ms:
                    found.append((at_ms, member.place, member, number, steps[number]))
            if found:
                return min(found, key=lambda due: (due[0], due[3]))
        return None

    def _of_step(
        self, member: Member, steps: Sequence[EscalationRule], number: int, since_ms: int
    ) -> int | None:
        state, step = self._state, steps[number]
        alert = state.firing[member.fingerprint]
        if not is_at_least(alert.severity, step.severity_at_least):
            return None
        due_ms = member.fired_ms + step.after_ms
        if member.escalated:  # as long after the step before it, when that came late
            between_ms = step.after_ms - steps[member.escalated - 1].after_ms
            due_ms = max(due_ms, member.escalated_ms + between_ms)
        at_ms = state.incidents.spoken_for(member, max(due_ms, since_ms), step.severity_at_least)
        taken_ms = state.notices.acknowledged_ms(member, alert)
        return None if at_ms is None or (taken_ms is not None and taken_ms <= at_ms) else at_ms
