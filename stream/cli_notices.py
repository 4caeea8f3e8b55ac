"""`leeway acknowledge`, `leeway retrained`: what people tell a running app about its alerts."""

from __future__ import annotations

import re

from stream.cli_config import publish_now
from stream.cli_output import USAGE, fail, say
from stream.notices import Notice
from stream.settings import Settings
from stream.times import moment_ms

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


def acknowledge(
    settings: Settings, what: str, *, by: str, note: str, of_incident: bool, at: str | None
) -> None:
    field = "fingerprint" if _FINGERPRINT.fullmatch(what) else "alert_id"
    field = "incident_id" if of_incident else field
    notice = Notice("acknowledgement", _at_ms(at), by=by, note=note, **{field: what})
    announce(settings, notice)
    say(f"announced: {by} has taken {field.replace('_', ' ')} {what} in hand")


def retrained(
    settings: Settings, model_id: str, version: str | None, *, by: str, note: str, at: str | None
) -> None:
    if not settings.rules().knows(model_id) or not model_id or version == "":
        raise fail(f"no model {model_id!r} in this configuration", USAGE)
    told = {"model_id": model_id, "model_version": version or "", "by": by, "note": note}
    announce(settings, Notice("retrained", _at_ms(at), **told))
    say(f"announced: {model_id if version is None else f'{model_id} v{version}'} was retrained")


def announce(settings: Settings, notice: Notice) -> None:
    fault = notice.fault()
    if fault is not None:
        raise fail(fault, USAGE)
    publish_now(settings, notice.encode())


def _at_ms(at: str | None) -> int | None:
    try:
        return None if at is None else moment_ms(at)
    except ValueError as error:
        raise fail(f"--at: {error}", USAGE) from None
