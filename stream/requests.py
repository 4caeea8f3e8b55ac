"""What stage 3 asks for on `leeway.actions`: once for each cause, not for each alert.

- `fix_pipeline`, when an alert that is folded under nothing asks for it: once for an incident and
  model.
- `rollback`, when an alert asks for it: to the version that the configuration names.
- What stage 2 asks for of a comparison (a finding whose verdict is `request`).
- `retrain`: see `retraining`.

What was asked for is remembered as long as what it was asked for may fire.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream.alert_state import AlertState
from stream.events import Alert, Request, ToActions
from stream.members import FEATURE_SET_CHANGE, Member
from stream.request_forms import of_alert, of_finding, of_inputs, to_actions
from stream.retraining import Retraining
from stream.wire import Finding


class Requests:
    def __init__(self, state: AlertState) -> None:
        self._state = state
        self._retraining = Retraining(state)

    def touch(self, model_id: str) -> None:
        """Something of this model was told."""
        self._retraining.touch(model_id)

    def retrain(self, told_ms: int, until_ms: int) -> Iterator[ToActions]:
        """Behind `told_ms` and up to `until_ms`, of the clock of what was judged."""
        for at_ms, request in self._retraining.due(until_ms, told_ms + 1):
            yield from self._ask(request, at_ms)

    def of_alert(self, alert: Alert, member: Member | None, at_ms: int) -> Iterator[ToActions]:
        """What this alert, as it is told now, asks for beside retraining."""
        if member is None or alert.severity == "info":
            return
        under = alert.evidence.get("folded_under", {}).get("alertname")
        if member.is_folded and under != FEATURE_SET_CHANGE:  # which asks for nothing by itself
            return
        if alert.recommended_action in {"fix_pipeline", "rollback"}:
            rules = self._state.schedule.at(at_ms)
            type_ = alert.recommended_action
            asked_ms = self._state.requested.asked_ms(of_inputs(type_, alert, member))
            if asked_ms is not None and asked_ms <= at_ms:
                return
            yield from self._ask(of_alert(type_, alert, member, at_ms, rules), at_ms)

    def of_finding(self, finding: Finding) -> Iterator[ToActions]:
        rules = self._state.schedule.at(finding.ready_ms)
        yield from self._ask(of_finding(finding, rules), finding.ready_ms)

    def _ask(self, request: Request, at_ms: int) -> Iterator[ToActions]:
        if self._state.requested.add(request, at_ms):
            yield to_actions(request)
