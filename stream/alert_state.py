"""What stage 3 remembers between two findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stream.firing_alerts import MAGIC, STATE_VERSION, FiringAlerts, unpack_state
from stream.incidents import Incidents
from stream.notice_book import NoticeBook
from stream.numbering import Listener
from stream.request_book import RequestBook
from stream.rule_book import Schedule
from stream.rules import DAY_MS, Rules
from stream.shared_book import SharedBook
from stream.snapshot import Part, pack, unpack
from stream.version_book import VersionBook
from stream.watermark import BEFORE_ALL_MS
from stream.wire import FINDING_KINDS, Finding, FindingKind, Progress

Order = tuple[Any, ...]


class AlertState:
    def __init__(self, rules: Rules) -> None:
        self.schedule = Schedule(rules)
        self.listener = Listener()
        self.progress: dict[int, Progress] = {}
        self.waiting: dict[Order, Finding] = {}
        self.released_ms: dict[FindingKind, int] = dict.fromkeys(FINDING_KINDS, BEFORE_ALL_MS)
        self.firing = FiringAlerts()
        self.incidents = Incidents(rules.horizon_ms)
        self.notices = NoticeBook()
        self.requested = RequestBook()
        self.versions = VersionBook()
        self.shared = SharedBook()
        self._forgot_ms = BEFORE_ALL_MS

    def forget(self) -> None:
        """What can count for no alert any more."""
        judged_ms = self.released_ms["cohort"]
        self.incidents.forget(judged_ms)
        if judged_ms >= self._forgot_ms + DAY_MS:
            self._forgot_ms = judged_ms
            fires = {member.last_incident for member in self.incidents.all_firing()}
            self.requested.forget(judged_ms - self.incidents.kept_ms, fires)

    def snapshot(self) -> list[Part]:
        plain = {
            "listener": self.listener.snapshot(),
            "progress": [msgspec.to_builtins(p) for p in self.progress.values()],
            "waiting": [msgspec.to_builtins(f) for f in self.waiting.values()],
            "released_ms": self.released_ms,
            "changes": self.firing.changes,
            "schedule": self.schedule.snapshot(),
            "incidents": self.incidents.snapshot(),
            "notices": self.notices.snapshot(),
            "requested": self.requested.snapshot(),
            "versions": self.versions.snapshot(),
            **({"shared": self.shared.snapshot()} if self.shared else {}),
        }
        base = pack(MAGIC, STATE_VERSION, plain)
        return [
            Part("base", None, lambda: base),
            *self.schedule.parts(),
            *self.firing.parts(),
            *self.incidents.parts(),
        ]

    @classmethod
    def restore(cls, rules: Rules, stored: Mapping[str, bytes]) -> AlertState:
        """Also of the one part "state" that 0.1.0 wrote. What is in force when, the state knows.

        Raises BrokenRecordError.
        """
        state = cls(rules)
        if "state" in stored:
            base: dict[str, Any] = unpack(MAGIC, 1, stored["state"])
            state.firing.restore_alerts(base["firing"])
        else:
            base = unpack_state(stored["base"])
            state.firing.restore(base["changes"], stored)
            state.schedule = Schedule.restore(base["schedule"], stored)
        state.listener.restore(base["listener"])
        for record in base["progress"]:
            progress = msgspec.convert(record, Progress)
            state.progress[progress.partition] = progress
        for record in base["waiting"]:
            finding = msgspec.convert(record, Finding)
            state.waiting[finding.order] = finding
        released_ms = base["released_ms"]
        least_ms = min(released_ms.values())  # 0.1.0 knew no estimates
        state.released_ms = {kind: released_ms.get(kind, least_ms) for kind in FINDING_KINDS}
        if "incidents" in base:
            state.incidents.restore(base["incidents"], stored, state.released_ms["cohort"])
        if "notices" in base:
            state.notices.restore(base["notices"])
            state.requested.restore(base["requested"])
            state.versions.restore(base["versions"])
        state.shared.restore(base.get("shared", ()))
        return state
