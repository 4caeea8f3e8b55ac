"""Which alerts are of one cause.

A fault of a feature is a cause: what drifts with it is *folded* under it, and says what the fault
says is to be done. Beside that, alerts whose onsets may be one belong to one incident.

Alerts on inputs (prediction panes) know those on inputs only. Alerts on what was judged, which come
later, know both, of inputs exactly what had been said up to their own ready time, however far
those have come meanwhile. So nothing depends on how the two interleave.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from stream.alert_news import News
from stream.columns import Group
from stream.events import Action, Kind, Severity
from stream.members import FAULTS, VERSION_WORSE, Member, Sign, graver, is_at_least
from stream.rules import DAY_MS
from stream.shared_sums import NAME as SHARED
from stream.snapshot import Part, pack, unpack
from stream.watermark import BEFORE_ALL_MS
from stream.wire import FINDING_KINDS, FindingKind

KEPT_MS = 7 * DAY_MS  # and the horizon: so long an alert that is over still counts
BUCKETS = 256  # of members, by model: so many parts at most
_MAGIC, _VERSION = b"I", 1
Ahead = tuple[int, bool, Member]
"""Ready time, whether it ends then, and what."""


class Incidents:
    def __init__(self, horizon_ms: int) -> None:
        self.kept_ms = KEPT_MS + horizon_ms  # after its end an alert counts for others
        self._numbers: dict[FindingKind, int] = dict.fromkeys(FINDING_KINDS, 0)
        self._firing: dict[str, Member] = {}
        self._former: dict[str, Member] = {}  # the last one that is over, by fingerprint
        self._of_group: dict[Group, list[Member]] = {}
        self._of_model: dict[str, dict[Group, None]] = {}
        self._of_feature: dict[str, list[Member]] = {}  # of prediction panes
        self._of_incident: dict[str, list[Member]] = {}  # of prediction panes
        self._over: list[tuple[int, int, int, Member]] = []  # a heap, by quiet time
        self._ahead: list[Ahead] = []  # what cohort panes do not know yet
        self._changes = 0
        self._versions: dict[int, int] = {}
        self._packed: dict[int, tuple[int, bytes]] = {}  # of a bucket, at a version

    # -- reading

    def firing(self, fingerprint: str) -> Member | None:
        return self._firing.get(fingerprint)

    def models(self) -> Iterable[str]:
        """Those of which alerts are known."""
        return self._of_model

    def groups(self, model_id: str) -> Iterable[Group]:
        return self._of_model.get(model_id, {})

    def of_group(self, group: Group) -> list[Member]:
        return self._of_group.get(group, [])

    def past_ms(self, member: Member) -> int | None:
        """From this ready time on it counts for nothing, whenever it is forgotten."""
        return None if member.quiet_ms is None else member.quiet_ms + self.kept_ms + 1

    def names(self) -> set[str]:
        """Of alerts and incidents that are known."""
        found: set[str] = set()
        for members in self._of_group.values():
            for member in members:
                found |= {member.fingerprint, member.alert_id}
                found |= {incident_id for incident_id, _ in member.incidents()}
        return found

    def all_firing(self) -> Iterable[Member]:
        return self._firing.values()

    def spoken_for(self, member: Member, at_ms: int, severity: Severity) -> int | None:
        """From when on, at `at_ms` or later, no earlier alert of its model and incident that is
        as severe fires too; None: not as far as is known."""
        while True:
            incident_id = member.incident_at(at_ms)
            speaks = next(
                (
                    m
                    for m in self._earlier(member, severity)
                    if m.incident_at(at_ms) == incident_id and not m.is_over(at_ms)
                ),
                None,
            )
            if speaks is None:
                return at_ms
            moves = [at for m in (member, speaks) for at, _ in m.moves if at > at_ms]
            ends = [at for at in (speaks.quiet_ms, *moves) if at is not None]
            if not ends:
                return None
            at_ms = min(ends)

    def _earlier(self, member: Member, severity: Severity) -> Iterator[Member]:
        """Alerts of its model that fired before it, and that it may know of, as severe as that."""
        place, of_inputs = member.place, member.sign.is_of_inputs
        for group in self.groups(member.sign.group[0]):
            for other in self._of_group[group]:
                is_known = other.sign.is_of_inputs or not of_inputs
                if is_known and is_at_least(other.fired_as, severity) and other.place < place:
                    yield other

    def former(self, fingerprint: str, ready_ms: int, within_ms: int) -> Member | None:
        """The alert of this fingerprint that was over so shortly before."""
        former = self._former.get(fingerprint)
        if former is None or former.quiet_ms is None or former.quiet_ms + within_ms < ready_ms:
            return None
        return former

    def cause(
        self,
        sign: Sign,
        ready_ms: int,
        still_at_ms: int | None = None,
        *,
        of: Member | None = None,
    ) -> Member | None:
        """The fault under which an alert is folded: the first, and of new feature sets the one
        nearest to its onset. `still_at_ms`: not over at this pane end; `of`: the alert, where it
        fires: once a fault, now a drift, it does not follow from itself."""
        nearest: Member | None = None
        for member in self._seen(sign, ready_ms):
            if member is not of and self.explains(member, sign, ready_ms):
                ended_ms = member.ended_ms if member.is_over(ready_ms) else None
                if still_at_ms is not None and ended_ms is not None and ended_ms <= still_at_ms:
                    continue
                if not member.sign.is_new_set:
                    return member if nearest is None else nearest
                if nearest is None or _apart(member, sign) < _apart(nearest, sign):
                    nearest = member
        return nearest

    def explains(self, fault: Member, sign: Sign, ready_ms: int) -> bool:
        """Whether this is a fault under which that is folded. A new feature set is that of what
        begins with it, and of what the features that began to drift with it move later."""
        if fault.explains(sign, ready_ms):
            return True
        if not fault.sign.is_new_set or fault.sign.group != sign.group:
            return False
        return any(
            of.sign.kind == "feature_drift"
            and of.fired_ms <= ready_ms
            and fault.explains(of.sign, ready_ms)
            and of.may_move(sign, ready_ms)
            for of in self.of_group(sign.group)
        )

    def has_told_of_inputs(self, sign: Sign, ready_ms: int) -> bool:
        """Whether inputs, or predictions, were known by then to have moved or to be at fault
        since."""
        return any(
            member.sign.group == sign.group
            and member.sign.kind in FAULTS | {"feature_drift", "prediction_drift"}
            and not member.sign.is_new_set
            and not (member.is_over(ready_ms) and (member.ended_ms or 0) <= sign.start_ms)
            for member in self._seen(sign, ready_ms)
        )

    def related(self, sign: Sign, ready_ms: int) -> Member | None:
        """The first alert whose cause may be the same."""
        return next((m for m in self._seen(sign, ready_ms) if m.relates_to(sign, ready_ms)), None)

    def upstream(self, sign: Sign, ready_ms: int, readers: Sequence[str]) -> list[Member]:
        """What other models that read this feature from the same upstream have told of it at about
        the same time, or tell still."""
        return [
            member
            for member in (self._seen(sign, ready_ms) if readers and sign.is_of_inputs else ())
            if member.sign.group[0] in readers
            or (member.sign.group[0] == sign.group[0] and _is_pooled(member.sign, sign))
            if member.sign.feature == sign.feature
            if {member.sign.kind, sign.kind} <= FAULTS | {"feature_drift"}
            if sign.overlaps(member.sign) or member.covers(sign, ready_ms)
            if not member.is_over(ready_ms)
        ]

    def _akin(self, group: Group) -> list[Group]:
        """The whole and its segments: the others of the same version and role."""
        return [g for g in self.groups(group[0]) if g[:3] == group[:3] and g != group]

    def _beside(self, group: Group) -> list[Group]:
        """The same of its model's other versions and roles."""
        of = group[0], group[3]
        return [g for g in self.groups(group[0]) if (g[0], g[3]) == of and g != group]

    def versions_beside(self, sign: Sign) -> list[Member]:
        """Other versions of which the same fires, by when it did."""
        found = [m for g in self._beside(sign.group) for m in self._of_group.get(g, ())]
        return sorted(
            (
                member
                for member in found
                if member.quiet_ms is None
                and member.sign.alertname == sign.alertname
                and member.sign.is_of_version_beside(sign)
            ),
            key=lambda member: member.place,
        )

    def whole_of(self, sign: Sign) -> Member | None:
        """The same of the model as a whole, if it fires; `sign` is of a segment."""
        if not sign.group[3]:
            return None
        for member in self._of_group.get((*sign.group[:3], ""), ()):
            of = member.sign
            is_same = of.alertname == sign.alertname and of.feature == sign.feature
            if is_same and of.pane_kind == sign.pane_kind and member.quiet_ms is None:
                return member
        return None

    def drivers(self, sign: Sign, ready_ms: int) -> list[Member]:
        """Segments of which the same is told now, the greatest first."""
        if sign.group[3]:
            return []
        found = [
            member
            for group in self._akin(sign.group)
            for member in self._of_group.get(group, ())
            if member.sign.alertname == sign.alertname and member.sign.feature == sign.feature
            if member.fired_ms <= ready_ms and not member.is_over(ready_ms)
        ]
        return sorted(found, key=lambda m: (-m.size, m.sign.group[3].count(","), m.sign.group))

    def explained(self, fault: Member, *, of_inputs: bool) -> list[Member]:
        """What fires, is not folded, and is explained by a new fault."""
        group = fault.sign.group
        groups = [group, *self._akin(group)] if fault.sign.alertname == VERSION_WORSE else [group]
        return [
            member
            for of in groups
            for member in self._of_group.get(of, ())
            if member.sign.is_of_inputs == of_inputs
            if not member.is_folded and member.quiet_ms is None
            if member.fired_ms <= fault.fired_ms
            if self.explains(fault, member.sign, fault.fired_ms)
        ]

    def take_ahead(self, reached_ms: int) -> list[Ahead]:
        """Faults of prediction panes, and features that drift alone and their ends, that cohort
        panes, which have come so far, now know of."""
        due = [one for one in self._ahead if one[0] <= reached_ms]
        if due:
            self._ahead = [one for one in self._ahead if one[0] > reached_ms]
            due.sort(key=lambda one: (*one[:2], one[2].number))
        return due

    def bearing_out(self, group: Group) -> list[Member]:
        """What outcomes tell of a group that has become worse, by when it fired."""
        found = [member for member in self._of_group.get(group, ()) if member.bears_out]
        return sorted(found, key=lambda member: member.place)

    def is_worse(self, group: Group) -> bool:
        """Whether outcomes say so, whatever it follows from."""
        return any(member.is_worse for member in self._of_group.get(group, ()))

    def alone(self, group: Group) -> list[Member]:
        """Features of a group that have told by themselves, the greatest first."""
        return sorted([m for m in self._of_group.get(group, ()) if m.alone], key=_rank)

    def root(self, incident_id: str) -> tuple[Member | None, list[Member]]:
        """The firing root among prediction panes, and all members there, the greatest first."""
        members = [m for m in self._of_incident.get(incident_id, []) if not m.sign.is_new_set]
        firing = [m for m in members if m.quiet_ms is None]
        root = next((m for m in firing if m.is_root), None)
        if root is None and len(members) < len(self._of_incident.get(incident_id, [])):
            root = min(firing, key=lambda m: m.place, default=None)  # it began with a feature set
        return root, sorted(members, key=_rank)

    def _seen(self, sign: Sign, ready_ms: int) -> Iterator[Member]:
        """What counts for an alert of this ready time, by when it fired."""
        found = {id(m): m for m in self._of_group.get(sign.group, ())}
        akin = self._akin(sign.group)
        if sign.feature is None:
            akin += self._beside(sign.group)
        for group in akin:
            found |= {id(m): m for m in self._of_group.get(group, ())}
        if sign.feature is not None:
            found |= {id(m): m for m in self._of_feature.get(sign.feature, ())}
        for member in sorted(found.values(), key=lambda m: m.place):
            is_kept = member.quiet_ms is None or member.quiet_ms + self.kept_ms >= ready_ms
            is_seen = member.sign.is_of_inputs or not sign.is_of_inputs
            if is_kept and is_seen and member.fired_ms <= ready_ms:
                yield member

    # -- changes

    def add(self, member: Member) -> None:
        """`member.number` is given here."""
        kind = member.sign.pane_kind
        self._numbers[kind] += 1
        member.number = self._numbers[kind]
        self._index(member)
        self._look_ahead(member, BEFORE_ALL_MS)
        self._note(member)

    def _look_ahead(self, member: Member, known_ms: int) -> None:
        """What of it cohort panes will come to know, behind what they know."""
        if member.alone and member.quiet_ms is not None and member.quiet_ms > known_ms:
            self._ahead.append((member.quiet_ms, True, member))
        is_fault = member.sign.is_of_inputs and member.sign.kind in FAULTS
        if (is_fault or member.alone) and member.fired_ms > known_ms:
            self._ahead.append((member.fired_ms, False, member))

    def end(self, fingerprint: str, pane_end_ms: int, ready_ms: int) -> Member | None:
        member = self._firing.pop(fingerprint, None)
        if member is not None:
            member.ended_ms, member.quiet_ms = pane_end_ms, ready_ms
            self._is_over(member)
            if member.alone:
                self._ahead.append((ready_ms, True, member))
            self._note(member)
        return member

    def fold(self, member: Member, cause: Member, ready_ms: int) -> None:
        member.is_folded = True
        incident_id = cause.incident_at(ready_ms)
        if incident_id != member.incident_at(ready_ms):
            self._unindex_incident(member)
            member.moves = [*member.moves, (ready_ms, incident_id)]
            self._index_incident(member)
        self._note(member)

    def renew(
        self, member: Member, severity: Severity, action: Action, ready_ms: int, kind: Kind
    ) -> None:
        """Its own, as of what it tells now. Cohorts know a fault as it was when it fired, but for
        one that turned out to be a drift, which is the cause of nothing from then on."""
        if member.sign.kind in FAULTS and kind not in FAULTS and member.drift_ms is None:
            member.drift_ms = ready_ms
        if member.alone and member.graver_ms is None and severity != "info":
            member.graver_ms = ready_ms
        member.gravest = graver(member.gravest, severity)
        if member.sign.kind not in FAULTS:
            member.severity, member.action = severity, action
        self._note(member)

    def tell_again(self, member: Member, news: News) -> None:
        member.retold += news == "effect"
        member.turns += news == "turn"
        self._note(member)

    def confirm(self, member: Member, since_ms: int) -> None:
        member.confirmed_ms = since_ms
        self._note(member)

    def unfold(self, member: Member) -> None:
        member.is_folded = False
        member.is_cause |= member.sign.alertname == VERSION_WORSE and member.action == "rollback"
        self._note(member)

    def stand(self, member: Member, pane_end_ms: int) -> int:
        """It surely is so, by all that came since the pane end that is returned."""
        since_ms = max(member.stood_ms, member.sign.found_ms)
        member.stood_ms = pane_end_ms
        self._note(member)
        return since_ms

    def outlasting(
        self, member: Member, ready_ms: int, since_ms: int, under: str | None
    ) -> list[Member]:
        """What no longer follows from what it was folded under (the alertname), which was over at
        that pane end: this one, and before it what was said of its version beside another one."""
        cause = self.cause(member.sign, ready_ms, since_ms, of=member)
        is_other = cause is not None and cause.sign.alertname == VERSION_WORSE != under
        if not member.is_folded or not (cause is None or is_other):
            return []
        beside = [m for m in self.of_group(member.sign.group) if m.sign.alertname == VERSION_WORSE]
        is_loss = not member.sign.is_of_inputs
        return [*(m for m in beside if is_loss and m.is_folded and m.quiet_ms is None), member]

    def escalate(self, member: Member, number: int, at_ms: int) -> None:
        member.escalated = number + 1
        member.escalated_ms = at_ms
        self._note(member)

    def has_told(self, root: Member, members: int) -> None:
        root.told = members
        self._note(root)

    def forget(self, reached_ms: int) -> None:
        """What can count for no alert any more: both kinds of panes have passed this time."""
        while self._over and self._over[0][0] + self.kept_ms < reached_ms:
            member = heapq.heappop(self._over)[-1]
            group = member.sign.group
            _drop(self._of_group, group, member)
            if group not in self._of_group:
                del self._of_model[group[0]][group]
                if not self._of_model[group[0]]:
                    del self._of_model[group[0]]
            if member.sign.feature is not None and member.sign.is_of_inputs:
                _drop(self._of_feature, member.sign.feature, member)
            self._unindex_incident(member)
            if self._former.get(member.fingerprint) is member:
                del self._former[member.fingerprint]
            self._note(member)

    def _index(self, member: Member) -> None:
        sign = member.sign
        self._of_group.setdefault(sign.group, []).append(member)
        self._of_model.setdefault(sign.group[0], {})[sign.group] = None
        if sign.feature is not None and sign.is_of_inputs:
            self._of_feature.setdefault(sign.feature, []).append(member)
        self._index_incident(member)
        if member.quiet_ms is None:
            self._firing[member.fingerprint] = member
        else:
            self._is_over(member)

    def _index_incident(self, member: Member) -> None:
        if member.sign.is_of_inputs:
            self._of_incident.setdefault(member.last_incident, []).append(member)

    def _unindex_incident(self, member: Member) -> None:
        if member.sign.is_of_inputs:
            _drop(self._of_incident, member.last_incident, member)

    def _is_over(self, member: Member) -> None:
        assert member.quiet_ms is not None
        self._former[member.fingerprint] = member
        kind = FINDING_KINDS.index(member.sign.pane_kind)
        heapq.heappush(self._over, (member.quiet_ms, kind, member.number, member))

    def _note(self, member: Member) -> None:
        self._changes += 1
        self._versions[_bucket(member)] = self._changes

    # -- state

    def snapshot(self) -> dict[str, Any]:
        return {"numbers": self._numbers, "changes": self._changes}

    def parts(self) -> Iterator[Part]:
        buckets: dict[int, list[Member]] = {}
        for group in sorted(self._of_group):
            for member in self._of_group[group]:
                buckets.setdefault(_bucket(member), []).append(member)
        self._packed = {b: packed for b, packed in self._packed.items() if b in buckets}
        for bucket, members in sorted(buckets.items()):
            version = self._versions.get(bucket, 0)
            if self._packed.get(bucket, (-1, b""))[0] != version:
                plain = [version, msgspec.to_builtins(sorted(members, key=lambda m: m.place))]
                self._packed[bucket] = version, pack(_MAGIC, _VERSION, plain)
            yield Part(f"incidents/{bucket}", version, partial(bytes, self._packed[bucket][1]))

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes], cohort_ms: int) -> None:
        """`cohort_ms`: how far cohort panes have come. Raises BrokenRecordError."""
        self._changes = plain["changes"]
        self._numbers = {kind: plain["numbers"][kind] for kind in FINDING_KINDS}
        members: list[Member] = []
        for name in sorted(name for name in state if name.startswith("incidents/")):
            version, found = unpack(_MAGIC, _VERSION, state[name])
            self._versions[int(name.partition("/")[2])] = version
            members += msgspec.convert(found, list[Member])
        for member in sorted(members, key=lambda m: m.place):
            self._index(member)
            self._look_ahead(member, cohort_ms)


def _bucket(member: Member) -> int:
    return zlib.crc32(member.sign.group[0].encode()) % BUCKETS


def _rank(member: Member) -> tuple[Any, ...]:
    return member.sign.kind not in FAULTS, -member.size, member.place


def _is_pooled(*signs: Sign) -> bool:
    """Whether one is of all models together."""
    return any(sign.alertname == SHARED for sign in signs)


def _drop(index: dict[Any, list[Member]], key: Any, member: Member) -> None:
    left = [m for m in index.get(key, ()) if m is not member]
    if left:
        index[key] = left
    else:
        index.pop(key, None)


def ranked(members: Iterable[Member], most: int) -> list[dict[str, Any]]:
    """For people: the greatest of an incident."""
    return [
        {
            "model": m.sign.group[0],
            "version": m.sign.group[1],
            "alertname": m.sign.alertname,
            "feature": m.sign.feature,
            "size": float(f"{m.size:.4g}"),
            "before": None if m.moved is None else float(f"{m.moved[0]:.6g}"),
            "after": None if m.moved is None else float(f"{m.moved[1]:.6g}"),
        }
        for m in list(members)[:most]
    ]


def _apart(member: Member, sign: Sign) -> int:
    return abs(member.sign.start_ms - sign.start_ms)
