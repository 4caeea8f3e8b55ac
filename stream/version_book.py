"""Which versions answer predictions: since when, how many of late, and what they are told of.

Stage 2 tells it by the hour, of models whose rules ask for something of their versions. One that
was not seen for `limits.forget` was never there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from stream.columns import Group
from stream.rules import DAY_MS, HOUR_MS
from stream.wire import Finding

SILENT_MS = DAY_MS  # without a prediction, a version answers no more


class Presence(msgspec.Struct):
    """Of a version and role."""

    first_ms: int  # pane end
    last_ms: int
    ready_ms: int  # at which it was last seen
    base_ms: int  # since when its reference, or it itself, is there
    has_reference: bool
    counts: list[tuple[int, int]] = []  # (pane end, predictions so far) of the last day
    told: dict[str, str] = {}  # of what fires: alertname -> what was said

    def of_late(self, until_ms: int) -> int:
        """Predictions within a day before."""
        within = [count for end_ms, count in self.counts if until_ms - DAY_MS < end_ms <= until_ms]
        before = [count for end_ms, count in self.counts if end_ms <= until_ms - DAY_MS]
        return max(within, default=0) - max(before, default=0) if within else 0


class VersionBook:
    def __init__(self, forget_ms: int) -> None:
        self._kept_ms = max(forget_ms, 2 * SILENT_MS)  # what fires of it is over before
        self._of: dict[Group, Presence] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def seen(self, finding: Finding) -> Presence:
        """What stage 2 says of a version."""
        detail, end_ms = finding.detail, finding.pane_end_ms
        known = self._of.get(finding.group)
        if known is not None and self._is_gone(known, finding.ready_ms):
            del self._of[finding.group]
            known = None
        if known is None or known.first_ms != detail["first_ms"]:  # forgotten meanwhile
            told = {} if known is None else known.told
            known = Presence(detail["first_ms"], 0, 0, 0, has_reference=False, told=told)
            self._of[finding.group] = known
        known.last_ms, known.ready_ms = end_ms, finding.ready_ms
        known.base_ms, known.has_reference = detail["base_ms"], detail["has_reference"]
        kept = [one for one in known.counts if one[0] > end_ms - DAY_MS - HOUR_MS]
        known.counts = [*kept, (end_ms, detail["predictions"])]
        return known

    def share(self, group: Group, until_ms: int) -> float:
        """Of the predictions of its model within the last 24 full hours, those of shadows apart."""
        asked = [g for g in self._of if g[0] == group[0] and g[2] != "shadow"]
        hour_ms = until_ms // HOUR_MS * HOUR_MS - 1  # of these hours all versions were told
        counts = {other: self._of[other].of_late(hour_ms) for other in asked}
        if not counts.get(group):
            counts = {other: self._of[other].of_late(until_ms) for other in asked}
        return counts.get(group, 0) / max(sum(counts.values()), 1)

    def is_first(self, group: Group) -> bool:
        """Whether no other version of its model and role was there before."""
        mine = self._of[group]
        return all(
            presence.first_ms >= mine.first_ms or self._is_gone(presence, mine.ready_ms)
            for other, presence in self._of.items()
            if (other[0], other[2]) == (group[0], group[2]) and other[1] != group[1]
        )

    def silent(self, until_ms: int) -> list[tuple[int, Group]]:
        """Versions of which something fires and that answer no more: (ready time, which)."""
        return sorted(
            (presence.ready_ms + SILENT_MS, group)
            for group, presence in self._of.items()
            if presence.told and presence.ready_ms + SILENT_MS <= until_ms
        )

    def presence(self, group: Group) -> Presence:
        return self._of[group]

    def forget(self, reached_ms: int) -> None:
        """What can count no more: everything has come to this ready time."""
        self._of = {
            group: presence
            for group, presence in self._of.items()
            if presence.told or not self._is_gone(presence, reached_ms)
        }

    def _is_gone(self, presence: Presence, at_ms: int) -> bool:
        return presence.ready_ms + self._kept_ms < at_ms

    # -- state

    def snapshot(self) -> list[Any]:
        return [[list(group), msgspec.to_builtins(of)] for group, of in self._of.items()]

    def restore(self, plain: Iterable[Any]) -> None:
        for (model_id, version, role, segment), of in plain:
            self._of[model_id, version, role, segment] = msgspec.convert(of, Presence)
