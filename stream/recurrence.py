"""What comes back at the same hour, of each day or of each week: a batch job at night, say.

From the third time in a row on an alert says when it was told before. It is of the incident that it
was of, as all that comes back within the cooldown; what it needs is not a person each night.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stream.events import Alert
from stream.members import DRIFTS, Member
from stream.rules import DAY_MS, HOUR_MS, Rules
from stream.times import iso

KEPT = 8  # onsets of a fingerprint
_FEWEST = 2  # times before
_CYCLES = {"day": DAY_MS, "week": 7 * DAY_MS}


def onsets_behind(member: Member) -> list[int]:
    """Of the alerts of its fingerprint so far, rising."""
    return [*member.onsets, member.sign.start_ms][-KEPT:]


def came_before(start_ms: int, onsets: Sequence[int]) -> tuple[str, list[int]] | None:
    """The cycle with which it has come back each time, and those before it, the latest first."""
    for cycle, every_ms in _CYCLES.items():
        found: list[int] = []
        while True:
            then_ms = start_ms - (len(found) + 1) * every_ms
            nearest = min(onsets, key=lambda onset_ms: abs(onset_ms - then_ms), default=None)
            if nearest is None or abs(nearest - then_ms) > HOUR_MS:
                break
            found.append(nearest)
        if len(found) >= _FEWEST:
            return cycle, found
    return None


def come_again(alert: Alert, start_ms: int, onsets: Sequence[int], rules: Rules) -> Alert:
    """The same, and that it was so before."""
    found = came_before(start_ms, onsets)
    if found is None:
        return alert
    cycle, before = found
    hours = [f"{k * _CYCLES[cycle] // HOUR_MS} h" for k in range(1, _FEWEST + 1)]
    summary = f"{alert.summary}; so it was {' and '.join(hours)} before"
    may_be_usual = alert.kind in DRIFTS | {"throughput", "latency"}
    if may_be_usual and rules.season_of(alert.model.id) == "none":
        summary += f": if that is how each {cycle} goes, consider season: {cycle}"
    evidence = {**alert.evidence, "again": {"each": cycle, "before": [iso(ms) for ms in before]}}
    return msgspec.structs.replace(alert, evidence=evidence, summary=summary)
