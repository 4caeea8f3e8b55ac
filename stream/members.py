"""Members of incidents: alerts as far as others may be of the same cause.

An onset is an estimate, the worse the longer it took to find: it is known to a part of the window
from the onset to the pane that told: to half of both windows, to call two onsets one, and to blame
a fault for what seems to have begun before it.
"""

from __future__ import annotations

from typing import Any, Self

import msgspec

from stream.columns import Group
from stream.events import LATEST_MS, Action, Kind, Severity
from stream.rules import DAY_MS, HOUR_MS
from stream.wire import FINDING_KINDS, Finding, FindingKind

FAULTS: frozenset[Kind] = frozenset({"data_quality", "schema"})
OF_A_MODEL: frozenset[Kind] = frozenset(
    {"prediction_drift", "concept_drift", "performance", "calibration"}
)
OF_OUTCOMES: frozenset[Kind] = frozenset({"concept_drift", "performance", "calibration"})
DRIFTS: frozenset[Kind] = OF_A_MODEL | {"feature_drift"}
SERVICE: frozenset[Kind] = frozenset({"latency", "throughput", "silence"})
BETWEEN = " × "  # the two features of a joint drift
INPUTS: FindingKind = "prediction"
FEATURE_SET_CHANGE = "FeatureSetChange"
VERSION_WORSE = "VersionWorse"
OF_VALUES = ("OutOfRange", "UnseenCategories")  # faults, or where a drift has come to
COMPARED = {VERSION_WORSE, "ShadowWorse"}  # of one version beside another
_LAYERS: dict[Kind, int] = {"feature_drift": 1, "prediction_drift": 2}
_OF_OUTCOMES = 3
EXPLAINS_MS = 14 * DAY_MS  # a fault that is older is how things are
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")


class Sign(msgspec.Struct, frozen=True):
    """What decides where an alert belongs."""

    pane_kind: FindingKind
    group: Group
    feature: str | None
    alertname: str
    kind: Kind
    start_ms: int  # its onset
    found_ms: int  # end of the pane that told
    is_named: bool = False  # a cause was named that is a fault whatever told it
    is_skew: bool = False  # it has differed from the training data since the first prediction

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
            "cause" in detail["evidence"] and detail["kind"] in FAULTS,
            "skew" in detail["evidence"].get("reference", ()),
        )

    @property
    def is_of_inputs(self) -> bool:
        return self.pane_kind == INPUTS

    @property
    def is_new_set(self) -> bool:
        """Of features: a moment, and no alert by itself."""
        return self.alertname == FEATURE_SET_CHANGE

    def is_of_version_beside(self, other: Sign) -> bool:
        """Whether both say the like of a model as a whole, of two of its versions or roles."""
        return (
            (self.group[0], self.group[3]) == (other.group[0], other.group[3])
            and self.group != other.group
            and self.feature is None
            and other.feature is None
            and layer(self.kind) == layer(other.kind)
            and self.kind != "version"
            and not {self.alertname, other.alertname} & COMPARED
        )

    def window_ms(self, other: Sign) -> int:
        """Both windows together."""
        return max(self.found_ms - self.start_ms, 0) + max(other.found_ms - other.start_ms, 0)

    def begins_with(self, other: Sign) -> bool:
        """Whether both onsets may be one."""
        return 2 * abs(self.start_ms - other.start_ms) <= self.window_ms(other)

    def overlaps(self, other: Sign) -> bool:
        """Whether the onsets are no further apart than both windows are long."""
        return abs(self.start_ms - other.start_ms) <= self.window_ms(other)

    def may_begin_before(self, other: Sign) -> bool:
        """Whether this onset may well be the earlier one."""
        return 2 * (self.start_ms - other.start_ms) <= self.window_ms(other)


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
    moves: list[tuple[int, str]] = []  # ready time, and the incident it belongs to from there on
    fired_as: Severity = "warning"  # its own severity when it fired
    is_cause: bool = False  # a fault that follows from nothing, or a version to be rolled back
    is_folded: bool = False
    told: int = 1  # of the root: the members that it has told of
    flaps: int = 0  # times that it has come back within the cooldown
    alone: bytes = b""  # of a feature: the alert, where it fired as information
    graver_ms: int | None = None  # ready time at which it was more than that
    moved: tuple[float, float] | None = None  # before and after, where the alert has both
    escalated: int = 0  # number of the last step taken, because nobody took it in hand
    escalated_ms: int = 0  # the last of them
    retold: int = 0  # times that it was told again with another effect, and
    turns: int = 0  # as what it had been before
    gravest: Severity = "info"  # of its own severities so far
    confirmed_ms: int = -1  # onset of the last alert that outcomes bear it out (`confirmed`)
    onsets: list[int] = []  # of earlier alerts of its fingerprint (`recurrence`)
    replaced: tuple[str, str] | None = None  # of a new feature set: the former, and its name
    stood_ms: int = -1  # pane end up to which it surely was so
    drift_ms: int | None = None  # of a fault: ready time at which it turned out to be a drift

    @property
    def is_root(self) -> bool:
        return self.alert_id == self.incident_id and not self.moves

    @property
    def place(self) -> tuple[int, int, int]:
        """Sorts members by when they fired."""
        return self.fired_ms, FINDING_KINDS.index(self.sign.pane_kind), self.number

    def incident_at(self, ready_ms: int) -> str:
        moved = [to for at_ms, to in self.moves if at_ms <= ready_ms]
        return moved[-1] if moved else self.incident_id

    def incidents(self) -> list[tuple[str, int]]:
        """Those that it has belonged to, each since when."""
        return [(self.incident_id, self.fired_ms), *((to, at_ms) for at_ms, to in self.moves)]

    @property
    def last_incident(self) -> str:
        return self.moves[-1][1] if self.moves else self.incident_id

    @property
    def explains_until_ms(self) -> int:
        """Of onsets. How a version compares with another is of all that it has said."""
        is_of_version = self.sign.alertname == VERSION_WORSE
        return LATEST_MS if is_of_version else self.sign.start_ms + EXPLAINS_MS

    def is_cause_at(self, ready_ms: int) -> bool:
        return self.is_cause and (self.drift_ms is None or ready_ms < self.drift_ms)

    def is_over(self, ready_ms: int) -> bool:
        return self.quiet_ms is not None and self.quiet_ms <= ready_ms

    def explains(self, sign: Sign, ready_ms: int) -> bool:
        """Whether an alert is to be folded under this one: under a fault a drift of its feature, or
        of what the model makes of its features; values beyond the reference under a drift that
        had led there; under a version to be rolled back what its outcomes say."""
        mine = self.sign
        if mine.alertname == VERSION_WORSE:
            is_of_it = mine.group[:3] == sign.group[:3] and sign.alertname != VERSION_WORSE
            is_loss = not sign.is_of_inputs and sign.kind in OF_OUTCOMES
            return self.is_cause and is_of_it and is_loss and self.covers(sign, ready_ms)
        if mine.group != sign.group:
            return False
        if sign.kind in FAULTS:
            return (
                mine.kind == "feature_drift"
                and sign.alertname in OF_VALUES
                and not sign.is_named
                and mine.feature == sign.feature
                and not self.is_over(ready_ms)
                and mine.start_ms < sign.start_ms
                and not mine.begins_with(sign)
            )
        if mine.is_new_set:  # of which features is not known
            return sign.kind in DRIFTS and self._is_onset_of(sign)
        return self.is_cause_at(ready_ms) and self.may_move(sign, ready_ms)

    def may_move(self, sign: Sign, ready_ms: int) -> bool:
        """Whether a drift is of this one's feature, or of what the model makes of its features,
        and began behind it."""
        mine, its = self.sign, sign.feature
        is_of_it = its in (mine.feature, None) or mine.feature in its.split(BETWEEN)
        return sign.kind in DRIFTS and is_of_it and self.covers(sign, ready_ms)

    def _is_onset_of(self, sign: Sign) -> bool:
        """Whether that one began just then."""
        apart_ms = abs(sign.start_ms - self.sign.start_ms)
        return self.covers(sign, sign.found_ms) and (
            apart_ms <= HOUR_MS or sign.begins_with(self.sign)
        )

    def is_borne_out_by(self, other: Member, ready_ms: int) -> bool:
        """Whether a feature alone fires whose drift may be behind what outcomes tell."""
        is_alone = self.alone and (self.graver_ms is None or self.graver_ms > ready_ms)
        fires = self.fired_ms <= ready_ms and not self.is_over(ready_ms)
        return bool(is_alone) and fires and self.covers(other.sign, ready_ms)

    @property
    def is_worse(self) -> bool:
        """Whether it fires, in the order of what outcomes say, and says that things are worse."""
        is_measured = self.sign.pane_kind == "cohort" and self.sign.kind in OF_OUTCOMES
        return is_measured and self.severity != "info" and self.quiet_ms is None

    @property
    def bears_out(self) -> bool:
        """Whether that follows from no fault."""
        return self.is_worse and not self.is_folded

    def relates_to(self, sign: Sign, ready_ms: int) -> bool:
        """Whether one cause may be behind both."""
        mine = self.sign
        both = (mine.kind, sign.kind)
        if mine.group != sign.group and mine.group[:3] == sign.group[:3]:
            return self._is_akin(sign, ready_ms)
        if mine.group == sign.group and all(kind in SERVICE for kind in both):
            return sign.begins_with(mine) or (
                not self.is_over(ready_ms) and self.covers(sign, ready_ms)
            )
        if not all(kind in FAULTS | DRIFTS for kind in both):
            return False
        same_feature = sign.feature is not None and mine.feature == sign.feature
        if sign.kind in FAULTS and mine.kind not in FAULTS:
            # drifts do not account for a fault; it may have moved its feature before it was seen,
            # or, once it is known what it is, others with it
            moved = same_feature and sign.overlaps(mine)
            return mine.group == sign.group and (
                moved or (sign.is_named and sign.begins_with(mine))
            )
        if mine.group == sign.group:
            return sign.begins_with(mine) or self._leads_to(sign, ready_ms)
        is_same = same_feature and mine.alertname == sign.alertname
        # a version that goes live meanwhile reads the same pipeline
        is_beside = is_same and mine.kind in FAULTS and mine.group[0] == sign.group[0]
        if is_beside and not self.is_over(ready_ms) and self.covers(sign, ready_ms):
            return True
        return (is_same or mine.is_of_version_beside(sign)) and sign.begins_with(mine)

    def _is_akin(self, sign: Sign, ready_ms: int) -> bool:
        """One is of the whole and the other of a segment, or both are of segments."""
        mine = self.sign
        if mine.kind in SERVICE and sign.kind in SERVICE:
            still = not self.is_over(ready_ms) and self.covers(sign, ready_ms)
            return still or sign.begins_with(mine)
        is_same = mine.kind == sign.kind or mine.alertname == sign.alertname
        both_faults = {mine.kind, sign.kind} <= FAULTS  # of one a cause was named, of one not yet
        is_alike = (is_same or both_faults) and mine.feature == sign.feature
        return is_alike and sign.begins_with(mine)

    def _leads_to(self, sign: Sign, ready_ms: int) -> bool:
        """Features move predictions, and these what outcomes say; two alerts may be of the same."""
        if self.is_over(ready_ms):
            return False
        if not (self.covers(sign, ready_ms) or sign.overlaps(self.sign)):
            return False
        mine, its = layer(self.sign.kind), layer(sign.kind)
        if mine == its:
            return self.sign.feature == sign.feature
        is_grave = self.fired_as != "info" or (
            self.graver_ms is not None and self.graver_ms <= ready_ms
        )
        return mine < its and its > 1 and is_grave

    def covers(self, sign: Sign, ready_ms: int) -> bool:
        """Whether that one's onset may lie between this one's and its end."""
        until_ms = self.explains_until_ms
        if self.is_over(ready_ms) and self.ended_ms is not None:
            until_ms = min(until_ms, self.ended_ms)
        return self.sign.may_begin_before(sign) and sign.start_ms <= until_ms


def layer(kind: Kind) -> int:
    """Faults 0, features 1, predictions 2, what outcomes say 3."""
    return 0 if kind in FAULTS else _LAYERS.get(kind, _OF_OUTCOMES)


def lesser(one: Severity, other: Severity) -> Severity:
    return min(one, other, key=SEVERITIES.index)


def graver(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=SEVERITIES.index)


def is_at_least(one: Severity, other: Severity) -> bool:
    return SEVERITIES.index(one) >= SEVERITIES.index(other)


def before_after(detail: dict[str, Any]) -> tuple[float, float] | None:
    """Of a finding: of its impact, of nulls, or of means that shifted."""
    impact = detail["impact"]
    if impact["reference"] is not None and impact["value"] is not None:
        return impact["reference"], impact["value"]
    what = {"NullRate": "null_rate", "FeatureDrift": "mean", "PredictionDrift": "mean"}
    name = what.get(detail["alertname"])
    sides = [detail["evidence"].get(side, {}).get(name) for side in ("reference", "current")]
    return None if None in sides else (float(sides[0]), float(sides[1]))


def size(effect: dict[str, Any]) -> float:
    """In floors, so that effects of several kinds can be ranked."""
    return float(abs(effect["estimate"]) / (effect["floor"] or 1.0))
