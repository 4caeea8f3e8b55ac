"""Notices: what people and other systems tell stage 3 on `leeway.control`.

The owner of stage 3 journals from which ready time on each holds: the announced one, or the first
that it has not released yet. So a replay, and a new owner, know it at the same moment.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

NoticeType = Literal["acknowledgement", "retrained", "business_event"]


class Notice(msgspec.Struct, frozen=True):
    """One of them. `effective_at_ms`: None: as soon as it is read."""

    type: NoticeType
    effective_at_ms: int | None = None
    alert_id: str = ""  # of any of its sequences
    incident_id: str = ""
    fingerprint: str = ""  # what fires under it then
    model_id: str = ""  # that was retrained, or that an event is of
    model_version: str = ""  # that was retrained; empty: all of the model
    name: str = ""  # of a business event
    by: str = ""
    note: str = ""

    def encode(self) -> bytes:
        """As a record of the control topic."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        at_ms = plain.pop("effective_at_ms")
        told = {name: value for name, value in plain.items() if value != ""}
        return msgspec.json.encode(told if at_ms is None else {**told, "effective_at": at_ms})

    def fault(self) -> str | None:
        """Why it cannot be used."""
        if self.type == "retrained":
            return None if self.model_id else "retrained names a model_id"
        if self.type == "business_event":
            named = self.model_id and self.name
            return None if named else "a business event names a model_id and has a name"
        targets = [bool(self.alert_id), bool(self.incident_id), bool(self.fingerprint)]
        if sum(targets) != 1:
            return "an acknowledgement names one alert_id, incident_id or fingerprint"
        return None if self.by else "an acknowledgement says by whom"
