"""What is told only where something begins with it: new feature sets.

They are known to stage 3 from their own ready time on, as what others may follow from. The first
alert that does, of inputs or of what was judged, has them said before it: as they were when they
were found and when they were over, so that it does not matter which alert that is, nor when.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from stream.alert_forms import alert_id, to_alerts
from stream.alert_state import Order
from stream.event_columns import FEATURE_SET
from stream.events import Alert, ToAlerts
from stream.incidents import Incidents
from stream.members import INPUTS, Member
from stream.records import encode
from stream.wire import FINDING_KINDS

_alert = msgspec.json.Decoder(Alert)


class Unsaid:
    """No state of its own: it is among the members of incidents."""

    def __init__(self, incidents: Incidents) -> None:
        self._incidents = incidents

    def before(self, alert: Alert) -> Iterator[ToAlerts]:
        """What this alert follows from, and with what its incident begins."""
        ids = {alert.incident_id: None}
        under = alert.evidence.get("folded_under")
        if under is not None:
            ids[alert_id(under["fingerprint"], under["since"], 1)] = None
        for one in ids:
            taken = self._incidents.take_unsaid(one)
            if taken is not None:
                member, alerts = taken
                for turn, value in zip(_turns(member), alerts, strict=False):
                    yield to_alerts(_alert.decode(value), turn)

    def end(self, over: Alert, member: Member | None, turn: Order) -> Iterator[ToAlerts]:
        if member is None or not member.unsaid:
            yield to_alerts(over, turn)
        else:
            self._incidents.keep(member, encode(over))


def _turns(member: Member) -> list[Order]:
    """In which both of its findings were decided: `alert_decisions.turn_of`."""
    sign, kind = member.sign, FINDING_KINDS.index(INPUTS)
    rest = False, sign.group, FEATURE_SET, sign.alertname
    return [
        (member.fired_ms, kind, sign.found_ms, False, *rest, "drift"),
        (member.quiet_ms, kind, member.ended_ms, True, *rest, "quiet"),
    ]
