"""Members of incidents: alerts as far as others may be of the same cause.

An onset is an estimate. What was found between an onset and a pane end says where the onset lies to
about a third of that window: the last third alone would not have been told.
"""

from __future__ import annotations

from typing import Any, Self

import msgspec

from stream.columns import Group
from stream.events import Action, Kind, Severity
from stream.rules import DAY_MS
from stream.wire import KINDS, Finding, PaneKind

FAULTS: frozenset[Kind] = frozenset({"data_quality", "schema"})
OF_A_MODEL: frozenset[Kind] = frozenset(
    {"prediction_drift", "concept_drift", "performance", "calibration"}
)
DRIFTS: frozenset[Kind] = OF_A_MODEL | {"feature_drift"}
ONSET_SHARE = 3  # an onset is known to this part of its window
EXPLAINS_MS = 14 * DAY_MS  # a fault that is older is how things are
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")


class Sign(msgspec.Struct, frozen=True):
    """What decides where an alert belongs."""

    pane_kind: PaneKind
    group: Group
    feature: str | None
    alertname: str
    kind: Kind
    start_ms: int  # its onset
    found_ms: int  # end of the pane that told

    @classmethod
    def of(cls, finding: Finding) -> Self:
        detail = finding.detail
        return cls(
            finding.pane_kind,
            finding.group,
            detail["feature"],
            finding.alertname,
            detail["kind"],
            detail["change_at_ms"],
            finding.pane_end_ms,
        )

    @property
    def _onset_slack_ms(self) -> int:
        return max(self.found_ms - self.start_ms, 0) // ONSET_SHARE

    def begins_with(self, other: Sign) -> bool:
        """Whether both onsets may be one."""
        apart_ms = abs(self.start_ms - other.start_ms)
        return apart_ms <= self._onset_slack_ms + other._onset_slack_ms

    def may_begin_before(self, other: Sign) -> bool:
        """Whether all that is known lets this one's onset be the earlier."""
        slack_ms = self._onset_slack_ms + other._onset_slack_ms
        return self.start_ms <= other.start_ms + slack_ms


class Member(msgspec.Struct):
    """An alert of an incident: how it began, and what became of it at which ready time."""

    number: int  # rises as alerts of this kind of panes fire
    sign: Sign
    fingerprint: str
    alert_id: str
    incident_id: str
    severity: Severity  # its own: an alert that is folded says another one
    action: Action
    size: float  # of its effect, in floors
    fired_ms: int
    ended_ms: int | None = None  # pane end, and
    quiet_ms: int | None = None  # ready time
    moved_ms: int | None = None
    moved_to: str = ""
    is_folded: bool = False
    told: int = 1  # of the root: the members that it has told of
    flaps: int = 0  # times that it has come back within the cooldown

    @property
    def is_root(self) -> bool:
        return self.alert_id == self.incident_id and self.moved_ms is None

    @property
    def place(self) -> tuple[int, int, int]:
        """Sorts members by when they fired."""
        return self.fired_ms, KINDS.index(self.sign.pane_kind), self.number

    def incident_at(self, ready_ms: int) -> str:
        is_moved = self.moved_ms is not None and self.moved_ms <= ready_ms
        return self.moved_to if is_moved else self.incident_id

    def is_over(self, ready_ms: int) -> bool:
        return self.quiet_ms is not None and self.quiet_ms <= ready_ms

    def explains(self, sign: Sign, ready_ms: int) -> bool:
        """Whether this fault accounts for a drift: of its own feature, or of what the model makes
        of its features, with an onset while the fault lasted."""
        mine = self.sign
        if mine.kind not in FAULTS or sign.kind not in DRIFTS or mine.group != sign.group:
            return False
        if sign.kind not in OF_A_MODEL and sign.feature != mine.feature:
            return False
        until_ms = mine.start_ms + EXPLAINS_MS
        if self.is_over(ready_ms) and self.ended_ms is not None:
            until_ms = min(until_ms, self.ended_ms)
        return (
            mine.may_begin_before(sign)
            and mine.start_ms <= sign.found_ms
            and sign.start_ms <= until_ms
        )

    def relates_to(self, sign: Sign) -> bool:
        """Whether one cause may be behind both: an onset that may be one, in the same model
        version, or of the same feature wherever it is read. A fault follows from faults only."""
        mine = self.sign
        if sign.kind in FAULTS:
            kinds_fit = mine.kind in FAULTS
        else:
            kinds_fit = sign.kind in DRIFTS and mine.kind in FAULTS | DRIFTS
        if not kinds_fit or not sign.begins_with(mine):
            return False
        same_feature = sign.feature is not None and mine.feature == sign.feature
        return mine.group == sign.group or (same_feature and mine.alertname == sign.alertname)


def lesser(one: Severity, other: Severity) -> Severity:
    return min(one, other, key=SEVERITIES.index)


def size(effect: dict[str, Any]) -> float:
    """In floors, so that effects of several kinds can be ranked."""
    return float(abs(effect["estimate"]) / (effect["floor"] or 1.0))
