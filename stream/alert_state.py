"""What stage 3 remembers between two findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stream.alert_forms import alert_ids
from stream.firing_alerts import MAGIC, STATE_VERSION, FiringAlerts, unpack_state
from stream.incidents import Incidents
from stream.notice_book import NoticeBook
from stream.numbering import Listener
from stream.request_book import RequestBook
from stream.request_forms import fingerprint, of_event
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
        self.notices = NoticeBook(self.incidents.kept_ms, self._cooldown_ms)
        self.requested = RequestBook()
        self.versions = VersionBook(rules.forget_ms)
        self.shared = SharedBook()
        self.refused_until = 0  # offset of control records: before it dead letters were sent
        self._forgot_ms = BEFORE_ALL_MS

    def forget(self) -> None:
        """What can count for no alert any more."""
        judged_ms = self.released_ms["cohort"]
        self.incidents.forget(judged_ms)
        if judged_ms >= self._forgot_ms + DAY_MS:
            self._forgot_ms = judged_ms
            known = self.incidents.names()
            self.requested.forget(judged_ms - self.incidents.kept_ms, known)
            self.versions.forget(judged_ms)
            if not len(self.notices):
                return
            told = {name for alert in self.firing.all() for name in alert_ids(alert)}
            for announced_at, event in self.notices.forget(judged_ms, told | known):
                of = (event.model_id, "", "champion", "")
                self.requested.forget_one(fingerprint("retrain", of, of_event(announced_at)))

    def _cooldown_ms(self, model_id: str, at_ms: int) -> int:
        """Between two requests to retrain."""
        return self.schedule.at(at_ms).retrain_of(model_id).cooldown_ms

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
            "forgot": self.notices.forgot,
            "requested": self.requested.snapshot(),
            "versions": self.versions.snapshot(),
            **({"shared": self.shared.snapshot()} if self.shared else {}),
            **({"refused_until": self.refused_until} if self.refused_until else {}),
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
            state.notices.restore(base["notices"], base.get("forgot", 0))
            state.requested.restore(base["requested"])
            state.versions.restore(base["versions"])
        state.shared.restore(base.get("shared", ()))
        state.refused_until = base.get("refused_until", 0)
        return state
